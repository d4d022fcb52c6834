"""A Retab that answers every endpoint well, and what a case puts in the place of one of its answers."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from tests.hostile.answers import said
from tests.hostile.server import Answer, Received

RUN_ID, NODE = "run_1", "end-1"
OUTPUTS = {NODE: {"label": "End", "json_data": {"total": 1}}}
STEP = {
    "step_id": "step_1",
    "node_id": NODE,
    "node_type": "end",
    "run_id": RUN_ID,
    "status": "completed",
    "handle_outputs": {"output-json-0": {"type": "json", "data": {"total": 1}}},
}
REVIEW = {"id": "rev_1", "run_id": RUN_ID, "workflow_id": "wf_1", "block_id": NODE, "decision": None}
DECIDED = {
    "submission_status": "accepted",
    "review": {**REVIEW, "decision": {"verdict": "approved", "version_id": "rvr_1"}},
}
VERSION = {"id": "rvr_1", "review_id": "rev_1", "parent_id": None, "snapshot": {"total": 1}}
TEST_RUN = {
    "id": "trun_1",
    "workflow_id": "wf_1",
    "lifecycle": {"status": "completed"},
    "counts": {"passed": 1},
}
RESULT = {"id": "res_1", "eval_id": "test_1", "test_id": "test_1", "lifecycle": {"status": "completed"}}
SIGNED = "signature-2b7f0c-do-not-show-me"
FILE = {"filename": "a.pdf", "url": f"https://storage.retab.com/file_1?sig={SIGNED}"}


def run(status: str = "completed", **more: Any) -> dict[str, Any]:
    known = {"id": RUN_ID, "workflow_id": "wf_1", "status": status, "inputs": {"json_data": {"n": 1}}}
    return {**known, "final_outputs": OUTPUTS, **more}


def page(*rows: Any, after: Any = None) -> dict[str, Any]:
    return {"data": list(rows), "list_metadata": {"before": None, "after": after}}


# What a request is for, and what a good server says; the first that fits.
ROLES: tuple[tuple[str, str, Any], ...] = (
    ("create", r"POST /v1/workflows/(runs|[^/]+/run)", run("running", final_outputs=None)),
    ("cancel", r"POST .*/cancel", {"run": run("cancelled"), "cancellation_status": "cancelled"}),
    ("restart", r"POST .*/restart", {**run("running"), "id": "run_2"}),
    ("decide", r"POST .*/hil-decisions", {"submission_status": "accepted", "decision": {"approved": True}}),
    ("resume", r"POST .*/resume", {"submission_status": "accepted", "decision": {"approved": True}}),
    ("approve", r"POST .*/reviews/[^/]+/(approve|reject)", DECIDED),
    ("edit", r"POST .*/reviews/versions", {**VERSION, "id": "rvr_2", "parent_id": "rvr_1"}),
    ("versions", r"GET .*/reviews/versions", page(VERSION)),
    ("reviews", r"GET .*/reviews", page(REVIEW)),
    ("test", r"POST .*/(evals|tests)/runs", TEST_RUN),
    ("test run", r"GET .*/(evals|tests)/runs/[^/]+", TEST_RUN),
    ("result", r"GET .*/tests/runs/[^/]+/results/[^/]+", RESULT),
    ("results", r"GET .*/(evals|tests)/(runs/[^/]+/)?results", page(RESULT)),
    ("look", r"GET /v1/workflows/runs/[^/]+", run()),
    ("list", r"GET /v1/workflows/runs", page(run())),
    ("steps", r"GET .*/steps", page(STEP)),
    ("edges", r"GET .*/edges", page({"source_block": "start-1", "target_block": NODE})),
    ("link", r"GET /v1/files/.*", {"mime_data": FILE}),
    ("open", r"POST /v1/files/upload", None),
    ("complete", r"POST /v1/files/upload/[^/]+/complete", FILE),
    ("put", r"PUT /storage.*", b""),
)


def role_of(request: Received) -> str:
    for role, pattern, _ in ROLES:
        if re.fullmatch(pattern, f"{request.method} {request.path}"):
            return role
    return "other"


_GOOD = {role: body for role, _, body in ROLES} | {"other": {}}


def good(request: Received) -> Answer:
    """Return what a good server says."""
    role = role_of(request)
    if role == "look":
        return said(200, {**run(), "id": unquote(request.path.rpartition("/")[2])})
    return said(200, ticket(f"http://{request.header('host')}") if role == "open" else _GOOD[role])


def ticket(origin: str, **changes: Any) -> dict[str, Any]:
    """Return the answer to the first request of an upload."""
    known = {
        "fileId": "file_1",
        "uploadUrl": f"{origin}/storage/file_1?sig={SIGNED}",
        "uploadMethod": "PUT",
        "uploadHeaders": {"x-goog-meta-token": SIGNED},
        "mimeData": FILE,
    }
    return {name: value for name, value in {**known, **changes}.items() if value is not ...}


Reply = Answer | Callable[[Received, int], Answer]


def retab(replies: Mapping[str, Reply]) -> Callable[[Received, int], Answer]:
    """Return a Retab in which some roles are answered otherwise; `*` stands for all of them.

    Args:
        replies: Role -> the answer, or a function of the request and how many of this role came before it.
    """
    seen: dict[str, int] = {}

    def answer(request: Received, _: int) -> Answer:
        role = role_of(request)
        reply = replies.get(role, replies.get("*"))
        if reply is None:
            return good(request)
        earlier, seen[role] = seen.get(role, 0), seen.get(role, 0) + 1
        return reply(request, earlier) if callable(reply) else reply

    return answer
