"""The outside world, blocking and awaiting: the only module with httpx, a sleep, a clock or chance."""

import asyncio
import functools
import logging
import os
import random
import ssl
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast
from weakref import WeakKeyDictionary, ref

import httpx

from retab_orchestration import errors
from retab_orchestration._http import Body, Request, Response
from retab_orchestration.settings import Settings

__all__ = ["AsyncioRuntime", "BlockingRuntime"]

T = TypeVar("T")

# The request being sent is ours, so httpx's line about it stays out of the host's task log.
_ours: ContextVar[bool] = ContextVar("retab_orchestration_sending", default=False)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or not _ours.get()


logging.getLogger("httpx").addFilter(_is_not_ours)


@functools.cache
def _tls(verify: bool | str) -> ssl.SSLContext:
    """Return the TLS context, made once per process: reading the certificate authorities takes 40 ms."""
    if isinstance(verify, bool):
        return httpx.create_ssl_context(verify=verify)
    place = Path(verify)
    try:
        return ssl.create_default_context(
            cafile=None if place.is_dir() else verify, capath=verify if place.is_dir() else None
        )
    except OSError as error:
        raise errors.ConfigurationError(
            f"verify names no readable certificate authorities: {verify} ({error})"
        ) from error


def _client_options(settings: Settings, *, fresh: bool) -> dict[str, Any]:
    plain = settings.base_url.startswith("http:") and not settings.proxy and not urllib.request.getproxies()
    return {
        "verify": _tls(verify=False if plain else cast("bool | str", settings.verify)),
        "proxy": settings.proxy,
        "limits": httpx.Limits(
            max_connections=100, max_keepalive_connections=0 if fresh else 20, keepalive_expiry=30.0
        ),
    }


def _url(request: Request) -> httpx.URL:
    return httpx.URL(request.base_url + request.path, params=list(request.query) or None)


def _headers(request: Request) -> dict[str, str]:
    described = (
        {"Content-Type": request.body.content_type, "Content-Length": str(request.body.length)}
        if request.body
        else {}
    )
    return {"Accept": "application/json", "User-Agent": "retab-orchestration", **described, **request.headers}


def _sent(request: Request, settings: Settings) -> dict[str, Any]:
    seconds = settings.timeout if request.timeout is None else min(request.timeout, settings.timeout)
    return {
        "method": request.method,
        "url": _url(request),
        "headers": _headers(request),
        # Waiting for a free connection is no failure: those in use have time limits of their own.
        "timeout": httpx.Timeout(seconds, pool=None),
    }


def _answer(response: httpx.Response) -> Response:
    return Response(
        response.status_code,
        response.content,
        {name.lower(): value for name, value in response.headers.items()},
    )


@contextmanager
def _sending(request: Request) -> Iterator[None]:
    """Turn httpx's failures into ours and keep its log line away while one request is sent."""
    quiet = _ours.set(True)
    facts: dict[str, Any] = {"method": request.method, "path": request.path}
    try:
        yield
    except (httpx.ConnectTimeout, httpx.PoolTimeout) as error:
        raise errors.ApiTimeoutError(
            "no connection in time; check base_url and the network", sent=False, **facts
        ) from error
    except (httpx.ConnectError, httpx.ProxyError) as error:
        text = f"no connection to {request.base_url} ({error}); check base_url, the proxy and the network"
        raise errors.ApiConnectionError(text, sent=False, **facts) from error
    except httpx.TimeoutException as error:
        raise errors.ApiTimeoutError(
            "no answer in time; try again later, or raise timeout", **facts
        ) from error
    except httpx.DecodingError as error:
        raise errors.UnreadableAnswerError("the answer's compression is broken", **facts) from error
    except httpx.RequestError as error:
        text = f"the connection broke before the answer was read ({type(error).__name__})"
        raise errors.ApiConnectionError(text, **facts) from error
    finally:
        _ours.reset(quiet)


class _Clocks:
    def now(self) -> float:
        return time.monotonic()

    def utc(self) -> datetime:
        return datetime.now(UTC)

    def chance(self) -> float:
        return random.random()  # noqa: S311  it spreads requests out, it keeps no secret


class BlockingRuntime(_Clocks):
    """Blocks where the core awaits, so that a coroutine of the core ends without ever being suspended."""

    _locks: ClassVar[dict[str, threading.Lock]] = {}

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[tuple[int, bool], httpx.Client] = {}

    async def send(self, request: Request) -> Response:
        """Send one request and read its answer."""
        with _sending(request):
            content = request.body.chunks() if request.body else None
            client = self._client(fresh=request.fresh)
            return _answer(client.request(content=content, **_sent(request, self._settings)))

    async def sleep(self, seconds: float) -> None:
        """Block the thread."""
        time.sleep(seconds)  # noqa: ASYNC251  there is no loop here to block

    async def off_loop(self, work: Callable[[], T]) -> T:
        """Do it here: there is no loop."""
        return work()

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[None]:
        """Hold a lock of this process."""
        with self._locks.setdefault(name, threading.Lock()):
            yield

    def close(self) -> None:
        """Close the connections of this process."""
        for (process, _), client in self._clients.items():
            if process == os.getpid():
                client.close()
        self._clients.clear()

    def _client(self, *, fresh: bool) -> httpx.Client:
        # A fork inherits the parent's sockets; two processes on one socket would read each other's answers.
        key = (os.getpid(), fresh)
        client = self._clients.get(key)
        if client is None:
            made = httpx.Client(**_client_options(self._settings, fresh=fresh))
            client = self._clients.setdefault(key, made)
            if client is not made:
                made.close()  # another thread was faster
        return client


# A lock that another thread held while the process forked would never be released in the child.
os.register_at_fork(after_in_child=BlockingRuntime._locks.clear)  # noqa: SLF001  it is this module's own


@dataclass
class _Shared:
    """Connections that several clients of one event loop use, and how many those are."""

    loop: "ref[asyncio.AbstractEventLoop]"
    """Weak, for the pools are kept by loop: a strong one would keep every loop for ever."""
    clients: dict[bool, httpx.AsyncClient] = field(default_factory=dict)
    users: int = 0


class AsyncioRuntime(_Clocks):
    """Awaits on an asyncio loop. Runtimes of one loop with the same settings share their connections.

    The last user of the connections closes them.
    """

    _pools: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, _Shared]]] = (
        WeakKeyDictionary()
    )
    _locks: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, asyncio.Lock]]] = (
        WeakKeyDictionary()
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shared: _Shared | None = None

    async def send(self, request: Request) -> Response:
        """Send one request and read its answer."""
        with _sending(request):
            client = await self._client(fresh=request.fresh)
            content = _off_loop(request.body) if request.body else None
            return _answer(await client.request(content=content, **_sent(request, self._settings)))

    async def sleep(self, seconds: float) -> None:
        """Let the loop go on."""
        await asyncio.sleep(seconds)

    async def off_loop(self, work: Callable[[], T]) -> T:
        """Do it in a thread."""
        return await asyncio.to_thread(work)

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[None]:
        """Hold a lock of this loop."""
        async with self._locks.setdefault(asyncio.get_running_loop(), {}).setdefault(name, asyncio.Lock()):
            yield

    async def aclose(self) -> None:
        """Give the connections back; the last user closes them."""
        shared, self._shared = self._shared, None
        if shared is None:
            return
        shared.users -= 1
        if shared.users:
            return
        loop = shared.loop()
        if loop is not None and loop.is_closed():
            self._pools.pop(loop, None)  # its connections ended with it
        elif loop is asyncio.get_running_loop():
            self._pools.get(loop, {}).pop(self._settings, None)
            for client in shared.clients.values():
                await client.aclose()

    async def _client(self, *, fresh: bool) -> httpx.AsyncClient:
        loop = asyncio.get_running_loop()
        if self._shared is not None and self._shared.loop() is not loop:
            await self.aclose()
        if self._shared is None:
            self._shared = self._pools.setdefault(loop, {}).setdefault(self._settings, _Shared(ref(loop)))
            self._shared.users += 1
        shared = self._shared
        if fresh not in shared.clients:
            # The first TLS context of the process takes longer to make than a loop should stand still.
            options = await asyncio.to_thread(_client_options, self._settings, fresh=fresh)
            if not shared.users:
                raise RuntimeError(
                    "the client was closed while it was used; close it when its last call has ended"
                )
            if fresh not in shared.clients:
                shared.clients[fresh] = httpx.AsyncClient(**options)
        return shared.clients[fresh]


async def _off_loop(body: Body) -> AsyncIterator[bytes]:
    """Read a body in a thread, piece by piece: a document may be on a slow disk, or on the far side of a network."""
    pieces = body.chunks()
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
