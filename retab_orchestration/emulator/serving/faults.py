"""Faults on demand: which request meets which fault; the server acts on it."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, new_id

__all__ = ["Fault", "Faults"]

_KINDS = {
    "reset_before",
    "reset_after",
    "hold_before",
    "hold_after",
    "timeout_after",
    "slow",
    "garbage",
    "no_resume",
}
_SECONDS = {"slow": 1.0, "timeout_after": 60.0}
_BODIES: dict[int, Any] = {
    401: {"detail": "Not authenticated"},
    404: {"detail": "Not Found"},
    405: {"detail": "Method Not Allowed"},
    429: {"detail": "Rate limit exceeded"},
    500: {"error": "something unexpected"},
}


@dataclass(frozen=True)
class Fault:
    """What happens to one request instead of, before or after its answer."""

    kind: str
    """`http_<code>`, `garbage`, `slow`, `no_resume`, or `reset_`, `hold_` and `timeout_` with `before` or `after`."""
    seconds: float = 0.0
    """For `slow`: how long until the request is acted on. For `timeout_after`: how long until the connection closes."""
    retry_after: float | None = None
    """Seconds for the header `Retry-After` of an `http_` fault."""

    @property
    def acts(self) -> bool:
        """Whether the request is acted on at all."""
        return self.kind in {"reset_after", "hold_before", "hold_after", "timeout_after", "slow", "no_resume"}

    @property
    def is_silent(self) -> bool:
        """Whether the connection closes without an answer."""
        return self.kind in {"reset_before", "reset_after", "timeout_after"}

    def response(self) -> Response | None:
        """Return the answer that replaces the real one, None when the fault is of another kind."""
        headers = {"x-request-id": new_id("req")}
        if self.kind == "garbage":
            return Response(200, b"<html>not JSON</html>", {"content-type": "text/html", **headers})
        if not self.kind.startswith("http_"):
            return None
        status = int(self.kind.removeprefix("http_"))
        if self.retry_after is not None:
            headers["retry-after"] = f"{self.retry_after:g}"
        if status == 304:  # which has no body
            return Response(status, headers=headers)
        if status in {502, 503, 504}:
            return Response(status, b"upstream unavailable", {"content-type": "text/plain", **headers})
        return answer(_BODIES.get(status, {"detail": f"Fault {status}"}), status, headers)


@dataclass
class _Posted:
    match: str
    nth: int
    times: int
    fault: Fault
    seen: int = 0

    def meets(self, target: str) -> bool:
        if not fnmatchcase(target, self.match):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times


class Faults:
    """The faults that were posted, and the requests that are being held."""

    def __init__(self, count: Callable[[Request], None]) -> None:
        self._count = count
        self._posted: list[_Posted] = []
        self._held: list[Callable[[], None]] = []

    @property
    def held(self) -> int:
        """How many requests are being held."""
        return len(self._held)

    def post(self, faults: Any) -> None:
        """Replace all faults.

        Args:
            faults: A list of `{"match", "kind"}` with optional `nth`, `times`, `seconds`, `retry_after`.

        Raises:
            Refusal: 422 when one of them is invalid; the old ones stay then.
        """
        if not isinstance(faults, list):
            raise Refusal.invalid(["body"], "Input should be a list of faults", "list_type")
        self._posted = [_read(fault, number) for number, fault in enumerate(faults)]

    def take(self, request: Request) -> Fault | None:
        """Return the fault that this request meets, counting it against every posted fault it matches.

        The first one posted wins; the control plane meets none. A request that will never be acted on is counted in the
        statistics here, and one whose decision must not resume its run is marked so.
        """
        if request.path.startswith("/_emulator/"):
            return None
        target = f"{request.method} {request.path.rstrip('/') or '/'}"
        met = [posted.fault for posted in self._posted if posted.meets(target)]
        if met and not met[0].acts:
            self._count(request)
        request.resumes = not (met and met[0].kind == "no_resume")
        return met[0] if met else None

    def hold(self, resume: Callable[[], None]) -> None:
        """Hold a request: `resume` is called at the next release."""
        self._held.append(resume)

    def release(self) -> int:
        """Release all held requests, and return how many there were."""
        held, self._held = self._held, []
        for resume in held:
            resume()
        return len(held)


def _read(fault: Any, number: int) -> _Posted:
    where = ["body", str(number)]
    if not isinstance(fault, Mapping) or not isinstance(fault.get("match"), str):
        raise Refusal.invalid([*where, "match"], 'Field required, as in "POST /v1/workflows/*"', "missing")
    kind = fault.get("kind")
    if not isinstance(kind, str) or not (kind in _KINDS or re.fullmatch(r"http_[3-5]\d\d", kind)):
        known = ", ".join(["http_<code>", *sorted(_KINDS)])
        raise Refusal.invalid([*where, "kind"], f"Input should be one of {known}")
    if unknown := fault.keys() - {"match", "kind", "nth", "times", "seconds", "retry_after"}:
        raise Refusal.invalid([*where, min(unknown)], "Unknown key of a fault")
    numbers = {"nth": 1, "times": 1, "seconds": _SECONDS.get(kind, 0.0), "retry_after": None, **fault}
    for name in ("nth", "times", "seconds", "retry_after"):
        value = numbers[name]
        if value is None and name == "retry_after":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise Refusal.invalid([*where, name], "Input should be a number, not negative", "number_type")
    met = Fault(kind, numbers["seconds"], numbers["retry_after"])
    return _Posted(fault["match"], numbers["nth"], numbers["times"], met)
