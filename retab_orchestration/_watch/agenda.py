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
# Seconds for which a hold lasts at the most.
_LONGEST_HOLD = 120.0


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
        self._hold_until = -math.inf

    def hold(self, seconds: float) -> None:
        """Make no look for a while, except those that cannot be made later."""
        self._hold_until = max(self._hold_until, self._now() + min(seconds, _LONGEST_HOLD))

    def holds(self, waiter: Waiter, now: float) -> bool:
        """Tell whether a look at this moment has to wait."""
        return now < self._hold_until and not waiter.is_last(now)

    def hold_up(self, waiter: Waiter, now: float) -> bool:
        """Put a look off if it has to wait; tell whether it was."""
        holds = self.holds(waiter, now)
        if holds:
            self.put(waiter, now)
        return holds

    def put(self, waiter: Waiter, at: float) -> None:
        """Look at a run then, and not when it was said before."""
        if self.holds(waiter, at):
            at = self._hold_until
        # Whatever puts a look off, it is not made after the deadline.
        if waiter.wait.schedule.deadline is not None:
            at = waiter.in_time(at, self._now())
        waiter.due = at
        heapq.heappush(self._looks, (at, next(self._order), waiter))
        if at < self._set_for:
            self._set(at)

    def take(self) -> list[Waiter]:
        """Take out everyone whose look is due, or nearly so."""
        found: list[Waiter] = []
        held: list[Waiter] = []  # put back only afterwards, or they would be found again
        now = until = self._now()
        while self._looks and self._looks[0][0] <= until:
            at, _, waiter = heapq.heappop(self._looks)
            if waiter.due != at or waiter.settled.done():
                continue
            waiter.due = None
            if self.holds(waiter, now):
                held.append(waiter)
                continue
            if not found:
                until += min(_EARLY, waiter.early)
            found.append(waiter)
        for waiter in held:
            self.put(waiter, now)
        return found

    def _next_at(self) -> float:
        """Return when the next look is due, and drop those that were made meanwhile or that nobody waits for."""
        while self._looks:
            at, _, waiter = self._looks[0]
            if waiter.due == at and not waiter.settled.done():
                return at
            heapq.heappop(self._looks)
        return math.inf

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, at: float) -> None:
        self.close()
        self._set_for = at
        # In a context of its own: what a look starts must not log, or be counted, as whoever happened to come first.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(max(0.0, at - self._now()), self._ring, context=Context())

    def _ring(self) -> None:
        self._timer, self._set_for = None, math.inf
        self._on_time()
        if (at := self._next_at()) < self._set_for:
            self._set(at)
