"""The deadlines of a deferred task: which clocks run, what a review does to them, and how long resuming may fail."""

import time
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

__all__ = ["RESUME_BUDGET", "Visibility", "Wait", "Watch", "moment_after"]

RESUME_BUDGET = 600.0
"""Seconds for which a resumed task may be unable to read its run until it fails."""

# Seconds that are enough for one poll.
_ONE_POLL = 0.001

# Seconds within which two calls are about the same poll; two polls of a run are further apart.
_SAME_POLL = 0.25

# Seconds, a century: a longer limit means none, and its date could not be stored.
_LONGEST = 100 * 366 * 24 * 3600.0

# Seconds after our last deadline at which Airflow ends a deferral whose trigger fired no event.
_BACKSTOP = 60.0


class Watch(StrEnum):
    """What a trigger waits for, besides the end of the run."""

    END = "end"
    """Nothing else, or a review if that ends the wait."""
    REVIEW_BEGIN = "review_begin"
    """The begin of a review, which stops the clock."""
    REVIEW_END = "review_end"
    """The end of a review, after which the clock goes on."""


@dataclass(frozen=True)
class Wait:
    """How long a task waits, and whether its run was reattached; the deferral keeps it.

    The clock of `timeout` is ours: it runs (`deadline`), or it is stopped during a review (`seconds_left`).
    """

    deadline: float | None = None
    """Seconds since the epoch; the time of a review does not count."""
    strict_deadline: float | None = None
    """Seconds since the epoch; the time of a review counts."""
    reattached: bool = False
    """Whether an earlier attempt has started the run."""
    seconds_left: float | None = None
    """The rest of the time when the review began; None outside of a review."""
    failing_since: float | None = None
    """Seconds since the epoch: since when a resumed task cannot read its run; None while it can."""
    seen_at: float | None = None
    """Seconds since the epoch: when the run was last seen. A change that is seen next may have happened right after."""
    not_found_until: float | None = None
    """Seconds since the epoch: until when a 404 is forgiven; None for a minute from the first poll of each trigger."""

    @classmethod
    def begin(cls, timeout: float | None, execution_timeout: timedelta | None) -> "Wait":
        """Return a wait that begins now, with its deadlines."""
        strict = None if execution_timeout is None else execution_timeout.total_seconds()
        return cls(moment_after(timeout), moment_after(strict))

    def saw(self, *, is_waiting: bool, at: float, since: float | None = None) -> "Wait":
        """Return the wait after the run was seen: the clock stops during a review.

        Args:
            is_waiting: Whether the run waits for a human.
            at: When that was seen, seconds since the epoch.
            since: The moment after which that may have begun unseen, in an outage; None for when it was seen.
        """
        if is_waiting and self.deadline is not None:
            left = self.deadline - (at if since is None else min(since, at))
            return replace(self, deadline=None, seconds_left=max(left, 0.0))
        if not is_waiting and self.seconds_left is not None:
            return replace(self, deadline=at + self.seconds_left, seconds_left=None)
        return self

    def left(self, now: float, until: float | None = None) -> float | None:
        """Return the seconds that a wait may take here, None for any number; at least enough for one more poll.

        Args:
            now: Seconds since the epoch.
            until: When to defer, seconds since the epoch; None for never.
        """
        own = self.seconds_left
        if own is None and self.deadline is not None:
            own = self.deadline - now
        both = (own, None if until is None else until - now)
        nearest = min((each for each in both if each is not None), default=None)
        return None if nearest is None else max(nearest, _ONE_POLL)

    def watch(self, *, through_review: bool) -> Watch:
        """Return what the trigger waits for next.

        Args:
            through_review: Whether a review does not end the wait.
        """
        if not through_review or (self.deadline is None and self.seconds_left is None):
            return Watch.END
        return Watch.REVIEW_BEGIN if self.seconds_left is None else Watch.REVIEW_END

    def failed_to_resume(self, now: float) -> "Wait | None":
        """Return the wait after a resumed task could not read its run; None if that has gone on for too long."""
        since = now if self.failing_since is None else self.failing_since
        return replace(self, failing_since=since) if now < since + RESUME_BUDGET else None

    def bound(self, *, through_review: bool) -> float | None:
        """Return the moment at which the wait is over whatever is seen until then; None where there is none.

        Args:
            through_review: Whether the wait goes on, and `deadline` moves, during a review.
        """
        moments = (self.strict_deadline, None if through_review else self.deadline)
        return min((moment for moment in moments if moment is not None), default=None)

    def backstop(self, shortest: float, longest: float | None, *, through_review: bool) -> timedelta | None:
        """Return the timeout of the deferral for Airflow.

        Args:
            shortest: Seconds that the deferral takes at least.
            longest: Seconds that it takes at most where the wait has no bound; None for any number.
            through_review: Whether the wait goes on, and `deadline` moves, during a review.
        """
        bound = self.bound(through_review=through_review)
        if bound is not None:
            return timedelta(seconds=max(bound - time.time(), shortest) + _BACKSTOP)
        return None if longest is None else timedelta(seconds=max(longest, shortest))


def moment_after(seconds: float | None) -> float | None:
    """Return the moment so many seconds from now, since the epoch; None for None, or past every calendar."""
    return None if seconds is None or seconds > _LONGEST else time.time() + seconds


class Visibility:
    """Since when a change may be unseen, for a wait with callbacks for changes and outages, but not for each poll."""

    __slots__ = ("_blind_since", "_ended_at", "_has_seen", "news_since")

    def __init__(self) -> None:
        self._has_seen = False
        self._blind_since: float | None = None
        self._ended_at: float | None = None
        self.news_since: float | None = None
        """The moment after which the newest change may have happened; None where nothing was seen before it."""

    def outage_changed(self, *, is_lost: bool, now: float) -> None:
        """Record a failed poll, or the one that ended an outage, before the change that it showed."""
        if not is_lost:
            self._ended_at = now
        elif self._blind_since is None or self._ended_at is not None:
            self._blind_since, self._ended_at = now, None

    def changed(self, now: float) -> None:
        """Record a poll that showed a change."""
        self.news_since = self.known_until(now)
        self._has_seen, self._blind_since, self._ended_at = True, None, None

    def known_until(self, now: float) -> float | None:
        """Return up to when the state of the run is known; None where nothing was seen."""
        if not self._has_seen:
            return None
        is_over = self._ended_at is not None and now - self._ended_at > _SAME_POLL
        return now if self._blind_since is None or is_over else self._blind_since
