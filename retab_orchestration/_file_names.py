"""Names of files that a server gave: what is left of one when it may be used as a name on a disk."""

import re

__all__ = ["base_name"]

_LONGEST = 100
"""Bytes of a name."""

_LONGEST_ENDING = 20

# Windows opens devices under these names, whatever their ending.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>"|?*]')


def base_name(name: str | None, otherwise: str = "document") -> str:
    """Return the last part of a name, without anything that a disk would not take for a part of a name.

    Args:
        name: What a server said; it may be a path, have a drive, control characters, or be empty.
        otherwise: The name where nothing is left of it.

    Returns:
        A name of at most 100 bytes without separators, and neither `.` nor `..`; it keeps its ending.
    """
    last = re.split(r"[/\\:]", name or "")[-1]
    kept = "".join(each if each.isprintable() else "_" for each in last)
    kept = _FORBIDDEN.sub("_", kept).encode(errors="replace").decode().strip(" .")
    if _DEVICES.fullmatch(kept):
        kept = f"_{kept}"
    return _shortened(kept) or otherwise


def _shortened(name: str) -> str:
    if len(name.encode()) <= _LONGEST:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > _LONGEST_ENDING:
        stem, dot, ending = name, "", ""
    room = _LONGEST - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(" .") + dot + ending
