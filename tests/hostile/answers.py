"""What the tables are written with: answers that are well formed, and the ways in which one is not."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

from tests.hostile.server import Answer, Part

# Seconds after which a server that drips would go on dripping; no case lasts as long.
FOR_EVER = 60.0
REASONS = {200: "OK", 201: "Created", 302: "Found", 404: "Not Found", 500: "Internal Server Error"}


def head(status: Any = 200, *lines: str, version: str = "HTTP/1.1", reason: str | None = None) -> bytes:
    """Return a status line and headers, without the empty line that ends them."""
    said = REASONS.get(status, "Said") if reason is None else reason
    return "".join(f"{line}\r\n" for line in (f"{version} {status} {said}".rstrip(), *lines)).encode(
        "latin-1"
    )


def encoded(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def http(status: int = 200, body: Any = b"", *lines: str) -> bytes:
    """Return a whole answer, well formed; anything but bytes is sent as JSON."""
    content = encoded(body)
    kind = "Content-Type: application/json"
    return head(status, kind, f"Content-Length: {len(content)}", *lines) + b"\r\n" + content


def said(status: int = 200, body: Any = b"", *lines: str) -> Answer:
    """Return a whole answer on a connection that stays open."""
    return Answer((http(status, body, *lines),), then="keep")


def raw(*parts: Part, then: Any = "close", when: Any = "body") -> Answer:
    """Return these very bytes."""
    return Answer(parts, then=then, when=when)


def drip(content: bytes, every: float = 0.1, size: int = 1) -> Part:
    """Send some bytes at a time."""

    def parts() -> Iterator[bytes | float]:
        for start in range(0, len(content), size):
            yield content[start : start + size]
            yield every

    return parts


def again(content: bytes, every: float = 0.0, times: int = 10**9) -> Part:
    """Send the same bytes over and over."""

    def parts() -> Iterator[bytes | float]:
        for _ in range(times):
            yield content
            if every:
                yield every

    return parts


def chunked(pieces: Iterable[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def coded(coding: str, content: bytes, status: int = 200) -> Answer:
    """Return an answer whose body is said to be compressed so."""
    return said(status, content, f"Content-Encoding: {coding}")


def bomb(mebibytes: int) -> bytes:
    """Return some KiB that are as many MiB of zeros once they are decompressed."""
    packer = zlib.compressobj(9, wbits=31)
    zeros = bytes(1024 * 1024)
    return b"".join([*(packer.compress(zeros) for _ in range(mebibytes)), packer.flush()])


def zipped(body: Any) -> bytes:
    return gzip.compress(encoded(body))


def deep(levels: int, inner: str = "0") -> bytes:
    """Return JSON lists in lists."""
    return ("[" * levels + inner + "]" * levels).encode()
