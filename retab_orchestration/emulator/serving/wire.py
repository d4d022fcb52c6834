"""Request, Response and Refusal of the emulator's core; never a socket."""

import json
import math
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from retab_orchestration.emulator.serving.blobs import Blob

__all__ = ["Refusal", "Request", "Response", "answer", "moment", "new_id", "read_json"]

_DEPTH = 100
"""How deep JSON may be nested: what is accepted is written again, nested in more."""

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass
class Request:
    """One HTTP request as the core sees it."""

    method: str
    path: str
    """Percent-encoded, as on the wire, without the query."""
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    """Names in lower case; not in repr, for they carry the key."""
    body: bytes = field(default=b"", repr=False)
    blob: Blob | None = None
    """The body of an upload, which is too large for `body`; None for other requests."""
    counted: bool = False
    """Whether the statistics have counted this request."""
    resumes: bool = True
    """Whether the run goes on when this request decides a review."""

    def param(self, name: str) -> str | None:
        """Return the last value of a query parameter, None when it is absent or empty."""
        return next((value for key, value in reversed(self.query) if key == name and value), None)

    def params(self, name: str) -> list[str]:
        """Return every value of a repeated query parameter, commas split."""
        return [part for key, value in self.query if key == name for part in value.split(",") if part]

    def json_object(self) -> dict[str, Any]:
        """Read the body as a JSON object; an empty body is an empty object.

        Raises:
            Refusal: 422 when the body is not JSON, or not an object.
        """
        if not self.body:
            return {}
        body = read_json(self.body, ["body"])
        if not isinstance(body, dict):
            raise Refusal.invalid(["body"], "Input should be a valid dictionary or object", "dict_type")
        return body


@dataclass(frozen=True)
class Response:
    """One HTTP response."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.body)


class Refusal(Exception):  # noqa: N818 - a refusal is an answer of the API, not an error of ours
    """An answer other than success, in one of the API's own error shapes."""

    def __init__(self, status: int, detail: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    @classmethod
    def structured(cls, status: int, error: Any) -> "Refusal":
        """Build a refusal that has its text, or its `{code, message}`, in `details.error`."""
        wrapped = {
            "code": "HTTP_EXCEPTION",
            "message": "An HTTP exception occurred.",
            "details": {"error": error},
        }
        return cls(status, wrapped)

    @classmethod
    def invalid(cls, loc: Sequence[str], message: str, kind: str = "value_error") -> "Refusal":
        """Build a 422 about one field, `loc` being its path."""
        return cls(422, [{"loc": list(loc), "msg": message, "type": kind}])

    def response(self) -> Response:
        """Return the response to send."""
        return answer({"detail": self.detail}, self.status, self.headers)


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Build a JSON response."""
    encoded = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(status, encoded, {"content-type": "application/json", **(headers or {})})


def read_json(text: str | bytes, loc: Sequence[str]) -> Any:
    """Read JSON that can be written again, `loc` being its path.

    Raises:
        Refusal: 422 for what is not JSON, is nested too deep, or has a number that is not a double, or half of a
            surrogate pair.
    """
    try:
        value = json.loads(text, parse_int=_integer, parse_float=_double)
        _check(value)
    except (ValueError, RecursionError) as error:
        raise Refusal.invalid(loc, f"JSON decode error: {type(error).__name__}", "json_invalid") from error
    return value


def _integer(digits: str) -> int:
    _double(digits)
    return int(digits)


def _double(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number out of range")
    return value


def _check(value: Any) -> None:
    level = [value]
    for _ in range(_DEPTH):
        texts = [each for each in level if isinstance(each, str) and not each.isascii()]
        texts += [key for each in level if isinstance(each, dict) for key in each if not key.isascii()]
        if any(map(_SURROGATE.search, texts)):
            raise ValueError("half of a surrogate pair")
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise ValueError("nested too deep")


def moment(seconds: float | None) -> str | None:
    """Return a time, in seconds since 1970, as the API writes it: ISO 8601 in UTC with a Z; None stays None."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_id(prefix: str) -> str:
    """Return a new opaque id such as `run_8c1f…`."""
    return f"{prefix}_{uuid.uuid4().hex[:24]}"
