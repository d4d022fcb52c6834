"""Which place somebody means who says where a document is to be written."""

import io
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from retab_orchestration._download_targets import (
    LocalFile,
    ObjectFile,
    OpenFile,
    Target,
    without_user,
    writing,
)
from retab_orchestration._file_names import base_name
from retab_orchestration._texts import kind_of, printable
from retab_orchestration.errors import InvalidInputError

__all__ = ["checked_folder", "open_in_folder", "open_target"]


def open_target(to: Any, filename: str | None) -> Target:
    """Open the place that a document is to be written to.

    Args:
        to: A path, the URI of a filesystem that fsspec knows, or an open file. In a folder, which is one that there is
            or a text with a slash at its end, the document has the name that the server has for it.
        filename: That name.

    Raises:
        InvalidInputError: It is something else, its folder is missing, or nothing knows the filesystem.
        DocumentWriteError: Nothing can be written there.
    """
    if not isinstance(to, str | os.PathLike) and callable(getattr(to, "write", None)):
        if isinstance(to, io.TextIOBase):
            raise InvalidInputError("to is open for text; open it with mode 'wb'")
        return OpenFile(to)
    if _is_uri(to):
        return _uri_target(to + base_name(filename) if to.endswith("/") else to)
    is_folder = isinstance(to, str) and to.endswith(("/", os.sep))
    path = _local_path(to)
    if is_folder:
        with writing(str(path)):
            path.mkdir(parents=True, exist_ok=True)
    if is_folder or path.is_dir():
        path = path / base_name(filename)
    if not path.parent.is_dir():
        raise InvalidInputError(f"to: there is no folder {printable(str(path.parent), 300)}; make it first")
    if path.exists() and not path.is_file():
        raise InvalidInputError("to is a pipe or a device; give the path of a file, or of a folder")
    return LocalFile(path)


def checked_folder(to: Any) -> Any:
    """Return what may be the place of a folder.

    Raises:
        InvalidInputError: It is neither a path nor a URI.
    """
    if not _is_uri(to):
        _local_path(to, "must be a folder: a path, or a URI")
    return to


def open_in_folder(folder: Any, parts: Sequence[str]) -> Target:
    """Open the place of a document in a folder, which is made if it is missing.

    Args:
        folder: A path, or the URI of a filesystem that fsspec knows.
        parts: The folders in it, and at last the document's name.

    Raises:
        InvalidInputError: It is something else, or nothing knows the filesystem.
        DocumentWriteError: Nothing can be written there.
    """
    if _is_uri(folder):
        start = folder if folder.endswith("/") else folder + "/"
        return _uri_target(start + "/".join(parts), len(parts) - 1)
    path = _local_path(folder).joinpath(*parts).absolute()
    with writing(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
    return LocalFile(path)


def _is_uri(to: Any) -> bool:
    return isinstance(to, str) and "://" in to and not to.startswith(("file://", "local://"))


def _local_path(to: Any, rule: str = "must be a path, a URI or a file that is open with 'wb'") -> Path:
    text = os.fspath(to) if isinstance(to, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidInputError(f"to {rule}, not {kind_of(to)}")
    return Path(text.removeprefix("file://").removeprefix("local://"))


def _uri_target(uri: str, folders: int = 0) -> Target:
    try:
        url_to_fs = import_module("fsspec.core").url_to_fs
    except ImportError:
        raise InvalidInputError("to: a URI needs fsspec; pip install fsspec, or give a local path") from None
    scheme = printable(uri.partition("://")[0], 40)
    with writing(without_user(uri)):
        try:
            filesystem, path = url_to_fs(uri)
        except (ImportError, ValueError) as error:
            reason = printable(without_user(str(error)), 300)
            raise InvalidInputError(f"to: no filesystem is known for {scheme}:// ({reason})") from None
        return ObjectFile(
            filesystem, path, uri, [path.rsplit("/", count)[0] for count in range(folders, 0, -1)]
        )
