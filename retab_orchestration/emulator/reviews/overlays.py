"""Reviews of the generation between the decisions of runs and the reviews with ids: an overlay of a run's node."""

import hashlib
import json
from typing import Any

from retab_orchestration.emulator.reviews.gates import ReviewGate, decide, find_gate, gates_of, version_id
from retab_orchestration.emulator.runs.engine import Decision, Version
from retab_orchestration.emulator.runs.handles import node_type
from retab_orchestration.emulator.serving.paging import choice, integer
from retab_orchestration.emulator.serving.routing import Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment
from retab_orchestration.emulator.state import ORGANIZATION_ID, State

__all__ = ["ROUTES"]

_STATUSES = ("awaiting_review", "approved", "rejected")
_VERDICTS = ("approved", "rejected", "escalated")
_REVIEWER = {"kind": "human", "id": "user_emulator", "display_name": "Reviewer"}
_MODEL = {"kind": "model", "id": "model_emulator", "display_name": "Extractor"}
_LEASE = 900


def list_overlays(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/reviews`: the oldest first, with `has_more` and without cursors."""
    wanted = choice(request, "status", _STATUSES)
    limit = integer(request, "limit", 1, 200) or 50
    gates = [gate for run in list(state.runs.values()) for gate in gates_of(state, run)]
    found = [
        gate
        for gate in gates
        if wanted in {None, _status(gate)} and request.param("workflow_id") in {None, gate.run.workflow.id}
    ]
    found.sort(key=lambda gate: gate.step.started_at)
    return answer({"data": [_overlay(state, gate) for gate in found[:limit]], "has_more": len(found) > limit})


def get_overlay(state: State, _request: Request, run_id: str, node_id: str) -> Response:
    """Answer `GET /v1/workflows/reviews/{run_id}/{block_id}`."""
    return answer(_overlay(state, _gate(state, run_id, node_id)))


def create_version(state: State, request: Request, run_id: str, node_id: str) -> Response:
    """Answer `POST …/versions`: an edit of what is under review."""
    gate, body = _gate(state, run_id, node_id), request.json_object()
    snapshot = body.get("snapshot")
    if not isinstance(snapshot, dict):
        raise Refusal.invalid(["body", "snapshot"], "Input should be a valid dictionary", "dict_type")
    _refuse_if_stale(gate, body)
    _add_version(state, gate, snapshot, body.get("note"))
    return answer(_overlay(state, gate))


def decide_overlay(state: State, request: Request, run_id: str, node_id: str) -> Response:
    """Answer `POST …/decision`: the first decision counts; the same once more is `already_applied`."""
    gate, body = _gate(state, run_id, node_id), request.json_object()
    verdict = body.get("verdict")
    if verdict not in _VERDICTS:
        raise Refusal.invalid(
            ["body", "verdict"], "Input should be 'approved', 'rejected' or 'escalated'", "enum"
        )
    reason = body.get("reason")
    if verdict == "rejected" and not (isinstance(reason, str) and reason.strip()):
        raise Refusal.invalid(["body", "reason"], "A rejection needs a reason")
    if verdict == "escalated":
        _refuse_if_stale(gate, body)
        return answer({"submission_status": "accepted", "overlay": _overlay(state, gate)})
    approved = verdict == "approved"
    standing, version = gate.decision, _decided_version(state, gate, body)
    if standing is None:
        _refuse_if_stale(gate, body)
        decide(state, gate, approved=approved, version=version, reason=reason, resumes=request.resumes)
    elif (standing.approved, standing.version_id) != (approved, version.id):
        raise Refusal(409, f"Another decision for {node_id} stands already; it was not changed")
    status = "accepted" if standing is None else "already_applied"
    return answer({"submission_status": status, "overlay": _overlay(state, gate)})


def claim_overlay(state: State, request: Request, run_id: str, node_id: str) -> Response:
    """Answer `POST …/claim`: a lease that keeps nobody from deciding."""
    gate, body = _gate(state, run_id, node_id), request.json_object()
    _refuse_if_stale(gate, body)
    seconds = body.get("ttl_seconds", _LEASE)
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds < 1:
        raise Refusal.invalid(
            ["body", "ttl_seconds"], "Input should be an integer greater than 0", "int_type"
        )
    state.leases[gate.review_id] = (state.clock(), state.clock() + seconds)
    return answer(_overlay(state, gate))


def release_overlay(state: State, request: Request, run_id: str, node_id: str) -> Response:
    """Answer `POST …/release`."""
    gate = _gate(state, run_id, node_id)
    _refuse_if_stale(gate, request.json_object())
    state.leases.pop(gate.review_id, None)
    return answer(_overlay(state, gate))


def _gate(state: State, run_id: str, node_id: str) -> ReviewGate:
    gate = find_gate(state, state.run(run_id), node_id)
    if gate is None:
        raise Refusal(404, "review overlay not found")
    return gate


def _status(gate: ReviewGate) -> str:
    if gate.decision is None:
        return "awaiting_review"
    return "approved" if gate.decision.approved else "rejected"


def _revision(gate: ReviewGate) -> int:
    """Return the number that a change has to name: it grows with each version, and with the decision."""
    return len(gate.versions) + (gate.decision is not None)


def _refuse_if_stale(gate: ReviewGate, body: dict[str, Any]) -> None:
    if body.get("version_stamp") != _revision(gate):
        raise Refusal(409, f"version_stamp is stale: the review is at {_revision(gate)}; read it again")


def _decided_version(state: State, gate: ReviewGate, body: dict[str, Any]) -> Version:
    """Return the version that a decision is on: an edit that comes with it, or the newest that it has seen."""
    edited, asked = body.get("edited_output"), body.get("effective_seq")
    if isinstance(edited, dict):
        wanted = version_id(gate, edited)
        known = next((version for version in gate.versions if version.id == wanted), None)
        if known is not None:
            return known
        if gate.decision is not None:  # which is on another version than this one
            return Version(wanted, None, edited, None, state.clock())
        _refuse_if_stale(gate, body)
        version = _add_version(state, gate, edited, None)
        body["version_stamp"] = _revision(gate)
        return version
    if asked is None and gate.decision is not None:
        return gate.version(gate.decision.version_id)
    if asked is None:
        return gate.versions[-1]
    if not isinstance(asked, int) or not 1 <= asked <= len(gate.versions):
        raise Refusal.invalid(["body", "effective_seq"], f"There are versions 1 to {len(gate.versions)}")
    return gate.versions[asked - 1]


def _add_version(state: State, gate: ReviewGate, snapshot: dict[str, Any], note: Any) -> Version:
    text = note if isinstance(note, str) else None
    version = Version(version_id(gate, snapshot), gate.versions[-1].id, snapshot, text, state.clock())
    gate.versions.append(version)
    return version


def _overlay(state: State, gate: ReviewGate) -> dict[str, Any]:
    run, decision = gate.run, gate.decision
    lease = state.leases.get(gate.review_id)
    claim = (
        {"holder": _REVIEWER, "claimed_at": moment(lease[0]), "expires_at": moment(lease[1])}
        if lease
        else None
    )
    sequence = {version.id: number for number, version in enumerate(gate.versions, 1)}
    return {
        "_id": gate.review_id,
        "organization_id": ORGANIZATION_ID,
        "workflow_id": run.workflow.id,
        "workflow_version_id": run.workflow.version_id,
        "workflow_run_id": run.id,
        "block_id": gate.step.node.id,
        "block_run_id": gate.step.node.id,
        "block_type": "extract" if node_type(run.shape, gate.step.node) == "review" else gate.step.node.type,
        "triggered_by": {"kind": "always"},
        "status": _status(gate),
        "awaiting_since": moment(gate.step.started_at),
        "decided_at": moment(decision.at) if decision else None,
        "priority": 0,
        "rev": _revision(gate),
        "claim": claim,
        "versions": [_version(version, number, sequence) for number, version in enumerate(gate.versions, 1)],
        "decisions": [_decision(decision, sequence)] if decision else [],
        "audit": [],
        "head_seq": len(gate.versions),
        "effective_seq": sequence.get(decision.version_id) if decision else None,
    }


def _version(version: Version, number: int, sequence: dict[str, int]) -> dict[str, Any]:
    content = json.dumps(version.snapshot, sort_keys=True).encode()
    return {
        "seq": number,
        "parent_seq": sequence.get(version.parent_id or ""),
        "author": _MODEL if version.parent_id is None else _REVIEWER,
        "origin": "model_output" if version.parent_id is None else "human_edit",
        "snapshot": version.snapshot,
        "content_sha256": hashlib.sha256(content).hexdigest(),
        "note": version.note,
        "created_at": moment(version.created_at),
    }


def _decision(decision: Decision, sequence: dict[str, int]) -> dict[str, Any]:
    seq = sequence.get(decision.version_id)
    return {
        "decision_id": f"dec_{decision.version_id}",
        "verdict": "approved" if decision.approved else "rejected",
        "decided_by": _REVIEWER,
        "decided_at": moment(decision.at),
        "on_seq": seq,
        "effective_seq": seq,
        "reason": decision.reason,
        "escalate_to": None,
        "supersedes_decision_id": None,
    }


_OVERLAY = "/v1/workflows/reviews/{run_id}/{block_id}"

ROUTES = (
    Route("GET", "/v1/workflows/reviews", list_overlays, ("g2c",)),
    Route("GET", _OVERLAY, get_overlay, ("g2c",)),
    Route("POST", f"{_OVERLAY}/versions", create_version, ("g2c",)),
    Route("POST", f"{_OVERLAY}/decision", decide_overlay, ("g2c",)),
    Route("POST", f"{_OVERLAY}/claim", claim_overlay, ("g2c",)),
    Route("POST", f"{_OVERLAY}/release", release_overlay, ("g2c",)),
)
