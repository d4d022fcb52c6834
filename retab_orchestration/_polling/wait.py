"""One wait for one run: when to poll it next, and when the wait is over. It never polls and never reads a clock."""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from retab_orchestration import errors
from retab_orchestration._arguments import checked_callback, checked_choice, checked_seconds
from retab_orchestration._polling.resuming import Resuming
from retab_orchestration._transport.session import TRANSIENT
from retab_orchestration.models import RunStatus, WorkflowRun, WorkflowTestRun
from retab_orchestration.policies import ErrorBudget, PollPolicy, Trouble

__all__ = ["LAST_POLL", "LONGEST_POLL", "OnReview", "Wait", "WaitOptions", "requested_pause", "trouble_of"]

# Statuses that Retab never sends for a run that exists: redirects, teapots, conflicts, bad requests.
_NEVER_SAID = frozenset({errors.ApiStatusError, errors.ConflictError, errors.RequestRejectedError})

LAST_POLL = 5.0
"""Seconds that a poll has at least, because the last one is made at the deadline itself."""

LONGEST_POLL = 15.0
"""Seconds that a shared poll may take."""

# Nodes waiting for a human that a wait keeps, for as long as it goes on.
_MOST_NODES = 100

# Seconds. The longest pause that a server may ask for: the run may end meanwhile.
_LONGEST_PAUSE = 120.0

# The order of the states before the end.
_PROGRESS = {RunStatus.QUEUED: 1, RunStatus.RUNNING: 2, RunStatus.WAITING_FOR_HUMAN: 3}


W = TypeVar("W", bound=WorkflowRun | WorkflowTestRun)

OnReview = Literal["return", "wait", "until_decided"]
"""What a wait does when the run waits for a human: return the run, wait until it has ended, or wait until the review is
decided, and return at once if there is none."""
_ON_REVIEW = ("return", "wait", "until_decided")


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """How a caller waits."""

    timeout: float | None
    """Seconds that the run may take, None for any number; time in which it waits for a human does not count."""
    poll: PollPolicy
    on_review: OnReview = "return"
    on_outage: Callable[[errors.ApiError | None], Any] | None = None
    """Called with the error when polls begin to fail, and with None when one succeeds again."""
    on_change: Callable[[Any], Any] | None = None
    """Called with the run when it is seen first, and when its status, or the nodes where it waits, have changed."""
    on_tick: Callable[[], Any] | None = None
    """Called every second, also between two polls; what it raises ends the wait."""

    @classmethod
    def read(
        cls,
        timeout: Any,
        poll: Any,
        on_review: Any = "return",
        on_outage: Any = None,
        on_change: Any = None,
        *,
        on_tick: Any = None,
    ) -> "WaitOptions":
        """Return the options of a wait, checked.

        Raises:
            InvalidInputError: The message names the argument and says what it should be.
        """
        if not isinstance(poll, PollPolicy):
            raise errors.InvalidInputError(f"poll must be a PollPolicy, not {type(poll).__name__}")
        return cls(
            checked_seconds("timeout", timeout),
            poll,
            checked_choice("on_review", on_review, _ON_REVIEW),
            checked_callback("on_outage", on_outage),
            checked_callback("on_change", on_change),
            checked_callback("on_tick", on_tick),
        )


@dataclass(slots=True, eq=False, repr=False)
class Wait(Generic[W]):
    """Decide from what each poll showed when to poll a run next, and when the wait for it is over.

    Attributes:
        run_id: The run.
        options: How long it may take, how often to poll, and its callbacks.
        started: When the wait began, seconds on a clock that never goes back.
        deadline: When the last poll is made; infinite without a timeout, and while the run waits for a human.
        due: When to poll next.
        gap: Seconds between the poll before and that one.
        status_name: The server's word for the last state; None before the first.
    """

    run_id: str
    options: WaitOptions
    started: float
    deadline: float = field(init=False)
    due: float = field(init=False)
    gap: float = 0.0
    status_name: str | None = None
    _nodes: tuple[str, ...] = ()  # where a human is asked
    _run: W | None = None
    _paced_from: float = field(init=False)  # gaps grow from here: reset when a human has decided
    _review_since: float | None = None
    _reviewed: float = 0.0
    _budget: ErrorBudget = field(init=False)
    _failure: errors.ApiError | None = None
    _trouble: Trouble | None = None  # what kind of failure that is
    _resuming: Resuming | None = None

    def __post_init__(self) -> None:
        timeout, poll = self.options.timeout, self.options.poll
        self._paced_from = self.started
        self.deadline = math.inf if timeout is None else self.started + timeout
        self.due = min(self.started + poll.first, self.deadline)
        self._budget = ErrorBudget(poll.error_budget, poll.not_found_grace)

    def saw(self, run: W, now: float, chance: float) -> bool:
        """Update with the run as a poll showed it; return whether the wait is over.

        Args:
            run: The run.
            now: The present time.
            chance: A random number from 0 to 1, which decides the jitter.

        Raises:
            WaitTimeoutError: The wait is not over, and the deadline has passed.
        """
        self._run = run
        nodes = run.waiting_for_node_ids if isinstance(run, WorkflowRun) and run.is_waiting else ()
        if self._is_moved(nodes):
            self.status_name = None  # one review has followed another without a state between
        self._nodes = tuple(nodes[:_MOST_NODES])
        return self._saw_state(run.status, run.status_name, now, chance, run)

    def failed(self, error: errors.ApiError, now: float, chance: float) -> None:
        """Update with a failed poll.

        Raises:
            ApiError: The failure itself: it is not transient, or polls have failed for too long.
            WaitTimeoutError: The deadline has passed.
        """
        trouble = trouble_of(error, is_known=self.status_name is not None)
        if trouble is None:
            raise error
        if self._trouble is None and trouble is Trouble.OUTAGE:
            self._report(error)
        self._failure, self._trouble = error, trouble
        if not self._budget.failed(trouble, now):
            raise error
        if now >= self.deadline:
            raise self.expired()
        gap = self.options.poll.gap_after_failure(self._budget.failures, chance=chance)
        self.due = min(self._budget.next_at(trouble, now, max(gap, requested_pause(error))), self.deadline)
        self.gap = self.due - now

    def is_settled_by(self, status: RunStatus) -> bool:
        """Return whether this state ends the wait."""
        if status.is_waiting:
            return self.options.on_review == "return"
        return status.is_terminal or self.options.on_review == "until_decided"

    def seconds_left(self, now: float) -> float | None:
        """Return how long a poll that begins now may take, None for as long as any request."""
        return None if self.deadline == math.inf else max(self.deadline - now, LAST_POLL)

    def resuming(self) -> Resuming | None:
        """Return what is known of the reviews that the run waits for; None if it waits for none."""
        if self._review_since is None or self.options.on_review == "return":
            self._resuming = None
        elif self._resuming is None:
            self._resuming = Resuming(self.options.poll, self._review_since)
        return self._resuming

    def expired(self) -> errors.WaitTimeoutError:
        """Return the error of a wait whose deadline has passed."""
        state = f"is still {self.status_name}" if self.status_name else "could not be polled"
        trouble = f" The last poll failed: {self._failure}" if self._failure else ""
        error = errors.WaitTimeoutError(
            f"run {self.run_id} {state} after {self.options.timeout or 0:g} s; it goes on: wait for it again, "
            f"or cancel it.{trouble}",
            run=self._run,
            run_id=self.run_id,
        )
        error.__cause__ = self._failure
        return error

    def _saw_state(
        self, status: RunStatus, status_name: str, now: float, chance: float, run: W | None
    ) -> bool:
        """Update with a state; return whether the wait is over. `run` is for `on_change`, None without one."""
        if self._trouble is Trouble.OUTAGE:
            self._report(None)
        self._failure = self._trouble = None
        before, self.status_name = self.status_name, sys.intern(status_name)
        if status_name != before and self.options.on_change is not None and run is not None:
            self.options.on_change(run)
        # What happened during an outage may have happened at its beginning.
        since = self._budget.outage_since
        self._budget.understood(now)
        self._clock_review(status, now, now if since is None else since)
        if self.is_settled_by(status):
            return True
        self._plan(now, chance)
        return False

    def _plan(self, now: float, chance: float) -> None:
        """Schedule the next poll after the usual gap, or at the deadline: a run may end just before it."""
        if now >= self.deadline:
            raise self.expired()
        in_review = self._review_since is not None
        gap = self.options.poll.gap(now - self._paced_from, in_review=in_review, chance=chance)
        self.due = min(now + gap, self.deadline)
        self.gap = self.due - now

    def _clock_review(self, status: RunStatus, now: float, since: float) -> None:
        """Stop the clock of the timeout while the run waits for a human."""
        if status.is_waiting and self._review_since is None:
            self._review_since, self.deadline = since, math.inf
        elif not status.is_waiting and self._review_since is not None:
            self._reviewed += now - self._review_since
            self._review_since = None
            self._paced_from = now
            if self.options.timeout is not None:
                self.deadline = self.started + self.options.timeout + self._reviewed

    def _is_moved(self, nodes: Sequence[str]) -> bool:
        """Return whether the run waits at these nodes, and waited at other nodes before."""
        return bool(self._nodes and nodes) and tuple(nodes[:_MOST_NODES]) != self._nodes

    def _goes_back(self, status: RunStatus) -> bool:
        """Return whether a later state than this was seen already, so that the list lags."""
        return _PROGRESS.get(status, 0) < _PROGRESS.get(RunStatus.read(self.status_name), 0)

    def _report(self, outage: errors.ApiError | None) -> None:
        if self.options.on_outage is not None:
            self.options.on_outage(outage)


def requested_pause(error: errors.ApiError) -> float:
    """Return the pause that the server asks for, in seconds, at most the longest that a wait takes."""
    return min(error.retry_after or 0.0, _LONGEST_PAUSE)


def trouble_of(error: errors.ApiError, *, is_known: bool) -> Trouble | None:
    """Return what kind of trouble a failed poll is; None if it ends the wait.

    Args:
        error: What the poll raised.
        is_known: Whether the run was seen before. An answer that Retab never gives for a run that exists (no such
            route, a redirect, a bad request, something else than TLS) then comes from a gateway.
    """
    if isinstance(error, errors.NotFoundError):
        is_gateways = is_known and isinstance(error, errors.UnsupportedRouteError)
        return Trouble.OUTAGE if is_gateways else Trouble.MISSING
    never_said = type(error) in _NEVER_SAID and is_known
    may_pass = isinstance(error, TRANSIENT) and (error.retryable or is_known)
    return Trouble.OUTAGE if never_said or may_pass else None
