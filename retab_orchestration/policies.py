"""How often to look and how often to try again: arithmetic on numbers, never a sleep, never a clock."""

import math
from dataclasses import dataclass

from retab_orchestration.errors import InvalidInputError

__all__ = ["Pace", "PollPolicy", "RetryPolicy"]

# What is shorter than this is 0 to a clock, and 0 would never let go of a server.
_SHORTEST = 1e-6


def _within(owner: object, least: float, below: float, *names: str, whole: bool = False) -> None:
    for name in names:
        value = getattr(owner, name)
        kinds = int if whole else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value < below:
            kind = "a whole number" if whole else "a number"
            span = "more than 0" if least == _SHORTEST else f"at least {least:g}"
            end = "" if math.isinf(below) else f" and below {below:g}"
            raise InvalidInputError(
                f"{type(owner).__name__}.{name} must be {kind}, {span}{end}, not {value!r}"
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
    patience: float = 60.0
    """Seconds: the longest `Retry-After` that is waited out; past it the error is raised, with its `retry_after`."""
    find_for: float = 30.0
    """Seconds for which a run is looked for when the answer to its create was lost: a list may lag that far behind."""

    def __post_init__(self) -> None:
        _within(self, 0, math.inf, "find_for")
        _within(self, 1, math.inf, "attempts", whole=True)
        _within(self, _SHORTEST, math.inf, "base", "cap", "patience")


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """When to look at a run that is waited for: soon at first, then ever less often.

    The gap between two looks is a share of the time waited so far, so a run of seconds is noticed within a second
    while a run of hours costs a few looks a minute.
    """

    first: float = 0.5
    """Seconds from the start of the wait to the first look; 0 looks at once."""
    interval: float = 30.0
    """Seconds: the longest gap while the run is active. Hosts call it poll_interval."""
    growth: float = 0.3
    """The gap as a share of the time waited so far."""
    shortest: float = 0.5
    """Seconds: the shortest gap."""
    review_interval: float = 60.0
    """Seconds: the gap while a human is asked."""
    jitter: float = 0.1
    """The share by which a gap is shortened at random, so that many waiters do not look in step."""
    max_failures: int = 5
    """Failed looks in a row after which the wait gives up with the last failure."""

    def __post_init__(self) -> None:
        _within(self, 1, math.inf, "max_failures", whole=True)
        _within(self, _SHORTEST, math.inf, "interval", "growth", "shortest", "review_interval")
        _within(self, 0, math.inf, "first")
        _within(self, 0, 1, "jitter")

    def gap(self, waited: float, *, in_review: bool, chance: float) -> float:
        """Return the seconds until the next look.

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
        """Return the seconds until the next look after this many failed looks in a row."""
        return min(self.interval, self.shortest * 2.0 ** min(failures, 64)) * (1 - self.jitter * chance)


class Pace:
    """Spreads requests out, so that no second has more of them than agreed.

    Args:
        per_second: How many.
    """

    def __init__(self, per_second: float) -> None:
        self._gap = 1.0 / per_second
        self._free_at = -math.inf

    def turn(self, now: float) -> float:
        """Take the next free moment and return how many seconds from now it is."""
        at = max(now, self._free_at)
        self._free_at = at + self._gap
        return at - now
