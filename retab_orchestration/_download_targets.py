"""What a document is written to: a disk, a filesystem of fsspec, an open file; nothing half-written under its name."""

import errno
import io
import os
import re
import secrets
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, cast

from retab_orchestration._document_streams import cause_of, reason_of
from retab_orchestration._texts import printable
from retab_orchestration.errors import DocumentWriteError, RetabError

__all__ = [
    "DownloadTarget",
    "LocalFile",
    "ObjectFile",
    "OpenFile",
    "Target",
    "WritableFile",
    "part_size",
    "without_user",
    "writing",
]

_PIECE = 1024 * 1024

_TEMPORARY = "a temporary file"
_NOTHING, _SOMETHING = "nothing is left there", "a part of it may be left there"
_ROOM = "make room, or give another place"
_ROOM_FOR_IT = "make room for it, or set TMPDIR to a folder that has some"
_ADVICE = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "files may not be as large there, so give another place",
    errno.EROFS: "nothing is written there, so give another place",
}
# Those of stores may have no number.
_ADVICE_BY_KIND = (
    (FileNotFoundError, "make its folder, or its bucket, first"),
    (PermissionError, "see that this process may write there"),
)


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


def without_user(uri: str) -> str:
    """Return a URI without the user and the password in it."""
    return re.sub(r"://[^/@]*@", "://", uri)


def _write_error(place: str, error: Exception, left: str = _NOTHING) -> DocumentWriteError:
    """Return the error for what could not be written; it has nothing of a store's own text (see `cause_of`)."""
    advice = _ROOM_FOR_IT if place == _TEMPORARY else _advice_for(error)
    shown = printable(re.split(r"[?#]", place)[0] if "://" in place else place, 300)
    return DocumentWriteError(
        f"the document could not be written to {shown} ({reason_of(error)}); {left}: {advice}"
    )


def _advice_for(error: Exception) -> str:
    kinds = [advice for kind, advice in _ADVICE_BY_KIND if isinstance(error, kind)]
    number = error.errno if isinstance(error, OSError) else None
    return kinds[0] if kinds else _ADVICE.get(number or 0, "try again, or give another place")


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Raise DocumentWriteError for everything that happens while something is written to a place."""
    try:
        yield
    except RetabError:
        raise
    except Exception as error:  # noqa: BLE001  a store, or a file of the caller's, raises what it likes
        raise _write_error(place, error) from cause_of(error)


class LocalFile:
    """A file beside its place under another name, which is given its own at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_name(f".{secrets.token_hex(8)}.part")
        with writing(str(path)):
            # Its permissions are those of every new file.
            number = os.open(
                self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
            )
        self._file = os.fdopen(number, "wb")

    def __del__(self) -> None:
        # Nobody else discards what was opened while its call was cancelled.
        if hasattr(self, "_file"):
            self.discard()

    def write(self, piece: bytes) -> None:
        with writing(str(self._path)):
            self._file.write(piece)

    def restart(self) -> None:
        with writing(str(self._path)):
            self._file.seek(0)
            self._file.truncate()

    def commit(self) -> str:
        with writing(str(self._path)):
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
        with writing(_TEMPORARY):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  it is closed by `discard`

    def write(self, piece: bytes) -> None:
        with writing(_TEMPORARY):
            self._file.write(piece)

    def restart(self) -> None:
        with writing(_TEMPORARY):
            self._file.seek(0)
            self._file.truncate()

    def commit(self) -> str:
        with writing(_TEMPORARY):
            self._file.flush()
        with writing(self._place):
            self._copy(cast("BinaryIO", self._file))
        self.discard()
        return self._place

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()

    def _copy(self, content: BinaryIO) -> None:
        raise NotImplementedError


class OpenFile(_Copied):
    """An open file of the caller's, which stays open."""

    def __init__(self, stream: WritableFile) -> None:
        super().__init__(printable(str(getattr(stream, "name", "the open file")), 300))
        self._stream: Any = stream

    def _copy(self, content: BinaryIO) -> None:
        start = self._end()
        try:
            _copy_all(content, self._stream)
            if callable(flush := getattr(self._stream, "flush", None)):
                flush()
        except BaseException as error:
            left = _NOTHING if start is not None and self._cut(start) else _SOMETHING
            if not isinstance(error, Exception):
                raise
            raise _write_error(self._place, error, left) from cause_of(error)

    def _end(self) -> int | None:
        """Return where the file stands, if that is its end and it can be cut there."""
        with suppress(Exception):
            start = int(self._stream.tell())
            end = self._stream.seek(0, os.SEEK_END)
            self._stream.seek(start)
            return start if start == end else None
        return None

    def _cut(self, start: int) -> bool:
        try:
            self._stream.seek(start)
            self._stream.truncate()
        except Exception:  # noqa: BLE001  it may be anything that calls itself a file
            return False
        return True


class ObjectFile(_Copied):
    """An object of another filesystem, where it is seen once it is whole."""

    def __init__(self, filesystem: Any, path: str, uri: str, folders: Sequence[str] = ()) -> None:
        super().__init__(without_user(uri))
        self._filesystem, self._path, self._folders = filesystem, path, folders

    def _copy(self, content: BinaryIO) -> None:
        try:
            self._put(content)
        except FileNotFoundError:
            if not self._folders:
                raise
            # Only ours: the parents of a folder may be a bucket, which nobody wants created by a typing error.
            for folder in self._folders:
                with suppress(Exception):
                    self._filesystem.mkdir(folder, create_parents=False)
            self._put(content)

    def _put(self, content: BinaryIO) -> None:
        block = part_size(content.seek(0, os.SEEK_END))
        stream = self._filesystem.open(self._path, "wb", block_size=block, autocommit=False)
        has_commit = callable(getattr(stream, "commit", None))
        try:
            _copy_all(content, stream)
            stream.close()
            if has_commit:
                stream.commit()
        except BaseException:
            with suppress(Exception):
                if has_commit:
                    stream.discard()
                else:
                    stream.close()
                    self._filesystem.rm_file(self._path)
            with suppress(Exception):
                # Or it is closed when nobody has it any more, which shows what there is of it.
                stream.closed = True
            raise


def part_size(size: int) -> int:
    """Return the bytes of a part of an upload, which a filesystem of fsspec holds in memory.

    S3 takes no part of less than 5 MiB, and 10,000 of them; Google Cloud Storage takes multiples of 256 KiB.
    """
    smallest = 5 * 1024 * 1024
    return smallest * max(-(-size // (smallest * 9_000)), 1)


def _copy_all(content: BinaryIO, stream: Any) -> None:
    content.seek(0)
    while piece := content.read(_PIECE):
        while piece:
            taken = stream.write(piece)
            if not taken and isinstance(stream, io.RawIOBase):
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            # A file without a buffer may take less, as one does whose disk is full. Some do not say what they take.
            piece = piece[taken:] if isinstance(taken, int) and taken > 0 else b""
