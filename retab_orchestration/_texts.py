"""Texts of servers and callers: whether one may be an id, may be sent, and how an error or a log line shows it."""

import re
from typing import Any

__all__ = ["LONGEST_ID", "is_id", "is_unicode", "kind_of", "printable", "without_signatures"]

LONGEST_ID = 256
"""Characters of an id; Retab's have about 30."""

_LONGEST = 1000

# An address with its user, and its query or fragment, which may hold a signature.
_ADDRESS = re.compile(
    r"(https?://)(?:[^\s/?#@\"'<>]{1,200}@)?([^\s?#\"'<>]*)(?:[?#][^\s\"'<>]*)?", re.IGNORECASE
)


def printable(text: str, most: int = _LONGEST) -> str:
    """Return a text with line ends, escape codes and the like escaped, and no longer than `most` characters."""
    shown = text[: most + 1]
    if not shown.isprintable():
        shown = "".join(map(_escaped, shown))
    return shown if len(shown) <= most else shown[:most] + "…"


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def kind_of(value: Any) -> str:
    """Name the kind of a value without repeating it, because it may be a document, a key, or very long."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**9 else "a number of more than 9 digits"
    if isinstance(value, str):
        return f"a string of {len(value)} characters" if value else "an empty string"
    return f"of type {printable(type(value).__name__, 60)}"


def is_id(value: str) -> bool:
    """Return whether a text may be an id: printable ASCII, no space, no `/`, `?` and the like, not too long."""
    unusual = set(value) & set(" /\\?#") or not set(value) - set(".")
    return value.isascii() and value.isprintable() and not unusual and len(value) <= LONGEST_ID


def is_unicode(text: str) -> bool:
    """Return whether a text can be encoded: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_signatures(text: str) -> str:
    """Return a text with the user, query and fragment of its addresses removed, which may be secrets."""
    return _ADDRESS.sub(_bare, text) if "://" in text else text


def _bare(found: re.Match[str]) -> str:
    scheme, place = found.groups()
    return found[0] if found[0] == scheme + place else f"{scheme}{place}…"
