"""Every error that this library raises, named for what the caller does next.

```text
RetabError                          anything below
├── ConfigurationError              key, address, api or auth is wrong: fix the settings
├── InvalidInputError               an argument was refused, nothing was created or changed: fix the call
├── ApiError                        a request was made and went wrong; carries status, code, request id, run id
│   ├── ApiConnectionError          no answer: try again later (`sent` tells whether the request may have arrived)
│   │   └── ApiTimeoutError         no answer in time
│   ├── UnreadableAnswerError       a success whose body is not what the API promises: look at the server or a proxy
│   └── ApiStatusError              the server said no
│       ├── AuthenticationError     401: fix the key, or the header it is sent in
│       ├── PermissionDeniedError   403: ask for access
│       ├── NotFoundError           404: fix the id, or the environment that the key belongs to
│       │   └── UnsupportedRouteError  404, 405 of a route that this server does not have: set `api`
│       ├── ConflictError           409: look at the present state first
│       │   └── ReviewConflictError another decision stands, or a newer version came: look before deciding again
│       ├── DocumentTooLargeError   413: upload it on current routes, or send a smaller document
│       ├── UploadRefusedError      an upload was refused, twice: see what stands between here and the storage
│       ├── RequestRejectedError    400, 422: fix the request
│       ├── RateLimitedError        429: try again after `retry_after` seconds
│       └── ServerError             5xx, 408: try again later
├── DocumentReadError               a document could not be read to its end, nothing was created: try again
├── CreateOutcomeUnknownError       a create got no readable answer, the run may exist: look before creating again
├── InputsChangedError              the task's run was started with other inputs: clear it, or restore them
├── RunFailedError                  the run ended in error: read why, then run again or fix the workflow
├── RunCancelledError               the run was cancelled: run again if that was not meant
├── ReviewNotResumedError           the run's reviews are decided and it does not go on: look at it in Retab, restart it
├── OutputsUnavailableError         the run has ended, its outputs could not be read: wait again, it is not run again
├── ReviewRequiredError             the run waits for a human and the caller does not: decide the review
└── WaitTimeoutError                the deadline passed and the run goes on: wait again, or cancel it
```
"""

import copy
from typing import Any, ClassVar, Self


class RetabError(Exception):
    """Anything that this library raises.

    Attributes:
        run_id: The run that it is about, None when there is none or it is not known.
    """

    def __init__(self, message: str, *, run_id: str | None = None) -> None:
        super().__init__(message)
        self.run_id = run_id

    @property
    def retryable(self) -> bool:
        """Whether the same thing may succeed when it is tried again later."""
        return not isinstance(self, _FINAL)


class ConfigurationError(RetabError, ValueError):
    """The key, the address, `api` or `auth` is missing or wrong: fix the settings."""


class InvalidInputError(RetabError, ValueError):
    """An argument was refused, and nothing was created or changed: fix the call."""


class DocumentReadError(RetabError):
    """A document could not be read to its end (disk, network, object store); nothing was created: try again."""


class ApiError(RetabError):
    """A request was made and went wrong.

    Attributes:
        method: The HTTP method.
        path: The path, without host and query.
        status: The HTTP status, None when there was no answer.
        code: The server's own error code, None when it named none.
        details: What else the server said, as it said it; None when nothing.
        request_id: The `x-request-id` of the answer, for Retab's support.
        retry_after: Seconds that the server asked to wait, None when it did not.
    """

    advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        path: str = "",
        status: int | None = None,
        code: str | None = None,
        details: Any = None,
        request_id: str | None = None,
        run_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, run_id=run_id)
        self.message = message
        self.method = method
        self.path = path
        self.status = status
        self.code = code
        self.details = details
        self.request_id = request_id
        self.retry_after = retry_after

    def told_as(self, message: str) -> Self:
        """Return the same refusal with another message."""
        again = copy.copy(self)
        again.message, again.args = message, (message,)
        return again

    def __str__(self) -> str:
        place = f"{self.method} {self.path}: " if self.method else ""
        facts = [f"HTTP {self.status}" if self.status else "", self.code or ""]
        facts.append(f"run {self.run_id}" if self.run_id and self.run_id not in self.path else "")
        facts.append(f"request {self.request_id}" if self.request_id else "")
        told = ", ".join(fact for fact in facts if fact)
        said = f"{place}{self.message}" + (f" ({told})" if told else "")
        return said + (f". {self.advice}" if self.advice else "")


class ApiConnectionError(ApiError):
    """No answer came: try again later.

    Attributes:
        sent: False if the request provably never arrived as a whole, so that nothing can have happened because of it.
    """

    def __init__(self, message: str, *, sent: bool = True, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.sent = sent


class ApiTimeoutError(ApiConnectionError):
    """No answer came in time: try again later, or raise `timeout`."""


class UnreadableAnswerError(ApiError):
    """A success whose body is not what the API promises: look at the server, or at a proxy in between."""

    advice = "Check that base_url is Retab's API and that no proxy rewrites its answers"


class ApiStatusError(ApiError):
    """The server answered, and said no."""


class AuthenticationError(ApiStatusError):
    """401: the key is wrong, or in the wrong header."""

    advice = "Check the API key and that it is for this base_url; auth='bearer' or 'api-key' sets the header"


class PermissionDeniedError(ApiStatusError):
    """403: the key is good but may not do this."""

    advice = "Ask for access, or use a key of the organisation that owns it"


class NotFoundError(ApiStatusError):
    """404: there is no such thing, or not for this key."""

    advice = "Check the id, and that the key belongs to the same organisation and environment"


class UnsupportedRouteError(NotFoundError):
    """404 or 405: this server has no such route."""

    advice = "The server is older or newer than these routes (set api=), or the id is wrong"


class ConflictError(ApiStatusError):
    """409: the present state does not allow it."""

    advice = "Look at the present state before trying again"


class ReviewConflictError(ConflictError):
    """Another decision stands, or a newer version came; nothing was changed."""

    advice = "Nothing was decided: read the run and its review before deciding again"


class DocumentTooLargeError(ApiStatusError):
    """413: the request with its documents is over the server's limit."""

    advice = (
        "Retab takes requests of about 32 MiB, which is 24 MiB of documents: with api='current' large ones are "
        "uploaded instead; without it, or if it was an upload, split them or send smaller ones"
    )


class UploadRefusedError(ApiStatusError):
    """A document did not get to its signed address, or not as it was announced; nothing was created."""

    advice = "Check that the file stays as it is meanwhile, and that no proxy changes it or its headers; then try again"


class RequestRejectedError(ApiStatusError):
    """400 or 422: the server refused the request; nothing was created."""

    advice = "The server refused it as it is, and did nothing: correct the call"


class RateLimitedError(ApiStatusError):
    """429: too many requests; nothing was created."""

    advice = "Try again later, with fewer requests at once"


class ServerError(ApiStatusError):
    """5xx, 408: the server, or a gateway, gave up; whether it acted is not known."""

    advice = "Try again later"


class CreateOutcomeUnknownError(RetabError):
    """A create got no readable answer: the run may exist. Look for it before creating it again.

    Attributes:
        workflow_id: The workflow that the run was to be of.
        since: The earliest time at which the run can have been created, ISO 8601 in UTC.
        until: The latest.
        status: The HTTP status of the answer that could not be read, None when there was none.
        code: The server's own error code, if it named one.
        request_id: The `x-request-id` of that answer, for Retab's support.
    """

    def __init__(
        self,
        message: str,
        *,
        workflow_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        cause: ApiError | None = None,
    ) -> None:
        super().__init__(message)
        self.status = cause.status if cause else None
        self.code = cause.code if cause else None
        self.request_id = cause.request_id if cause else None
        self.workflow_id = workflow_id
        self.since = since
        self.until = until


class _RunStateError(RetabError):
    """An error that carries the `WorkflowRun` as last seen in its attribute `run`; None if it was never seen."""

    def __init__(self, message: str, *, run: Any = None, run_id: str | None = None) -> None:
        super().__init__(message, run_id=run_id if run is None else run.id)
        self.run = run


class InputsChangedError(_RunStateError):
    """There is a run of the same identity with other inputs: ask for a new one, or restore the inputs."""


class RunFailedError(_RunStateError):
    """The run ended in error: read why, then run it again or fix the workflow."""

    @property
    def retryable(self) -> bool:
        """Whether another run of the same inputs may succeed: unless Retab says that the cause is permanent."""
        category = getattr(getattr(self.run, "error", None), "category", None)
        return bool(category != "permanent")


class RunCancelledError(_RunStateError):
    """The run was cancelled: run it again if that was not meant."""


class OutputsUnavailableError(_RunStateError):
    """The run has ended, and its outputs could not be read: wait for it again, which reads them without waiting."""


class ReviewRequiredError(_RunStateError):
    """The run waits for a human, and the caller said that it does not: decide the review, then go on."""


class ReviewNotResumedError(_RunStateError):
    """All reviews that the run waits for are decided, and it does not go on: look at it in Retab, then restart it."""


class WaitTimeoutError(_RunStateError):
    """The deadline passed while the run went on: wait again with its id, or cancel it."""


# The same call gets the same answer again.
_FINAL = (
    *(ConfigurationError, InvalidInputError, CreateOutcomeUnknownError, InputsChangedError),
    *(AuthenticationError, PermissionDeniedError, NotFoundError, ConflictError),
    *(DocumentTooLargeError, RequestRejectedError, ReviewNotResumedError),
)

__all__ = sorted(  # noqa: PLE0605  the whole tree, and nothing else
    name
    for name, kind in globals().items()
    if isinstance(kind, type) and issubclass(kind, RetabError) and not name.startswith("_")
)
