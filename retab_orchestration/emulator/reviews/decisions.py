"""Human decisions on the classic routes: `resume` with node names, `hil-decisions` with block names."""

import hashlib
from dataclasses import dataclass
from typing import Any

from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.reviews.gates import ReviewGate, decide, find_gate, version_id
from retab_orchestration.emulator.runs.bodies import run_body
from retab_orchestration.emulator.runs.engine import Run, Version
from retab_orchestration.emulator.serving.routing import Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment, new_id
from retab_orchestration.emulator.state import State

__all__ = ["ROUTES"]


@dataclass(frozen=True)
class _Asked:
    node_id: str
    approved: bool
    modified_data: dict[str, Any] | None
    word: str
    """The caller's name for it: `node` or `block`."""


def resume_run(state: State, request: Request, run_id: str) -> Response:
    """Answer `POST /v1/workflows/runs/{run_id}/resume`."""
    run = state.run(run_id)
    asked = _asked(request, ("node",))
    is_new, _ = _submit(state, run, asked)
    body = {"run": run_body(state, run), "resume_status": "processing" if is_new else "already_processed"}
    return answer({**body, "queue_position": None, "queue_item_id": new_id("queue")})


def submit_decision(state: State, request: Request, run_id: str) -> Response:
    """Answer `POST /v1/workflows/runs/{run_id}/hil-decisions`: a receipt."""
    run = state.run(run_id)
    asked = _asked(request, ("block", "node"))
    is_new, gate = _submit(state, run, asked)
    receipt = _receipt(state, run, gate.step.id, asked.word)
    return answer({"submission_status": "accepted" if is_new else "already_applied", "decision": receipt})


def get_decision(state: State, _request: Request, run_id: str, node_id: str) -> Response:
    """Answer `GET /v1/workflows/runs/{run_id}/hil-decisions/{block_id}`, also when nothing is decided yet."""
    return answer(_receipt(state, state.run(run_id), node_id, "block"))


def _asked(request: Request, words: tuple[str, ...]) -> _Asked:
    body = request.json_object()
    word = next((word for word in words if f"{word}_id" in body), words[0])
    node_id, approved, modified = body.get(f"{word}_id"), body.get("approved"), body.get("modified_data")
    if not isinstance(node_id, str):
        raise Refusal.invalid(["body", f"{word}_id"], "Field required", "missing")
    if not isinstance(approved, bool):
        raise Refusal.invalid(["body", "approved"], "Input should be a valid boolean", "bool_type")
    if modified is not None and not isinstance(modified, dict):
        raise Refusal.invalid(["body", "modified_data"], "Input should be a valid dictionary", "dict_type")
    return _Asked(node_id, approved, modified, word)


def _submit(state: State, run: Run, asked: _Asked) -> tuple[bool, ReviewGate]:
    """Record the decision; return whether it is new, or was recorded already, and where."""
    gate = find_gate(state, run, asked.node_id)
    if gate is not None and gate.decision is not None:
        if _hash(gate.decision.approved, gate.decision.version_id) == _hash(
            asked.approved, _wanted(gate, asked)
        ):
            return False, gate
        raise Refusal(409, f"Another decision for {asked.node_id} stands already; it was not changed")
    if gate is None or asked.node_id not in state.view_of(run).waiting:
        raise Refusal(409, f"{asked.node_id} takes no decision now: the run is {state.view_of(run).status}")
    decide(state, gate, approved=asked.approved, version=_version(state, gate, asked))
    return True, gate


def _wanted(gate: ReviewGate, asked: _Asked) -> str:
    edited = asked.modified_data is not None and asked.approved
    return version_id(gate, asked.modified_data or {}) if edited else gate.versions[0].id


def _version(state: State, gate: ReviewGate, asked: _Asked) -> Version:
    wanted = _wanted(gate, asked)
    known = next((version for version in gate.versions if version.id == wanted), None)
    if known is None:
        known = Version(wanted, gate.versions[-1].id, asked.modified_data or {}, None, state.clock())
        gate.versions.append(known)
    return known


def _hash(approved: bool, version: str) -> str:
    return hashlib.sha256(f"{approved} {version if approved else ''}".encode()).hexdigest()


def _receipt(state: State, run: Run, node_id: str, word: str) -> dict[str, Any]:
    gate = find_gate(state, run, node_id)
    decision = gate.decision if gate else None
    statuses = {"waiting_for_human": "waiting_for_hil"}
    return {
        "run_id": run.id,
        f"{word}_id": gate.step.node.id if gate else node_id,
        f"{word}_status": statuses.get(gate.step.status, gate.step.status) if gate else None,
        "decision_received": decision is not None,
        "decision_applied": decision is not None,
        "approved": decision.approved if decision else None,
        "modified_data": decision.modified_data if decision else None,
        "payload_hash": _hash(decision.approved, decision.version_id) if decision else None,
        "received_at": moment(decision.at) if decision else None,
        "applied_at": moment(decision.at) if decision else None,
    }


_WITH_RECEIPTS = ("classic", *span("g1b", "g2b"))

ROUTES = (
    Route("POST", "/v1/workflows/runs/{run_id}/resume", resume_run, ("classic", "g1a")),
    Route("POST", "/v1/workflows/runs/{run_id}/hil-decisions", submit_decision, _WITH_RECEIPTS),
    Route("GET", "/v1/workflows/runs/{run_id}/hil-decisions/{node_id}", get_decision, _WITH_RECEIPTS),
)
