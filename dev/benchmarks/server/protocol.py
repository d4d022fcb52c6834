"""HTTP/1.1 as far as the clients of a benchmark speak it: no framework, so that the server costs next to nothing."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol

CHUNK_END = b"0\r\n\r\n"


class Sink(Protocol):
    """What is done with a request."""

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, bytes]:
        """Return the status and the JSON to send."""
        ...

    def swallows(self, method: str, target: str) -> bool:
        """Whether a request's body is only counted, however long it is."""
        ...

    def arrived(self, count: int) -> None:
        """Take note of so many bytes of a body that is only counted."""
        ...


class Connection(asyncio.Protocol):
    """One connection: requests one after the other, each answered at once."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._head: tuple[str, str] | None = None
        self._missing: int | None = 0
        """Bytes of the body that have not come yet; None if it is sent in chunks."""
        self._keep = True
        self._swallowing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete by now."""
        if self._swallowing and self._missing is not None and len(data) < self._missing:
            # A piece from the middle of a document, the one thing of which there is much.
            self._sink.arrived(len(data))
            self._missing -= len(data)
            return
        self._buffer += data
        while self._advance():
            pass

    def _advance(self) -> bool:
        """Go one step on; return whether there may be another."""
        if self._head is None and not self._read_head():
            return False
        method, target = self._head or ("", "")
        if self._sink.swallows(method, target):
            return self._swallow(method, target)
        if self._missing is None:
            end = self._buffer.find(CHUNK_END)
            if end < 0:
                return False
            body, used = bytes(self._buffer[:end]), end + len(CHUNK_END)
        elif len(self._buffer) >= self._missing:
            body, used = bytes(self._buffer[: self._missing]), self._missing
        else:
            return False
        del self._buffer[:used]
        self._reply(method, target, body)
        return True

    def _swallow(self, method: str, target: str) -> bool:
        if self._missing is None:
            ended = self._buffer.endswith(CHUNK_END)
            self._sink.arrived(len(self._buffer))
            self._buffer.clear()
        else:
            taken = min(self._missing, len(self._buffer))
            self._sink.arrived(taken)
            del self._buffer[:taken]
            self._missing -= taken
            ended = self._missing == 0
        self._swallowing = not ended
        if ended:
            self._reply(method, target, b"")
        return ended

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        line, _, rest = head.partition(b"\r\n")
        method, target, _ = line.decode("ascii").split(" ")
        headers = b"\r\n" + rest.lower() + b"\r\n"
        self._keep = b"\r\nconnection: close\r\n" not in headers
        self._missing = int(_header(headers, b"content-length") or 0)
        if b"chunked" in _header(headers, b"transfer-encoding"):
            self._missing = None
        if b"\r\nexpect: 100-continue\r\n" in headers:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._head = (method, target)
        return True

    def _reply(self, method: str, target: str, body: bytes) -> None:
        self._head, self._missing = None, 0
        status, answer = self._sink.answer(method, target, body)
        self._transport.write(
            b"HTTP/1.1 %d -\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (status, len(answer), answer)
        )
        if not self._keep:
            self._transport.close()


def _header(headers: bytes, name: bytes) -> bytes:
    start = headers.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    return headers[start : headers.index(b"\r\n", start)].strip()


async def listen(
    sink: Callable[[], Sink], port: int = 0, tls: ssl.SSLContext | None = None
) -> asyncio.Server:
    """Listen on loopback; port 0 takes any that is free."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(sink()), "127.0.0.1", port, backlog=8192, ssl=tls)
