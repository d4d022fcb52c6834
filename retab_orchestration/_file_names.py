"""Names of files that a server gave: what is left of one when it may be used as a name on a disk."""

import re
from collections.abc import Sequence
from hashlib import sha256

__all__ = ["base_name", "path_in_folder"]

_LONGEST = 100
"""Bytes of a name."""

_LONGEST_ENDING = 20

# Windows opens devices under these names, whatever their ending.
_DEVICES = re.compile(r"(con|conin\$|conout\$|prn|aux|nul|(com|lpt)[\d¹²³])( *\..*)?", re.IGNORECASE)
_FORBIDDEN = re.compile(r'[<>"|?*]')

# What an id keeps in a path. Not upper case: two ids that differ in that alone would be one on Windows and macOS.
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_LONGEST_ID = 60


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


def path_in_folder(
    run_id: str,
    node_id: str,
    *,
    step_id: str | None,
    iteration: Sequence[int],
    file_id: str,
    filename: str | None,
) -> tuple[str, str, str]:
    """Return where a document of a run lies in a folder: no two documents of a run share a path.

    Returns:
        `(run, node, "<iteration or step>-<file id>-<base name>")`: ids are percent-encoded, upper-case letters as well,
        and only the base name is the server's.
    """
    # With hyphens only between its parts, a name has one file id, and there is one name for each file.
    step = _encoded("_".join(map(str, iteration)) or step_id or "step").replace("-", "_")
    file = _encoded(file_id, _PLAIN - {"-"})
    return _encoded(run_id), _encoded(node_id), f"{step}-{file}-{base_name(filename)}"


def _encoded(text: str, plain: frozenset[str] = _PLAIN) -> str:
    kept = "".join(
        each if each in plain else "".join(f"%{byte:02x}" for byte in each.encode()) for each in text
    )
    if _DEVICES.fullmatch(kept):
        kept = f"%{ord(kept[0]):02x}{kept[1:]}"
    if len(kept) <= _LONGEST_ID:
        return kept
    # No other id has a tilde here.
    return f"{kept[: _LONGEST_ID - 17]}~{sha256(text.encode()).hexdigest()[:16]}"


def _shortened(name: str) -> str:
    if len(name.encode()) <= _LONGEST:
        return name
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending.encode()) > _LONGEST_ENDING:
        stem, dot, ending = name, "", ""
    room = _LONGEST - len((dot + ending).encode())
    return stem.encode()[:room].decode(errors="ignore").rstrip(" .") + dot + ending
