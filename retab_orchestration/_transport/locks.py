"""Locks by name that every thread and every event loop of the process shares."""

import asyncio
import math
import os
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import Future, wait
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from retab_orchestration.errors import ApiTimeoutError

__all__ = ["held", "held_in_loop"]

# Seconds between two checks of a waiting thread or coroutine whether the lock is held on a loop that has stopped.
_CHECK = 1.0


@dataclass(eq=False)
class _Contender:
    """A thread or a coroutine that holds a lock, or waits for it."""

    loop: asyncio.AbstractEventLoop | None
    """None for a thread that blocks."""
    thread: int = field(default_factory=threading.get_ident)
    has_lock: "Future[None]" = field(default_factory=Future)

    def interrupts(self, other: "_Contender") -> bool:
        """Return whether the other cannot go on before this one ends, because a signal handler has interrupted it."""
        return self.thread == other.thread and (self.loop is None or self.loop is not other.loop)

    @property
    def is_stuck(self) -> bool:
        """Whether it holds the lock in a coroutine whose loop has stopped, which may never release it."""
        return self.has_lock.done() and self.loop is not None and not self.loop.is_running()


# By name, as long as the lock is held: the holder, then those that wait, in order.
_contenders: dict[str, list[_Contender]] = {}
_guard: Any = threading.RLock()


def _enter(name: str, contender: _Contender) -> None:
    with _guard:
        contenders = _contenders.setdefault(name, [])
        interrupted = (position for position, other in enumerate(contenders) if contender.interrupts(other))
        position = next(interrupted, len(contenders))
        contenders.insert(position, contender)
        if not position:
            contender.has_lock.set_result(None)


def _leave(name: str, contender: _Contender) -> None:
    with _guard:
        contenders = _contenders.get(name, [])
        if contender in contenders:  # a process that was forked meanwhile has forgotten all
            contenders.remove(contender)
        _hand_on(name, contenders)


def _pass_stuck(name: str) -> None:
    """Take the lock from holders that may never release it."""
    with _guard:
        contenders = _contenders.get(name, [])
        while contenders and contenders[0].is_stuck:
            contenders.pop(0)
        _hand_on(name, contenders)


def _hand_on(name: str, contenders: list[_Contender]) -> None:
    if not contenders:
        _contenders.pop(name, None)
    elif not contenders[0].has_lock.done():
        contenders[0].has_lock.set_result(None)


def _seconds_to_check(until: float) -> float:
    """Return for how long to wait until the lock is checked again.

    Raises:
        ApiTimeoutError: The time for waiting is over.
    """
    left = until - time.monotonic()
    if left <= 0:
        raise ApiTimeoutError(
            "another call waits for an answer that this one needs; none came in time", sent=False
        )
    return min(_CHECK, left)


@asynccontextmanager
async def held(name: str, seconds: float = math.inf) -> AsyncIterator[None]:
    """Hold a lock in a thread that blocks, never suspended; a holder that the thread has interrupted keeps it as well.

    Raises:
        ApiTimeoutError: Others have held it for so many seconds.
    """
    contender, until = _Contender(loop=None), time.monotonic() + seconds
    try:
        _enter(name, contender)
        while not contender.has_lock.done():
            _pass_stuck(name)
            wait({contender.has_lock}, timeout=_seconds_to_check(until))
        yield
    finally:
        _leave(name, contender)


@asynccontextmanager
async def held_in_loop(name: str, seconds: float = math.inf) -> AsyncIterator[None]:
    """Hold a lock in a coroutine, and let its loop go on while it is held elsewhere.

    Raises:
        ApiTimeoutError: Others have held it for so many seconds.
    """
    contender, until = _Contender(loop=asyncio.get_running_loop()), time.monotonic() + seconds
    try:
        _enter(name, contender)
        has_lock = asyncio.wrap_future(contender.has_lock)
        while not contender.has_lock.done():
            _pass_stuck(name)
            await asyncio.wait({has_lock}, timeout=_seconds_to_check(until))
        yield
    finally:
        _leave(name, contender)


def _forget() -> None:
    global _guard  # noqa: PLW0603
    _contenders.clear()
    _guard = threading.RLock()


# A lock that another thread held while the process forked would never be released in the child.
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget)
