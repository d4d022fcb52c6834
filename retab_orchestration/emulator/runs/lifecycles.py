"""The bodies of runs and steps with a `lifecycle`, which all but the oldest generations have."""

from collections.abc import Mapping
from typing import Any

from retab_orchestration.emulator.generations import Generation
from retab_orchestration.emulator.runs.costs import run_costs, step_costs
from retab_orchestration.emulator.runs.engine import Run, Step, View
from retab_orchestration.emulator.runs.handles import (
    error_details,
    input_handles,
    loop_facts,
    node_facts,
    node_type,
    output_handles,
    reference,
)
from retab_orchestration.emulator.serving.wire import moment
from retab_orchestration.emulator.state import ORGANIZATION_ID
from retab_orchestration.emulator.workflows.values import TRIGGERS

__all__ = ["run_body", "step_body", "step_id"]

_REASONS = {"cancelled": "The run was cancelled", "skipped": "The run ended before"}
"""Why a step ended without being done, where nobody gave a reason."""

_TERMINAL = frozenset({"error", *_REASONS})


def run_body(run: Run, view: View) -> dict[str, Any]:
    """Return the body of a run: `lifecycle`, `timing`, no steps and no outputs."""
    shape = run.shape
    return {
        "id": run.id,
        **_owner(shape),
        **_workflow(run),
        "trigger": _trigger(run),
        "lifecycle": _run_lifecycle(run, view),
        "timing": {
            "created_at": moment(run.created_at),
            "started_at": moment(view.started_at),
            "completed_at": moment(view.completed_at),
            **{key: value for key, value in _timing(view).items() if key in shape.timing},
        },
        "inputs": {
            "documents": {node_id: reference(shape, file) for node_id, file in run.documents.items()},
            "json_data": run.json_inputs,
        },
        **run_costs(run, view),
        **({"metadata": run.metadata} if run.has_metadata else {}),
    }


def step_body(run: Run, step: Step) -> dict[str, Any]:
    """Return the body of a step."""
    shape = run.shape
    return {
        "run_id": run.id,
        **_owner(shape),
        **node_facts(shape, id=step.node.id, type=node_type(shape, step.node), label=step.node.label),
        "step_id": step_id(run, step),
        **_step_state(shape, step),
        "started_at": moment(step.started_at),
        "completed_at": moment(step.completed_at),
        **step_costs(shape, step),
        **loop_facts(shape, step),
        "created_at": moment(step.started_at),
        "handle_inputs": input_handles(shape, step),
        "handle_outputs": output_handles(shape, step),
        "artifact": None,
        "retry_count": step.retry_count,
    }


def step_id(run: Run, step: Step) -> str:
    """Return the id of a step, which older generations make without the run's."""
    return f"{run.id}_{step.id}" if run.shape.is_current else step.id


def _owner(shape: Generation) -> dict[str, Any]:
    return {"organization_id": ORGANIZATION_ID} if shape.has_owner else {}


def _workflow(run: Run) -> dict[str, Any]:
    workflow, version = run.workflow, run.workflow.version_id
    named = {"workflow_id": workflow.id, "version_id": version}
    told = {"name_at_run_time": workflow.name, "requested_version": "production"}
    match run.shape.workflow_keys:
        case "snapshot":
            return {"workflow": {**named, **told, "snapshot_id": version.replace("ver_", "snap_")}}
        case "version":
            return {"workflow": {**named, **told}}
    return {"workflow_id": workflow.id, "workflow_version_id": version}


def _trigger(run: Run) -> dict[str, Any]:
    """Return what began a run; a restart names its source, whose id keeps no other place here."""
    facts: Mapping[str, Any] = TRIGGERS.get(run.trigger_type, {})
    if run.source_id is not None:
        facts = {"parent_run_id": run.source_id}
        if run.shape.lifecycle_key == "kind":
            facts["source_run_id"] = run.source_id
    return {"type": run.trigger_type, **(facts if run.shape.has_trigger_facts else {})}


def _timing(view: View) -> dict[str, Any]:
    """Return what the `timing` of some generations says beside the moments of a run."""
    waited, lasted = round(view.waited * 1000), view.milliseconds
    return {
        "human_waiting_started_at": moment(view.waiting_since),
        "accumulated_human_waiting_ms": waited,
        "review_waiting_started_at": moment(view.waiting_since),
        "accumulated_review_waiting_ms": waited,
        "duration_ms": lasted,
        "active_duration_ms": None if lasted is None else lasted - waited,
    }


def _lifecycle(shape: Generation, status: str) -> dict[str, Any]:
    return {shape.lifecycle_key: shape.waiting if status == "waiting_for_human" else status}


def _run_lifecycle(run: Run, view: View) -> dict[str, Any]:
    lifecycle = _lifecycle(run.shape, view.status)
    if view.waiting:
        lifecycle["waiting_for_block_ids"] = list(view.waiting)
    elif view.status == "error" and view.failed is not None:
        lifecycle.update(_failure(run.shape, view.failed), failing_step_id=step_id(run, view.failed))
    elif view.status == "cancelled":
        lifecycle["reason"] = next((d.reason for d in run.decisions.values() if not d.approved), None)
    return lifecycle


def _step_state(shape: Generation, step: Step) -> dict[str, Any]:
    lifecycle = _lifecycle(shape, step.status)
    if step.status == "error":
        lifecycle.update(_failure(shape, step))
    elif step.status in _REASONS:
        lifecycle["reason"] = (step.decision and step.decision.reason) or _REASONS[step.status]
    if shape.has_step_lifecycles:
        return {"lifecycle": lifecycle}
    return {"status": step.status, "terminal": lifecycle if step.status in _TERMINAL else None}


def _failure(shape: Generation, step: Step) -> dict[str, Any]:
    error = step.error or {}
    return {
        "message": error.get("message"),
        "stage": error.get("stage"),
        "category": error.get("category"),
        "details": error_details(shape, step),
    }
