"""One account on one server: which routes and header it takes, and the only retry loop."""

import copy
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime
from json import JSONDecodeError
from typing import Any, Literal, TypeVar, cast

from pydantic import ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from retab_orchestration import errors
from retab_orchestration._calls import current, shared
from retab_orchestration._calls.filters import RunFilters
from retab_orchestration._http import Call, Runtime
from retab_orchestration._problems import error_of
from retab_orchestration.models import RouteFamily
from retab_orchestration.policies import RetryPolicy
from retab_orchestration.settings import Settings

__all__ = ["PASSING", "Dialect", "Session"]

T = TypeVar("T")

Header = Literal["api-key", "bearer"]

# Bytes of a body that is read where it arrives; a larger one could hold an event loop up for more than 20 ms.
_READ_AT_ONCE = 32 * 1024

PASSING = (
    errors.ApiConnectionError,
    errors.RateLimitedError,
    errors.ServerError,
    errors.UnreadableAnswerError,
)
"""What may be gone when the same thing is asked again."""


@dataclass(frozen=True)
class Dialect:
    """What a server was found to speak."""

    api: RouteFamily
    auth: Header


# By server and key, for as long as the process lives: a wait of days asks once.
_found: dict[tuple[str, str, str], Dialect] = {}
_failures: dict[tuple[str, str, str], tuple[float, errors.ApiError]] = {}


class Session:
    """Sends calls to one account.

    Args:
        runtime: The network and the clocks.
        settings: The account.
        retry: How often what may be repeated is repeated.
    """

    def __init__(self, runtime: Runtime, settings: Settings, retry: RetryPolicy) -> None:
        self.runtime = runtime
        self.settings = settings
        self.tests_word: current.TestsWord = "evals"
        self._retry = retry
        self._key = (settings.account, settings.api, settings.auth)

    async def family(self) -> RouteFamily:
        """Return the route family to use, asking the server the first time if it is to be found out."""
        return (await self._dialect()).api

    async def exchange(self, call: Call[T]) -> T:
        """Send a call until it is answered or its retries are used up.

        A create is sent again only after an answer that proves that nothing was created.

        Raises:
            CreateOutcomeUnknownError: A create got no answer, or one that leaves open whether it took effect.
            ApiError: Anything else that went wrong.
        """
        try:
            return await self._repeat(call, await self._dialect())
        except errors.AuthenticationError:
            _found.pop(self._key, None)  # the server may take another header by now
            raise

    async def exchange_once(self, call: Call[T], *, seconds: float | None = None) -> T:
        """Send a call that may be repeated, without repeating it: for a wait, which looks again anyway.

        Args:
            call: What to send.
            seconds: How long it may take; None leaves it to the account's setting.
        """
        dialect = await self._dialect(attempts=1)
        return await self._send(replace(call, request=replace(call.request, timeout=seconds)), dialect)

    async def create(self, build: Callable[[RouteFamily], Awaitable[Call[T]]]) -> T:
        """Send a create in the server's routes.

        A server without the route has created nothing, and if the routes were found out by asking, it is asked anew.
        """
        family = await self.family()
        try:
            return await self.exchange(await build(family))
        except errors.UnsupportedRouteError:
            _found.pop(self._key, None)
            if await self.family() == family:
                raise
        return await self.exchange(await build(await self.family()))

    async def _dialect(self, attempts: int | None = None) -> Dialect:
        settings = self.settings
        if settings.api != "auto" and settings.auth != "auto":
            return Dialect(settings.api, settings.auth)
        return _found.get(self._key) or await self._find_out(attempts or self._retry.attempts)

    async def _find_out(self, attempts: int) -> Dialect:
        """Ask once for everybody who wants to know at this moment; they share a failure as well."""
        asked = self.runtime.now()
        async with self.runtime.lock(self.settings.account):
            failed_at, failure = _failures.get(self._key, (asked, None))
            if failure is not None and failed_at > asked:
                raise copy.copy(failure)
            if self._key not in _found:
                try:
                    _found[self._key] = await self._probe(attempts)
                except errors.ApiError as error:
                    _failures[self._key] = (self.runtime.now(), error)
                    raise
            return _found[self._key]

    async def _probe(self, attempts: int) -> Dialect:
        """Find out, with reads only, what the server speaks.

        The steps of the whole organisation are a route that only current servers have. Where a classic server says that
        it has no such route, that says nothing about the key: the run list, which every server has, settles the header.
        It has to say so again after that: a gateway may not know a route for a moment, and who takes that for a classic
        server does not look for a run before creating it.
        """
        steps, runs = current.probe(), shared.list_runs(RunFilters.read(limit=1), "classic")
        if self.settings.api != "auto":
            auth = await self._accepted(runs if self.settings.api == "classic" else steps, attempts)
            return Dialect(self.settings.api, auth)
        try:
            return Dialect("current", await self._accepted(steps, attempts))
        except (errors.NotFoundError, errors.RequestRejectedError):
            auth = await self._accepted(runs, attempts)
        try:
            return Dialect("current", await self._accepted(steps, attempts))
        except (errors.NotFoundError, errors.RequestRejectedError):
            return Dialect("classic", auth)

    async def _accepted(self, call: Call[Any], attempts: int) -> Header:
        """Return the header with which the server takes the key: Bearer first, on 401 once more with Api-Key."""
        tried: tuple[Header, ...] = (
            ("bearer", "api-key") if self.settings.auth == "auto" else (self.settings.auth,)
        )
        for header in tried:
            try:
                await self._repeat(call, Dialect("current", header), attempts)
            except errors.PermissionDeniedError:
                return header  # the key is known, it may only not read this
            except errors.AuthenticationError:
                if header == tried[-1]:
                    raise
            else:
                return header
        raise AssertionError("unreachable")

    async def _repeat(self, call: Call[T], dialect: Dialect, attempts: int | None = None) -> T:
        began = self.runtime.utc()
        retrying = AsyncRetrying(
            sleep=self.runtime.sleep,
            stop=stop_after_attempt(attempts or self._retry.attempts),
            wait=self._pause,
            retry=retry_if_exception(lambda error: _may_repeat(call, error, self._retry.patience)),
            reraise=True,
        )
        try:
            return cast("T", await retrying(self._send, call, dialect))
        except errors.ApiError as error:
            if not call.creates or not _leaves_open(error):
                raise
            raise self._unknown(call.creates, call.look, began, error) from error

    def _unknown(
        self, workflow_id: str, look: str, began: datetime, error: errors.ApiError
    ) -> errors.CreateOutcomeUnknownError:
        since, until = (moment.isoformat(timespec="seconds") for moment in (began, self.runtime.utc()))
        return errors.CreateOutcomeUnknownError(
            f"the answer was lost, so a run of {workflow_id} may have been created between {since} and {until}; "
            f"look for it with {look.format(workflow_id=workflow_id, day=since[:10])} before creating it again. "
            f"What happened: {error}",
            workflow_id=workflow_id,
            since=since,
            until=until,
            cause=error,
        )

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, errors.ApiError) else None
        drawn: float = wait_random_exponential(multiplier=self._retry.base, max=self._retry.cap)(state)
        return max(drawn, asked or 0.0)

    async def _send(self, call: Call[T], dialect: Dialect) -> T:
        key = self.settings.api_key
        header = {"Authorization": f"Bearer {key}"} if dialect.auth == "bearer" else {"Api-Key": key}
        request = replace(
            call.request,
            base_url=self.settings.base_url,
            headers={**call.request.headers, **header},
            fresh=bool(call.creates),
        )
        response = await self.runtime.send(request)
        if not 200 <= response.status < 300:
            now = self.runtime.utc().timestamp()
            raise error_of(request, response, run_id=call.run_id, now=now, key=key)

        try:
            if len(response.content) <= _READ_AT_ONCE:
                return call.read(response.json())
            return await self.runtime.off_loop(lambda: call.read(response.json()))
        except Exception as error:  # noqa: BLE001  whatever a body makes the reader do, it is the body that is wrong
            raise errors.UnreadableAnswerError(
                f"the answer is not what the API promises: {_reason(error)}",
                method=request.method,
                path=request.path,
                status=response.status,
                request_id=response.headers.get("x-request-id"),
                run_id=call.run_id,
            ) from None


def _reason(error: Exception) -> str:
    """Say what was wrong with a body without repeating any of it."""
    if isinstance(error, ValidationError):
        return "; ".join(
            problem["msg"] for problem in error.errors(include_input=False, include_context=False)
        )
    return "it is not JSON" if isinstance(error, JSONDecodeError) else type(error).__name__


def _may_repeat(call: Call[Any], error: BaseException, patience: float) -> bool:
    if isinstance(error, errors.ApiError) and (error.retry_after or 0.0) > patience:
        return False

    if isinstance(error, errors.RateLimitedError):
        return True
    if call.creates:
        return isinstance(error, errors.ApiConnectionError) and not error.sent
    return isinstance(error, PASSING)


def _leaves_open(error: errors.ApiError) -> bool:
    """Tell whether a create may have taken effect: the server, or a gateway, may act and still fail to say so."""
    if isinstance(error, errors.ApiConnectionError):
        return error.sent
    return isinstance(error, errors.ServerError | errors.UnreadableAnswerError)
