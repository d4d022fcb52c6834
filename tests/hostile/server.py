"""A server of raw sockets: each case has a listener of its own, and says byte by byte what comes out of it and when."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

# A request head longer than this is read no further.
LONGEST_HEAD = 1024 * 1024
# Bytes of a body that are kept.
KEPT = 64 * 1024

# A test may let all others sleep for less.
_sleep = asyncio.sleep

Part = bytes | float | Callable[[], Iterable[bytes | float]]
"""Bytes to send, seconds to do nothing, or a function that yields these."""


@dataclass
class Received:
    """A request as it arrived."""

    method: str
    target: str
    head: bytes
    body: bytes = b""
    """The beginning of it."""
    size: int = 0

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.decode("latin-1").lower() == name:
                return value.decode("latin-1").strip()
        return None


@dataclass(frozen=True)
class Answer:
    """What goes out, and what becomes of the connection after that."""

    parts: tuple[Part, ...]
    then: Literal["keep", "close", "reset", "stall"] = "close"
    when: Literal["head", "body"] = "body"
    """What of the request has been read before the answer begins."""


class Site:
    """One listener.

    Args:
        answer: From a request, and how many came before it, to what goes out.
        accepted: What happens to a connection before anything is read from it; None reads a request.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        answer: Callable[[Received, int], Answer],
        accepted: Answer | None,
    ) -> None:
        self._loop = loop
        self._answer = answer
        self._accepted = accepted
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Received] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening and break every connection."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)

    async def open(self) -> "Site":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=LONGEST_HEAD)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._converse(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError):
            pass  # the client has left, or will not stop; or the case is over
        finally:
            self._tasks.discard(task)
            writer.transport.abort() if task.cancelling() else writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._accepted is not None:
            await _say(self._accepted, writer)
            return
        while True:
            request = await _head_of(reader)
            earlier = len(self.requests)
            self.requests.append(request)
            answer = self._answer(request, earlier)
            if answer.when == "body":
                await _read_body(request, reader)
            await _say(answer, writer)
            if answer.then != "keep":
                return


class Server:
    """The thread with the event loop that all sites of a process share."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hostile", daemon=True)
        self._thread.start()

    def site(self, answer: Callable[[Received, int], Answer], accepted: Answer | None = None) -> Site:
        """Open a listener."""
        site = Site(self._loop, answer, accepted)
        return asyncio.run_coroutine_threadsafe(site.open(), self._loop).result(30)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


async def _head_of(reader: asyncio.StreamReader) -> Received:
    head = await reader.readuntil(b"\r\n\r\n")
    method, _, rest = head.split(b"\r\n")[0].decode("latin-1").partition(" ")
    return Received(method, rest.rpartition(" ")[0], head)


async def _read_body(request: Received, reader: asyncio.StreamReader) -> None:
    if (length := request.header("content-length")) is not None:
        left = int(length)
        while left and (piece := await reader.read(min(left, 2**18))):
            left -= len(piece)
            request.size += len(piece)
            request.body += piece[: KEPT - len(request.body)] if len(request.body) < KEPT else b""
    elif request.header("transfer-encoding") is not None:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            request.body += (await reader.readexactly(size + 2))[:-2]
            request.size += size
        await reader.readuntil(b"\r\n")


async def _say(answer: Answer, writer: asyncio.StreamWriter) -> None:
    for piece in _pieces(answer.parts):
        if isinstance(piece, bytes):
            writer.write(piece)
            await writer.drain()
            await _sleep(0)  # a client that keeps up would have the loop to itself
        else:
            await _sleep(piece)
    if answer.then == "stall":
        await _sleep(600)
    if answer.then == "reset":
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


def _pieces(parts: Iterable[Part]) -> Iterator[bytes | float]:
    for part in parts:
        if callable(part):
            yield from part()
        else:
            yield part
