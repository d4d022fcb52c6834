"""Requests for single runs, a few at a time, in background tasks that no wait owns."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

from retab_orchestration._polling.shared_wait import SLOW

__all__ = ["AT_ONCE", "RequestQueue"]

AT_ONCE = 16
"""Requests in flight, and as many again for runs whose last answer was slow."""

# Slow requests that may go on without a slot.
_MOST_SLOW = 3 * AT_ONCE


class RequestQueue:
    """Requests runs in the order in which they were added, each run once at a time.

    A request that takes more than 2 seconds gives its slot to the next one, and its run is queued with other slow ones
    the next time: runs whose answers hang delay no others.

    Args:
        send: Requests one run.
        is_wanted: Called before a run is requested; tells whether it still has to be.
        fail: Called with what `send` raises.
    """

    def __init__(
        self,
        send: Callable[[str], Awaitable[None]],
        is_wanted: Callable[[str], bool],
        fail: Callable[[Exception], None],
    ) -> None:
        self._send = send
        self._is_wanted = is_wanted
        self._fail = fail
        self._runs: tuple[deque[str], deque[str]] = deque(), deque()  # the second for those that were slow
        self._in_flight = [0, 0]
        self._added: set[str] = set()  # queued or in flight
        self._slow: set[str] = set()  # runs whose last answer was slow
        self._overdue: set[str] = set()  # runs whose request goes on without a slot
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_empty(self) -> bool:
        """Whether no run is queued, except those whose last answer was slow."""
        return not self._runs[False]

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine in a background task with an empty context."""
        # Not as an argument, which the task factory of a loop may not take.
        task = Context().run(asyncio.get_running_loop().create_task, work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def add(self, run_id: str, *, urgent: bool) -> None:
        """Queue a run, before all others if it is urgent."""
        if run_id not in self._added:
            self._added.add(run_id)
            was_slow = run_id in self._slow
            runs = self._runs[was_slow]
            (runs.appendleft if urgent else runs.append)(run_id)
            self._advance(was_slow)

    def forget(self, run_id: str) -> None:
        """Drop what is kept of a run that is not waited for any more."""
        self._slow.discard(run_id)

    async def aclose(self) -> None:
        """Cancel all requests and background tasks."""
        for runs in self._runs:
            runs.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _advance(self, was_slow: bool) -> None:
        """Start requests while there are free slots, and drop those that are not wanted any more."""
        runs = self._runs[was_slow]
        while runs and self._in_flight[was_slow] < AT_ONCE:
            run_id = runs.popleft()
            if self._is_wanted(run_id):
                self._in_flight[was_slow] += 1
                self.start(self._request(run_id, was_slow))
            else:
                self._added.discard(run_id)

    async def _request(self, run_id: str, was_slow: bool) -> None:
        timer = asyncio.get_running_loop().call_later(SLOW, self._release_slot, run_id, was_slow)
        self._slow.discard(run_id)
        try:
            await self._send(run_id)
        except Exception as error:  # noqa: BLE001 a defect of ours, which has to end the waits
            self._fail(error)
        finally:
            timer.cancel()
            self._added.discard(run_id)
            if run_id in self._overdue:
                self._overdue.discard(run_id)
            else:
                self._in_flight[was_slow] -= 1
                self._advance(was_slow)

    def _release_slot(self, run_id: str, was_slow: bool) -> None:
        self._slow.add(run_id)
        if not was_slow and len(self._overdue) < _MOST_SLOW:
            self._overdue.add(run_id)
            self._in_flight[was_slow] -= 1
            self._advance(was_slow)
