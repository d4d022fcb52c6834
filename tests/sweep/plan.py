"""Which faults a sweep injects, and what each of them must come to, by what the request was for."""

import re
from dataclasses import dataclass

from retab_orchestration import (
    ApiStatusError,
    AuthenticationError,
    ConflictError,
    CreateOutcomeUnknownError,
    DocumentTooLargeError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    UploadRefusedError,
)

# Before these there is no run.
BEFORE = {"probe", "second probe", "find", "open", "put", "complete", "create"}
# What a storage refuses in ways that say nothing to anybody else.
_STORAGE = {"http_302", "http_400", "http_401", "http_405"}

# What may be gone when the same thing is asked again; any other 5xx is as 500 is. The last four take effect.
ANSWERED = ("http_408", "http_500", "http_503", "garbage", "reset_before")
ACTED_ON = ("reset_after", "hold_before", "hold_after", "timeout_after")
AMBIGUOUS = ANSWERED + ACTED_ON
HARMLESS = ("http_429", "slow")
REFUSALS = {
    "http_302": ApiStatusError,
    "http_400": RequestRejectedError,
    "http_401": AuthenticationError,
    "http_403": PermissionDeniedError,
    "http_404": NotFoundError,
    "http_405": NotFoundError,
    "http_409": ConflictError,
    "http_410": ApiStatusError,
    "http_413": DocumentTooLargeError,
    "http_422": RequestRejectedError,
    "http_429 for long": RateLimitedError,
}
KINDS = (*AMBIGUOUS, *HARMLESS, *REFUSALS)

# Another upload is made of what these refuse, once.
_STALE = {"http_403", "http_404", "http_409", "http_410", "http_422"}
_GATEWAYS = {"http_302", "http_400", "http_409", "http_410", "http_422"}
# What a refusal means to a request that is not bound to succeed.
_SURVIVED = {
    # It finds out what the server speaks: other routes, another header, or a key that may not read this.
    "probe": {"http_400", "http_401", "http_403", "http_404", "http_405", "http_422"},
    "second probe": {"http_401", "http_403"},
    # A run that was created a moment ago may not be found yet, and who waits has time.
    "look": {"http_404", "http_405", "http_429 for long"},
    # What Retab never says of a run that was seen before comes from a gateway.
    "look again": {"http_404", "http_405", "http_429 for long", *_GATEWAYS},
    "outputs": {"http_404", "http_405", "http_429 for long", *_GATEWAYS},
    "edges of outputs": {"http_403", "http_404", "http_405", "http_429 for long", *_GATEWAYS},
    # The list has shown it, so what cannot be seen of it is looked for by whoever waits for it.
    "look at what was found": set(REFUSALS),
    "put": _STALE,
    "complete": _STALE,
    # An older server has another route for it.
    "decision": {"http_404", "http_405"},
    # Why a run failed is worth a request, not another failure.
    "reason": set(REFUSALS),
    # The steps alone tell which nodes are the last.
    "edges": {"http_403", "http_404", "http_405"},
}


def posted(kind, index, **options):
    """Return the fault for the request of this index, from 0, as the emulator takes it."""
    more = {
        "http_429": {"retry_after": 1},
        "http_429 for long": {"retry_after": 90},
        "http_503": {"retry_after": 1},
    }.get(kind, {})
    return {"match": "*", "nth": index + 1, "kind": kind.partition(" ")[0], **more, **options}


def role_of(request):
    """Name what a request is for."""
    names = {name for name, _ in request.query}
    for pattern, role in (
        (r"POST /v1/workflows(/[^/]+)?/runs?", "create"),
        (r"GET /v1/workflows/runs/[^/]+", "look"),
        (r"GET /v1/workflows/runs", "find" if any("metadata" in name for name in names) else "second probe"),
        (r"GET /v1/workflows/steps", "steps" if "run_id" in names else "probe"),
        (r"GET .*/steps", "steps"),
        (r"GET .*/edges", "edges"),
        (r"POST .*/hil-decisions", "decision"),
        (r"POST /v1/files/upload", "open"),
        (r"PUT .*", "put"),
        (r"POST /v1/files/upload/[^/]+/complete", "complete"),
    ):
        if re.fullmatch(pattern, f"{request.method} {request.path}"):
            return role
    return "other"


def roles_of(requests):
    """Name what each request of a life is for, where looks and outputs are those of waits."""
    names, is_seen = [], False
    for role in map(role_of, requests):
        name = {"steps": "outputs", "edges": "edges of outputs"}.get(role, role)
        if role == "look" and names[-1:] == ["find"]:
            name = "look at what was found"
        elif role == "look":
            name, is_seen = "look again" if is_seen else "look", True
        elif role in {"create", "decision", "other"}:
            is_seen = False
        names.append(name)
    return names


@dataclass(frozen=True)
class Expected:
    """What one fault comes to."""

    error: type[Exception] | None
    """None where the life goes on to its end."""
    created: bool
    """Whether there is a run afterwards."""


def expected(kind, role, family, *, existing=False):
    """Tell what a fault of this kind comes to where a request has this role.

    Args:
        kind: The fault.
        role: As `role_of` names it.
        family: The routes.
        existing: Whether the run was there before.
    """
    if role == "create" and family == "current" and kind == "http_409":
        return Expected(CreateOutcomeUnknownError, existing)  # it may be the key that came before
    if kind in REFUSALS and kind not in _SURVIVED.get(role, ()):
        error = UploadRefusedError if role == "put" and kind in _STORAGE else REFUSALS[kind]
        return Expected(error, existing or role not in BEFORE)
    if role == "create" and family == "classic" and kind in AMBIGUOUS:
        return Expected(CreateOutcomeUnknownError, kind in ACTED_ON)
    return Expected(None, created=True)
