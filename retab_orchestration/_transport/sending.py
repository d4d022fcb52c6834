"""Sending one call to one account: the only retry loop, and what an answer means."""

import math
from dataclasses import dataclass, replace
from datetime import datetime
from json import JSONDecodeError
from typing import Any, Literal, TypeVar, cast

from pydantic import ValidationError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception
from tenacity.wait import wait_random_exponential

from retab_orchestration import errors
from retab_orchestration._error_responses import error_of, redacted
from retab_orchestration._http import Call, Request, Response, Runtime
from retab_orchestration._texts import printable
from retab_orchestration._transport.interruptions import is_anothers
from retab_orchestration.models import RouteFamily
from retab_orchestration.models._reading import TooManyPartsError, at_most
from retab_orchestration.policies import RetryPolicy
from retab_orchestration.settings import Settings

__all__ = ["TRANSIENT", "Header", "Sender", "ServerApi"]

T = TypeVar("T")

Header = Literal["api-key", "bearer"]

# Bytes of a body that is parsed on the event loop; a larger one could block it for more than 20 ms.
_READ_AT_ONCE = 32 * 1024
# The same for a body of which no models are built.
_LOADED_AT_ONCE = 256 * 1024

# Bytes of `max_response_bytes` for each part of an answer that becomes a value of its own, some KiB in memory.
_BYTES_A_PART = 256
_FEWEST_PARTS = 10_000

# Seconds of a request for which none are left, so that it fails as one that is too late.
_MOMENT = 0.001

TRANSIENT = (
    errors.ApiConnectionError,
    errors.RateLimitedError,
    errors.ServerError,
    errors.UnreadableAnswerError,
)
"""Errors that the same request may not have when it is sent again."""


@dataclass(frozen=True)
class ServerApi:
    """The routes that a server has, and the header that it takes the key in."""

    family: RouteFamily
    auth: Header


class Sender:
    """Sends calls to a server of given routes, and again where that does no harm.

    Args:
        runtime: The network and the clocks.
        settings: The account.
        retry: How often a request that may be repeated is repeated, and for how long a run is searched for.
        until: When the last answer has to be there, on the runtime's clock; None for no limit.
    """

    __slots__ = ("retry", "runtime", "settings", "until")

    def __init__(
        self, runtime: Runtime, settings: Settings, retry: RetryPolicy, until: float | None = None
    ) -> None:
        self.runtime = runtime
        self.settings = settings
        self.retry = retry
        self.until = until

    async def repeat(self, call: Call[T], api: ServerApi, attempts: int | None = None) -> T:
        """Send a call until it is answered or its attempts are used up."""
        began, most = self.runtime.utc(), attempts or self.retry.attempts
        retrying = AsyncRetrying(
            sleep=self.runtime.sleep,
            stop=lambda state: state.attempt_number >= most or self.seconds_left() == 0,
            wait=self._pause,
            retry=retry_if_exception(lambda error: _may_repeat(call, error, self.retry.max_retry_after)),
            reraise=True,
        )
        try:
            return cast("T", await retrying(self.send, call, api))
        except errors.ApiError as error:
            if not call.creates or not _leaves_open(error):
                raise
            raise self._unknown(call.creates, call.search_hint, began, error) from error

    def _unknown(
        self, workflow_id: str, search_hint: str, began: datetime, error: errors.ApiError
    ) -> errors.CreateOutcomeUnknownError:
        since, until = (moment.isoformat(timespec="seconds") for moment in (began, self.runtime.utc()))
        return errors.CreateOutcomeUnknownError(
            f"the answer was lost, so a run of {workflow_id} may have been created between {since} and {until}; "
            f"look for it with {search_hint.format(workflow_id=workflow_id, day=since[:10])} before creating it again. "
            f"What happened: {error}",
            workflow_id=workflow_id,
            since=since,
            until=until,
            cause=error,
        )

    def _pause(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, errors.ApiError) else None
        drawn: float = wait_random_exponential(multiplier=self.retry.base, max=self.retry.cap)(state)
        return min(max(drawn, asked or 0.0), self.seconds_left())

    def seconds_left(self) -> float:
        """Return the seconds until the last answer has to be there."""
        return math.inf if self.until is None else max(0.0, self.until - self.runtime.now())

    async def send(self, call: Call[T], api: ServerApi) -> T:
        """Send a call once and read its answer."""
        key = self.settings.api_key
        header = {"Authorization": f"Bearer {key}"} if api.auth == "bearer" else {"Api-Key": key}
        request = call.request if call.again is None else call.again()
        if self.until is not None:
            request = replace(request, timeout=max(self.seconds_left(), _MOMENT))
        if request.signed_url is None:
            headers = {**request.headers, **header}
            request = replace(
                request, base_url=self.settings.base_url, headers=headers, new_connection=bool(call.creates)
            )
        response = await self.runtime.send(request)
        if not 200 <= response.status < 300:
            raise await self._refused(call, request, response)
        try:
            if len(response.content) <= (_LOADED_AT_ONCE if call.whole else _READ_AT_ONCE):
                return self._answer(call, response)
            return await self.runtime.off_loop(lambda: self._answer(call, response))
        except errors.ResponseTooLargeError:
            raise
        except Exception as error:
            if is_anothers(error):
                raise
            reason = _reason(error)
        # Outside of the `except`, because the error may hold all that was read.
        raise errors.UnreadableAnswerError(
            f"the answer is not what the API promises: {reason}",
            method=request.method,
            path=request.path,
            status=response.status,
            request_id=redacted(response.headers.get("x-request-id"), key),
            run_id=call.run_id,
        )

    def _answer(self, call: Call[T], response: Response) -> T:
        most = max(_FEWEST_PARTS, self.settings.max_response_bytes // _BYTES_A_PART)
        try:
            with at_most(most):
                return call.answer(response)
        except TooManyPartsError:
            text = f"the answer has more than {most} rows, documents and the like"
        raise errors.ResponseTooLargeError(
            f"{text}; if it is as it should be, raise max_response_bytes",
            method=call.request.method,
            path=call.request.path,
            status=response.status,
            run_id=call.run_id,
        )

    async def _refused(self, call: Call[Any], request: Request, response: Response) -> errors.ApiStatusError:
        # What was sent is read again, to remove it from the server's texts.
        is_large = request.body is not None and request.body.length > _READ_AT_ONCE
        if not is_large and len(response.content) <= _READ_AT_ONCE:
            return self._refusal(call, request, response)
        return await self.runtime.off_loop(lambda: self._refusal(call, request, response), slow=is_large)

    def _refusal(self, call: Call[Any], request: Request, response: Response) -> errors.ApiStatusError:
        now, key = self.runtime.utc().timestamp(), self.settings.api_key
        try:
            return error_of(request, response, run_id=call.run_id, now=now, key=key, since=call.since)
        except Exception:  # noqa: BLE001  the status counts, whatever is wrong with the rest
            return error_of(request, Response(response.status), run_id=call.run_id, now=now, key=key)


def _reason(error: Exception) -> str:
    """Return what was wrong with a body without repeating any of it."""
    if isinstance(error, ValidationError):
        problems = error.errors(include_input=False, include_context=False)
        # A list has one for each of its rows.
        return printable("; ".join(dict.fromkeys(problem["msg"] for problem in problems)))
    return "it is not JSON" if isinstance(error, JSONDecodeError) else type(error).__name__


def _may_repeat(call: Call[Any], error: BaseException, max_retry_after: float) -> bool:
    if isinstance(error, errors.ApiError) and (
        not error.retryable or (error.retry_after or 0.0) > max_retry_after
    ):
        return False
    if isinstance(error, errors.RateLimitedError):
        return True
    if call.creates and not call.is_command:
        return isinstance(error, errors.ApiConnectionError) and not error.sent
    return isinstance(error, TRANSIENT)


def _leaves_open(error: errors.ApiError) -> bool:
    """Return whether a create may have taken effect although its answer is an error."""
    if isinstance(error, errors.ApiConnectionError):
        return error.sent
    unread = errors.UnreadableAnswerError | errors.ResponseTooLargeError
    return isinstance(error, errors.ServerError | unread)
