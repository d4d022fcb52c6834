"""Session: everything in the core that sends goes through the session of an account.

Which routes and which header a server takes is detected once per server and key, with requests that only read.
"""

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from retab_orchestration import errors
from retab_orchestration._endpoints import current, shared
from retab_orchestration._endpoints.filters import RunFilters
from retab_orchestration._http import Call, Runtime
from retab_orchestration._texts import kind_of
from retab_orchestration._transport.sending import TRANSIENT, Header, Sender, ServerApi
from retab_orchestration.models import RouteFamily
from retab_orchestration.policies import RetryPolicy
from retab_orchestration.settings import Settings

__all__ = ["TRANSIENT", "Session"]

T = TypeVar("T")

# Seconds by which the time limits of calls differ that begin together.
_SIMULTANEOUS = 1.0

# By server and key, for as long as the process lives: a wait of days asks once.
_found: dict[tuple[str, str, str], ServerApi] = {}
_failures: dict[tuple[str, str, str], "_Failure"] = {}


@dataclass(frozen=True)
class _Failure:
    """That the routes of a server could not be found out."""

    at: float
    """When, on the runtime's clock."""
    error: errors.ApiError
    attempts: int
    """How often the server was asked at most."""
    seconds: float
    """For how long at most."""

    def is_shared_by(self, asked: float, attempts: int, seconds: float) -> bool:
        """Return whether a call fails with it that has asked at this time, and would not ask more often or longer."""
        is_enough = attempts <= self.attempts and seconds <= self.seconds + _SIMULTANEOUS
        return self.at > asked and is_enough


class Session(Sender):
    """Sends calls to one account in the routes, and with the header, that its server takes."""

    __slots__ = ("_key", "tests_word")

    def __init__(
        self, runtime: Runtime, settings: Settings, retry: RetryPolicy, until: float | None = None
    ) -> None:
        if not isinstance(retry, RetryPolicy):
            raise errors.InvalidInputError(f"retry must be a RetryPolicy, not {kind_of(retry)}")
        super().__init__(runtime, settings, retry, until)
        self.tests_word: current.TestsWord = "evals"
        self._key = settings.account, settings.api, settings.auth

    def over(self, runtime: Runtime) -> "Session":
        """Return a session with the same account over another runtime."""
        return Session(runtime, self.settings, self.retry)

    def within(self, seconds: float | None) -> "Session":
        """Return a session of the same account with a time limit in seconds; None for no limit."""
        if seconds is None:
            return self
        return Session(self.runtime, self.settings, self.retry, self.runtime.now() + seconds)

    async def family(self, attempts: int | None = None) -> RouteFamily:
        """Return the route family to use, asking the server the first time if it is to be detected.

        Args:
            attempts: How often to ask a server that does not answer; None leaves it to the account's setting.
        """
        return (await self._detected(attempts)).family

    async def exchange(self, call: Call[T]) -> T:
        """Send a call until it is answered or its retries are used up.

        A create is sent again only after an answer that proves that nothing was created.

        Raises:
            CreateOutcomeUnknownError: A create got no answer, or one that leaves open whether it took effect.
            ApiError: Anything else that went wrong.
        """
        try:
            return await self.repeat(call, await self._detected())
        except errors.AuthenticationError:
            self._forget_detected()  # the server may require the other header by now
            raise

    async def exchange_once(self, call: Call[T], *, seconds: float | None = None) -> T:
        """Send a call that may be repeated, without repeating it: for a wait, which polls again anyway.

        Args:
            call: What to send.
            seconds: How long it may take, with detecting the routes; None leaves it to the account's
                setting.
        """
        session = self.within(seconds)
        return await session.send(call, await session._detected(attempts=1))  # noqa: SLF001

    async def family_anew(self) -> RouteFamily:
        """Return the route family after detecting it again, because the server refused a route that it had."""
        self._forget_detected()
        return await self.family()

    async def in_routes(self, work: Callable[[RouteFamily], Awaitable[T]]) -> T:
        """Run what depends on the routes; where classic ones are gone, once more on current ones.

        The reverse is not tried: a gateway may answer that a current route is gone, and on classic routes no run is
        found by its tags.
        """
        family = await self.family()
        try:
            return await work(family)
        except errors.UnsupportedRouteError:
            if family == "current":
                raise
            if await self.family_anew() == family:
                raise
        return await work("current")

    async def _detected(self, attempts: int | None = None) -> ServerApi:
        """Return the routes and the header, asking the server the first time."""
        settings = self.settings
        if settings.api != "auto" and settings.auth != "auto":
            return ServerApi(settings.api, settings.auth)
        return _found.get(self._key) or await self._find_out(attempts or self.retry.attempts)

    def _forget_detected(self) -> None:
        """Ask the server again the next time, because its routes or its header have changed."""
        _found.pop(self._key, None)

    async def _find_out(self, attempts: int) -> ServerApi:
        """Ask once for all callers of this moment; those that would ask no longer share a failure as well."""
        asked, seconds = self.runtime.now(), self.seconds_left()
        async with self.runtime.lock(self.settings.account, seconds):
            failure = _failures.get(self._key)
            if failure is not None and failure.is_shared_by(asked, attempts, seconds):
                raise copy.copy(failure.error)
            if self._key not in _found:
                try:
                    _found[self._key] = await self._probe(attempts)
                except errors.ApiError as error:
                    _failures[self._key] = _Failure(self.runtime.now(), error, attempts, seconds)
                    raise
            return _found[self._key]

    async def _probe(self, attempts: int) -> ServerApi:
        """Detect the routes and the header with requests that only read.

        The steps of the whole organisation are a route that only current servers have. Where a classic server says that
        it has no such route, that says nothing about the key: the run list, which every server has, settles the header.
        It has to say so again after that: a gateway may not know a route for a moment, and no run is searched for
        before its create on a server that is taken for a classic one.
        """
        steps, runs = current.probe(), shared.list_runs(RunFilters.read(limit=1), "classic")
        if self.settings.api != "auto":
            auth = await self._accepted(runs if self.settings.api == "classic" else steps, attempts)
            return ServerApi(self.settings.api, auth)
        try:
            return ServerApi("current", await self._accepted(steps, attempts))
        except (errors.NotFoundError, errors.RequestRejectedError):
            auth = await self._accepted(runs, attempts)
        try:
            return ServerApi("current", await self._accepted(steps, attempts))
        except (errors.NotFoundError, errors.RequestRejectedError):
            return ServerApi("classic", auth)

    async def _accepted(self, call: Call[Any], attempts: int) -> Header:
        """Return the header with which the server takes the key: Bearer first, on 401 once more with Api-Key."""
        auth = self.settings.auth
        tried: tuple[Header, ...] = ("bearer", "api-key") if auth == "auto" else (auth,)
        for header in tried:
            try:
                await self.repeat(call, ServerApi("current", header), attempts)
            except errors.PermissionDeniedError:
                return header  # the key is known, it may only not read this
            except errors.AuthenticationError:
                if header == tried[-1]:
                    raise
            else:
                return header
        raise AssertionError("unreachable")
