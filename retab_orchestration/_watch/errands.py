"""What is done for everyone who waits, in tasks that belong to none of them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

__all__ = ["Errands"]

# Runs that are asked for at the same time, and those beside them whose last answer was slow.
_AT_ONCE = 16
_SLOW_AT_ONCE = 16
# Seconds after which an answer is slow, so that the next run is asked for; and how many such answers are waited for.
_SLOW = 2.0
_MOST_SLOW = 48


class Errands:
    """Tasks in a context of their own, and queues of runs to ask for, a few at a time.

    A run whose answer is slow makes nobody wait but others of its kind: its place is given to the next after a while,
    and it has to wait in a queue of its own the next time.

    Args:
        answer: Asks for one run.
        fail: Told of what it raised, which nobody else would hear of.
    """

    def __init__(self, answer: Callable[[str], Awaitable[None]], fail: Callable[[Exception], None]) -> None:
        self._answer = answer
        self._fail = fail
        self._asked: set[str] = set()
        self._slow: set[str] = set()
        self._quick_lane = _Lane(_AT_ONCE)
        self._slow_lane = _Lane(_SLOW_AT_ONCE)
        self._overdue = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether no run waits for being asked for."""
        return not self._quick_lane.questions

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something by and by."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def ask(self, run_id: str, *, urgent: bool) -> None:
        """Ask for a run as soon as there is room, before all others if it is urgent; once at a time."""
        if run_id in self._asked:
            return
        self._asked.add(run_id)
        lane = self._slow_lane if run_id in self._slow else self._quick_lane
        (lane.questions.appendleft if urgent else lane.questions.append)(run_id)
        self._begin(lane)

    def forget(self, run_id: str) -> None:
        """Keep nothing of a run that nobody waits for any more."""
        self._slow.discard(run_id)

    async def aclose(self) -> None:
        """Break everything off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, lane: "_Lane") -> None:
        if lane.askers < lane.most:
            lane.askers += 1
            self.start(self._ask(lane))

    async def _ask(self, lane: "_Lane") -> None:
        asker = _Asker(lane)
        try:
            while lane.questions and asker.has_place:
                await self._ask_for(lane.questions.popleft(), asker)
        finally:
            if asker.has_place:
                lane.askers -= 1
            else:
                self._overdue -= 1

    async def _ask_for(self, run_id: str, asker: "_Asker") -> None:
        timer = asyncio.get_running_loop().call_later(_SLOW, self._slow_now, run_id, asker)
        self._slow.discard(run_id)
        try:
            await self._answer(run_id)
        except Exception as error:  # noqa: BLE001  a mistake of ours: nobody may wait for ever
            self._fail(error)
        finally:
            timer.cancel()
            self._asked.discard(run_id)

    def _slow_now(self, run_id: str, asker: "_Asker") -> None:
        """Take a run for a slow one, and give its place to the next."""
        self._slow.add(run_id)
        lane = asker.lane
        if lane is self._quick_lane and self._overdue < _MOST_SLOW:
            asker.has_place = False
            self._overdue += 1
            lane.askers -= 1
            if lane.questions:
                self._begin(lane)


class _Lane:
    """Runs that are asked for one after the other, by so many at most."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.askers = 0
        self.questions: deque[str] = deque()


class _Asker:
    """One who asks, and whether the place is still its own."""

    def __init__(self, lane: _Lane) -> None:
        self.lane = lane
        self.has_place = True
