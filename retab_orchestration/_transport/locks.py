"""Locks by name that every thread and every event loop of the process shares."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, wait
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from retab_orchestration.errors import ApiTimeoutError

__all__ = ["held", "held_in_loop"]

# Seconds after which whoever waits sees whether the lock is held on a loop that has stopped.
_CHECK = 1.0


@dataclass(eq=False)
class _Turn:
    """Somebody who holds a lock, or waits for it."""

    loop: asyncio.AbstractEventLoop | None
    """None for a thread that blocks."""
    thread: int = field(default_factory=threading.get_ident)
    come: "Future[None]" = field(default_factory=Future)

    def interrupts(self, other: "_Turn") -> bool:
        """Whether the other cannot go on before this one ends, as what a signal's handler interrupts cannot."""
        return self.thread == other.thread and (self.loop is None or self.loop is not other.loop)

    @property
    def is_stuck(self) -> bool:
        """Whether it holds the lock in a coroutine whose loop has stopped, and so may hold it for ever."""
        return self.come.done() and self.loop is not None and not self.loop.is_running()


# By name, as long as somebody holds it: who does, and then who waits, in order.
_turns: dict[str, list[_Turn]] = {}
_guard: Any = threading.RLock()


def _enter(name: str, turn: _Turn) -> None:
    with _guard:
        turns = _turns.setdefault(name, [])
        interrupted = (place for place, other in enumerate(turns) if turn.interrupts(other))
        place = next(interrupted, len(turns))
        turns.insert(place, turn)
        if not place:
            turn.come.set_result(None)


def _leave(name: str, turn: _Turn) -> None:
    with _guard:
        turns = _turns.get(name, [])
        if turn in turns:  # a process that was forked meanwhile has forgotten all
            turns.remove(turn)
        _hand_on(name, turns)


def _pass_stuck(name: str) -> None:
    """Take the lock from whoever may hold it for ever."""
    with _guard:
        turns = _turns.get(name, [])
        while turns and turns[0].is_stuck:
            turns.pop(0)
        _hand_on(name, turns)


def _hand_on(name: str, turns: list[_Turn]) -> None:
    if not turns:
        _turns.pop(name, None)
    elif not turns[0].come.done():
        turns[0].come.set_result(None)


def _seconds_to_check(until: float) -> float:
    """Return for how long to wait for a turn before the lock is looked at.

    Raises:
        ApiTimeoutError: It is too late for a turn.
    """
    left = until - time.monotonic()
    if left <= 0:
        raise ApiTimeoutError(
            "another call waits for an answer that this one needs; none came in time", sent=False
        )
    return min(_CHECK, left)


@contextmanager
def held(name: str, seconds: float) -> Iterator[None]:
    """Hold a lock in a thread that blocks; what the thread has interrupted goes on holding it.

    Raises:
        ApiTimeoutError: Others have held it for so many seconds.
    """
    turn, until = _Turn(loop=None), time.monotonic() + seconds
    try:
        _enter(name, turn)
        while not turn.come.done():
            _pass_stuck(name)
            wait({turn.come}, timeout=_seconds_to_check(until))
        yield
    finally:
        _leave(name, turn)


@asynccontextmanager
async def held_in_loop(name: str, seconds: float) -> AsyncIterator[None]:
    """Hold a lock in a coroutine, and let its loop go on while somebody else has it.

    Raises:
        ApiTimeoutError: Others have held it for so many seconds.
    """
    turn, until = _Turn(loop=asyncio.get_running_loop()), time.monotonic() + seconds
    try:
        _enter(name, turn)
        come = asyncio.wrap_future(turn.come)
        while not turn.come.done():
            _pass_stuck(name)
            await asyncio.wait({come}, timeout=_seconds_to_check(until))
        yield
    finally:
        _leave(name, turn)


def _forget() -> None:
    global _guard  # noqa: PLW0603
    _turns.clear()
    _guard = threading.RLock()


# A lock that another thread held while the process forked would never be released in the child.
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget)
