"""RunWatcher: polls for all waits of one account in one event loop."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable, Sequence
from contextvars import Context
from functools import partial
from typing import Any

from retab_orchestration import errors
from retab_orchestration._endpoints import shared
from retab_orchestration._http import SharedRuntime
from retab_orchestration._polling.list_poll import ListCost, ListPoll, plan_list_poll
from retab_orchestration._polling.request_queue import AT_ONCE, RequestQueue
from retab_orchestration._polling.resuming import check_resuming
from retab_orchestration._polling.shared_wait import SharedWait, SharedWaits
from retab_orchestration._polling.wait import LONGEST_POLL, WaitOptions, requested_pause
from retab_orchestration._transport.session import Session
from retab_orchestration.models import WorkflowRun
from retab_orchestration.models.page import RunRow

__all__ = ["RunWatcher"]

_log = logging.getLogger(__name__)

# Seconds between two passes over the waits: for each run, so that passes take little time; and while polls that are due
# may be left to the list, or to the end of a pause.
_PASS, _TICK = 1e-5, 0.25


class RunWatcher:
    """Polls the runs of many waits, with one page of the run list for each hundred of them.

    The list is a hint: a run that it shows as ended, or does not show, is polled by itself, and only that ends a wait.
    Timers and tasks run in an empty context, callbacks in that of their owner.

    Args:
        session: The account, on a runtime of its own.
        runtime: That runtime.
    """

    def __init__(self, session: Session, runtime: SharedRuntime) -> None:
        self._session = session
        self._runtime = runtime
        self._waits = SharedWaits()
        self._cost = ListCost()
        self._queue = RequestQueue(self._poll_run, self._is_wanted, partial(_fail, self._waits))
        self._timer = _Timer(runtime.now, self._on_timer)
        self._list: ListPoll | None = None
        self._hold_until = self._rest_until = -math.inf

    @property
    def is_idle(self) -> bool:
        """Whether there is no wait any more."""
        return not self._waits

    def begin(self, run_id: str, options: WaitOptions) -> SharedWait:
        """Begin a wait for a run, whose future `settled` has the settled run as its result.

        The future raises WaitTimeoutError when the deadline has passed, and ApiError when a poll was refused, or polls
        have failed for too long.
        """
        wait = SharedWait(run_id, options, self._runtime.now())
        self._waits.add(wait)
        self._timer.set(wait.due)
        return wait

    def end(self, wait: SharedWait) -> None:
        """End a wait, whether it has settled or not."""
        self._waits.remove(wait)
        if not self._waits.of(wait.run_id):
            self._queue.forget(wait.run_id)

    async def aclose(self) -> None:
        """Stop polling and close the connections."""
        self._timer.close()
        await self._queue.aclose()
        await self._runtime.aclose()

    def _on_timer(self) -> None:
        now = self._runtime.now()
        try:
            self._poll_due(now)
        except Exception as error:  # noqa: BLE001  an error of ours: nobody may wait for ever
            _fail(self._waits, error)
        self._timer.not_before = now + _PASS * len(self._waits)
        if self._list is not None or now < max(self._hold_until, self._rest_until):
            # Polls that are due may have been left to the list, or to the end of a pause; deadlines are exact.
            self._timer.set(min(now + _TICK, self._waits.next_deadline(now)))
        else:
            self._timer.set(self._waits.next_due(now))

    def _poll_due(self, now: float) -> None:
        """Make the polls that are due, or nearly so: with the list if that is cheaper, else one by one."""
        due = self._waits.due(now)
        listable = [wait for wait in due if wait.may_be_listed(now)]
        polled = [wait for wait in due if not wait.may_be_listed(now)]
        if now < self._hold_until:
            polled = [wait for wait in due if now >= wait.deadline]
        elif self._list is not None:
            polled += self._overdue(self._list, listable, now)
        elif (poll := plan_list_poll(self._session, self._cost, listable, self._waits, now)) is None:
            polled = due
        elif now >= self._rest_until:
            self._list = poll
            self._queue.start(self._poll_list(poll, {wait.run_id for wait in listable}))
        for wait in polled:
            self._request(wait, now)

    def _overdue(self, poll: ListPoll, due: list[SharedWait], now: float) -> list[SharedWait]:
        """Return the waits whose polls the list delays for too long: a few of them, or all if no page comes."""
        late = [wait for wait in due if wait.due + wait.late <= now]
        is_silent = poll.is_silent(now)
        if not is_silent and (len(late) > AT_ONCE or not self._queue.is_empty):
            return []
        for wait in late:
            wait.is_spare = is_silent
        return late

    def _request(self, wait: SharedWait, now: float) -> None:
        """Queue a poll of the run itself."""
        if wait.request(now):
            self._timer.set(wait.due)
            self._queue.add(wait.run_id, urgent=now >= wait.deadline)

    def _is_wanted(self, run_id: str) -> bool:
        """Return whether a queued run still has to be requested."""
        now = self._runtime.now()
        waits = [wait for wait in self._waits.of(run_id) if wait.is_requested]
        is_listed = self._list is not None and not self._list.is_silent(now)
        is_left = now < self._hold_until or (is_listed and all(wait.is_spare for wait in waits))
        if not is_left or any(now >= wait.deadline for wait in waits):
            return bool(waits)
        for wait in waits:
            wait.is_requested, wait.is_spare, wait.due = False, False, now
        self._timer.set(now)
        return False

    async def _poll_run(self, run_id: str) -> None:
        """Poll one run by itself, and update all its waits."""
        now = self._runtime.now()
        seconds = max((wait.seconds_to_poll(now) for wait in self._waits.of(run_id)), default=0.0)
        self._cost.polled_one()
        try:
            answer = await self._session.exchange_once(shared.get_run(run_id), seconds=seconds)
            run = shared.checked_run(answer, run_id)
        except errors.ApiError as error:
            self._hold(error)
            self._update(run_id, SharedWait.poll_failed, error)
        except Exception as error:  # noqa: BLE001  whatever an answer makes us do, it is about this run alone
            _fail(self._waits.of(run_id), error)
        else:
            self._update(run_id, SharedWait.polled, run)
            await _check_resuming(self._session, run, self._waits.of(run_id))

    def _update(self, run_id: str, take: Callable[[SharedWait, Any, float, float], None], shown: Any) -> None:
        now, chance = self._runtime.now(), self._runtime.chance()
        for wait in self._waits.of(run_id):
            take(wait, shown, now, chance)
            self._timer.set(wait.due)

    async def _poll_list(self, poll: ListPoll, due: set[str]) -> None:
        """Poll with the list, for the runs that are due and for all others on its pages."""
        is_complete = False
        try:
            is_complete = await poll.read(self._take, self._hold)
        except Exception as error:  # noqa: BLE001  the list is a hint: whatever is wrong with it ends no wait
            _log.debug("The list of runs could not be read", exc_info=error)
            self._cost.failed(self._runtime.now())
            if isinstance(error, errors.ApiError):
                self._hold(error)
        finally:
            self._list = None
        now = self._runtime.now()
        self._rest_until = now + poll.seconds
        # They are polled now: in another list poll they might be missed again.
        for run_id in poll.watched if is_complete else poll.watched & due:
            for wait in self._waits.of(run_id):
                wait.is_spare = False
                if is_complete:
                    wait.missing(now)
                if not wait.settled.done():
                    self._request(wait, now)

    def _take(self, rows: Sequence[tuple[RunRow, Sequence[SharedWait]]], now: float) -> int:
        """Update the waits with rows of their runs; return how many runs need no poll of their own."""
        nearest, saved, chance = math.inf, 0, self._runtime.chance()
        for row, waits in rows:
            will_do = True
            for wait in waits:
                if wait.listed(row, now, chance):
                    nearest = min(nearest, wait.due)
                elif not wait.settled.done():
                    will_do = False
                    self._request(wait, now)
            saved += will_do
        self._timer.set(nearest)
        return saved

    def _hold(self, error: errors.ApiError) -> None:
        """Pause all polls for as long as the server asks for, except those that cannot be made later."""
        self._hold_until = max(self._hold_until, self._runtime.now() + requested_pause(error))


class _Timer:
    """A timer of the event loop that goes off at the earliest of the moments for which it is set.

    Args:
        now: Returns the time.
        ring: Called then, in an empty context: what it starts must not log, or be counted, as the task that set the
            timer.
    """

    def __init__(self, now: Callable[[], float], ring: Callable[[], None]) -> None:
        self._now = now
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._at = math.inf
        self.not_before = -math.inf
        """The earliest moment at which it goes off."""

    def set(self, at: float) -> None:
        """Set the timer to this moment, unless it is set to an earlier one."""
        at = max(at, self.not_before)
        if at < self._at:
            self.close()
            self._at, delay = at, max(0.0, at - self._now())
            self._handle = asyncio.get_running_loop().call_later(delay, self._go_off, context=Context())

    def close(self) -> None:
        """Cancel the timer."""
        if self._handle is not None:
            self._handle.cancel()

    def _go_off(self) -> None:
        self._at = math.inf
        self._ring()


async def _check_resuming(session: Session, run: WorkflowRun, waits: Iterable[SharedWait]) -> None:
    """End the waits of a run if its reviews are decided and it does not go on."""
    for wait in list(waits):
        resuming = None if wait.settled.done() else wait.resuming()
        if resuming is not None:
            try:
                await check_resuming(session, run, resuming, LONGEST_POLL)
            except errors.ReviewNotResumedError as error:
                wait.fail(error)


def _fail(waits: Iterable[SharedWait], error: Exception) -> None:
    """End waits with an error; log the traceback of one that is not the core's own, because it is a defect."""
    waiting = [wait for wait in waits if not wait.settled.done()]
    if waiting and not isinstance(error, errors.RetabError):
        _log.error("A wait failed because of a defect in retab_orchestration", exc_info=error)
        error = errors.RetabError(
            f"the wait failed because of a defect in retab_orchestration ({type(error).__name__}); the run goes on: "
            "wait for it again, and report this with the traceback in the log"
        )
    for wait in waiting:
        wait.fail(error)
