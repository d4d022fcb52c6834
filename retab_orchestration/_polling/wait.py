"""One wait for one run: when to poll it next, and when the wait is over. It is told the time and never polls itself."""

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

__all__ = ["LAST_POLL", "LONGEST_POLL", "OnReview", "Wait", "WaitOptions", "asked_pause", "trouble_of"]

# What Retab does not answer to whoever asks for a run that is there: redirects, teapots, conflicts, bad requests.
_NEVER_SAID = frozenset({errors.ApiStatusError, errors.ConflictError, errors.RequestRejectedError})

LAST_POLL = 5.0
"""Seconds that a poll may take although the deadline is nearer: the last one is made at the deadline itself."""

LONGEST_POLL = 15.0
"""Seconds that a poll may take which many wait for."""

# Nodes at which a human is asked that are kept: each wait has its own, for as long as it lasts.
_MOST_NODES = 100

# Seconds. A server that asks for a longer pause gets this one: the run may end meanwhile.
_LONGEST_PAUSE = 120.0

# How far a run is that has not ended.
_PROGRESS = {RunStatus.QUEUED: 1, RunStatus.RUNNING: 2, RunStatus.WAITING_FOR_HUMAN: 3}


W = TypeVar("W", bound=WorkflowRun | WorkflowTestRun)

OnReview = Literal["return", "wait", "until_decided"]
"""What a wait does when a human is asked: return the run as it is, wait until it has ended, or wait until it is
decided, and return at once where nobody is asked."""
_ON_REVIEW = ("return", "wait", "until_decided")


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """How a caller waits."""

    timeout: float | None
    """Seconds that the run may take, None for any; time in which a human is asked does not count."""
    poll: PollPolicy
    on_review: OnReview = "return"
    on_outage: Callable[[errors.ApiError | None], Any] | None = None
    """Called with an error when polls begin to fail, and with None when they are understood again."""
    on_change: Callable[[Any], Any] | None = None
    """Called with the run when it is seen first, and whenever its status, or where it waits, has changed."""

    @classmethod
    def read(
        cls, timeout: Any, poll: Any, on_review: Any = "return", on_outage: Any = None, on_change: Any = None
    ) -> "WaitOptions":
        """Check what a wait was given.

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
        )


@dataclass(slots=True, eq=False, repr=False)
class Wait(Generic[W]):
    """Decide from what each poll showed when to poll a run next, and when the wait for it is over.

    Attributes:
        run_id: The run.
        options: How long it may take, how often to poll, and whom to tell of changes.
        started: When the wait began, seconds on a clock that never goes back.
        deadline: When the last poll is made; infinite without a timeout, and while a human is asked.
        due: When to poll next.
        gap: Seconds from the poll before to that.
        status_name: The server's word for the state that was seen last; None until there is one.
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
    _paced_from: float = field(init=False)  # gaps grow from here: anew when a human has decided
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
        self._budget = ErrorBudget(poll.error_budget)

    def saw(self, run: W, now: float, chance: float) -> bool:
        """Take in the run as a poll showed it; return whether the wait is over.

        Args:
            run: The run.
            now: The present time.
            chance: A random number from 0 to 1, which decides the jitter.

        Raises:
            WaitTimeoutError: It is not, and the deadline has passed.
        """
        self._run = run
        nodes = run.waiting_for_node_ids if isinstance(run, WorkflowRun) and run.is_waiting else ()
        if self._is_moved(nodes):
            self.status_name = None  # one review has followed another at once
        self._nodes = tuple(nodes[:_MOST_NODES])
        return self._saw_state(run.status, run.status_name, now, chance, run)

    def failed(self, error: errors.ApiError, now: float, chance: float) -> None:
        """Take in a poll that failed.

        Raises:
            ApiError: The failure itself: it cannot pass, or polls have failed for too long.
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
        self.due = min(self._budget.next_at(trouble, now, max(gap, asked_pause(error))), self.deadline)
        self.gap = self.due - now

    def is_settled_by(self, status: RunStatus) -> bool:
        """Tell whether this state ends the wait."""
        if status.is_waiting:
            return self.options.on_review == "return"
        return status.is_terminal or self.options.on_review == "until_decided"

    def seconds_left(self, now: float) -> float | None:
        """Return how long a poll that begins now may take, None for as long as any request."""
        return None if self.deadline == math.inf else max(self.deadline - now, LAST_POLL)

    def resuming(self) -> Resuming | None:
        """Return what is known of the reviews that the run waits for; None while none is waited for."""
        if self._review_since is None or self.options.on_review == "return":
            self._resuming = None
        elif self._resuming is None:
            self._resuming = Resuming(self.options.poll, self._review_since)
        return self._resuming

    def expired(self) -> errors.WaitTimeoutError:
        """Return the error of a wait whose deadline has passed."""
        state = f"is still {self.status_name}" if self.status_name else "could not be looked at"
        trouble = f" The last look failed: {self._failure}" if self._failure else ""
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
        """Take in a state; return whether the wait is over. `run` is for `on_change`, None where that is not wanted."""
        if self._trouble is Trouble.OUTAGE:
            self._report(None)
        self._failure = self._trouble = None
        before, self.status_name = self.status_name, sys.intern(status_name)
        if status_name != before and self.options.on_change is not None and run is not None:
            self.options.on_change(run)
        # What an outage hid may have begun with it.
        since = self._budget.outage_since
        self._budget.understood(now)
        self._clock_review(status, now, now if since is None else since)
        if self.is_settled_by(status):
            return True
        self._plan(now, chance)
        return False

    def _plan(self, now: float, chance: float) -> None:
        """Poll again after the usual gap, or at the deadline itself: a run that ends just before it is not late."""
        if now >= self.deadline:
            raise self.expired()
        in_review = self._review_since is not None
        gap = self.options.poll.gap(now - self._paced_from, in_review=in_review, chance=chance)
        self.due = min(now + gap, self.deadline)
        self.gap = self.due - now

    def _clock_review(self, status: RunStatus, now: float, since: float) -> None:
        """Stop the clock of the timeout while a human is asked."""
        if status.is_waiting and self._review_since is None:
            self._review_since, self.deadline = since, math.inf
        elif not status.is_waiting and self._review_since is not None:
            self._reviewed += now - self._review_since
            self._review_since = None
            self._paced_from = now
            if self.options.timeout is not None:
                self.deadline = self.started + self.options.timeout + self._reviewed

    def _is_moved(self, nodes: Sequence[str]) -> bool:
        """Tell whether a human is asked at these nodes, and was asked elsewhere before."""
        return bool(self._nodes and nodes) and tuple(nodes[:_MOST_NODES]) != self._nodes

    def _goes_back(self, status: RunStatus) -> bool:
        """Tell whether a later state than this was seen already, which a list that lags does not show yet."""
        return _PROGRESS.get(status, 0) < _PROGRESS.get(RunStatus.read(self.status_name), 0)

    def _report(self, outage: errors.ApiError | None) -> None:
        if self.options.on_outage is not None:
            self.options.on_outage(outage)


def asked_pause(error: errors.ApiError) -> float:
    """Return for how many seconds the server asks to be left alone, as far as a wait heeds that."""
    return min(error.retry_after or 0.0, _LONGEST_PAUSE)


def trouble_of(error: errors.ApiError, *, is_known: bool) -> Trouble | None:
    """Tell what kind of trouble a failed poll is; None if it ends the wait.

    Args:
        error: What the poll raised.
        is_known: Whether the run was seen before. What Retab never says of a run that is there, comes then from what
            stands before it: that there is no such route, that it is elsewhere, or that nobody may ask like that.
    """
    if isinstance(error, errors.NotFoundError):
        is_gateways = is_known and isinstance(error, errors.UnsupportedRouteError)
        return Trouble.OUTAGE if is_gateways else Trouble.MISSING
    never_said = type(error) in _NEVER_SAID and is_known
    return Trouble.OUTAGE if never_said or isinstance(error, TRANSIENT) else None
