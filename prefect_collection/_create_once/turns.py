"""Turns: equal calls in one process, in threads or on event loops, run one after the other."""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count

__all__ = ["LONGEST_TURN", "TURNS", "Running", "Turns"]

LONGEST_TURN = 600.0
"""Seconds that a call waits for an equal call."""

_REMEMBERED = 4096


@dataclass(frozen=True, eq=False)
class Running:
    """A running call."""

    thread: int = field(default_factory=threading.get_ident)
    ended: "Future[None]" = field(default_factory=Future)


class Turns:
    """Which of the equal calls runs, for each call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[str, Running] = {}
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._clock = count(1)
        self._overtaken: dict[str, str] = {}

    def now(self) -> int:
        """Return a time to compare with `ended_since`."""
        return next(self._clock)

    def take(self, key: str) -> Running | None:
        """Take the turn, or return the call that has it."""
        with self._lock:
            if key in self._running:
                return self._running[key]
            self._running[key] = Running()
            return None

    def leave(self, key: str) -> None:
        """Give the turn back."""
        with self._lock:
            running = self._running.pop(key)
            self._overtaken.pop(key, None)
            self._ended[key] = next(self._clock)
            self._ended.move_to_end(key)
            if len(self._ended) > _REMEMBERED:
                self._ended.popitem(last=False)
        running.ended.set_result(None)

    def overtake(self, key: str, run_id: str) -> None:
        """Tell the call that has the turn which run was created without it, by a call that blocks its event loop."""
        with self._lock:
            if key in self._running:
                self._overtaken[key] = run_id

    def overtaken_by(self, key: str) -> str | None:
        """Return the run that was created without the turn meanwhile."""
        with self._lock:
            return self._overtaken.get(key)

    def ended_since(self, key: str, then: int) -> bool:
        """Return whether an equal call has ended since then."""
        with self._lock:
            return self._ended.get(key, 0) > then


TURNS = Turns()
