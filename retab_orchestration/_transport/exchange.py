"""What both runtimes have in common: the time limits of an exchange, the errors of one that fails, and the clocks."""

import math
import os
import random
import re
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar

import httpcore

from retab_orchestration import errors
from retab_orchestration._error_responses import redacted
from retab_orchestration._http import Request
from retab_orchestration._transport.interruptions import is_anothers
from retab_orchestration._transport.responses import BadEncodingError
from retab_orchestration.policies import Pace
from retab_orchestration.settings import Settings

__all__ = ["LEAST_PER_TIMEOUT", "Clocks", "Flight", "Limits", "failing_as", "failing_as_proxy"]

# Bytes of a body above which it may have been too large for the server.
_MANY = 24 * 1024 * 1024

LEAST_PER_TIMEOUT = 16 * 1024
"""Bytes of a request that a connection has to take in every `timeout` seconds of sending."""

# The answer may take so many times `timeout`, from the last byte of the request to its own last byte.
_ANSWER_TIMEOUTS = 2


class Flight:
    """A request in flight: how much of it was sent, and the error if it fails."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.is_whole = request.body is None
        """Whether the connection has taken all of the body. A server cannot act on a part, so a failure before is
        harmless."""
        self._is_begun = False
        self._source: BaseException | None = None

    @contextmanager
    def reading_body(self) -> Iterator[None]:
        """Keep an error of the body's source, which the caller gets as it is."""
        self._is_begun = True
        try:
            yield
        except BaseException as error:
            self._source = error
            raise

    def failure(self, error: Exception) -> Exception:
        """Return the error for a failure, to be raised outside of the `except` of the failure.

        An error of httpcore or h11 may have headers in its text or its frames, so nothing of it is kept.
        """
        if error is self._source or isinstance(error, errors.RetabError) or is_anothers(error):
            return error
        facts: dict[str, Any] = {"method": self.request.method, "path": self.request.path}
        if isinstance(error, _CONNECTING | httpcore.TimeoutException):
            return self._unanswered(error, facts)
        is_ours = isinstance(error, httpcore.LocalProtocolError) and not self._is_begun
        if isinstance(error, httpcore.NetworkError | httpcore.ProtocolError) and not is_ours:
            when = "before the answer was read" if self.is_whole else "while the request was being sent"
            text = f"the connection broke {when} ({type(error).__name__}){self._hint}"
            return errors.ApiConnectionError(text, sent=self.is_whole, **facts)
        text = f"the answer could not be read ({type(error).__name__})"
        if is_ours:
            text = "the server gave headers for the document that cannot be sent"
        elif isinstance(error, BadEncodingError):
            text = "the answer is compressed in a way that is broken, or that was not asked for"
        return errors.UnreadableAnswerError(text, **facts)

    def crowded_out(self) -> errors.ApiTimeoutError:
        """Return the error for a request that got no slot in time."""
        text = "too many other requests wait for their answers; try again later"
        return errors.ApiTimeoutError(text, sent=False, method=self.request.method, path=self.request.path)

    def _unanswered(self, error: Exception, facts: dict[str, Any]) -> errors.ApiConnectionError:
        is_late = isinstance(error, httpcore.TimeoutException)
        if is_late and not isinstance(error, _CONNECTING):
            text = "no answer in time; try again later, or raise timeout"
            return errors.ApiTimeoutError(text, sent=self.is_whole, **facts)
        if is_late:
            text = "no connection in time; check base_url, the proxy and the network"
            return errors.ApiTimeoutError(text, sent=False, **facts)
        if self.request.base_url and _is_no_tls(error):
            return errors.NoTlsError(f"{self.request.base_url} does not speak TLS", sent=False, **facts)
        place = self.request.base_url or "the place where Retab takes documents"
        reason = redacted(str(error), "")
        text = f"no connection to {place} ({reason}); check base_url, the proxy and the network"
        return errors.ApiConnectionError(text, sent=False, **facts)

    @property
    def _hint(self) -> str:
        """Return why the connection may have been closed in the middle of a body."""
        body = self.request.body
        if self.is_whole or body is None or body.length < _MANY:
            return ""
        return f"; the request has {body.length / 1024**2:.0f} MiB, and Retab takes about 32 MiB"


# What OpenSSL says of an answer in plain HTTP, by its release; Python does not know all of its codes by name.
_NO_TLS = re.compile("wrong.version.number|record.layer.failure", re.IGNORECASE)


def _is_no_tls(error: Exception) -> bool:
    """Return whether a server, and not its proxy, has answered something else than TLS."""
    return isinstance(error, httpcore.ConnectError) and _NO_TLS.search(str(error)) is not None


_CONNECTING = httpcore.ConnectError | httpcore.ConnectTimeout | httpcore.PoolTimeout | httpcore.ProxyError


@contextmanager
def failing_as(late: type[Exception], broken: type[Exception]) -> Iterator[None]:
    """Raise httpcore's exceptions for those of a socket."""
    try:
        yield
    except (OSError, ValueError) as error:  # also a name or a certificate that Python refuses
        if is_anothers(error):
            raise
        raise (late if isinstance(error, TimeoutError) else broken)(str(error)) from error


@contextmanager
def failing_as_proxy() -> Iterator[None]:
    """Raise the error of a connection to a proxy as one of the proxy."""
    try:
        yield
    except httpcore.ConnectError as error:
        raise httpcore.ProxyError(str(error)) from error


class Limits:
    """The time limits of one exchange. Each method returns the seconds that are left; 0 or less means none.

    Args:
        timeout: Seconds to connect, to take each 16 KiB of the request, and between two parts of the answer; the whole
            answer may take twice as long.
        within: Seconds that everything together, and each of these, may take; None for no such limit.
        now: The present time, on the clock that all other times are read from.
        streams: Whether the answer may take as long as each 16 KiB of it are there in time.
    """

    __slots__ = (
        "_answer_until",
        "_connect_until",
        "_taken",
        "_timeout",
        "_within_until",
        "_writing",
        "streams",
    )

    def __init__(self, timeout: float, within: float | None, now: float, *, streams: bool = False) -> None:
        self.streams = streams
        """Whether what came in is to be recorded."""
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

    def received(self, count: int) -> None:
        """Record that more of an answer came in that may take as long as it keeps coming."""
        self._taken += count
        if self._taken >= LEAST_PER_TIMEOUT:
            self._taken, self._answer_until = 0, None


class Clocks:
    """The clocks and random numbers of this machine, and the pace of an account's requests."""

    __slots__ = ()

    now = staticmethod(time.monotonic)
    utc = staticmethod(partial(datetime.now, UTC))
    chance = staticmethod(random.random)  # it spreads requests out, it keeps no secret

    _paces: ClassVar[dict[Settings, Pace]] = {}
    _pacing: ClassVar[Any] = threading.RLock()  # a signal's handler may send a request as well

    async def wait_for_turn(
        self, settings: Settings, within: float, sleep: Callable[[float], Awaitable[None]]
    ) -> bool:
        """Wait for the account's next moment for a request of this process; return whether it is within that time.

        A moment that nobody uses is given back: calls that are cancelled would put off all later ones.
        """
        if settings.requests_per_second is None:
            return True
        with self._pacing:
            pace, now = self._paces.setdefault(settings, Pace(settings.requests_per_second)), self.now()
            seconds = pace.reserve(now)
        is_used = False
        try:
            await sleep(min(seconds, max(0.0, within)))
            is_used = seconds <= within
        finally:
            if not is_used:
                with self._pacing:
                    pace.give_back(now + seconds)
        return is_used

    @classmethod
    def unlock(cls) -> None:
        """Replace the lock, which a thread of the parent process may hold."""
        Clocks._pacing = threading.RLock()


# A lock that another thread held while the process forked would never be released in the child.
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=Clocks.unlock)
