"""Uploaded bytes, which may be too many for memory: in a file, hashed and counted while they arrive."""

import hashlib
import io
import tempfile
from typing import IO

__all__ = ["Blob"]

# Bytes that are kept in memory; the rest is on disk.
_IN_MEMORY = 1024 * 1024


class Blob:
    """The bytes that were sent to a signed address, written once and then read from any position."""

    def __init__(self, file: IO[bytes] | None = None) -> None:
        self.file = file or tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - it outlives this
        self.size = 0
        self._digest = hashlib.sha256()

    @classmethod
    def of(cls, content: bytes) -> "Blob":
        """Return bytes as a blob."""
        blob = cls(io.BytesIO(content))
        blob.size = len(content)
        blob._digest.update(content)
        return blob

    @property
    def sha256(self) -> str:
        """The hash of all bytes so far, in hex."""
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        """Add bytes at the end."""
        self.size += len(chunk)
        self._digest.update(chunk)
        self.file.write(chunk)

    def start(self, size: int) -> bytes:
        """Return the first bytes."""
        self.file.seek(0)
        return self.file.read(size)

    def close(self) -> None:
        """Release the bytes."""
        self.file.close()
