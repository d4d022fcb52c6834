"""When to look at a run again: pure decisions from what was seen and when. Drivers act on them."""

from dataclasses import dataclass

from retab_orchestration.models import RunStatus
from retab_orchestration.policies import ErrorBudget, PollPolicy, Trouble

__all__ = ["Decision", "Expire", "GiveUp", "LookAgain", "Schedule", "Settle"]


@dataclass(frozen=True, slots=True)
class LookAgain:
    """Look once more."""

    at: float
    """On the clock that the schedule was given."""


@dataclass(frozen=True)
class Settle:
    """The wait is over: the run is where the caller wanted it."""


@dataclass(frozen=True)
class Expire:
    """The wait is over: the deadline passed."""


@dataclass(frozen=True)
class GiveUp:
    """The wait is over: looks have failed for too long."""


Decision = LookAgain | Settle | Expire | GiveUp


# Seconds. What asks for a longer pause than this is waiting for nothing: a run may end meanwhile.
_LONGEST_PAUSE = 120.0


class Schedule:
    """The course of one wait for one run.

    Args:
        policy: How often to look.
        started: The present time on the caller's clock, seconds.
        timeout: Seconds the run may take, None for any; time in which a human is asked does not count.
        through_review: Whether the wait goes on while a human is asked.
        until_decided: Whether the wait is for the end of a review: it ends once no human is asked.
    """

    __slots__ = (
        "_paced_from",
        "_policy",
        "_review_since",
        "_reviewed",
        "_started",
        "_through_review",
        "_timeout",
        "_until_decided",
        "errors",
    )

    def __init__(
        self,
        policy: PollPolicy,
        *,
        started: float,
        timeout: float | None,
        through_review: bool,
        until_decided: bool = False,
    ) -> None:
        self._policy = policy
        self._timeout = timeout
        self._through_review = through_review or until_decided
        self._until_decided = until_decided
        self._started = started
        self._paced_from = started  # where the growth of the gaps starts: anew when a human has decided
        self._reviewed = 0.0
        self._review_since: float | None = None
        self.errors = ErrorBudget(policy.error_budget)

    @property
    def deadline(self) -> float | None:
        """When the wait ends at the latest; None while a human is asked, or without a timeout."""
        if self._timeout is None or self._review_since is not None:
            return None
        return self._started + self._timeout + self._reviewed

    @property
    def review_since(self) -> float | None:
        """Since when a human is asked; None while none is."""
        return self._review_since

    @property
    def is_through_review(self) -> bool:
        """Whether the wait goes on while a human is asked."""
        return self._through_review

    @property
    def started(self) -> float:
        """When the wait began."""
        return self._started

    def waited(self, now: float) -> float:
        """Return for how long the run is waited for, seconds."""
        return now - self._started

    def first(self) -> LookAgain:
        """Return the first look."""
        return self._at(self._started + self._policy.first)

    def settles(self, status: RunStatus) -> bool:
        """Tell whether this status ends the wait."""
        if status.is_waiting:
            return not self._through_review
        return status.is_terminal or self._until_decided

    def saw(self, status: RunStatus, now: float, chance: float) -> Decision:
        """Decide after a look that showed this status."""
        # What an outage hid may have begun with it.
        since = self.errors.outage_since
        self.errors.understood(now)
        self._clock_review(status, now, now if since is None else since)
        if self.settles(status):
            return Settle()
        return self.still(now, chance)

    def still(self, now: float, chance: float) -> LookAgain | Expire:
        """Decide after a look that showed the state of the one before."""
        self.errors.understood(now)
        if self._expired(now):
            return Expire()
        in_review = self._review_since is not None
        return self._at(now + self._policy.gap(now - self._paced_from, in_review=in_review, chance=chance))

    def failed(
        self,
        now: float,
        chance: float,
        retry_after: float | None = None,
        trouble: Trouble = Trouble.OUTAGE,
    ) -> Decision:
        """Decide after a look that failed in a way that may pass."""
        if not self.errors.failed(trouble, now):
            return GiveUp()
        if self._expired(now):
            return Expire()
        gap = self._policy.gap_after_failure(self.errors.failures, chance=chance)
        asked = min(retry_after or 0.0, _LONGEST_PAUSE)
        return self._at(self.errors.next_at(trouble, now, max(gap, asked)))

    def _clock_review(self, status: RunStatus, now: float, since: float) -> None:
        if status.is_waiting and self._review_since is None:
            self._review_since = since
        elif not status.is_waiting and self._review_since is not None:
            self._reviewed += now - self._review_since
            self._review_since = None
            self._paced_from = now

    def _expired(self, now: float) -> bool:
        deadline = self.deadline
        return deadline is not None and now >= deadline

    def _at(self, moment: float) -> LookAgain:
        # The last look is at the deadline itself: a run that ends just before it is not called late.
        deadline = self.deadline
        return LookAgain(moment if deadline is None else min(moment, deadline))
