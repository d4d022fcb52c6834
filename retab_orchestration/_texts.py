"""What others have written, or given: whether it may be an id, may be sent, and how an error or a log line shows it."""

import re
from typing import Any

__all__ = ["LONGEST_ID", "is_id", "is_unicode", "kind_of", "printable", "without_signatures"]

LONGEST_ID = 256
"""Characters of an id; Retab's have about 30."""

_LONGEST = 1000

# An address, its user, and its query or fragment: what signs it is in those.
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
    """Say what a caller gave without repeating it, for it may be a document, a key, or very long."""
    if value is None or isinstance(value, bool | float):
        return repr(value)
    if isinstance(value, int):
        return repr(value) if abs(value) < 10**9 else "a number of more than 9 digits"
    if isinstance(value, str):
        return f"a string of {len(value)} characters" if value else "an empty string"
    return f"of type {printable(type(value).__name__, 60)}"


def is_id(value: str) -> bool:
    """Tell whether a text may be an id: printable ASCII without a space or what a path is made of, and not too long."""
    unusual = set(value) & set(" /\\?#") or not set(value) - set(".")
    return value.isascii() and value.isprintable() and not unusual and len(value) <= LONGEST_ID


def is_unicode(text: str) -> bool:
    """Tell whether a text can be sent: half of a surrogate pair is what no encoding has a place for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def without_signatures(text: str) -> str:
    """Return a text whose addresses have no user, no query and no fragment: a signed one is as good as a key."""
    return _ADDRESS.sub(_bare, text) if "://" in text else text


def _bare(found: re.Match[str]) -> str:
    scheme, place = found.groups()
    return found[0] if found[0] == scheme + place else f"{scheme}{place}…"
