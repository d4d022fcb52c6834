"""The errors of a request."""

import copy
from typing import Any, Self

from retab_orchestration._texts import printable
from retab_orchestration.errors.base import RetabError

__all__ = [
    "ApiConnectionError",
    "ApiError",
    "ApiStatusError",
    "ApiTimeoutError",
    "AuthenticationError",
    "ConflictError",
    "DocumentTooLargeError",
    "DownloadNotAllowedError",
    "DownloadRefusedError",
    "NoTlsError",
    "NotFoundError",
    "PermissionDeniedError",
    "RateLimitedError",
    "RequestRejectedError",
    "ResponseTooLargeError",
    "ReviewConflictError",
    "ServerError",
    "UnreadableAnswerError",
    "UnsupportedRouteError",
    "UploadNotAllowedError",
    "UploadRefusedError",
]


class ApiError(RetabError):
    """A request was made and went wrong.

    Attributes:
        method: The HTTP method.
        path: The path, without host and query.
        status: The HTTP status, None when there was no answer.
        code: The server's own error code, None when it named none.
        details: The rest of the server's error body; None when there is none.
        request_id: The `x-request-id` of the answer, for Retab's support.
        retry_after: Seconds that the server asked to wait, None when it did not.
        advice: What the caller can do; empty when that is to try again.
    """

    advice: str = ""

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
        self.message = printable(message, 4000)
        self.method = method
        self.path = path
        self.status = status
        self.code = code
        self.details = details
        self.request_id = request_id
        self.retry_after = retry_after

    def with_message(self, message: str, *, advice: str | None = None) -> Self:
        """Return a copy with another message, and with other advice where that is given."""
        again = copy.copy(self)
        again.message, again.args = message, (message,)
        if advice is not None:
            again.advice = advice
        return again

    def __str__(self) -> str:
        place = f"{self.method} {self.path}: " if self.method else ""
        facts = [f"HTTP {self.status}" if self.status else "", self.code or ""]
        facts.append(f"run {self.run_id}" if self.run_id and self.run_id not in self.path else "")
        facts.append(f"request {self.request_id}" if self.request_id else "")
        details = ", ".join(fact for fact in facts if fact)
        said = f"{place}{self.message}" + (f" ({details})" if details else "")
        return said + (f". {self.advice}" if self.advice else "")


class ApiConnectionError(ApiError):
    """No answer came: try again later.

    Attributes:
        sent: False if the request certainly did not arrive as a whole, so that it cannot have had an effect.
    """

    def __init__(self, message: str, *, sent: bool = True, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.sent = sent


class ApiTimeoutError(ApiConnectionError):
    """No answer came in time: try again later, or raise `timeout`."""


class NoTlsError(ApiConnectionError):
    """What answers at an https address does not speak TLS: write `http://` before the host, or check the port."""

    _is_final = True
    advice = "Write http:// before the host in base_url if this server is to be reached without TLS"


class UnreadableAnswerError(ApiError):
    """A success whose body is not what the API promises: check the server, or a proxy in between."""

    advice = "Check that base_url is Retab's API and that no proxy rewrites its answers"


class ResponseTooLargeError(ApiError):
    """An answer has more bytes than `max_response_bytes` allows, and was not read: raise that, or check the server."""

    _is_final = True


class ApiStatusError(ApiError):
    """The server answered with a refusal."""


class AuthenticationError(ApiStatusError):
    """401: the key is wrong, or in the wrong header."""

    _is_final = True
    advice = "Check the API key and that it is for this base_url; auth='bearer' or 'api-key' sets the header"


class PermissionDeniedError(ApiStatusError):
    """403: the key is good but may not do this."""

    _is_final = True
    advice = "Ask for access, or use a key of the organisation that owns it"


class NotFoundError(ApiStatusError):
    """404: there is no such resource, or not for this key."""

    _is_final = True
    advice = "Check the id, and that the key belongs to the same organisation and environment"


class UnsupportedRouteError(NotFoundError):
    """404 or 405: this server has no such route."""

    advice = "The server is older or newer than these routes (set api=), or the id is wrong"


class ConflictError(ApiStatusError):
    """409: the present state does not allow the request."""

    _is_final = True
    advice = "Look at the present state before trying again"


class ReviewConflictError(ConflictError):
    """Another decision stands, or a newer version came; nothing was changed."""

    advice = "Nothing was decided: read the run and its review before deciding again"


class DocumentTooLargeError(ApiStatusError):
    """413: the request with its documents is over the server's limit."""

    _is_final = True
    advice = "Retab takes about 32 MiB, 24 MiB of documents: api='current' uploads large ones; or split it"


class UploadRefusedError(ApiStatusError):
    """A document was refused at its signed address, or arrived changed; nothing was created."""

    advice = "Check that the file stays as it is meanwhile, and that no proxy changes it or its headers; then try again"


class UploadNotAllowedError(UploadRefusedError):
    """The server gave an address to which no document may be sent; the message has the rule and what to set."""

    _is_final = True
    advice = ""


class DownloadRefusedError(ApiStatusError):
    """A document was refused at its signed address, with a new one as well; nothing is left at the target."""

    advice = (
        "Check in Retab that the file is still there, and that no proxy stands between here and its storage"
    )


class DownloadNotAllowedError(DownloadRefusedError):
    """The server gave an address from which no document may be fetched; the message has the rule and what to set."""

    _is_final = True
    advice = ""


class RequestRejectedError(ApiStatusError):
    """400 or 422: the server refused the request; nothing was created."""

    _is_final = True
    advice = "The server refused it as it is, and did nothing: correct the call"


class RateLimitedError(ApiStatusError):
    """429: too many requests; nothing was created."""

    advice = "Try again later, with fewer requests at once"


class ServerError(ApiStatusError):
    """5xx, 408, 421, 425, 460, 499: the server, or a gateway, failed; whether it acted is not known."""

    advice = "Try again later"
