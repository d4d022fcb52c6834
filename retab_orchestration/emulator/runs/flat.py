"""The flat bodies of runs and steps, which the oldest generations have."""

from typing import Any

from retab_orchestration.emulator.files.documents import File
from retab_orchestration.emulator.generations import Generation
from retab_orchestration.emulator.runs.costs import run_costs, step_costs
from retab_orchestration.emulator.runs.engine import Run, Step, View, is_split, plain
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

__all__ = ["run_body", "step_body"]

_RUN_STAGES = {"document_fetch": "input_collection"}
"""The stage of a failed step -> that of its run, which has no stage of fetching documents."""


def run_body(run: Run, view: View) -> dict[str, Any]:
    """Return the flat body of a run."""
    return {
        "id": run.id,
        "workflow_id": run.workflow.id,
        "workflow_name": run.workflow.name,
        "organization_id": ORGANIZATION_ID,
        "config_snapshot_id": run.workflow.version_id.replace("ver_", "snap_"),
        **({"dataset_id": _dataset(run)} if run.shape.has_datasets else {}),
        "status": view.status,
        **({"execution_phase": _phase(run, view)} if run.shape.has_phases else {}),
        "trigger_type": run.trigger_type,
        "trigger_email": TRIGGERS.get(run.trigger_type, {}).get("sender"),
        **_times(run, view),
        "steps": [_summary(run.shape, step) for step in view.steps],
        "input_documents": {node_id: reference(run.shape, file) for node_id, file in run.documents.items()},
        "input_json_data": run.json_inputs,
        **({"input_text_data": run.text_inputs} if run.shape.has_texts else {}),
        "final_outputs": _final_outputs(run, view),
        **_error(run.shape, view.failed),
        **run_costs(run, view),
        **_cancellation(run, view),
        **{f"waiting_for_{word}_ids": list(view.waiting) for word in run.shape.words},
        **{f"pending_{word}_outputs": _pending(run.shape, view) for word in run.shape.words},
        "run_resume_status": _resume_status(run, view),
        **(_engine_state(run, view) if run.shape.has_engine_state else {}),
    }


def step_body(run: Run, step: Step) -> dict[str, Any]:
    """Return the full body of a step."""
    error, shape = step.error or {}, run.shape
    return {
        "run_id": run.id,
        "organization_id": ORGANIZATION_ID,
        "step_id": step.id,
        **_head(shape, step),
        "duration_ms": _milliseconds(step.started_at, step.completed_at),
        "error": error.get("message"),
        "error_stage": error.get("stage"),
        "error_category": error.get("category"),
        "error_details": error_details(shape, step),
        **step_costs(shape, step),
        "output": _output(step),
        "handle_outputs": output_handles(shape, step) or None,
        "handle_inputs": input_handles(shape, step),
        **_documents(shape, step),
        **_reviewed(step),
        "retry_count": step.retry_count,
        **loop_facts(shape, step),
        "created_at": moment(step.started_at),
        "updated_at": moment(step.completed_at or step.started_at),
    }


def _phase(run: Run, view: View) -> str | None:
    """Return how far the execution of a run is, None once it has ended."""
    if not view.is_active:
        return None
    if view.started_at is None:
        return "created" if view.updated_at < run.queued_at else "dispatching"
    return "started" if all(step.node.is_start for step in view.steps) else "running"


def _times(run: Run, view: View) -> dict[str, Any]:
    return {
        "created_at": moment(run.created_at),
        # Here it is never null.
        "started_at": moment(run.created_at if view.started_at is None else view.started_at),
        "completed_at": moment(view.completed_at),
        "updated_at": moment(view.updated_at),
        "duration_ms": view.milliseconds,
        "human_waiting_started_at": moment(view.waiting_since),
        "human_waiting_duration_ms": round(view.waited * 1000),
    }


def _head(shape: Generation, step: Step) -> dict[str, Any]:
    return {
        **node_facts(shape, id=step.node.id, type=node_type(shape, step.node), label=step.node.label),
        "status": step.status,
        "started_at": moment(step.started_at),
        "completed_at": moment(step.completed_at),
    }


def _summary(shape: Generation, step: Step) -> dict[str, Any]:
    summary = _head(shape, step)
    if step.node.is_gate:
        summary.update(_reviewed(step))
    if step.completed_at is None:
        del summary["completed_at"]
        return summary
    summary["duration_ms"] = _milliseconds(step.started_at, step.completed_at)
    if step.error:
        summary["error"] = step.error["message"]
    if step.status == "completed":
        summary["handle_outputs"] = output_handles(shape, step)
    if (output := _output(step)) is not None:
        summary["output"] = output
    return summary


def _reviewed(step: Step) -> dict[str, Any]:
    return {
        "requires_human_review": True if step.node.is_gate else None,
        "human_reviewed_at": moment(step.decision.at) if step.decision else None,
        "human_review_approved": step.decision.approved if step.decision else None,
    }


def _final_outputs(run: Run, view: View) -> dict[str, Any] | None:
    if view.status != "completed":
        return None
    sinks = {node.id for node in run.workflow.sinks}
    outputs: dict[str, Any] = {}
    for step in view.steps:
        if step.node.id in sinks and step.status == "completed":
            is_file = isinstance(step.output, File)
            value = None if is_file else plain(step.output)
            outputs[step.node.id] = {"label": step.node.label, "json_data": value}
            if is_file:
                outputs[step.node.id]["document"] = reference(run.shape, step.output)
    return outputs


def _error(shape: Generation, failed: Step | None) -> dict[str, Any]:
    error = failed.error if failed and failed.error else {}
    return {
        "error": error.get("message"),
        "error_stage": _RUN_STAGES.get(str(error.get("stage")), error.get("stage")),
        "error_details": error_details(shape, failed) if failed else None,
    }


def _dataset(run: Run) -> str | None:
    """Return the dataset of a run, which only those that somebody has started by hand belong to."""
    return "dataset_emulator" if run.trigger_type == "manual" else None


def _cancellation(run: Run, view: View) -> dict[str, Any]:
    has_failed = run.cancel_failed_at is not None
    why = run.workflow.cancel_error if has_failed else None
    return {
        "cancel_signal_error": why,
        "cancel_signal_failed_at": moment(run.cancel_failed_at),
        "cancel_native_error": why,
        "cancel_confirmation_error": why,
        "cancel_requested_at": moment(run.cancel_requested_at),
        "cancel_confirmation_pending": run.cancel_requested_at is not None
        and view.is_active
        and not has_failed,
    }


def _pending(shape: Generation, view: View) -> dict[str, Any] | None:
    """Return what a run that waits for a human resumes from."""
    return {step.id: output_handles(shape, step) for step in view.steps} if view.waiting else None


def _resume_status(run: Run, view: View) -> str:
    if view.waiting:
        return "partially_resumed" if run.decisions else "waiting_for_human"
    if not run.decisions:
        return "idle"
    return "resuming" if view.is_active else "fully_resumed"


def _engine_state(run: Run, view: View) -> dict[str, Any]:
    """Return what the engine of the oldest servers keeps with a run, and no client reads."""
    return {
        "dag_snapshot": {"nodes": [node.id for node in run.workflow.nodes]},
        **{
            f"executed_{word}_ids": [step.id for step in view.steps if step.status == "completed"]
            for word in run.shape.words
        },
        "parallel_completion_counters": {},
        "resume_queue": [],
        "active_resume": None,
        "hil_signal_states": {},
    }


def _documents(shape: Generation, step: Step) -> dict[str, Any]:
    """Return the files of a step beside its handles, as the oldest servers had them."""
    if "node" not in shape.words:
        return {}
    given = next((value for value in step.inputs.values() if isinstance(value, File)), None)
    made: Any = step.output if step.node.type in {"split", "edit"} else None
    parts = {name: reference(shape, file) for name, file in (made if is_split(made) else {}).items()}
    return {
        "input_document": reference(shape, given) if given else None,
        "output_document": reference(shape, made) if isinstance(made, File) else None,
        "split_documents": parts or None,
    }


def _output(step: Step) -> dict[str, Any] | None:
    if step.status != "completed":
        return None
    if isinstance(step.output, File):
        return {"id": step.output.id, "filename": step.output.filename, "mime_type": step.output.mime_type}
    return plain(step.output) if isinstance(step.output, dict) else None


def _milliseconds(start: float, end: float | None) -> int | None:
    return None if end is None else round((end - start) * 1000)
