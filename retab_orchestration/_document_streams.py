"""Documents as streams: memory does not grow with their size, and a source that may change is copied once."""

import hashlib
import io
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from errno import ENOENT, errorcode
from functools import partial
from typing import Any, BinaryIO, cast

from retab_orchestration._texts import kind_of, printable
from retab_orchestration.errors import DocumentReadError, InvalidInputError, RetabError

__all__ = ["PLAIN_PIECE", "OpenedDocument", "Spool", "cause_of", "reading", "reason_of"]

# A multiple of 3, so that the base64 of the pieces is the base64 of the whole; small enough to stay in a CPU's cache
# while it is encoded, which is half as fast otherwise.
_PIECE = 3 * 16 * 1024

PLAIN_PIECE = 3 * 128 * 1024
"""Bytes of a piece that is sent, or hashed, as it is."""


@dataclass(frozen=True)
class OpenedDocument:
    """A document that exists, is not empty, and can be read from its start as often as it is sent."""

    filename: str
    mime_type: str
    size: int
    """Bytes."""
    open: Callable[[], BinaryIO] = field(repr=False)
    said_mime_type: str | None = None
    """The MIME type that the caller gave, which is part of the inputs; one guessed by the ending is not."""
    sha256: str | None = None
    """Of its bytes, in hex; None before it was read."""

    def chunks(self, piece_size: int = _PIECE) -> Iterator[bytes]:
        """Yield the document from its start, in pieces whose length is a multiple of 3 except for the last.

        Args:
            piece_size: Bytes of a piece, a multiple of 3.

        Raises:
            InvalidInputError: Its length has changed since it was measured, or it was written to while it was read.
            DocumentReadError: It cannot be read to its end.
        """
        sent = 0
        with reading(self.filename), _closing(self.open()) as stream:
            before = _state_of(stream)
            while piece := _whole_piece(self.filename, stream, piece_size, self.size - sent):
                sent += len(piece)
                if sent > self.size:
                    break
                yield piece
            is_same = _state_of(stream) == before
        if sent != self.size or not is_same:
            raise InvalidInputError(
                f"{printable(self.filename, 200)} changed while it was being read; nothing was created, send it again"
            )

    def hashed(self) -> "OpenedDocument":
        """Return it with its SHA-256, reading it to its end unless that is known."""
        if self.sha256 is not None:
            return self
        digest = hashlib.sha256()
        for piece in self.chunks(PLAIN_PIECE):
            digest.update(piece)
        return replace(self, sha256=digest.hexdigest())

    def checked(self, sha256: str) -> str:
        """Return the SHA-256 of what was read of it.

        Raises:
            InvalidInputError: It was another hash before.
        """
        if self.sha256 not in {None, sha256}:
            raise InvalidInputError(
                f"{printable(self.filename, 200)} changed after it had been read the first time; nothing was created, "
                "send it again"
            )
        return sha256

    @property
    def base64_size(self) -> int:
        """Bytes of the base64 of the document."""
        return 4 * -(-self.size // 3)


@contextmanager
def reading(filename: str, but: str = "cannot be read any more", then: str = "try again") -> Iterator[None]:
    """Raise DocumentReadError with the document's name, and nothing of the store's own error."""
    try:
        yield
    except RetabError:
        raise
    except Exception as error:  # noqa: BLE001  see cause_of
        text = f"{printable(filename, 200)} {but} ({reason_of(error)}); nothing was created, {then}"
        raise DocumentReadError(text) from cause_of(error)


def reason_of(error: Exception) -> str:
    """Return the system's text for an error: the text of a store may hold a signed address."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number is not None and number in errorcode else type(error).__name__


def cause_of(error: Exception) -> Exception | None:
    """Return the cause that the error may have: FileNotFoundError, which the hosts check for, or None."""
    return FileNotFoundError(ENOENT, os.strerror(ENOENT)) if isinstance(error, FileNotFoundError) else None


def _state_of(stream: BinaryIO) -> tuple[int, int] | None:
    """Return what changes when somebody writes to a file of this system; None for anything else."""
    if not isinstance(stream, io.BufferedIOBase | io.RawIOBase):
        return None
    try:
        facts = os.fstat(stream.fileno())
    except Exception:  # noqa: BLE001  it may be anything that calls itself a file
        return None
    return (facts.st_size, facts.st_mtime_ns) if stat.S_ISREG(facts.st_mode) else None


@contextmanager
def _closing(stream: BinaryIO) -> Iterator[BinaryIO]:
    try:
        yield stream
    finally:
        with suppress(Exception):  # it was read to its end, so an error of closing it is of no use
            stream.close()


def _whole_piece(filename: str, stream: BinaryIO, size: int, most: int) -> bytes:
    """Read a piece of that size, or of another multiple of 3 if a read gives more; less at the end, or past `most`.

    However little a read gives, its bytes are joined once.
    """
    parts: list[bytes] = []
    length = 0
    while length <= most and (length < size or length % 3):
        part = stream.read(size - length if length < size else 3 - length % 3)
        if not isinstance(part, bytes | bytearray | memoryview):
            raise InvalidInputError(
                f"{printable(filename, 200)} gives {kind_of(part)} where bytes are read; open it with mode 'rb'"
            )
        if not part:
            break
        parts.append(bytes(part))
        length += len(parts[-1])
    return b"".join(parts)


class Spool:
    """A copy of documents, one after the other: 1 MiB in memory, more than that in a temporary file without a name."""

    def __init__(self) -> None:
        self._file: Any = tempfile.SpooledTemporaryFile(max_size=1024 * 1024)  # noqa: SIM115  see close
        self._length = 0

    def add(self, document: OpenedDocument) -> OpenedDocument:
        """Copy a document, reading it once; return it as read from the copy, with its SHA-256.

        Raises:
            DocumentReadError: It cannot be read, or the temporary file cannot be written.
            InvalidInputError: Its content has changed.
        """
        start, digest = self._length, hashlib.sha256()
        self._file.seek(start)
        for piece in document.chunks(PLAIN_PIECE):
            digest.update(piece)
            with reading(document.filename, "cannot be copied to a temporary file"):
                self._file.write(piece)
        self._length += document.size
        sha256 = document.checked(digest.hexdigest())
        part = partial(_Part, self._file, start, document.size)
        return replace(document, open=lambda: cast("BinaryIO", part()), sha256=sha256)

    def close(self) -> None:
        """Release the memory and the temporary file."""
        self._file.close()


class _Part(io.BufferedIOBase):
    """A part of a file that several readers share."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file, self._at, self._end = file, start, start + length

    def read(self, size: int | None = -1, /) -> bytes:
        self._file.seek(self._at)
        left = self._end - self._at
        piece = self._file.read(left if size is None or size < 0 else min(size, left))
        self._at += len(piece)
        return piece
