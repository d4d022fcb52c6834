"""The runtime that blocks: a coroutine of the core that awaits it is never suspended."""

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx

from retab_orchestration._http import Body, Request, Response
from retab_orchestration._runtimes.locks import held
from retab_orchestration._runtimes.wire import (
    Clocks,
    Flight,
    answer_of,
    client_options,
    is_secure,
    made,
    sending,
)
from retab_orchestration.settings import Settings

__all__ = ["BlockingRuntime"]

T = TypeVar("T")


class BlockingRuntime(Clocks):
    """Blocks where the core awaits, so that a coroutine of the core ends without ever being suspended."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[tuple[int, bool, bool], httpx.Client] = {}

    async def send(self, request: Request) -> Response:
        """Send one request and read its answer."""
        time.sleep(self.turn(self._settings))  # noqa: ASYNC251  there is no loop here to block
        with sending(request) as flight:
            content = _noted(request.body, flight) if request.body else None
            client = self._client(fresh=request.fresh, secure=is_secure(request, self._settings))
            return answer_of(client.send(made(client, request, self._settings, content)))

    def apart(self) -> None:
        """Say that nothing goes on side by side here."""

    async def sleep(self, seconds: float) -> None:
        """Block the thread."""
        time.sleep(seconds)  # noqa: ASYNC251  there is no loop here to block

    async def off_loop(self, work: Callable[[], T], *, slow: bool = False) -> T:  # noqa: ARG002
        """Do it here: there is no loop."""
        return work()

    @asynccontextmanager
    async def lock(self, name: str) -> AsyncIterator[None]:
        """Hold a lock of this process; a signal handler that runs in the thread which holds it goes on."""
        with held(name):
            yield

    def close(self) -> None:
        """Close the connections of this process."""
        for (process, *_), client in self._clients.items():
            if process == os.getpid():
                client.close()
        self._clients.clear()

    def _client(self, *, fresh: bool, secure: bool) -> httpx.Client:
        # A fork inherits the parent's sockets; two processes on one socket would read each other's answers.
        key = (os.getpid(), fresh, secure)
        client = self._clients.get(key)
        if client is None:
            made = httpx.Client(**client_options(self._settings, fresh=fresh, secure=secure))
            client = self._clients.setdefault(key, made)
            if client is not made:
                made.close()  # another thread was faster
        return client


def _noted(body: Body, flight: Flight) -> Iterator[bytes]:
    yield from body.told()
    flight.is_whole = True
