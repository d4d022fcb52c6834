"""Reviews on the current routes: reviews, their versions with ids by content, approve and reject."""

from collections.abc import Callable
from typing import Any

from retab_orchestration.emulator.generations import Generation
from retab_orchestration.emulator.reviews.gates import ReviewGate, decide, find_gate, gates_of, version_id
from retab_orchestration.emulator.runs.creation import text_at
from retab_orchestration.emulator.runs.engine import Decision, Version
from retab_orchestration.emulator.runs.lifecycles import step_id
from retab_orchestration.emulator.serving.paging import choice, order, page
from retab_orchestration.emulator.serving.routing import CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment
from retab_orchestration.emulator.state import State

__all__ = ["ROUTES"]

_HUMAN = {"kind": "human", "id": "user_emulator", "display_name": "Reviewer"}
_MODEL = {"kind": "model", "id": "model_emulator", "display_name": "Extractor"}

_ENDED = "workflow execution already completed"
"""Why a recorded decision never resumes its run."""

_ASKED_FOR: dict[str, Callable[[str], bool]] = {
    "pending": lambda status: status == "pending",
    "approved": lambda status: status == "approved",
    "rejected": lambda status: status == "rejected",
    "cancelled": lambda status: status == "cancelled",
    "decided": lambda status: status in {"approved", "rejected"},
    "all": lambda _: True,
}


def list_reviews(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/reviews`: by default those that are undecided, oldest first."""
    wanted = _ASKED_FOR[choice(request, "decision_status", _ASKED_FOR) or "pending"]
    gates = [gate for run in list(state.runs.values()) for gate in gates_of(state, run)]
    found = [gate for gate in gates if wanted(_status(state, gate)) and _matches(gate, request)]
    found.sort(key=lambda gate: gate.step.started_at, reverse=order(request, "asc"))
    rows = page(
        request,
        found,
        lambda gate: gate.review_id,
        lambda gate: _review(state, gate),
        default=50,
        largest=200,
    )
    return answer(rows)


def get_review(state: State, _request: Request, review_id: str) -> Response:
    """Answer `GET /v1/workflows/reviews/{review_id}`."""
    return answer(_review(state, _gate(state, review_id)))


def approve_review(state: State, request: Request, review_id: str) -> Response:
    """Answer `POST /v1/workflows/reviews/{review_id}/approve`."""
    gate = _gate(state, review_id)
    body = request.json_object()
    version = gate.version(text_at(body, "version_id", ["body"]))
    if gate.decision is None:
        _acknowledge(gate, version.id, body)
    return _decide(state, gate, version, approved=True, resumes=request.resumes)


def reject_review(state: State, request: Request, review_id: str) -> Response:
    """Answer `POST /v1/workflows/reviews/{review_id}/reject`."""
    gate = _gate(state, review_id)
    body = request.json_object()
    version = gate.version(text_at(body, "version_id", ["body"]))
    reason = text_at(body, "reason", ["body"])
    if not reason.strip():
        raise Refusal.invalid(["body", "reason"], "Input should be a non-empty string")
    return _decide(state, gate, version, approved=False, reason=reason, resumes=request.resumes)


def list_versions(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/reviews/versions?review_id=`."""
    review_id = request.param("review_id")
    if review_id is None:
        raise Refusal.invalid(["query", "review_id"], "Field required", "missing")
    gate = _gate(state, review_id)
    rows = page(
        request,
        gate.versions,
        lambda version: version.id,
        lambda version: _version(gate, version),
        default=50,
    )
    return answer(rows)


def get_version(state: State, _request: Request, wanted: str) -> Response:
    """Answer `GET /v1/workflows/reviews/versions/{version_id}`."""
    for gate in (gate for run in list(state.runs.values()) for gate in gates_of(state, run)):
        for version in gate.versions:
            if version.id == wanted:
                return answer(_version(gate, version))
    raise Refusal(404, "review version not found")


def create_version(state: State, request: Request) -> Response:
    """Answer `POST /v1/workflows/reviews/versions`: the same content under the same parent is the same version."""
    body = request.json_object()
    gate = _gate(state, text_at(body, "review_id", ["body"]))
    parent = gate.version(text_at(body, "parent_id", ["body"]))
    snapshot, note = body.get("snapshot"), body.get("note")
    if not isinstance(snapshot, dict):
        raise Refusal.invalid(["body", "snapshot"], "Input should be a valid dictionary", "dict_type")
    if note is not None and not isinstance(note, str):
        raise Refusal.invalid(["body", "note"], "Input should be a valid string", "string_type")
    wanted = version_id(gate, snapshot)
    known = next((version for version in gate.versions if version.id == wanted), None)
    if known is not None:
        if known.parent_id != parent.id:
            message = f"The same content exists as {known.id} under another parent"
            raise Refusal(409, {"code": "parent_conflict", "message": message})
        return answer(_version(gate, known))
    _refuse_unless_open(state, gate)
    _acknowledge(gate, parent.id, body)
    version = Version(wanted, parent.id, snapshot, note, state.clock())
    gate.versions.append(version)
    return answer(_version(gate, version), 201)


def _gate(state: State, review_id: str) -> ReviewGate:
    run_id, step_id = state.gates.get(review_id, ("", ""))
    run = state.runs.get(run_id)
    gate = find_gate(state, run, step_id) if run else None
    if gate is None:
        raise Refusal(404, "review overlay not found")
    return gate


def _status(state: State, gate: ReviewGate) -> str:
    if gate.decision is not None:
        return "approved" if gate.decision.approved else "rejected"
    return "pending" if state.view_of(gate.run).is_active else "cancelled"


def _matches(gate: ReviewGate, request: Request) -> bool:
    values = {
        "workflow_id": gate.run.workflow.id,
        "run_id": gate.run.id,
        "block_id": gate.step.node.id,
        "step_id": step_id(gate.run, gate.step),
        "iteration_key": _iteration_key(gate),
    }
    return all(request.param(name) in {None, value} for name, value in values.items())


def _refuse_unless_open(state: State, gate: ReviewGate) -> None:
    status = _status(state, gate)
    if status != "pending":
        message = f"Review {gate.review_id} is {status} and takes no more versions or decisions"
        raise Refusal(409, {"code": "review_closed", "message": message})


def _acknowledge(gate: ReviewGate, version_id: str, body: dict[str, Any]) -> None:
    """Refuse a decision on an older version unless the caller has named the newer ones."""
    parents = {version.parent_id for version in gate.versions}
    newest = {version.id for version in gate.versions} - parents - {version_id}
    acknowledged = body.get("acknowledged_superseded_version_ids") or []
    if not isinstance(acknowledged, list) or not all(isinstance(each, str) for each in acknowledged):
        where = ["body", "acknowledged_superseded_version_ids"]
        raise Refusal.invalid(where, "Input should be a list of strings", "list_type")
    if unseen := sorted(newest - set(acknowledged)):
        message = f"Newer versions would be discarded: acknowledge {', '.join(unseen)}"
        details = {"superseded_version_ids": unseen}
        raise Refusal(409, {"code": "unacknowledged_versions", "message": message, "details": details})


def _decide(
    state: State,
    gate: ReviewGate,
    version: Version,
    *,
    approved: bool,
    resumes: bool,
    reason: str | None = None,
) -> Response:
    standing = gate.decision
    if standing is None:
        _refuse_unless_open(state, gate)
        decide(state, gate, approved=approved, version=version, reason=reason, resumes=resumes)
        status = "accepted"
    elif (standing.approved, standing.version_id) == (approved, version.id):
        status = "already_applied"
    else:
        status = "conflict"
    body: dict[str, Any] = {"submission_status": status, "review": _review(state, gate), "resume_error": None}
    if standing is not None:
        body["resume_status"] = "skipped"
    elif resumes:
        body["resume_status"] = "resumed"
    else:
        body.update(resume_status="pending", resume_error=_ENDED)
    return answer(body)


def _review(state: State, gate: ReviewGate) -> dict[str, Any]:
    run, decision = gate.run, gate.decision
    cancelled = _status(state, gate) == "cancelled"
    return {
        "id": gate.review_id,
        "workflow_id": run.workflow.id,
        "workflow_version_id": run.workflow.version_id,
        run.shape.review_keys[0]: run.id,
        "block_id": gate.step.node.id,
        "step_id": step_id(run, gate.step),
        "parent_step_id": gate.step.loop_id and f"{run.id}_{gate.step.loop_id}",
        "iteration_key": _iteration_key(gate),
        "block_type": "extract",
        "triggered_by": {"kind": "always"},
        "created_at": moment(gate.step.started_at),
        "decision": _decision(run.shape, decision) if decision else None,
        "cancelled_at": moment(state.view_of(run).completed_at) if cancelled else None,
    }


def _iteration_key(gate: ReviewGate) -> str | None:
    """Return which pass through the loops around it a review is of, outermost first; None outside loops."""
    return "/".join(str(each.number) for each in gate.step.passes) or None


def _decision(shape: Generation, decision: Decision) -> dict[str, Any]:
    return {
        "verdict": "approved" if decision.approved else "rejected",
        "version_id": decision.version_id,
        "author": _HUMAN,
        shape.review_keys[1]: moment(decision.at),
        "reason": decision.reason,
    }


def _version(gate: ReviewGate, version: Version) -> dict[str, Any]:
    return {
        "id": version.id,
        "review_id": gate.review_id,
        "parent_id": version.parent_id,
        "author": _MODEL if version.parent_id is None else _HUMAN,
        "snapshot": version.snapshot,
        "note": version.note,
        "created_at": moment(version.created_at),
    }


ROUTES = (
    Route("GET", "/v1/workflows/reviews", list_reviews, CURRENT),
    Route("GET", "/v1/workflows/reviews/versions", list_versions, CURRENT),
    Route("POST", "/v1/workflows/reviews/versions", create_version, CURRENT),
    Route("GET", "/v1/workflows/reviews/versions/{version_id}", get_version, CURRENT),
    Route("GET", "/v1/workflows/reviews/{review_id}", get_review, CURRENT),
    Route("POST", "/v1/workflows/reviews/{review_id}/approve", approve_review, CURRENT),
    Route("POST", "/v1/workflows/reviews/{review_id}/reject", reject_review, CURRENT),
)
