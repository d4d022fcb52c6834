"""The classic routes for runs and steps, and the bodies of runs that were created there."""

from typing import Any

from retab_orchestration.emulator.creation import read_inputs, start_once, text_at
from retab_orchestration.emulator.documents import File, decode_base64, read_file
from retab_orchestration.emulator.engine import Run, Step, View
from retab_orchestration.emulator.handles import input_handles, output_handles
from retab_orchestration.emulator.routing import Route
from retab_orchestration.emulator.state import ORGANIZATION_ID, State
from retab_orchestration.emulator.wire import Refusal, Request, Response, answer, moment

__all__ = ["ROUTES", "run_body", "step_body"]


def run_body(run: Run, view: View) -> dict[str, Any]:
    """Return the flat body of a run."""
    return {
        "id": run.id,
        "workflow_id": run.workflow.id,
        "workflow_name": run.workflow.name,
        "organization_id": ORGANIZATION_ID,
        "config_snapshot_id": run.workflow.version_id.replace("ver_", "snap_"),
        "dataset_id": None,
        "status": view.status,
        "execution_phase": "running" if view.is_active else None,
        "trigger_type": run.trigger_type,
        "trigger_email": None,
        **_times(run, view),
        "steps": [_summary(step) for step in view.steps],
        "input_documents": {node_id: file.reference() for node_id, file in run.documents.items()},
        "input_json_data": run.json_inputs,
        "input_text_data": run.text_inputs,
        "final_outputs": _final_outputs(run, view),
        **_error(view.failed),
        "cost_summary": None,
        "trace_spans": None,
        "cancel_signal_error": None,
        "cancel_signal_failed_at": None,
        "cancel_native_error": None,
        "cancel_confirmation_error": None,
        "cancel_requested_at": moment(run.cancel_requested_at),
        "cancel_confirmation_pending": run.cancel_requested_at is not None and view.is_active,
        "waiting_for_node_ids": list(view.waiting),
        "pending_node_outputs": None,
        "run_resume_status": _resume_status(run, view),
    }


def step_body(run: Run, step: Step) -> dict[str, Any]:
    """Return the full body of a step."""
    error = step.error or {}
    return {
        "run_id": run.id,
        "organization_id": ORGANIZATION_ID,
        "step_id": step.node.id,
        **_head(step),
        "duration_ms": _milliseconds(step.started_at, step.completed_at),
        "error": error.get("message"),
        "error_stage": error.get("stage"),
        "error_category": error.get("category"),
        "error_details": _details(step),
        "model": None,
        "cost": None,
        "tokens": None,
        "trace_spans": None,
        "output": _output(step),
        "handle_outputs": output_handles(step, texts=True) or None,
        "handle_inputs": input_handles(step, texts=True),
        "input_document": None,
        "output_document": None,
        "split_documents": None,
        **_reviewed(step),
        "retry_count": 0,
        "loop_id": None,
        "iteration": None,
        "iteration_context": None,
        "created_at": moment(step.started_at),
        "updated_at": moment(step.completed_at or step.started_at),
    }


def create_run(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `POST /v1/workflows/{workflow_id}/run`."""
    workflow = state.workflow(workflow_id)
    new = read_inputs(state, workflow, "classic", request.json_object(), _read_document)
    run = start_once(state, request, new)
    return answer(run_body(run, state.view_of(run)))


def _read_document(state: State, document: dict[str, Any], loc: list[str]) -> tuple[File, bytes | None]:
    if "content" not in document and ("id" in document or "file_id" in document):
        file_id = str(document.get("id") or document.get("file_id"))
        if file_id not in state.file_store.files:
            raise Refusal.structured(404, f"File not found: {file_id}")
        return state.file_store.files[file_id], None
    filename, mime_type = text_at(document, "filename", loc), text_at(document, "mime_type", loc)
    try:
        content = decode_base64(text_at(document, "content", loc))
    except ValueError as error:
        raise Refusal.invalid([*loc, "content"], "Input should be base64 without a data: prefix") from error
    return read_file(content, filename, mime_type, state.clock()), content


def _times(run: Run, view: View) -> dict[str, Any]:
    return {
        "created_at": moment(run.created_at),
        "started_at": moment(run.created_at),
        "completed_at": moment(view.completed_at),
        "updated_at": moment(view.updated_at),
        "duration_ms": _milliseconds(run.created_at, view.completed_at),
        "human_waiting_started_at": moment(view.waiting_since),
        "human_waiting_duration_ms": round(view.waited * 1000),
    }


def _head(step: Step) -> dict[str, Any]:
    return {
        "node_id": step.node.id,
        "node_type": step.node.type,
        "node_label": step.node.label,
        "status": step.status,
        "started_at": moment(step.started_at),
        "completed_at": moment(step.completed_at),
    }


def _summary(step: Step) -> dict[str, Any]:
    summary = _head(step)
    if step.node.is_gate:
        summary.update(_reviewed(step))
    if step.completed_at is None:
        del summary["completed_at"]
        return summary
    summary["duration_ms"] = _milliseconds(step.started_at, step.completed_at)
    if step.error:
        summary["error"] = step.error["message"]
    if step.status == "completed":
        summary["handle_outputs"] = output_handles(step, texts=True)
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
            outputs[step.node.id] = {"label": step.node.label, "json_data": None if is_file else step.output}
            if is_file:
                outputs[step.node.id]["document"] = step.output.reference()
    return outputs


def _error(failed: Step | None) -> dict[str, Any]:
    error = failed.error if failed and failed.error else {}
    return {
        "error": error.get("message"),
        "error_stage": error.get("stage"),
        "error_details": _details(failed) if failed else None,
    }


def _details(step: Step) -> dict[str, Any] | None:
    if not step.error:
        return None
    return {
        "message": step.error["message"],
        "stack_trace": None,
        "node_id": step.node.id,
        "node_name": step.node.label,
        "error_code": None,
        "context": None,
    }


def _resume_status(run: Run, view: View) -> str:
    if view.waiting:
        return "waiting_for_human"
    return "fully_resumed" if run.decisions else "idle"


def _output(step: Step) -> dict[str, Any] | None:
    if step.status != "completed":
        return None
    if isinstance(step.output, File):
        return {"id": step.output.id, "filename": step.output.filename, "mime_type": step.output.mime_type}
    return step.output if isinstance(step.output, dict) else None


def _milliseconds(start: float, end: float | None) -> int | None:
    return None if end is None else round((end - start) * 1000)


ROUTES = (Route("POST", "/v1/workflows/{workflow_id}/run", create_run, ("classic",)),)
