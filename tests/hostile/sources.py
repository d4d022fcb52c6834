"""Documents that fail or change while they are read."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.hostile.retab import SIGNED

SMALL, BIG = 10_000, 4_300_000
"""Bytes: one that goes inside of the create, and one that is uploaded."""

ADDRESS = f"https://bucket.example/a.pdf?X-Amz-Signature={SIGNED}"


class OddError(Exception):
    """What a filesystem raises that has errors of its own."""


def chained() -> BaseException:
    error = RuntimeError("cannot be read")
    error.__cause__ = OSError(ADDRESS)
    return error


# What a store raises; each tells a signed address.
RAISED: dict[str, Callable[[], BaseException]] = {
    "EIO": lambda: OSError(errno.EIO, "Input/output error", ADDRESS),
    "a permission": lambda: PermissionError(errno.EACCES, "Permission denied", ADDRESS),
    "a missing file": lambda: FileNotFoundError(errno.ENOENT, "No such file", ADDRESS),
    "a timeout": lambda: TimeoutError(ADDRESS),
    "a broken pipe": lambda: BrokenPipeError(errno.EPIPE, ADDRESS),
    "a value error": lambda: ValueError(ADDRESS),
    "a key error": lambda: KeyError(ADDRESS),
    "an attribute": lambda: AttributeError(ADDRESS),
    "a type error": lambda: TypeError(ADDRESS),
    "a runtime error": lambda: RuntimeError(ADDRESS),
    "an end of file": lambda: EOFError(ADDRESS),
    "no memory": lambda: MemoryError(ADDRESS),
    "its own": lambda: OddError(ADDRESS),
    "a Unicode error": lambda: UnicodeDecodeError("utf-8", SIGNED.encode(), 0, 1, ADDRESS),
    "a recursion": lambda: RecursionError(ADDRESS),
    "not implemented": lambda: NotImplementedError(ADDRESS),
    "an assertion": lambda: AssertionError(ADDRESS),
    "a stop": lambda: StopIteration(ADDRESS),
    "a chain": chained,
}


class Stream(io.BytesIO):
    """An open file that does something else than it should, from its n-th use on."""

    def __init__(self, content: bytes, name: Any = "a.pdf", **instead: Any) -> None:
        super().__init__(content)
        self.name = name
        self._instead, self._uses = instead, dict.fromkeys(instead, 0)

    def _or(self, what: str, usual: Callable[[], Any]) -> Any:
        if what not in self._instead:
            return usual()
        self._uses[what] += 1
        instead = self._instead[what]
        return instead(self._uses[what], usual)

    def read(self, size: Any = -1, /) -> Any:
        return self._or("read", lambda: super(Stream, self).read(size))

    def seek(self, *place: Any) -> Any:
        return self._or("seek", lambda: super(Stream, self).seek(*place))

    def tell(self) -> Any:
        return self._or("tell", super().tell)

    def close(self) -> None:
        return self._or("close", super().close)

    def seekable(self) -> Any:
        return self._or("seekable", super().seekable)


class Store:
    """Something with `.open("rb")`: opens a stream, or does something else from the n-th time on."""

    def __init__(self, *streams: Callable[[], Any], name: Any = "a.pdf") -> None:
        self.name = name
        self._streams = streams
        self._opened = 0

    def open(self, mode: str = "rb") -> Any:
        assert mode == "rb"
        self._opened += 1
        return self._streams[min(self._opened, len(self._streams)) - 1]()

    def __str__(self) -> str:
        return ADDRESS


def content(size: int) -> bytes:
    return (b"%PDF-1.4 " + b"x" * size)[:size]


def good(size: int) -> Callable[[], Stream]:
    return lambda: Stream(content(size))


def opened(size: int, **instead: Any) -> Callable[[], Stream]:
    return lambda: Stream(content(size), **instead)


def thrown(error: Callable[[], BaseException]) -> Callable[[], Any]:
    def opened_not() -> Any:
        raise error()

    return opened_not


def raising(error: Callable[[], BaseException], after: int = 0) -> Callable[[int, Callable[[], Any]], Any]:
    def instead(use: int, usual: Callable[[], Any]) -> Any:
        if use > after:
            raise error()
        return usual()

    return instead


def returning(value: Any, after: int = 0) -> Callable[[int, Callable[[], Any]], Any]:
    return lambda use, usual: usual() if use <= after else value


def short(piece: int) -> Callable[[], Stream]:
    """Give at most so many bytes at a time."""

    class Short(Stream):
        def read(self, size: Any = -1, /) -> bytes:
            return io.BytesIO.read(self, piece if size is None or size < 0 else min(size, piece))

    return lambda: Short(content(SMALL))


class Pipe:
    """What can be read once only, and has no end that is known before."""

    name = "a.pdf"
    closed = False

    def __init__(self, size: int, error: Callable[[], BaseException] | None = None) -> None:
        self._rest, self._error = io.BytesIO(content(size)), error

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        piece = self._rest.read(size)
        if not piece and self._error is not None:
            raise self._error()
        return piece


def changing(folder: Path, then: Callable[[Path], Any], size: int = SMALL) -> Any:
    """Return a path at which something happens once it was looked at."""
    path = folder / "a.pdf"
    path.write_bytes(content(size))

    class Changing(type(path)):  # type: ignore[misc]
        looked = 0

        def stat(self, **options: Any) -> os.stat_result:
            found: os.stat_result = super().stat(**options)
            if not type(self).looked:
                type(self).looked = 1
                then(path)
            return found

    return Changing(path)
