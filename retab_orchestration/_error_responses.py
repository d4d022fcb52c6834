"""Turning a refusal into the error that says what to do; one reader for all seven forms of bodies."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from retab_orchestration import errors
from retab_orchestration._http import Request, Response
from retab_orchestration._redaction import NOTHING_SENT, Sent, without_key
from retab_orchestration._texts import printable, without_signatures

__all__ = [
    "Problem",
    "error_of",
    "names_no_route",
    "read_problem",
    "redacted",
    "retry_after_of",
]

_BY_STATUS: dict[int, type[errors.ApiStatusError]] = {
    400: errors.RequestRejectedError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    408: errors.ServerError,
    409: errors.ConflictError,
    413: errors.DocumentTooLargeError,
    421: errors.ServerError,
    422: errors.RequestRejectedError,
    425: errors.ServerError,
    429: errors.RateLimitedError,
    # What gateways answer when the client or the server closed the connection before there was an answer.
    460: errors.ServerError,
    499: errors.ServerError,
}

# The exact texts of web frameworks for a path that they do not serve; those for an unknown id differ.
_NO_ROUTE = frozenset({"", "Not Found", "404 page not found"})


# What follows `/v1/workflows/` in routes that not every server has. One without them takes it for the id of a workflow.
_NO_IDS = frozenset({"steps", "reviews", "tests", "evals"})

# Characters of a server's own text that an error repeats.
_LONGEST_TEXT = 1000
# The most levels of a server's JSON that an error repeats.
_DEEPEST = 20
# The most values of it: a wait keeps its last refusal.
_MOST_VALUES = 1000
# Keys under which a refusal repeats what was sent, which may be a document.
_ECHOES = frozenset({"input", "ctx", "content", "body", "documents"})

# Seconds. A header that asks for more is taken for a mistake: no scheduled task should pause for longer.
_LONGEST_RETRY_AFTER = 3600.0


@dataclass(frozen=True)
class Problem:
    """What an error body says."""

    message: str
    code: str | None = None
    details: Any = None


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _from_fields(fields: Mapping[str, Any]) -> Problem:
    code = _text(fields.get("code")) or None
    message = _text(fields.get("message"))
    details = fields.get("details", fields.get("errors"))
    inner = details.get("error") if code == "HTTP_EXCEPTION" and isinstance(details, Mapping) else None
    if isinstance(inner, Mapping):
        return Problem(_text(inner.get("message")) or message, _text(inner.get("code")) or code, details)
    listed = fields.get("errors")
    if isinstance(listed, list):
        said = [_text(item.get("message")) for item in listed if isinstance(item, Mapping)]
        message = "; ".join(filter(None, [message, *said]))
    return Problem(_text(inner) or message, code, details)


def _from_fields_refused(refused: list[Any]) -> Problem:
    def line(item: Any) -> str:
        if not isinstance(item, Mapping):
            return _text(item)
        place = ".".join(str(part) for part in item.get("loc") or () if part != "body")
        return f"{place}: {_text(item.get('msg'))}".strip(": ")

    # `input` and `ctx` are left out: they repeat what was sent, which may be a document.
    kept = [
        {k: v for k, v in item.items() if k in {"loc", "msg", "type"}}
        for item in refused
        if isinstance(item, Mapping)
    ]
    return Problem("; ".join(filter(None, map(line, refused))), "validation_error", kept)


def _from_message(body: Mapping[str, Any]) -> Problem:
    text = _text(body.get("message"))
    try:
        listed = json.loads(text)
    except ValueError:
        return Problem(text)
    return _from_fields_refused(listed) if isinstance(listed, list) else Problem(text)


def read_problem(content: bytes) -> Problem:
    """Find the message, the code and the details in an error body of any of the forms that Retab has used.

    Forms: a text, an object, a list of refused fields or a list of errors under `detail`; `code`, `message`, `details`
    at the top; `status_code` with JSON inside `message`; anything else, shortened. No message means that it says none.
    """
    try:
        body = json.loads(content)
        if not isinstance(body, Mapping):
            return Problem(_text(body))
        problem = _from_detail(body)
    except (ValueError, TypeError, RecursionError):
        return Problem(re.sub(r"\s+", " ", content[:200].decode(errors="replace")).strip())
    return problem if problem.message else Problem(_text(body.get("error")), problem.code, problem.details)


def _from_detail(body: Mapping[str, Any]) -> Problem:
    detail = body.get("detail")
    if isinstance(detail, list):
        return _from_fields_refused(detail)
    if isinstance(detail, Mapping):
        return _from_fields(detail)
    if _text(detail):
        return Problem(_text(detail), _text(body.get("code")) or None)
    return _from_message(body) if "status_code" in body else _from_fields(body)


def names_no_route(response: Response, method: str = "", path: str = "") -> bool:
    """Return whether the server has no such route, rather than no such resource."""
    if response.status == 405:
        return True
    if response.status != 404 or response.is_cut:
        return False
    said = read_problem(response.content).message
    return said in _NO_ROUTE or _takes_for_id(said, method, path)


def _takes_for_id(said: str, method: str, path: str) -> bool:
    """Return whether the server says that there is no workflow of this name, which was meant for no name."""
    word = path.removeprefix("/v1/workflows/").partition("/")[0]
    if word not in _NO_IDS:
        return False
    forms = {f"workflow not found: {word}", f"workflow {word} not found", f"workflow '{word}' not found"}
    if method == "GET":  # a create of a test run names a workflow in its body
        forms.add("workflow not found")
    return said.lower().strip(" .") in forms


def retry_after_of(response: Response, now: float) -> float | None:
    """Return the seconds of a `Retry-After` header, which may be a date; None without a valid one.

    A date is by the server's clock, of which its `Date` tells the time.
    """
    text = response.headers.get("retry-after", "").strip()
    try:
        if text[:1].isdigit():
            seconds = float(text)
        else:
            seconds = parsedate_to_datetime(text).timestamp() - _date_of(response, now)
        return min(max(0.0, seconds), _LONGEST_RETRY_AFTER)
    except (ValueError, OverflowError):
        return None


def _date_of(response: Response, now: float) -> float:
    try:
        return parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return now


def redacted(
    value: Any, key: str, sent: Sent = NOTHING_SENT, depth: int = 0, left: list[int] | None = None
) -> Any:
    """Return a value of an answer, without the key, signed addresses and what was sent.

    It is cut to the length, the depth and the number of values that a log line may have.
    """
    left = [_MOST_VALUES] if left is None else left
    left[0] -= 1
    if depth > _DEEPEST or left[0] < 0:
        return "…"
    if isinstance(value, str):
        said = without_key(value.encode(errors="replace"), key).decode() if key else value
        # Longer than what is shown, so that a repetition is recognised although its end is cut.
        said = without_signatures(said[: 2 * _LONGEST_TEXT])
        return printable(sent.hidden_in(said), _LONGEST_TEXT)
    if isinstance(value, Mapping):
        return {
            redacted(name, key, sent): redacted(item, key, sent, depth + 1, left)
            for name, item in list(value.items())[:100]
            if name not in _ECHOES
        }
    if isinstance(value, list):
        return [redacted(item, key, sent, depth + 1, left) for item in value[:100]]
    return value


def error_of(
    request: Request, response: Response, *, run_id: str | None, now: float, key: str, since: str = ""
) -> errors.ApiStatusError:
    """Return the error for an answer that is not a success.

    Args:
        request: What was sent.
        response: What came back.
        run_id: The run of the request.
        now: The time of day in seconds since 1970, for a `Retry-After` that is a date.
        key: The API key, which some gateways repeat.
        since: The release since when servers have the route.
    """
    if request.signed_url is not None:
        return _storage_error(request, response, now)
    # Before anything is cut: a part of a key that is cut in two would stay.
    problem, sent = read_problem(without_key(response.content, key)), Sent.of(request)
    kind = _BY_STATUS.get(
        response.status, errors.ServerError if response.status >= 500 else errors.ApiStatusError
    )
    newer = ""
    if names_no_route(response, request.method, request.path):
        kind = errors.UnsupportedRouteError
        newer = f"; servers have this since release {since} of Retab's SDK" if since else ""
    where = redacted(re.split(r"[?#]", response.headers.get("location", ""))[0], key)
    silent = "the server gave no reason"
    if where:
        silent = f"the server sends elsewhere, to {where}: use that as base_url"
    elif response.is_cut:
        silent = "what the server said could not be read, or had more bytes than max_response_bytes allows"
    return kind(
        (redacted(problem.message, key, sent) or silent) + _size_of(request, response) + newer,
        method=request.method,
        path=request.path,
        status=response.status,
        code=redacted(problem.code, key, sent),
        details=redacted(problem.details, key, sent),
        request_id=redacted(response.headers.get("x-request-id"), key),
        run_id=run_id,
        retry_after=retry_after_of(response, now),
    )


def _size_of(request: Request, response: Response) -> str:
    if response.status != 413 or request.body is None:
        return ""
    return f"; the request had {request.body.length / 1024**2:.1f} MiB"


def _storage_error(request: Request, response: Response, now: float) -> errors.ApiStatusError:
    """Return the error for a document that its signed address did not take, or did not give.

    A storage repeats in its refusals what was signed, and with what, so only the code is kept.
    """
    code = re.search(rb"<Code>(\w{1,60})</Code>", response.content)
    refused = errors.DownloadRefusedError if request.method == "GET" else errors.UploadRefusedError
    kind = _BY_STATUS.get(response.status, refused)
    if not issubclass(kind, errors.DocumentTooLargeError | errors.RateLimitedError | errors.ServerError):
        kind = errors.ServerError if response.status >= 500 else refused
    act = "give" if request.method == "GET" else "take"
    return kind(
        f"the storage did not {act} the document" + _size_of(request, response),
        method=request.method,
        path=request.path,
        status=response.status,
        code=code[1].decode() if code else None,
        retry_after=retry_after_of(response, now),
    )
