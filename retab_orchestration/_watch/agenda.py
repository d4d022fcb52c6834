"""Who is to be looked at when, and the timer that goes off then."""

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable
from contextvars import Context

from retab_orchestration._watch.waiter import Waiter

__all__ = ["Agenda"]

# Seconds by which a look may be early, so that it is made together with others.
_EARLY = 0.25


class Agenda:
    """The next look of each who waits.

    Args:
        now: Tells the time.
        on_time: Called when a look is due.
    """

    def __init__(self, now: Callable[[], float], on_time: Callable[[], None]) -> None:
        self._now = now
        self._on_time = on_time
        self._looks: list[tuple[float, int, Waiter]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._set_for = math.inf

    def put(self, waiter: Waiter, at: float) -> None:
        """Look at a run then, and not when it was said before."""
        waiter.due = at
        heapq.heappush(self._looks, (at, next(self._order), waiter))
        self._set()

    def take(self) -> list[Waiter]:
        """Take out everyone whose look is due, or nearly so."""
        found: list[Waiter] = []
        until = self._now()
        while self._looks and self._looks[0][0] <= until:
            at, _, waiter = heapq.heappop(self._looks)
            if waiter.due != at or waiter.settled.done():
                continue  # it was looked at meanwhile, or waits no longer
            if not found:
                until += min(_EARLY, waiter.early)
            waiter.due = None
            found.append(waiter)
        return found

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _set(self) -> None:
        at = self._looks[0][0] if self._looks else math.inf
        if at >= self._set_for:
            return
        self.close()
        self._set_for = at
        # In a context of its own: what a look starts must not log, or be counted, as whoever happened to come first.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, at - self._now()), self._ring, context=Context())

    def _ring(self) -> None:
        self._timer, self._set_for = None, math.inf
        self._on_time()
        self._set()
