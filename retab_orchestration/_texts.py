"""What others have written, or given, as an error or a log line may show it."""

from typing import Any

__all__ = ["is_unicode", "kind_of", "printable"]

_LONGEST = 1000


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


def is_unicode(text: str) -> bool:
    """Tell whether a text can be sent: half of a surrogate pair is what no encoding has a place for."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
