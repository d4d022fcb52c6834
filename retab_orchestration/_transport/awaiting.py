"""The runtime on asyncio: clients of one loop with the same settings share their connections and their limits."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar, TypeVar, cast
from weakref import WeakKeyDictionary, ref

import httpcore

from retab_orchestration._http import Body, Request, Response
from retab_orchestration._transport.async_connections import AsyncBackend
from retab_orchestration._transport.exchange import Clocks, Flight, Limits
from retab_orchestration._transport.locks import held_in_loop
from retab_orchestration._transport.pools import IdlePools, Kind, Transport, has_surplus
from retab_orchestration._transport.responses import Answer
from retab_orchestration._transport.threads import in_thread
from retab_orchestration.settings import Settings

__all__ = ["AsyncioRuntime"]

T = TypeVar("T")


# Bytes of a body that are read at once: a change of thread costs as much as sending 100 KiB.
_READ_AHEAD = 1024 * 1024
# Parts of an answer after which reading yields to the event loop: they may be chunks of a byte each.
_PARTS_AT_ONCE = 100
# Requests in flight of one account in one loop, and how many of those may be creates or uploads. More would gain
# nothing, because the loop is busy with answers then.
_IN_FLIGHT = 32
_CREATING = 16
# Seconds after which a request releases its slot, by whether it is a create or an upload, and how many of each kind may
# go on without one: answers, and documents, that hang would hold all slots otherwise.
_SLOW = {False: 2.0, True: 30.0}
_MOST_SLOW = 64


@dataclass
class _Shared:
    """Connections that several clients of one event loop use, and the number of those clients."""

    loop: "ref[asyncio.AbstractEventLoop]"
    """Weak, because the pools are kept by loop: a strong one would keep every loop for ever."""
    transport: Transport
    idle: dict[Kind, IdlePools[httpcore.AsyncConnectionPool]] = field(default_factory=dict)
    options: dict[Kind, dict[str, Any]] = field(default_factory=dict)
    """Of a pool of that kind."""
    users: int = 0
    in_flight: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_IN_FLIGHT))
    creating: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_CREATING))
    slow: Counter[bool] = field(default_factory=Counter)
    """Requests that go on without a slot, by whether they are creates or uploads."""

    @asynccontextmanager
    async def slot(self, *, long_running: bool, within: float | None = None) -> AsyncIterator[None]:
        """Hold one of the slots for requests in flight; long-running requests never hold them all.

        Args:
            long_running: Whether the request may take minutes.
            within: Seconds that it has in all; None for as long as it takes.

        Raises:
            TimeoutError: No slot was free in that time.
        """
        held = _Slot(long_running)
        try:
            async with asyncio.timeout(within):
                for places in (self.creating, self.in_flight) if long_running else (self.in_flight,):
                    await places.acquire()
                    held.places.append(places)
            timer = asyncio.get_running_loop().call_later(_SLOW[long_running], self._release, held)
            try:
                yield
            finally:
                timer.cancel()
        finally:
            self.slow[long_running] -= held.is_released
            for places in held.places:
                places.release()

    def _release(self, held: "_Slot") -> None:
        if self.slow[held.long_running] < _MOST_SLOW:
            self.slow[held.long_running] += 1
            held.is_released = True
            while held.places:
                held.places.pop().release()


@dataclass(slots=True)
class _Slot:
    """A slot for a request in flight."""

    long_running: bool
    places: list[asyncio.Semaphore] = field(default_factory=list)
    """Those of which it holds one."""
    is_released: bool = False
    """Whether other requests may have it although this one goes on."""


class AsyncioRuntime(Clocks):
    """Awaits on an asyncio loop. Runtimes of one loop with the same settings share their connections.

    The last user of the connections closes them.
    """

    __slots__ = ("_settings", "_shared")

    lock = staticmethod(held_in_loop)

    _pools: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, _Shared]]] = (
        WeakKeyDictionary()
    )

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._shared: dict[int, _Shared] | None = None
        """By the id of the loop, because each thread may use the client in a loop of its own. None until a request is
        sent."""

    async def send(self, request: Request) -> Response:
        """Send one request and read its answer."""
        began = asyncio.get_running_loop().time()
        shared, flight = await self._joined(), Flight(request)
        long_running = request.new_connection or request.signed_url is not None
        try:
            async with shared.slot(long_running=long_running, within=request.timeout):
                passed = asyncio.get_running_loop().time() - began
                within = math.inf if request.timeout is None else request.timeout - passed
                if not await self.wait_for_turn(self._settings, within, self.sleep):
                    raise TimeoutError  # noqa: TRY301  as where no slot is free in time
                address, kind = shared.transport.route(request)
                content = _read_in_thread(request.body, flight) if request.body else None
                limits = Limits(
                    self._settings.timeout, request.timeout, began, streams=request.sink is not None
                )
                built = shared.transport.build(request, address, kind, content, limits)
                options = await self._options(shared, kind)
                try:
                    async with self._pool(shared, kind, options) as pool:
                        return await self._exchange(pool, built, request)
                except Exception as error:  # noqa: BLE001  whatever goes wrong is this request's
                    failure = flight.failure(error)
        except TimeoutError:
            failure = flight.crowded_out()
        raise failure

    async def _exchange(
        self, pool: httpcore.AsyncConnectionPool, built: httpcore.Request, request: Request
    ) -> Response:
        response = await pool.handle_async_request(built)
        try:
            answer = Answer(request, response.status, response.headers, self._settings)
            if answer.is_wanted:
                parts = aiter(cast("AsyncGenerator[bytes, None]", response.stream))
                async with aclosing(cast("AsyncGenerator[bytes, None]", parts)):
                    taken = 0
                    async for part in parts:
                        taken += 1
                        if not answer.take(part):
                            break
                        if answer.is_full:
                            await in_thread(answer.pass_on, slow=True)
                        if taken % _PARTS_AT_ONCE == 0:
                            await asyncio.sleep(0)
                if request.sink is not None:
                    await in_thread(answer.pass_on, slow=True)
            if has_surplus(response):
                await response.extensions["network_stream"].aclose()
        finally:
            await response.aclose()
        return answer.response()

    def hold_connections(self) -> "AsyncioRuntime":
        """Return another runtime on the same connections, which stay open until both are closed."""
        return AsyncioRuntime(self._settings)

    async def sleep(self, seconds: float) -> None:
        """Sleep without blocking the loop."""
        await asyncio.sleep(seconds)

    async def off_loop(self, work: Callable[[], T], *, slow: bool = False) -> T:
        """Run work in a thread."""
        return await in_thread(work, slow=slow)

    async def aclose(self) -> None:
        """Release the connections of this loop, and of loops that have ended; the last user closes them."""
        known = {} if self._shared is None else self._shared
        for name, shared in list(known.items()):
            loop = shared.loop()
            is_ours = loop is None or loop.is_closed() or loop is asyncio.get_running_loop()
            if is_ours and known.pop(name, None) is shared:  # another thread may have been faster
                shared.users -= 1
                await self._left(shared, loop)

    async def _left(self, shared: _Shared, loop: asyncio.AbstractEventLoop | None) -> None:
        """Close the pools if no client uses them any more."""
        if loop is None or shared.users:
            return
        if loop.is_closed():
            self._pools.pop(loop, None)  # its connections ended with it
            return
        self._pools.get(loop, {}).pop(self._settings, None)
        for idle in shared.idle.values():
            for pool in idle.surplus(math.inf):
                await _discard(pool)

    async def _joined(self) -> _Shared:
        loop = asyncio.get_running_loop()
        if self._shared is None:
            self._shared = {}
        known = self._shared.get(id(loop))
        if known is not None and known.loop() is loop:
            return known
        await self.aclose()  # of loops that have ended, one of which may have had this id
        shared = self._pools.setdefault(loop, {})
        if self._settings not in shared:
            shared[self._settings] = _Shared(ref(loop), Transport(self._settings))
        self._shared[id(loop)] = joined = shared[self._settings]
        joined.users += 1
        return joined

    async def _options(self, shared: _Shared, kind: Kind) -> dict[str, Any]:
        if kind not in shared.options:
            # The first TLS context of the process takes longer to make than a loop should stand still.
            options = await in_thread(partial(shared.transport.pool_options, kind, AsyncBackend))
            shared.options[kind] = options
        if not shared.users:
            raise RuntimeError(
                "the client was closed while it was used; close it when its last call has ended"
            )
        return shared.options[kind]

    @asynccontextmanager
    async def _pool(
        self, shared: _Shared, kind: Kind, options: dict[str, Any]
    ) -> AsyncIterator[httpcore.AsyncConnectionPool]:
        """Lend a pool for one request; it is kept for the next one unless this one breaks off."""
        idle = shared.idle.get(kind) or shared.idle.setdefault(kind, IdlePools())
        pool = idle.take() or httpcore.AsyncConnectionPool(**options)
        is_sound = False
        try:
            yield pool
            is_sound = True
        finally:
            now = asyncio.get_running_loop().time()
            if is_sound and shared.users:
                idle.keep(pool, now)
            else:
                await _discard(pool)
            for surplus in idle.surplus(now):
                await _discard(surplus)


async def _discard(pool: httpcore.AsyncConnectionPool) -> None:
    """Close the connections of a pool, which suspends nobody."""
    for connection in pool.connections:
        await connection.aclose()


async def _read_in_thread(body: Body, flight: Flight) -> AsyncIterator[bytes]:
    """Read a body in a thread, part by part: a document may be on a slow disk, or on the far side of a network.

    The last byte is sent after `on_sent` was called for everything before it: it may raise, which is harmless only as
    long as the body is not whole.
    """
    with flight.reading_body():
        pieces, sent = body.chunks(), 0
        part = await in_thread(partial(_joined, pieces), slow=True)
        while part:
            following = await in_thread(partial(_joined, pieces), slow=True)
            yield part if following else part[:-1]
            sent += len(part)
            if body.on_sent is not None:
                body.on_sent(sent)
            last, part = part[-1:], following
        if sent:
            yield last
    flight.is_whole = True


def _joined(pieces: Iterator[bytes]) -> bytes:
    """Join pieces until there are enough bytes; fewer, or none, are the last."""
    taken: list[bytes] = []
    while sum(map(len, taken)) < _READ_AHEAD and (piece := next(pieces, None)) is not None:
        taken.append(piece)
    return b"".join(taken)
