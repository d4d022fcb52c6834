"""What is done for everyone who waits, in tasks that belong to none of them."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context
from typing import Any

__all__ = ["Errands"]

# Runs that are asked for at the same time.
_AT_ONCE = 16


class Errands:
    """Tasks in a context of their own, and a queue of runs to ask for, a few at a time.

    Args:
        answer: Asks for one run.
        fail: Told of what it raised, which nobody else would hear of.
    """

    def __init__(self, answer: Callable[[str], Awaitable[None]], fail: Callable[[Exception], None]) -> None:
        self._answer = answer
        self._fail = fail
        self._asked: set[str] = set()
        self._questions: deque[str] = deque()
        self._askers = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_idle(self) -> bool:
        """Whether no run waits for being asked for."""
        return not self._questions

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
        (self._questions.appendleft if urgent else self._questions.append)(run_id)
        if self._askers < _AT_ONCE:
            self._askers += 1
            self.start(self._ask())

    async def aclose(self) -> None:
        """Break everything off."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self) -> None:
        try:
            while self._questions:
                run_id = self._questions.popleft()
                try:
                    await self._answer(run_id)
                except Exception as error:  # noqa: BLE001  a mistake of ours: nobody may wait for ever
                    self._fail(error)
                finally:
                    self._asked.discard(run_id)
        finally:
            self._askers -= 1
