"""Locks by name that every thread and every event loop of the process shares."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["held", "held_in_loop"]


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
        if not turns:
            _turns.pop(name, None)
        elif not turns[0].come.done():
            turns[0].come.set_result(None)


@contextmanager
def held(name: str, seconds: float | None = None) -> Iterator[None]:
    """Hold a lock in a thread that blocks; what the thread has interrupted goes on holding it.

    Raises:
        TimeoutError: Somebody else has held it for so many seconds.
    """
    turn = _Turn(loop=None)
    try:
        _enter(name, turn)
        turn.come.result(seconds)
        yield
    finally:
        _leave(name, turn)


@asynccontextmanager
async def held_in_loop(name: str, seconds: float | None = None) -> AsyncIterator[None]:
    """Hold a lock in a coroutine, and let its loop go on while somebody else has it.

    Raises:
        TimeoutError: Somebody else has held it for so many seconds.
    """
    turn = _Turn(loop=asyncio.get_running_loop())
    try:
        _enter(name, turn)
        async with asyncio.timeout(seconds):
            await asyncio.shield(asyncio.wrap_future(turn.come))
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
