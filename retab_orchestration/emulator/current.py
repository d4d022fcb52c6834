"""The current routes for runs and steps, and the bodies of runs that were created there."""

from typing import Any

from retab_orchestration.emulator.creation import object_at, read_inputs, start_once, text_at
from retab_orchestration.emulator.documents import File, decode_data_uri, read_file
from retab_orchestration.emulator.engine import Run, Step, View
from retab_orchestration.emulator.handles import input_handles, output_handles
from retab_orchestration.emulator.routing import Route
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.wire import Refusal, Request, Response, answer, moment
from retab_orchestration.emulator.workflows import CURRENT_TYPES, Workflow

__all__ = ["ROUTES", "run_body", "step_body", "step_id"]

_STATUSES = {"waiting_for_human": "awaiting_review"}


def run_body(run: Run, view: View) -> dict[str, Any]:
    """Return the body of a run: `lifecycle`, `timing`, no steps and no outputs."""
    return {
        "id": run.id,
        "workflow_id": run.workflow.id,
        "workflow_version_id": run.workflow.version_id,
        "trigger": {"type": run.trigger_type},
        "lifecycle": _run_lifecycle(run, view),
        "timing": {
            "created_at": moment(run.created_at),
            "started_at": moment(run.created_at),
            "completed_at": moment(view.completed_at),
        },
        "inputs": {
            "documents": {node_id: file.reference() for node_id, file in run.documents.items()},
            "json_data": run.json_inputs,
        },
        **({"metadata": run.metadata} if run.has_metadata else {}),
    }


def step_body(run: Run, step: Step) -> dict[str, Any]:
    """Return the body of a step."""
    return {
        "run_id": run.id,
        "block_id": step.node.id,
        "step_id": step_id(run, step.node.id),
        "block_type": CURRENT_TYPES[step.node.type],
        "block_label": step.node.label,
        "lifecycle": _step_lifecycle(step),
        "started_at": moment(step.started_at),
        "completed_at": moment(step.completed_at),
        "model": None,
        "loop_containers": [],
        "created_at": moment(step.started_at),
        "handle_inputs": input_handles(step, texts=False),
        "handle_outputs": output_handles(step, texts=False),
        "artifact": None,
        "retry_count": 0,
    }


def step_id(run: Run, node_id: str) -> str:
    """Return the opaque id of a step."""
    return f"{run.id}_{node_id}"


def create_run(state: State, request: Request) -> Response:
    """Answer `POST /v1/workflows/runs`."""
    body = request.json_object()
    workflow = state.workflow(text_at(body, "workflow_id", ["body"]))
    _check_version(workflow, body.get("version", "production"))
    new = read_inputs(state, workflow, "current", body, _read_document)
    new.run.metadata = _metadata(body)
    new.run.has_metadata = state.traits.metadata != "dropped"
    if body.get("trigger_type") == "restart":
        new.run.trigger_type = "restart"
    run = start_once(state, request, new)
    return answer(run_body(run, state.view_of(run)), 202)


def _check_version(workflow: Workflow, version: Any) -> None:
    if not isinstance(version, str):
        raise Refusal.invalid(["body", "version"], "Input should be a valid string", "string_type")
    if version == "production" and not workflow.published:
        message = f"Workflow {workflow.id} has no published version. Publish it, or pass version='draft'."
        raise Refusal.structured(409, {"code": "production_required_but_unpublished", "message": message})
    if version not in {"production", "draft", workflow.version_id}:
        raise Refusal.structured(404, f"Workflow version not found: {version}")


def _metadata(body: dict[str, Any]) -> dict[str, str] | None:
    if body.get("metadata") is None:
        return None
    metadata = object_at(body, "metadata")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise Refusal.invalid(["body", "metadata", key], "Input should be a valid string", "string_type")
    return metadata


def _read_document(state: State, document: dict[str, Any], loc: list[str]) -> tuple[File, bytes | None]:
    url = text_at(document, "url", loc)
    filename = text_at(document, "filename", loc)
    if not url.startswith("data:"):
        return _stored(state, url, loc), None
    try:
        content, mime_type = decode_data_uri(url)
    except ValueError as error:
        raise Refusal.invalid([*loc, "url"], "Input should be a data URI with base64 content") from error
    if not content:
        raise Refusal.invalid([*loc, "url"], "The document is empty")
    return read_file(content, filename, mime_type, state.clock()), content


def _stored(state: State, url: str, loc: list[str]) -> File:
    file = state.file_store.find(url)
    if file is not None:
        return file
    if url.startswith("https://storage.retab.com/"):
        raise Refusal.structured(404, "File not found for the storage URL")
    raise Refusal.invalid(
        [*loc, "url"], "External URLs are not fetched: inline the document or upload it first"
    )


def _run_lifecycle(run: Run, view: View) -> dict[str, Any]:
    lifecycle: dict[str, Any] = {"status": _STATUSES.get(view.status, view.status)}
    if view.waiting:
        lifecycle["waiting_for_block_ids"] = list(view.waiting)
    elif view.status == "error" and view.failed is not None:
        lifecycle.update(_failure(view.failed), failing_step_id=step_id(run, view.failed.node.id))
    elif view.status == "cancelled":
        lifecycle["reason"] = next((d.reason for d in run.decisions.values() if not d.approved), None)
    return lifecycle


def _step_lifecycle(step: Step) -> dict[str, Any]:
    if step.status == "error":
        return {"status": "error", **_failure(step)}
    if step.status == "cancelled":
        return {
            "status": "cancelled",
            "reason": (step.decision and step.decision.reason) or "The run was cancelled",
        }
    return {"status": _STATUSES.get(step.status, step.status)}


def _failure(step: Step) -> dict[str, Any]:
    error = step.error or {}
    return {
        "message": error.get("message"),
        "stage": error.get("stage"),
        "category": error.get("category"),
        "details": {
            "message": error.get("message"),
            "stack_trace": None,
            "block_id": step.node.id,
            "block_name": step.node.label,
            "error_code": None,
            "context": None,
        },
    }


ROUTES = (Route("POST", "/v1/workflows/runs", create_run, ("current",)),)
