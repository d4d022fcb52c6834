"""Connections on asyncio, each step of them within the limits of the request that it is made for."""

import asyncio
import ssl
from collections.abc import Iterable
from typing import Any

import httpcore

from retab_orchestration._transport.async_protocol import Line, open_line
from retab_orchestration._transport.exchange import Limits, failing_as, failing_as_proxy
from retab_orchestration._transport.proxies import ProxyOptions, TunnelAnswer, tunnel_request

__all__ = ["AsyncBackend"]


class AsyncStream(httpcore.AsyncNetworkStream):
    """One connection. What httpcore passes on as `timeout` is the `Limits` of a request."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def read(self, max_bytes: int, timeout: Any = None) -> bytes:  # noqa: ARG002  all that is there
        """Return received bytes, none once the other side has closed."""
        limits: Limits = timeout
        with failing_as(httpcore.ReadTimeout, httpcore.ReadError):
            part = await self._line.read(limits.receiving(_now()))
        if limits.streams:
            limits.received(len(part))
        return part

    async def write(self, buffer: bytes, timeout: Any = None) -> None:
        """Send all of the bytes."""
        if not buffer:
            return
        limits: Limits = timeout
        with failing_as(httpcore.WriteTimeout, httpcore.WriteError):
            seconds = limits.sending(_now())
            self._line.write(buffer)
            while not self._line.flows:
                if seconds <= 0 and self.get_extra_info("is_readable"):
                    # httpcore then reads what the server has answered instead of reading on.
                    raise OSError("the server has answered before it has read everything")
                if seconds <= 0:
                    raise TimeoutError("timed out")
                began = _now()
                limits.sent(await self._line.drain(seconds), _now() - began)
                seconds = limits.sending(_now())

    async def open_tunnel(self, request: bytes, limits: Limits) -> None:
        """Send a proxy a request for a tunnel and read its answer."""
        answer = TunnelAnswer()
        with failing_as(httpcore.ConnectTimeout, httpcore.ProxyError):
            self._line.write(request)
            while not answer.is_whole(await self._line.read(limits.connecting(_now()))):
                pass

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> "AsyncStream":
        """Return the connection with TLS on top; close it if that fails."""
        limits: Limits = timeout
        try:
            with failing_as(httpcore.ConnectTimeout, httpcore.ConnectError):
                await self._line.start_tls(ssl_context, server_hostname, limits.connecting(_now()))
        except BaseException:
            await self.aclose()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        """Return information about the connection that httpcore needs."""
        if info == "is_readable":
            return bool(self._line.received) or self._line.is_over or self._line.transport.is_closing()
        return self._line.transport.get_extra_info(info)

    async def aclose(self) -> None:
        """Close the connection at once, dropping what is still to be sent."""
        self._line.transport.abort()


class AsyncBackend(httpcore.AsyncNetworkBackend):
    """Opens connections."""

    def __init__(self, options: ProxyOptions) -> None:
        self._options = options

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,  # noqa: ARG002  httpcore's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> AsyncStream:
        """Connect to a server, or to its proxy."""
        proxy = self._options.proxy
        if proxy is None:
            return await _connect(host, port, timeout)
        stream = await _connect(proxy.host, proxy.port, timeout)
        try:
            if self._options.tls is not None:
                with failing_as_proxy():
                    stream = await stream.start_tls(self._options.tls, proxy.host, timeout)
            if self._options.tunnels:
                await stream.open_tunnel(tunnel_request(proxy, host, port), timeout)
        except BaseException:
            await stream.aclose()
            raise
        return stream


async def _connect(host: str, port: int, limits: Limits) -> AsyncStream:
    with failing_as(httpcore.ConnectTimeout, httpcore.ConnectError):
        async with asyncio.timeout(limits.connecting(_now())):
            line = await open_line(host, port)
    return AsyncStream(line)


def _now() -> float:
    return asyncio.get_running_loop().time()
