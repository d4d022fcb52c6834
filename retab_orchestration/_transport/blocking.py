"""The blocking runtime: a coroutine of the core that awaits it is never suspended."""

import math
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar, cast

import httpcore

from retab_orchestration._http import Body, Request, Response
from retab_orchestration._transport.blocking_connections import Backend
from retab_orchestration._transport.exchange import Clocks, Flight, Limits
from retab_orchestration._transport.locks import held
from retab_orchestration._transport.pools import IdlePools, Kind, Transport, has_surplus
from retab_orchestration._transport.responses import Answer
from retab_orchestration.settings import Settings

__all__ = ["BlockingRuntime"]

T = TypeVar("T")


class BlockingRuntime(Clocks):
    """Blocks where the core awaits, so that a coroutine of the core runs to its end without being suspended."""

    lock = staticmethod(held)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transport: Transport | None = None
        self._pools: dict[tuple[int, Kind], IdlePools[httpcore.ConnectionPool]] = {}

    async def send(self, request: Request) -> Response:
        """Send one request and read its answer."""
        began, flight = time.monotonic(), Flight(request)
        within = math.inf if request.timeout is None else request.timeout
        if not await self.wait_for_turn(self._settings, within, self.sleep):
            raise flight.crowded_out()
        transport = self._transport = self._transport or Transport(self._settings)
        address, kind = transport.route(request)
        content = _noted(request.body, flight) if request.body else None
        limits = Limits(self._settings.timeout, request.timeout, began, streams=request.sink is not None)
        built = transport.build(request, address, kind, content, limits)
        try:
            with self._pool(transport, kind) as pool:
                return self._exchange(pool, built, request)
        except Exception as error:  # noqa: BLE001  whatever goes wrong is this request's
            failure = flight.failure(error)
        raise failure

    @contextmanager
    def _pool(self, transport: Transport, kind: Kind) -> Iterator[httpcore.ConnectionPool]:
        """Lend a pool for one request; it is kept for the next one unless this one breaks off."""
        # A fork inherits the parent's sockets; two processes on one socket would read each other's answers.
        key = (os.getpid(), kind)
        idle = self._pools.get(key) or self._pools.setdefault(key, IdlePools())
        pool = idle.take() or _new_pool(transport, kind)
        is_sound = False
        try:
            yield pool
            is_sound = True
        finally:
            now = time.monotonic()
            if is_sound and self._pools.get(key) is idle:
                idle.keep(pool, now)
            else:
                _discard(pool)
            for surplus in idle.surplus(now):
                _discard(surplus)

    def _exchange(self, pool: httpcore.ConnectionPool, built: httpcore.Request, request: Request) -> Response:
        response = pool.handle_request(built)
        try:
            answer = Answer(request, response.status, response.headers, self._settings)
            if answer.is_wanted:
                for part in cast("Iterable[bytes]", response.stream):
                    if not answer.take(part):
                        break
                    if answer.is_full:
                        answer.pass_on()
                answer.pass_on()
            if has_surplus(response):
                response.extensions["network_stream"].close()
        finally:
            response.close()
        return answer.response()

    def hold_connections(self) -> None:
        """Return None: a call blocks its thread, so there are no concurrent calls to share connections with."""

    async def sleep(self, seconds: float) -> None:
        """Block the thread."""
        time.sleep(seconds)  # noqa: ASYNC251  there is no loop here to block

    async def off_loop(self, work: Callable[[], T], *, slow: bool = False) -> T:  # noqa: ARG002
        """Run work in this thread, because there is no loop to block."""
        return work()

    def close(self) -> None:
        """Close the connections of this process; those that are in use are closed when their answers are read."""
        pools, self._pools = self._pools, {}
        for (process, _), idle in list(pools.items()):
            for pool in idle.surplus(math.inf) if process == os.getpid() else ():
                _discard(pool)


def _new_pool(transport: Transport, kind: Kind) -> httpcore.ConnectionPool:
    pool = httpcore.ConnectionPool(**transport.pool_options(kind, Backend))
    # One request at a time has the pool. A lock would stay closed where a signal's handler raises just behind it, and
    # what is raised is handled with that lock.
    vars(pool)["_optional_thread_lock"] = nullcontext()
    return pool


def _discard(pool: httpcore.ConnectionPool) -> None:
    """Close the connections of a pool."""
    for connection in pool.connections:
        connection.close()


def _noted(body: Body, flight: Flight) -> Iterator[bytes]:
    with flight.reading_body():
        yield from body.iter_with_progress()
    flight.is_whole = True
