"""One who waits, as the watcher sees it."""

import asyncio
import copy
import math
import sys
from collections.abc import Callable, Iterable
from contextvars import copy_context

from retab_orchestration._core.resuming import check_resuming
from retab_orchestration._core.schedule import Decision, LookAgain, Settle
from retab_orchestration._core.session import Session
from retab_orchestration._core.waiting import LAST_LOOK, Wait
from retab_orchestration._texts import is_id
from retab_orchestration.errors import ApiError, RetabError, ReviewNotResumedError
from retab_orchestration.models import RunStatus, WorkflowRun
from retab_orchestration.models.row import RunRow

__all__ = ["Waiter", "check_waits"]

# Listings read to their end on which a run may be missing before it is asked for by itself, and for how many seconds.
_MISSES = 3
_UNLISTED = 300.0
# Shares of a gap: how early a look may be, how late while the list is being read, and how much of the gap may be left
# for a look in the list not to be wasted.
_EARLY = 0.1
_LATE = 0.5
_SOON = 0.5
_SHORTEST_WAIT = 0.5
# Seconds that a look may take, so that a few that hang do not hold the others up for as long as a request may take.
# Each look that fails doubles them for the next: an answer may take as long as the account says.
_LONGEST_LOOK = 15.0
_MOST_DOUBLINGS = 16
# Seconds for which the list alone may tell of a run: as long again as was waited already, within these. A list that
# stays behind would show it as running for ever.
_LISTED_FOR = (600.0, 3600.0)


class Waiter:
    """A wait, when its next look is due, and what is known of how the list shows its run."""

    __slots__ = (
        "_context",
        "_gap",
        "_listed_minutes",
        "_misses",
        "_unlisted_until",
        "created_at",
        "due",
        "held",
        "settled",
        "wait",
        "workflow_id",
    )

    def __init__(self, wait: Wait[WorkflowRun]) -> None:
        self.wait = wait
        self._context = copy_context()  # `on_change` is called in it: its log lines are its owner's
        self.settled: asyncio.Future[WorkflowRun] = asyncio.get_running_loop().create_future()
        self.due: float | None = None
        """When to look next; None while that is being done."""
        self.held = False
        """Whether the look was put off because the list was being read."""
        self.workflow_id: str | None = None
        self.created_at: str | None = None
        """When its run was created, as ISO 8601; None while nobody has seen it."""
        self._gap = 0.0
        self._misses = 0
        self._unlisted_until = -math.inf
        self._listed_minutes = 0

    @property
    def run_id(self) -> str:
        """The run."""
        return self.wait.run_id

    @property
    def early(self) -> float:
        """Seconds by which its next look may be early."""
        return self._gap * _EARLY

    @property
    def late(self) -> float:
        """Seconds by which its next look may be late."""
        return max(_SHORTEST_WAIT, self._gap * _LATE)

    def is_last(self, now: float) -> bool:
        """Tell whether a look now is the last one, which has to be at the run itself."""
        deadline = self.wait.schedule.deadline
        return deadline is not None and now >= deadline

    def in_time(self, at: float, now: float) -> float:
        """Return that moment, or the deadline if it is nearer and still to come."""
        deadline = self.wait.schedule.deadline
        return at if deadline is None or deadline <= now else min(at, deadline)

    def limit(self, now: float) -> float | None:
        """Return when its answer must be there: at the deadline, or a little later when it is asked for at that."""
        deadline = self.wait.schedule.deadline
        return deadline if deadline is None or now < deadline else deadline + LAST_LOOK

    def seconds(self, now: float) -> float:
        """Return how long a look that begins now may take; past its own deadline a wait is over, whatever it does."""
        left = self.wait.seconds_left(now)
        failures = min(self.wait.schedule.errors.failures, _MOST_DOUBLINGS)
        return min(_LONGEST_LOOK * 2.0**failures, math.inf if left is None else left)

    def is_over(self, now: float) -> bool:
        """Tell whether its last look took too long as well."""
        deadline = self.wait.schedule.deadline
        return deadline is not None and now >= deadline + LAST_LOOK

    def is_listed(self, now: float) -> bool:
        """Tell whether the list is likely to show the run."""
        return now >= self._unlisted_until

    def is_soon(self, now: float) -> bool:
        """Tell whether a look now would not be wasted, because one is due before long anyway."""
        return self.due is None or self.due - now <= self._gap * _SOON

    def may_be_listed(self, now: float) -> bool:
        """Tell whether the list will do for a look now."""
        return self.is_listed(now) and not self.is_last(now)

    def missing(self, now: float) -> None:
        """Take note that a whole list did not show the run."""
        self._misses += 1
        if self._misses >= _MISSES:
            self._misses, self._unlisted_until = 0, now + _UNLISTED

    def hear(self, row: RunRow, now: float, chance: float) -> float | None:
        """Learn from a row of the list.

        Returns:
            When to look again; None if the run itself has to be asked for.
        """
        self._misses, self._unlisted_until = 0, -math.inf
        if self.workflow_id is None:
            self._place(row.workflow_id, row.created_at)
        name, waited = row.status_name, self.wait.schedule.waited(now)
        self._listed_minutes = self._listed_minutes or _listed_minutes(waited, chance)
        is_due = self.is_last(now) or waited >= 60 * self._listed_minutes
        if name is None or is_due or self.wait.needs_run(now, row):
            return None
        if self.wait.is_unchanged(name):
            return self._follow(self.wait.unchanged(now, chance), now, hint=True)
        status = RunStatus.read(name)
        if self.wait.schedule.settles(status) or self.wait.goes_back(status):
            return None
        try:
            run = row.run() if self.wait.is_news(name) else None
        except ValueError:
            return None
        return self._next(lambda: self.wait.heard(status, name, now, chance, run), now, hint=True)

    def saw(self, run: WorkflowRun, now: float, chance: float) -> float | None:
        """Learn from a look at the run itself; when to look again, None once the wait is over."""
        if self.workflow_id is None:
            created = run.timing.created_at
            self._place(run.workflow_id, created.isoformat() if created else None)
        self._listed_minutes = _listed_minutes(self.wait.schedule.waited(now), chance)
        at = self._next(lambda: self.wait.saw(run, now, chance), now, run)
        self.wait.forget()
        return at

    def failed(self, error: ApiError, now: float, chance: float) -> float | None:
        """Learn from a look that failed in a way that may pass; when to look again, None once the wait is over."""
        return self._next(lambda: self.wait.failed(error, now, chance), now)

    def fail(self, error: BaseException) -> None:
        """End the wait."""
        if not self.settled.done():
            self.settled.set_exception(_own(error))

    def _place(self, workflow_id: str | None, created_at: str | None) -> None:
        # Each is kept for as long as the wait, so that it has to be as short as an id.
        self.workflow_id = sys.intern(workflow_id) if workflow_id and is_id(workflow_id) else None
        self.created_at = created_at

    def _next(
        self,
        decide: Callable[[], Decision],
        now: float,
        run: WorkflowRun | None = None,
        *,
        hint: bool = False,
    ) -> float | None:
        if self.settled.done():
            return None
        try:
            decision = self._context.run(decide)
        # Of the look, or of `on_change`, which may even say that it was cancelled: it is for whoever waits.
        except (Exception, asyncio.CancelledError, GeneratorExit) as error:  # noqa: BLE001
            self.settled.set_exception(_own(error))
            return None
        return self._follow(decision, now, run, hint=hint)

    def _follow(
        self, decision: Decision, now: float, run: WorkflowRun | None = None, *, hint: bool = False
    ) -> float | None:
        if isinstance(decision, LookAgain):
            self._gap = max(0.0, decision.at - now)
            return decision.at
        if hint:
            return None  # no wait ends by the list alone
        if isinstance(decision, Settle) and run is not None:
            self.settled.set_result(run)
        else:
            self.fail(self.wait.expired())
        return None


def _listed_minutes(waited: float, chance: float) -> int:
    """Return how many minutes a wait is old when the list may tell of its run alone no longer: for each another one.

    A small whole number takes no memory.
    """
    least, most = _LISTED_FOR
    return int((waited + min(max(waited, least), most) * (1 + chance)) / 60)


def _own(error: BaseException) -> BaseException:
    """Return an error for one wait alone: whoever raises it adds to its traceback, and others may have the same."""
    if isinstance(error, StopIteration | GeneratorExit):  # no future takes the one, nobody hears of the other
        told = RuntimeError(f"on_change raised {type(error).__name__}")
        told.__cause__ = error
        return told
    if not isinstance(error, RetabError):
        return error
    again = copy.copy(error).with_traceback(error.__traceback__)
    again.__cause__, again.__suppress_context__ = error.__cause__, error.__suppress_context__
    return again


async def check_waits(session: Session, run: WorkflowRun, waiters: Iterable[Waiter], seconds: float) -> None:
    """End the waits of a run that does not go on although its reviews are decided; ask in so many seconds at most."""
    now = session.runtime.now()
    for waiter in list(waiters):
        resuming = None if waiter.settled.done() else waiter.wait.resuming()
        if resuming is None or not resuming.is_due(now):
            continue
        try:
            await check_resuming(session, run, resuming, seconds)
        except ReviewNotResumedError as error:
            waiter.fail(error)
