"""Looking for a key and a document in everything that a host has written, byte by byte."""

import base64
import json
from pathlib import Path

# Bytes of a document that are looked for together: short enough to lie on one page of a database.
PIECE = 30


def traces_of(key: str, documents):
    """Name what would give a key or a document away: the key, pieces of the bytes, and of their base64.

    Args:
        key: An API key that occurs nowhere else.
        documents: The bytes of each document.
    """
    traces = {"the key": key.encode(), "the key in base64": base64.b64encode(key.encode()).rstrip(b"=")[:-1]}
    for number, content in enumerate(documents):
        for start in range(0, len(content) - PIECE, max(len(content) // 12 // 3 * 3, 3)):
            piece = content[start : start + PIECE]
            where = f"document {number} at {start}"
            traces[where] = piece
            traces[f"{where}, as JSON"] = json.dumps(piece.decode("latin-1"))[1:-1].encode()
            traces[f"{where}, as repr"] = repr(piece)[2:-1].encode()
            traces[f"{where}, in base64"] = base64.b64encode(piece)
    return traces


def leaks_in(folder: Path, traces):
    """Return which traces are in which files below a folder, and how many files there were."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    found = []
    for path in files:
        content = path.read_bytes()
        found += [f"{path.relative_to(folder)}: {name}" for name, trace in traces.items() if trace in content]
    return found, len(files)
