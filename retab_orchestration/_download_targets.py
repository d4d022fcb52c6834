"""Where a document is written: on a disk, to a URI, into an open file; nothing half-written under its name."""

import io
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EAGAIN
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, cast

from retab_orchestration._document_streams import reason_of
from retab_orchestration._file_names import base_name
from retab_orchestration._texts import kind_of, printable
from retab_orchestration.errors import DocumentWriteError, InvalidInputError

__all__ = ["DownloadTarget", "Target", "WritableFile", "open_target"]


class WritableFile(Protocol):
    """A file that is open with mode `wb`, or anything with this method."""

    def write(self, piece: bytes, /) -> Any:
        """Write bytes at the end."""


DownloadTarget: TypeAlias = str | os.PathLike[str] | WritableFile


class Target(Protocol):
    """A place that a document is written to: nothing is seen there before `commit`."""

    def write(self, piece: bytes) -> None:
        """Add bytes at the end."""

    def restart(self) -> None:
        """Drop what was written."""

    def commit(self) -> str:
        """Let the document be seen at its place, which is returned."""

    def discard(self) -> None:
        """Drop what was written, for ever."""


@contextmanager
def _writing(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = reason_of(error)
        cause = error
    else:
        return
    text = f"the document could not be written to {printable(place, 300)} ({reason}); nothing is left there"
    raise DocumentWriteError(text) from cause


class _LocalFile:
    """A file beside its place under another name, which is given its own at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f".{secrets.token_hex(8)}.part")
        with _writing(str(path)):
            # Its permissions are those of every new file.
            number = os.open(
                self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
            )
            self._file = os.fdopen(number, "wb")

    def write(self, piece: bytes) -> None:
        with _writing(str(self._path)):
            self._file.write(piece)

    def restart(self) -> None:
        with _writing(str(self._path)):
            self._file.seek(0)
            self._file.truncate()

    def commit(self) -> str:
        with _writing(str(self._path)):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._beside.replace(self._path)
        return str(self._path)

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._beside.unlink()


class _Copied:
    """A temporary file, whose content is copied to its place at the end."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  it is closed by `discard`

    def write(self, piece: bytes) -> None:
        with _writing("a temporary file"):
            self._file.write(piece)

    def restart(self) -> None:
        with _writing("a temporary file"):
            self._file.seek(0)
            self._file.truncate()

    def commit(self) -> str:
        with _writing(self._place):
            self._file.seek(0)
            self._copy(cast("BinaryIO", self._file))
        self.discard()
        return self._place

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()

    def _copy(self, content: BinaryIO) -> None:
        raise NotImplementedError


class _OpenFile(_Copied):
    """An open file of the caller's, which stays open."""

    def __init__(self, stream: WritableFile) -> None:
        super().__init__(printable(str(getattr(stream, "name", "the open file")), 300))
        self._stream = stream

    def _copy(self, content: BinaryIO) -> None:
        while piece := content.read(1024 * 1024):
            # What has no buffer may take a part of what it is given.
            while (taken := self._stream.write(piece)) != len(piece) and isinstance(
                self._stream, io.RawIOBase
            ):
                if not taken:
                    raise BlockingIOError(EAGAIN, os.strerror(EAGAIN))
                piece = piece[taken:]


class _Uri(_Copied):
    """An object of another filesystem, where it is seen once it is whole."""

    def __init__(self, filesystem: Any, path: str, uri: str) -> None:
        super().__init__(uri)
        self._filesystem, self._path = filesystem, path

    def _copy(self, content: BinaryIO) -> None:
        # Closing a file that was not written to its end would show what there is of it.
        stream = self._filesystem.open(self._path, "wb", autocommit=False)
        try:
            shutil.copyfileobj(content, stream, 1024 * 1024)
            stream.close()
            stream.commit()
        except BaseException:
            with suppress(Exception):
                stream.discard()
            raise


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
        return _OpenFile(to)
    if isinstance(to, str) and "://" in to and not to.startswith("file://"):
        return _uri_target(to, filename)
    return _LocalFile(_local_path(to, filename))


def _local_path(to: Any, filename: str | None) -> Path:
    text = os.fspath(to) if isinstance(to, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidInputError(
            f"to must be a path, a URI or a file that is open with 'wb', not {kind_of(to)}"
        )
    is_folder = isinstance(to, str) and text.endswith(("/", os.sep))
    path = Path(text.removeprefix("file://"))
    if is_folder:
        with _writing(str(path)):
            path.mkdir(parents=True, exist_ok=True)
    if is_folder or path.is_dir():
        path = path / base_name(filename)
    if not path.parent.is_dir():
        raise InvalidInputError(f"to: there is no folder {printable(str(path.parent), 300)}; make it first")
    return path


def _uri_target(uri: str, filename: str | None) -> Target:
    try:
        url_to_fs = import_module("fsspec.core").url_to_fs
    except ImportError:
        raise InvalidInputError("to: a URI needs fsspec; pip install fsspec, or give a local path") from None
    place = uri + base_name(filename) if uri.endswith("/") else uri
    scheme = printable(uri.partition("://")[0], 40)
    try:
        filesystem, path = url_to_fs(place)
    except (ImportError, ValueError) as error:
        reason = printable(str(error), 300)
        raise InvalidInputError(f"to: no filesystem is known for {scheme}:// ({reason})") from None
    return _Uri(filesystem, path, place)
