"""The only module of the emulator with a socket: starlette and uvicorn around `Service`."""

import asyncio
import logging
import math
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import h11
import uvicorn
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from retab_orchestration.emulator.service import Service
from retab_orchestration.emulator.serving.blobs import Blob
from retab_orchestration.emulator.serving.faults import Fault
from retab_orchestration.emulator.serving.wire import Request, Response, answer

__all__ = ["REQUEST_TIMEOUT", "Server", "address", "listen"]

_log = logging.getLogger(__name__)

_LARGE = 262_144
"""Bytes of a body from which on a request is handled in a thread, so that other requests are not delayed."""

REQUEST_TIMEOUT = 300.0
"""Seconds within which a request has to arrive by default: enough for the largest upload."""

_DISCARDED = 64 * 1024 * 1024
"""Bytes that are still read after a request was refused unread: some clients read the answer only after sending."""


class Server(uvicorn.Server):
    """A uvicorn server for one service, silent unless it is verbose.

    Args:
        service: Answers the requests.
        on_ready: Called on the server's loop as soon as requests are answered.
        verbose: Whether requests are logged.
        request_timeout: Seconds within which a request has to arrive, from its first byte to its last.

    Raises:
        ValueError: when the time is not valid.
    """

    def __init__(
        self,
        service: Service,
        on_ready: Callable[[], None],
        *,
        verbose: bool = False,
        request_timeout: float = REQUEST_TIMEOUT,
    ) -> None:
        if not 0 < request_timeout < math.inf:
            raise ValueError(f"request_timeout is {request_timeout}: use seconds, more than 0")
        self._app = _App(service)
        self._on_ready = on_ready
        config = uvicorn.Config(
            self._app,
            http=partial(_Protocol, request_timeout),  # type: ignore[arg-type]
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=verbose,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=600,  # a pooled connection must stay open between two slow polls
            timeout_graceful_shutdown=2,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then call `on_ready`."""
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Release every held request, then stop."""
        self._app.close()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket; port 0 takes any free one.

    Raises:
        OSError: when it cannot listen on the address; the message says what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay only on sockets whose protocol is TCP, which socket.create_server does not set
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        message = (
            f"cannot listen on {host}:{port} ({error.strerror}): choose another port, or 0 for any free one"
        )
        raise OSError(error.errno, message) from error
    return listener


def address(host: str, listener: socket.socket) -> str:
    """Return the base URL of a listening socket."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{listener.getsockname()[1]}"


class _Protocol(H11Protocol):
    """Gives every request its transport, so that a fault can reset the connection, and a time limit."""

    def __init__(self, request_timeout: float, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._request_timeout = request_timeout
        self._dropping: asyncio.TimerHandle | None = None
        self._discarded = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}
        self._await_rest()

    def data_received(self, data: bytes) -> None:
        is_refused = self._is_half_sent and self.cycle is not None and self.cycle.response_complete
        self._discarded = self._discarded + len(data) if is_refused else 0
        super().data_received(data)
        if self._discarded > _DISCARDED:
            self.transport.abort()
        self._keep_time()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._keep_time()  # for a request that began after this one

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_awaiting()
        super().connection_lost(exc)

    @property
    def _is_half_sent(self) -> bool:
        if self.conn.their_state is h11.IDLE:
            return bool(self.conn.trailing_data[0])
        return self.conn.their_state is h11.SEND_BODY

    def _keep_time(self) -> None:
        if self._is_half_sent and not self.transport.is_closing():
            self._await_rest()
        else:
            self._stop_awaiting()

    def _await_rest(self) -> None:
        if self._dropping is None:
            self._dropping = self.loop.call_later(self._request_timeout, self.transport.abort)

    def _stop_awaiting(self) -> None:
        if self._dropping is not None:
            self._dropping.cancel()
            self._dropping = None


class _App:
    """The ASGI application: reads a request, acts on its fault, sends its answer."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Wake all waiting requests."""
        self._closing.set()
        self._service.faults.release()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        try:
            response = await self._exchange(http)
        except ClientDisconnect:
            return
        if response is None:
            await _reset(http)
        else:
            await HttpResponse(response.body, response.status, response.headers)(scope, receive, send)

    async def _exchange(self, http: HttpRequest) -> Response | None:
        """Return the answer, None when the connection is to be closed without one."""
        request = _head(http)
        if (stranger := self._service.turn_away(request)) is not None:
            return stranger
        self._service.count(request)
        fault = self._service.faults.take(request)
        try:
            return await self._answered(http, request, fault)
        finally:
            if request.blob is not None:
                request.blob.close()

    async def _answered(self, http: HttpRequest, request: Request, fault: Fault | None) -> Response | None:
        refusal = self._service.refuse_unread(request)
        if refusal is None and not await _read(http, request, self._service):
            refusal = self._service.refuse_size(request)
        if fault is not None and fault.kind == "reset_before":
            return None
        if fault is not None and (instead := fault.response()) is not None:
            return instead
        return await self._met(fault, lambda: self._act(request, refusal))

    async def _met(
        self, fault: Fault | None, act: Callable[[], Coroutine[Any, Any, Response]]
    ) -> Response | None:
        kind = fault.kind if fault else ""
        if fault is not None and kind == "slow":
            await self._wait(fault.seconds)
        if kind == "hold_before":
            await self._hold()
        response = await act()
        if kind == "hold_after":
            await self._hold()
        if fault is not None and kind == "timeout_after":
            await self._wait(fault.seconds)
        return None if fault is not None and fault.is_silent else response

    async def _act(self, request: Request, refusal: Response | None) -> Response:
        if refusal is not None:
            return refusal
        try:
            if len(request.body) > _LARGE or request.blob is not None:
                return await run_in_threadpool(self._service.handle, request)
            return self._service.handle(request)
        except Exception as error:  # noqa: BLE001 - a defect of the emulator is a 500 too
            _log.info("%s %s", request.method, request.path, exc_info=error)
            return answer({"error": f"the emulator itself failed with {type(error).__name__}"}, 500)

    async def _hold(self) -> None:
        if self._closing.is_set():
            return
        released = asyncio.Event()
        self._service.faults.hold(released.set)
        await released.wait()

    async def _wait(self, seconds: float) -> None:
        closing = asyncio.create_task(self._closing.wait())
        await asyncio.wait({closing}, timeout=seconds)
        closing.cancel()


def _head(http: HttpRequest) -> Request:
    raw_path: bytes = http.scope.get("raw_path") or http.url.path.encode()
    return Request(
        method=http.method,
        path=raw_path.decode("ascii", "replace"),
        query=list(http.query_params.multi_items()),
        headers={name.lower(): value for name, value in http.headers.items()},
    )


async def _read(http: HttpRequest, request: Request, service: Service) -> bool:
    """Read the body to its end; return False as soon as it is larger than the limit."""
    limit, size = service.body_limit(request), 0
    chunks: list[bytes] = []
    request.blob = blob = Blob() if service.takes_blob(request) else None
    async for chunk in http.stream():
        size += len(chunk)
        if size > limit:
            return False
        if blob is not None and chunk:  # the last one is empty
            blob.write(chunk)
            service.arriving(request, blob.size)
        else:
            chunks.append(chunk)
    request.body = b"".join(chunks)
    return True


async def _reset(http: HttpRequest) -> None:
    """Close the connection with a reset instead of an answer."""
    transport: asyncio.Transport = http.state.transport
    with suppress(OSError):  # the client may be gone
        transport.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
    transport.abort()
    while (await http.receive())["type"] != "http.disconnect":
        pass  # uvicorn complains about an application that returns before the connection is gone
