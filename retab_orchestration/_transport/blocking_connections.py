"""Connections that block, each step of them within the limits of the request that it is made for."""

import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import httpcore

from retab_orchestration._transport.exchange import Limits, failing_as, failing_as_proxy
from retab_orchestration._transport.interruptions import is_anothers
from retab_orchestration._transport.proxies import ProxyOptions, TunnelAnswer, tunnel_request

__all__ = ["Backend"]

T = TypeVar("T")

_TLS_RECORD = 16 * 1024


def _within(seconds: float) -> float:
    """Return seconds for a socket, which takes 0 for non-blocking.

    Raises:
        TimeoutError: There are none left.
    """
    if seconds <= 0:
        raise TimeoutError("timed out")
    return seconds


class Stream(httpcore.NetworkStream):
    """One connection. What httpcore passes on as `timeout` is the `Limits` of a request."""

    def __init__(self, sock: "socket.socket | _TlsInTls") -> None:
        self._sock = sock

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        """Return received bytes, none once the other side has closed."""
        limits: Limits = timeout
        with failing_as(httpcore.ReadTimeout, httpcore.ReadError):
            self._sock.settimeout(_within(limits.receiving(time.monotonic())))
            part = self._sock.recv(max_bytes)
        if limits.streams:
            limits.received(len(part))
        return part

    def write(self, buffer: bytes, timeout: Any = None) -> None:
        """Send all of the bytes."""
        limits: Limits = timeout
        with failing_as(httpcore.WriteTimeout, httpcore.WriteError):
            try:
                self._write(memoryview(buffer), limits)
            except TimeoutError as error:
                if is_anothers(error) or not self.get_extra_info("is_readable"):
                    raise
                # httpcore then reads what the server has answered instead of reading on.
                raise OSError("the server has answered before it has read everything") from None

    def _write(self, left: memoryview, limits: Limits) -> None:
        while left:
            began = time.monotonic()
            self._sock.settimeout(_within(limits.sending(began)))
            count = self._sock.send(left)
            limits.sent(count, time.monotonic() - began)
            left = left[count:]

    def open_tunnel(self, request: bytes, limits: Limits) -> None:
        """Send a proxy a request for a tunnel and read its answer."""
        answer = TunnelAnswer()
        with failing_as(httpcore.ConnectTimeout, httpcore.ProxyError):
            self._sock.settimeout(_within(limits.connecting(time.monotonic())))
            left = memoryview(request)
            while left:
                left = left[self._sock.send(left) :]
            is_open = False
            while not is_open:
                self._sock.settimeout(_within(limits.connecting(time.monotonic())))
                is_open = answer.is_whole(self._sock.recv(_TLS_RECORD))

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: Any = None
    ) -> "Stream":
        """Return the connection with TLS on top; close it if that fails."""
        limits: Limits = timeout
        try:
            with failing_as(httpcore.ConnectTimeout, httpcore.ConnectError):
                seconds = _within(limits.connecting(time.monotonic()))
                if isinstance(self._sock, socket.socket) and not isinstance(self._sock, ssl.SSLSocket):
                    self._sock.settimeout(seconds)
                    return Stream(ssl_context.wrap_socket(self._sock, server_hostname=server_hostname))
                return Stream(_TlsInTls(self._sock, ssl_context, server_hostname, seconds))
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        """Return information about the connection that httpcore needs."""
        if info == "is_readable":
            return _is_pending(self._sock) or _is_readable(self._sock.fileno())
        if info == "ssl_object":
            return self._sock if isinstance(self._sock, ssl.SSLSocket | _TlsInTls) else None
        return None

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()


class Backend(httpcore.NetworkBackend):
    """Opens connections."""

    def __init__(self, options: ProxyOptions) -> None:
        self._options = options

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,  # noqa: ARG002  httpcore's
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> Stream:
        """Connect to a server, or to its proxy."""
        proxy = self._options.proxy
        if proxy is None:
            return _connect(host, port, timeout)
        stream = _connect(proxy.host, proxy.port, timeout)
        try:
            if self._options.tls is not None:
                with failing_as_proxy():
                    stream = stream.start_tls(self._options.tls, proxy.host, timeout)
            if self._options.tunnels:
                stream.open_tunnel(tunnel_request(proxy, host, port), timeout)
        except BaseException:
            stream.close()
            raise
        return stream


def _connect(host: str, port: int, limits: Limits) -> Stream:
    """Try one address after the other, each for an equal share of the time that is left."""
    with failing_as(httpcore.ConnectTimeout, httpcore.ConnectError):
        limits.connecting(time.monotonic())
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for number, (family, kind, protocol, _, address) in enumerate(addresses, start=1):
            sock = socket.socket(family, kind, protocol)
            try:
                left = _within(limits.connecting(time.monotonic()))
                sock.settimeout(left / (len(addresses) - number + 1))
                sock.connect(address)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                if number == len(addresses) or is_anothers(error):
                    raise
            except BaseException:
                sock.close()
                raise
            else:
                return Stream(sock)
    raise httpcore.ConnectError("the name has no addresses")


class _TlsInTls:
    """TLS inside of TLS, for a server behind a proxy with TLS; it has the methods of a socket that a stream uses."""

    def __init__(
        self, sock: Any, context: ssl.SSLContext, server_hostname: str | None, seconds: float
    ) -> None:
        self._sock = sock
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=server_hostname)
        self.settimeout(seconds)
        self._do(self._tls.do_handshake)

    def settimeout(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def recv(self, count: int) -> bytes:
        return self._do(lambda: self._tls.read(count))

    def send(self, data: memoryview) -> int:
        return self._do(lambda: self._tls.write(data[:_TLS_RECORD]))

    def selected_alpn_protocol(self) -> str | None:
        return self._tls.selected_alpn_protocol()

    def pending(self) -> int:
        return self._tls.pending() + self._received.pending

    def fileno(self) -> int:
        return int(self._sock.fileno())

    def close(self) -> None:
        self._sock.close()

    def _do(self, step: Callable[[], T]) -> T:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush()
                self._limit()
                part = self._sock.recv(2 * _TLS_RECORD)
                if part:
                    self._received.write(part)
                else:
                    self._received.write_eof()
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        left = memoryview(self._to_send.read())
        while left:
            self._limit()
            left = left[self._sock.send(left) :]

    def _limit(self) -> None:
        self._sock.settimeout(_within(self._until - time.monotonic()))


def _is_pending(sock: "socket.socket | _TlsInTls") -> bool:
    """Return whether there are unread bytes in the TLS layer, which the system's socket does not show."""
    return isinstance(sock, ssl.SSLSocket | _TlsInTls) and sock.pending() > 0


def _is_readable(descriptor: int) -> bool:
    """Return whether there is something to read: on an idle connection its end, or an answer to no request."""
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
