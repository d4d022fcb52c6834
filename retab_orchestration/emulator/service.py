"""The pure core: a request in, a response out; no socket, no sleeping, no clock of its own."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from retab_orchestration.emulator.evaluations import (
    block_tests,
    experiment_routes,
    experiments,
    saved_tests,
    test_runs,
)
from retab_orchestration.emulator.files import blueprints
from retab_orchestration.emulator.files import routes as files
from retab_orchestration.emulator.generations import BY_NAME
from retab_orchestration.emulator.reviews import current as reviews
from retab_orchestration.emulator.reviews import decisions, overlays
from retab_orchestration.emulator.runs import artifacts, costs, creation, executions, exports, steps
from retab_orchestration.emulator.runs import routes as runs
from retab_orchestration.emulator.serving import page
from retab_orchestration.emulator.serving.allowed_hosts import AllowedHosts
from retab_orchestration.emulator.serving.faults import Faults
from retab_orchestration.emulator.serving.routing import Router
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, new_id, read_json
from retab_orchestration.emulator.state import State, Traits
from retab_orchestration.emulator.workflows import (
    block_edits,
    edge_edits,
    graph,
    inspections,
    specs,
    versions,
    workflow_edits,
)
from retab_orchestration.emulator.workflows.built_in import BUILT_IN
from retab_orchestration.emulator.workflows.values import Workflow

__all__ = ["BODY_LIMIT", "OnUpload", "Service"]

BODY_LIMIT = 32 * 1024 * 1024
"""Bytes that a request body may have; the gateway of the real API refuses more."""

_STORAGE_LIMIT = 64 * BODY_LIMIT
"""The same for signed uploads, which do not pass that gateway and are not kept in memory."""

_MODULES = (
    creation, costs, runs, steps, artifacts, executions, exports, decisions, reviews, overlays, files, blueprints,
    graph, block_edits, edge_edits, workflow_edits, versions, specs, inspections, saved_tests, test_runs, block_tests,
    experiments, experiment_routes,
)  # fmt: skip
"""All that have routes."""


OnUpload = Callable[[str, int, int], None]
"""Takes a file's name, its bytes so far, and its bytes in all."""


class Service:
    """A Retab without a socket.

    Args:
        api: The routes to serve: `both`, `classic`, `current`, or those of one generation, `g1a` to `g3c`.
        api_key: The one valid key; None accepts any that is not empty.
        workflows: Workflows besides the built-in ones; one with a built-in's id replaces it.
        speed: How many times faster than in real time runs go.
        auth: The header that may carry the key: `both`, `api-key` or `bearer`; None for what the routes had.
        idempotency: What a repeated `Idempotency-Key` means: `compared`, `honoured` or `ignored`; the real
            API promises nothing.
        metadata: What the server does with a run's metadata: `kept`, `unfiltered` (kept, but no filter of the list) or
            `dropped`.
        list_lag: Seconds for which a new run is in no list.
        absent_routes: How a path is refused that other servers have: as `unknown`, or as one of a `workflow` that there
            is not.
        clock: Returns seconds since 1970.
        allow_hosts: Names besides those of loopback that `turn_away` allows.
        on_upload: Called by the server with a file's name, its bytes so far and its bytes in all, while an upload
            arrives.

    Raises:
        ValueError: when an argument has none of its allowed values.
    """

    def __init__(
        self,
        *,
        api: str = "both",
        api_key: str | None = None,
        workflows: Iterable[Workflow] = (),
        speed: float = 1.0,
        auth: str | None = None,
        idempotency: str = "compared",
        metadata: str = "kept",
        list_lag: float = 0.0,
        absent_routes: str = "unknown",
        clock: Callable[[], float] = time.time,
        allow_hosts: Iterable[str] = (),
        on_upload: OnUpload | None = None,
    ) -> None:
        if api not in BY_NAME:
            raise ValueError(f"api is {api!r}: use one of {', '.join(BY_NAME)}")
        auth = auth or BY_NAME[api].auth
        if auth not in {"both", "api-key", "bearer"}:
            raise ValueError(f"auth is {auth!r}: use 'both', 'api-key' or 'bearer'")
        if not 0 < speed < math.inf:
            raise ValueError(f"speed is {speed}: use a number above 0, such as 10 for ten times faster")
        self._api_key, self._auth, self._on_upload = api_key, auth, on_upload
        self._allowed_hosts = AllowedHosts(allow_hosts)
        known = {workflow.id: workflow for workflow in (*BUILT_IN, *workflows)}
        self.state = State(api, clock, speed, known, Traits(idempotency, metadata, list_lag, absent_routes))
        self.faults = Faults(self.count)
        routes = (route for module in _MODULES for route in module.ROUTES)
        self._router = Router(routes, api, takes_words_for_ids=absent_routes == "workflow")
        self._requests: Counter[str] = Counter()

    def count(self, request: Request) -> None:
        """Count a request as arrived, once; a server may do so before the request is acted on."""
        if not request.counted and request.path.startswith("/v1/"):
            request.counted = True
            self._requests[self._router.match(request.method, request.path).name] += 1

    def handle(self, request: Request) -> Response:
        """Answer a request; the server acts on faults, see `faults.take`."""
        try:
            response = self._respond(request)
        except Refusal as refusal:
            response = refusal.response()
        return _identified(response)

    def turn_away(self, request: Request) -> Response | None:
        """Answer a request that no client sends, None for the others; it meets no fault and is not counted."""
        return _refused(lambda: self._allowed_hosts.check(request))

    def refuse_unread(self, request: Request) -> Response | None:
        """Answer a request that is refused from its head, None for the others."""
        if request.path.startswith(files.STORAGE):
            refusal = _refused(lambda: files.refuse_storage(self.state, request))
            if refusal is not None:
                return refusal
        length = request.headers.get("content-length", "")
        is_too_large = length.isdecimal() and float(length) > self.body_limit(request)
        return self.refuse_size(request) if is_too_large else None

    @staticmethod
    def takes_blob(request: Request) -> bool:
        """Return whether the body of a request is an upload, to be passed as a `Blob`."""
        return request.method == "PUT" and request.path.startswith(files.STORAGE)

    def arriving(self, request: Request, size: int) -> None:
        """Report how many bytes of an upload have arrived."""
        if self._on_upload is not None and (upload := files.find_upload(self.state, request)) is not None:
            self._on_upload(upload.filename, size, upload.size)

    def body_limit(self, request: Request) -> int:
        """Return the most bytes of a request's body."""
        return _STORAGE_LIMIT if self.takes_blob(request) else BODY_LIMIT

    def refuse_size(self, request: Request) -> Response:
        """Answer a request whose body is larger than allowed, and was not read."""
        self.count(request)
        return Response(
            413, b"Request Entity Too Large", {"content-type": "text/plain", "x-request-id": new_id("req")}
        )

    def stats(self) -> dict[str, Any]:
        """Return `{"requests": {"METHOD /template": count}, "runs_created": count, "held": count}`."""
        created = self.state.runs_created
        return {"requests": dict(self._requests), "runs_created": created, "held": self.faults.held}

    def set_key(self, body: Any) -> None:
        """Set the one valid key: requests with any other key are answered with 401 from now on.

        Args:
            body: `{"api_key": "..."}`.

        Raises:
            Refusal: 422 when it is anything else; the old key stays then.
        """
        key = body.get("api_key") if isinstance(body, dict) and body.keys() == {"api_key"} else None
        if not isinstance(key, str) or not key:
            raise Refusal.invalid(["body", "api_key"], "Input should be a non-empty string", "string_type")
        self._api_key = key

    def reset(self) -> None:
        """Delete everything but the key: runs, files, faults and statistics; held requests go on."""
        self.faults.post([])
        self.faults.release()
        self._requests.clear()
        self.state.reset()

    def _respond(self, request: Request) -> Response:
        if request.path.startswith("/_emulator/"):
            return self._control(request)
        if len(request.body) > self.body_limit(request):
            return self.refuse_size(request)
        if request.path.startswith(files.STORAGE):
            return files.serve_storage(self.state, request)
        if not request.path.startswith("/v1/"):
            return page.serve(self.state, request)
        self.count(request)
        self._authenticate(request)
        return self._router.match(request.method, request.path).call(self.state, request)

    def _authenticate(self, request: Request) -> None:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        offered = {
            "api-key": request.headers.get("api-key", ""),
            "bearer": bearer.strip() if scheme.lower() == "bearer" else "",
        }
        keys = [key for name, key in offered.items() if key and self._auth in {"both", name}]
        if not keys:
            raise Refusal(401, "Not authenticated")
        if self._api_key is not None and self._api_key not in keys:
            raise Refusal.structured(401, "Invalid API Key.")

    def _control(self, request: Request) -> Response:
        match request.method, request.path.removeprefix("/_emulator/").rstrip("/"):
            case "GET", "stats":
                return answer(self.stats())
            case "POST", "faults":
                self.faults.post(read_json(request.body or b"[]", ["body"]))
                return answer({"faults": "posted"})
            case "POST", "key":
                self.set_key(read_json(request.body or b"[]", ["body"]))
                return answer({"key": "set"})
            case "POST", "release":
                return answer({"released": self.faults.release()})
            case "POST", "reset":
                self.reset()
                return answer({"reset": True})
        raise Refusal(404, "Not Found")


def _refused(check: Callable[[], Response | None]) -> Response | None:
    try:
        response = check()
    except Refusal as refusal:
        response = refusal.response()
    return _identified(response) if response else None


def _identified(response: Response) -> Response:
    return replace(response, headers={"x-request-id": new_id("req"), **response.headers})
