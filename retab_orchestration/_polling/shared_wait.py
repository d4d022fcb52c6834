"""A wait that shares its polls with others, by the run list, and has a future that its owner awaits."""

import asyncio
import copy
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from retab_orchestration._polling.wait import LAST_POLL, LONGEST_POLL, Wait
from retab_orchestration._texts import is_id
from retab_orchestration.errors import ApiError, RetabError
from retab_orchestration.models import RunStatus, WorkflowRun
from retab_orchestration.models.page import RunRow

__all__ = ["SLOW", "SharedWait", "SharedWaits"]

SLOW = 2.0
"""Seconds after which a shared answer counts as slow."""

# How early a poll may be, to be made together with others: a share of the gap before it, and seconds.
_EARLY, _MOST_EARLY = 0.1, 0.25
# The share of the gap by which a poll may be late, or early for the list to replace it; and seconds by which it may be
# late at least.
_SLACK, _LEAST_LATE = 0.5, 0.5
# Complete lists on which a run may be missing until the list is not used for it, and for how many seconds it is not.
_MISSES, _UNLISTED = 3, 300.0
# Seconds for which the list alone may show a run: as long again as was waited already, within these. A list that lags
# for ever would show it as running for ever.
_LISTED_FOR = (600.0, 3600.0)
# How often a failed poll doubles the time limit of the next one: an answer may take as long as the account's `timeout`.
_MOST_DOUBLINGS = 16


@dataclass(slots=True, eq=False, repr=False)
class SharedWait(Wait[WorkflowRun]):
    """A wait that a watcher polls for. It raises nothing: its result, or its error, is that of `settled`.

    Attributes:
        settled: The run once it has settled.
        is_requested: Whether a request for the run itself is queued or in flight for this wait.
        is_spare: Whether that request is made only because the list is silent.
        workflow_id: The run's workflow.
        created_at: When the run was created, as ISO 8601; None before it was seen.
        unlisted_until: Until when the list is not used for the run.
    """

    settled: asyncio.Future[WorkflowRun] = field(
        init=False, default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    is_requested: bool = False
    is_spare: bool = False
    workflow_id: str | None = None
    created_at: str | None = None
    unlisted_until: float = -math.inf
    # Callbacks run in it, so that their log lines belong to their owner.
    _context: Context = field(init=False, default_factory=copy_context)
    _misses: int = 0
    _trusted_until: float = 0.0  # until when the list alone may show the run; 0 before it was seen

    @property
    def early(self) -> float:
        """Seconds by which the next poll may be early."""
        return min(_MOST_EARLY, self.gap * _EARLY)

    def seconds_to_poll(self, now: float) -> float:
        """Return how long a poll that begins now may take; a poll past the deadline is cut off."""
        left = self.seconds_left(now)
        longest = LONGEST_POLL * 2.0 ** min(self._budget.failures, _MOST_DOUBLINGS)
        return min(longest, math.inf if left is None else left)

    @property
    def late(self) -> float:
        """Seconds by which the next poll may be late while the list is being read."""
        return max(_LEAST_LATE, self.gap * _SLACK)

    def may_be_listed(self, now: float) -> bool:
        """Return whether a list poll is enough now; the last poll has to be of the run itself."""
        return self.unlisted_until <= now < self.deadline

    def is_soon(self, now: float) -> bool:
        """Return whether a poll is due soon, so that one now replaces it."""
        return self.is_requested or self.due - now <= self.gap * _SLACK

    def request(self, now: float) -> bool:
        """Record that the run itself is requested; return False if the last poll has taken too long.

        It is due again when the answer has to be there: at the deadline, or a little later if it is requested then.
        """
        if now >= self.deadline + LAST_POLL:
            self.fail(self.expired())
            return False
        self.is_requested = True
        self.due = self.deadline if now < self.deadline else self.deadline + LAST_POLL
        return True

    def listed(self, row: RunRow, now: float, chance: float) -> bool:
        """Update with a row of the list; return False if the run itself has to be polled: no row ends a wait."""
        self._misses, self.unlisted_until = 0, -math.inf
        self.is_requested = self.is_spare = False
        if self.workflow_id is None:
            self._place(row.workflow_id, row.created_at)
        if not self._trusted_until:
            self._trust_list(now, chance)
        name = row.status_name
        if name is None or now >= min(self._trusted_until, self.deadline):
            return False
        if self._review_since is not None and self._needs_run(row, now):
            return False
        is_news = name != self.status_name
        if not is_news and self._trouble is None:
            self._plan(now, chance)
            return True
        status = RunStatus.read(name)
        if self.is_settled_by(status) or self._goes_back(status):
            return False
        try:
            run = row.run() if is_news and self.options.on_change is not None else None
        except ValueError:
            return False
        self._decide(self._saw_state, status, name, now, chance, run)
        return True

    def missing(self, now: float) -> None:
        """Record that a complete list did not show the run."""
        self._misses += 1
        if self._misses >= _MISSES:
            self._misses, self.unlisted_until = 0, now + _UNLISTED

    def polled(self, run: WorkflowRun, now: float, chance: float) -> None:
        """Update with a poll of the run itself."""
        if self.workflow_id is None:
            created = run.timing.created_at
            self._place(run.workflow_id, created.isoformat() if created else None)
        self._trust_list(now, chance)
        is_over = self._decide(self.saw, run, now, chance)
        if is_over and not self.settled.done():  # `on_change` may have cancelled whoever waits
            self.settled.set_result(run)
        self._run = None  # it may be large

    def poll_failed(self, error: ApiError, now: float, chance: float) -> None:
        """Update with a failed poll of the run itself."""
        self._decide(self.failed, error, now, chance)

    def fail(self, error: BaseException) -> None:
        """End the wait with a copy of an error: raising adds to its traceback, and other waits may have it too."""
        if self.settled.done():
            return
        if isinstance(
            error, StopIteration | GeneratorExit
        ):  # a future refuses the first, and asyncio drops the second
            mistaken = RuntimeError(f"on_change raised {type(error).__name__}")
            mistaken.__cause__, error = error, mistaken
        self.settled.set_exception(_copied(error) if isinstance(error, RetabError) else error)

    def _decide(self, take: Callable[..., bool | None], *shown: Any) -> bool | None:
        """Call an update in the owner's context; return whether the run has settled, None if the wait has ended."""
        self.is_requested = self.is_spare = False
        if self.settled.done():
            return None
        try:
            return self._context.run(take, *shown)
        # The poll's, or a callback's, which may be CancelledError: the owner gets it.
        except (Exception, asyncio.CancelledError, GeneratorExit) as error:  # noqa: BLE001
            self.fail(error)
            return None

    def _needs_run(self, row: RunRow, now: float) -> bool:
        """Return whether the run waits for another review than was seen, or may never go on."""
        resuming = self.resuming()
        is_due = resuming is not None and resuming.is_due(now)
        return is_due or self._is_moved(row.waiting_for_node_ids)

    def _trust_list(self, now: float, chance: float) -> None:
        least, most = _LISTED_FOR
        self._trusted_until = now + min(max(now - self.started, least), most) * (1 + chance)

    def _place(self, workflow_id: str | None, created_at: str | None) -> None:
        # They are kept for as long as the wait, so they must be short, as ids are.
        self.workflow_id = sys.intern(workflow_id) if workflow_id and is_id(workflow_id) else None
        self.created_at = created_at


def _copied(error: RetabError) -> RetabError:
    try:
        copied = copy.copy(error).with_traceback(error.__traceback__)
    except Exception:  # noqa: BLE001  a class of the user's, which only a callback of one wait can have raised
        return error
    copied.__cause__, copied.__suppress_context__ = error.__cause__, error.__suppress_context__
    return copied


class SharedWaits:
    """All waits of one watcher, by run."""

    def __init__(self) -> None:
        self.by_run: dict[str, list[SharedWait]] = {}

    def __len__(self) -> int:
        """Return the number of runs that are waited for."""
        return len(self.by_run)

    def __iter__(self) -> Iterator[SharedWait]:
        return chain.from_iterable(self.by_run.values())

    def of(self, run_id: str) -> Sequence[SharedWait]:
        """Return the waits for a run, if there are any."""
        return self.by_run.get(run_id, ())

    def add(self, wait: SharedWait) -> None:
        """Add a wait."""
        self.by_run.setdefault(wait.run_id, []).append(wait)

    def remove(self, wait: SharedWait) -> None:
        """Remove a wait, whether it has settled or not."""
        others = self.by_run[wait.run_id]
        others.remove(wait)
        if not others:
            del self.by_run[wait.run_id]

    def due(self, now: float) -> list[SharedWait]:
        """Return the waits whose polls are due, and those whose polls may be made early together with them."""
        near = [wait for wait in self if wait.due <= now + _MOST_EARLY and not wait.settled.done()]
        early = min((wait.early for wait in near if wait.due <= now), default=0.0)
        return [wait for wait in near if wait.due <= now + early]

    def next_due(self, now: float) -> float:
        """Return when the next poll is due after this moment; infinite if none is."""
        return min((wait.due for wait in self if wait.due > now), default=math.inf)

    def next_deadline(self, now: float) -> float:
        """Return the next deadline after this moment; infinite if there is none."""
        return min((wait.deadline for wait in self if wait.deadline > now), default=math.inf)
