"""How long an exchange with a server may take: arithmetic on seconds and bytes, never a clock."""

import math

__all__ = ["LEAST_PER_TIMEOUT", "Limits"]

LEAST_PER_TIMEOUT = 16 * 1024
"""Bytes of a request that a connection has to take in every `timeout` seconds of sending."""

# The answer may take so many times `timeout`, from the last byte of the request to its own last byte.
_ANSWER_TIMEOUTS = 2


class Limits:
    """The time limits of one exchange. Each method returns the seconds that are left; 0 or less means none.

    Args:
        timeout: Seconds to connect, to take each 16 KiB of the request, and between two parts of the answer; the whole
            answer may take twice as long.
        within: Seconds that everything together, and each of these, may take; None for no such limit.
        now: The present time, on the clock that all other times are read from.
    """

    __slots__ = ("_answer_until", "_connect_until", "_taken", "_timeout", "_within_until", "_writing")

    def __init__(self, timeout: float, within: float | None, now: float) -> None:
        self._timeout = timeout if within is None else min(within, timeout)
        self._within_until = math.inf if within is None else now + within
        self._connect_until: float | None = None
        self._answer_until: float | None = None
        self._taken = 0
        self._writing = 0.0

    def connecting(self, now: float) -> float:
        """Return how long connecting may still take: addresses, a proxy's answer and TLS, all together."""
        if self._connect_until is None:
            self._connect_until = now + self._timeout
        return min(self._connect_until, self._within_until) - now

    def sending(self, now: float) -> float:
        """Return how long it may take until the connection has taken more of the request."""
        self._answer_until = None  # the time of the answer begins after the last byte of the request
        return min(self._timeout - self._writing, self._within_until - now)

    def sent(self, count: int, seconds: float) -> None:
        """Record that the connection has taken bytes, or none, and how long that took.

        Time that is spent elsewhere, such as on reading a document, does not count.
        """
        self._taken += count
        self._writing += seconds
        if self._taken >= LEAST_PER_TIMEOUT:
            self._taken, self._writing = 0, 0.0

    def receiving(self, now: float) -> float:
        """Return how long the next part of the answer may take."""
        if self._answer_until is None:
            self._answer_until = now + _ANSWER_TIMEOUTS * self._timeout
        return min(self._timeout, self._answer_until - now, self._within_until - now)
