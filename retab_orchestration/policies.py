"""How often to poll and how often to retry: arithmetic on numbers, never a sleep, never a clock."""

import heapq
import math
from dataclasses import dataclass
from enum import StrEnum

from retab_orchestration._texts import kind_of
from retab_orchestration.errors import InvalidInputError

__all__ = ["ErrorBudget", "KeyRefusals", "Pace", "PollPolicy", "RetryPolicy", "Trouble"]

# Seconds. A shorter time is 0 to a clock, and polls without a pause would overload a server.
_SHORTEST = 1e-6
# Seconds, some 31 years. No clock sleeps for much longer.
_LONGEST = 1e9
# More digits than any count has.
_LARGEST = 2**53
# Seconds from the first poll of a wait.
_NOT_FOUND_GRACE = 60.0


def _within(owner: object, least: float, below: float, *names: str, whole: bool = False) -> None:
    for name in names:
        value = getattr(owner, name)
        kinds = int if whole else (int, float)
        wrong = isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < below
        if wrong or (isinstance(value, int) and value > _LARGEST):
            kind = "a whole number" if whole else "a number"
            span = "more than 0" if least == _SHORTEST else f"at least {least:g}"
            end = "" if math.isinf(below) else f" and below {below:g}"
            raise InvalidInputError(
                f"{type(owner).__name__}.{name} must be {kind}, {span}{end}, not {kind_of(value)}"
            )


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a request that may be repeated is tried, and how long to wait between: full jitter."""

    attempts: int = 4
    """Tries in all, the first one included; 1 means never again."""
    base: float = 0.5
    """Seconds: the longest wait before the second try. It doubles with every try."""
    cap: float = 30.0
    """Seconds: the longest wait of all, except when the server asks for more with `Retry-After`."""
    max_retry_after: float = 60.0
    """Seconds: the longest `Retry-After` that is waited for; above it the error is raised, with its `retry_after`."""
    find_for: float = 30.0
    """Seconds for which a run is searched for when the answer to its create was lost: a list may lag that far."""

    def __post_init__(self) -> None:
        _within(self, 0, _LONGEST, "find_for")
        _within(self, 1, math.inf, "attempts", whole=True)
        _within(self, _SHORTEST, _LONGEST, "base", "cap", "max_retry_after")


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """When to poll a run that is waited for: soon at first, then less and less often.

    The gap between two polls is a share of the time waited so far, so the end of a run of seconds is seen within a
    second while a run of hours costs a few polls a minute.
    """

    first: float = 0.5
    """Seconds from the start of the wait to the first poll; 0 polls at once."""
    interval: float = 30.0
    """Seconds: the longest gap while the run is active. Hosts call it poll_interval."""
    growth: float = 0.3
    """The gap as a share of the time waited so far."""
    shortest: float = 0.5
    """Seconds: the shortest gap."""
    review_interval: float = 60.0
    """Seconds: the gap while a human is asked."""
    jitter: float = 0.1
    """The share by which a gap is shortened at random, so that many waits do not poll at the same moment."""
    error_budget: float = 600.0
    """Seconds for which polls may fail (5xx, 429, no connection, answers that cannot be read) until the wait raises the
    last failure. They are counted anew from each answer that is understood."""
    not_found_grace: float = _NOT_FOUND_GRACE
    """Seconds from the first poll for which a 404 is forgiven: a run that was created a moment ago may not be found
    yet, and a gateway whose servers change may answer so for some seconds. After that three in a row end the wait."""

    resume_timeout: float = 600.0
    """Seconds that a run waits for a human until its reviews are read, and between two such reads; also how long it may
    go on waiting at the same nodes after they were decided."""

    def __post_init__(self) -> None:
        _within(self, _SHORTEST, math.inf, "growth")
        _within(self, _SHORTEST, _LONGEST, "interval", "shortest", "review_interval")
        _within(self, _SHORTEST, _LONGEST, "resume_timeout", "error_budget")
        _within(self, 0, _LONGEST, "first", "not_found_grace")
        _within(self, 0, 1, "jitter")

    def gap(self, waited: float, *, in_review: bool, chance: float) -> float:
        """Return the seconds until the next poll.

        Args:
            waited: Seconds waited so far.
            in_review: Whether the run waits for a human.
            chance: A random number from 0 to 1, which decides the jitter.
        """
        longest = (
            self.review_interval
            if in_review
            else min(self.interval, max(self.shortest, self.growth * waited))
        )
        return longest * (1 - self.jitter * chance)

    def gap_after_failure(self, failures: int, *, chance: float) -> float:
        """Return the seconds until the next poll after this many failed polls in a row."""
        return min(self.interval, self.shortest * 2.0 ** min(failures, 64)) * (1 - self.jitter * chance)


class Trouble(StrEnum):
    """Why a poll failed, as far as it matters for whether to poll again."""

    OUTAGE = "outage"
    """5xx, 429, no connection, an answer that cannot be read or is about another run, or a route that is not known any
    more."""
    MISSING = "missing"
    """404: a run that was created a moment ago may not be found yet."""


# How many 404s in a row end a wait once they count, and how many seconds apart those are at least.
_MISSING_IN_A_ROW = 3
_BETWEEN_MISSING = 10.0
# How often in all a refused key is tried, within a minute.
_KEY_REFUSALS = 3
_BETWEEN_KEY_REFUSALS = 25.0
_KEY_IS_GOOD_AFTER = 120.0


class ErrorBudget:
    """How long the polls of one wait may fail: which have, and whether to poll again.

    Args:
        seconds: For how long an outage may last.
        not_found_grace: Seconds from the first poll for which a 404 counts for nothing.
    """

    __slots__ = ("_first_poll", "_grace", "_missing", "_seconds", "failures", "outage_since")

    def __init__(self, seconds: float, not_found_grace: float = _NOT_FOUND_GRACE) -> None:
        self._seconds = seconds
        self._grace = not_found_grace
        self._first_poll: float | None = None
        self.outage_since: float | None = None
        """When the first of the failed polls was made, if they are an outage; None otherwise."""
        self._missing = 0
        self.failures = 0
        """Failed polls in a row."""

    @property
    def is_troubled(self) -> bool:
        """Whether the last poll failed."""
        return self.failures > 0

    def understood(self, now: float) -> None:
        """Record a poll that showed the run."""
        if self._first_poll is None:
            self._first_poll = now
        if self.failures:
            self.outage_since = None
            self._missing = self.failures = 0

    def failed(self, trouble: Trouble, now: float) -> bool:
        """Record a poll that failed; return whether to poll again."""
        if self._first_poll is None:
            self._first_poll = now
        self.failures += 1
        if trouble is Trouble.OUTAGE:
            if self.outage_since is None:
                self.outage_since = now
            return now < self.outage_since + self._seconds
        self.outage_since = None  # a 404 is an answer that was understood
        self._missing = self._missing + 1 if now >= self._first_poll + self._grace else 0
        return self._missing < _MISSING_IN_A_ROW

    def next_at(self, trouble: Trouble, now: float, gap: float) -> float:
        """Return when to poll again: after that gap, but not after the last moment at which it may help."""
        if trouble is Trouble.OUTAGE and self.outage_since is not None:
            return min(now + gap, max(now, self.outage_since + self._seconds))
        return now + (max(gap, _BETWEEN_MISSING) if self._missing else gap)


class KeyRefusals:
    """The 401s of one wait: a key that is being rotated may be refused for a moment."""

    __slots__ = ("_last", "_refusals")

    def __init__(self) -> None:
        self._last = -math.inf
        self._refusals = 0

    def pause_after(self, now: float, *, is_changed: bool) -> float | None:
        """Return the seconds until the next poll after one that was refused; None if the key is wrong.

        Args:
            now: The present time, seconds on a clock that never goes back.
            is_changed: Whether there is another key by now, which has not been tried yet.
        """
        # A longer gap than that between two refusals means that a poll was answered in between.
        is_first = is_changed or now > self._last + _KEY_IS_GOOD_AFTER
        self._refusals = 0 if is_changed else 1 if is_first else self._refusals + 1
        self._last = now
        if is_changed:
            return 0.0
        return _BETWEEN_KEY_REFUSALS if self._refusals < _KEY_REFUSALS else None


class Pace:
    """Spreads requests out, so that no second has more of them than the limit.

    Args:
        per_second: How many.
    """

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._free_at = -math.inf
        self._given_back: list[float] = []  # a heap

    def reserve(self, now: float) -> float:
        """Reserve the next free moment and return how many seconds from now it is."""
        while self._given_back:
            at = heapq.heappop(self._given_back)
            if at >= now:
                return at - now
        at = max(now, self._free_at)
        self._free_at = at + self._gap
        return at - now

    def give_back(self, at: float) -> None:
        """Leave a moment to others that was reserved, and will not be used."""
        heapq.heappush(self._given_back, at)
