"""The bytes of one connection on asyncio, and how it is opened."""

import asyncio
import ipaddress
import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import Any, cast

from retab_orchestration._transport.threads import in_thread

__all__ = ["Line", "open_line"]

# Bytes of an answer that are buffered; above that the server has to wait.
_MOST_RECEIVED = 256 * 1024
# Bytes after which reading yields to the event loop: they may be a thousand answers of 1xx.
_MOST_READ = 16 * 1024
# Seconds until the next address of a name is tried as well.
_NEXT_ADDRESS = 0.25


class Line(asyncio.Protocol):
    """A connection: its received bytes, and whether more may be sent."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.received = bytearray()
        self.is_over = False
        """Whether the other side has closed, or the connection broke."""
        self.error: Exception | None = None
        self.flows = True
        """Done when all bytes were sent."""
        self._is_held = False
        self._waiter: asyncio.Future[bool] | None = None

    def use(self, transport: asyncio.Transport) -> None:
        """Use a transport, set so that a write counts as done only when its bytes were sent."""
        self.transport = transport
        transport.set_write_buffer_limits(
            high=1, low=0
        )  # with 0 for both a TLS transport never resumes writing

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.use(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self.received += data
        if len(self.received) > _MOST_RECEIVED:
            self._hold()
        self._wake()

    def eof_received(self) -> None:
        self.is_over = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over, self.error = True, exc
        self._wake()

    def pause_writing(self) -> None:
        self.flows = False

    def resume_writing(self) -> None:
        self.flows = True
        self._wake()

    async def read(self, seconds: float) -> bytes:
        """Return received bytes, at most so many at a time, and none once the other side has closed.

        Raises:
            TimeoutError: Nothing was received in time. OSError: The connection broke.
        """
        if self.received:
            if seconds <= 0:
                self._hold()  # what was received in time is read, and no more
            await asyncio.sleep(0)
        else:
            if not self.is_over:
                await self._wait(seconds)
            if not self.received:
                if self.error is not None:
                    raise OSError(str(self.error))
                return b""
        data = bytes(self.received[:_MOST_READ])
        del self.received[:_MOST_READ]
        if self._is_held and seconds > 0 and len(self.received) <= _MOST_RECEIVED:
            self._is_held = False
            self.transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        """Begin to send bytes.

        Raises:
            OSError: The connection is closed.
        """
        self._check()
        self.transport.write(data)

    async def drain(self, seconds: float) -> int:
        """Wait until all bytes were sent, or for that long; return how many were.

        Raises:
            OSError: The connection broke, or the other side has closed.
        """
        before = self.transport.get_write_buffer_size()
        with suppress(TimeoutError):
            await self._wait(seconds)
        if not self.flows:
            self._check()
        return before - self.transport.get_write_buffer_size()

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str | None, seconds: float) -> None:
        """Start TLS on the connection.

        Raises:
            TimeoutError: The other side did not answer in time.
            OSError: It failed, or bytes were received before, which would be taken for bytes over TLS.
        """
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(seconds):
            if self.received:
                raise OSError("something came in before TLS")
            transport = await loop.start_tls(self.transport, self, context, server_hostname=server_hostname)
        if transport is None:
            raise OSError("the connection is closed")
        self.use(transport)

    def _hold(self) -> None:
        if not self._is_held:
            self._is_held = True
            self.transport.pause_reading()

    def _check(self) -> None:
        if self.is_over or self.transport.is_closing():
            raise OSError(str(self.error or "the connection is closed"))

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(True)

    async def _wait(self, seconds: float) -> None:
        if seconds <= 0:
            raise TimeoutError("timed out")
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, _lapse, self._waiter)
        try:
            if not await self._waiter:
                raise TimeoutError("timed out")
        finally:
            timer.cancel()
            self._waiter = None


def _lapse(waiter: "asyncio.Future[bool]") -> None:
    if not waiter.done():
        waiter.set_result(False)


async def open_line(host: str, port: int) -> Line:
    """Connect to a server.

    Raises:
        OSError: None of its addresses answers.
    """
    loop = asyncio.get_running_loop()
    if _is_address(host):
        _, line = await loop.create_connection(Line, host, port)
        return line
    found = await in_thread(partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM), slow=True)
    return await _first(list(dict.fromkeys(str(address[0]) for *_, address in found)), port)


async def _first(hosts: list[str], port: int) -> Line:
    """Connect to the address that answers first; each is tried a little after the one before, or when that failed."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[Any]] = []
    try:
        for number, host in enumerate(hosts, start=1):
            tasks.append(loop.create_task(loop.create_connection(Line, host, port)))
            pause = _NEXT_ADDRESS if number < len(hosts) else None
            while running := [task for task in tasks if not task.done()]:
                done, _ = await asyncio.wait(running, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                if pause is not None or any(task.exception() is None for task in done):
                    break
            if connected := [task for task in tasks if task.done() and task.exception() is None]:
                _, line = tasks.pop(tasks.index(connected[0])).result()
                return cast("Line", line)
        raise cast("BaseException", tasks[-1].exception())
    finally:
        for task in tasks:
            task.add_done_callback(_drop)
            task.cancel()


def _drop(task: "asyncio.Task[Any]") -> None:
    """Close a connection that another one was faster than."""
    if not task.cancelled() and task.exception() is None:
        task.result()[0].abort()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
