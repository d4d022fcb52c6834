"""Artifacts: the full record of what one step of a run did."""

from typing import Any

from retab_orchestration.emulator.files.documents import File
from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.runs.costs import MODEL
from retab_orchestration.emulator.runs.engine import Run, Step, plain
from retab_orchestration.emulator.runs.lifecycles import step_id
from retab_orchestration.emulator.serving.paging import page
from retab_orchestration.emulator.serving.routing import CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment
from retab_orchestration.emulator.state import State

__all__ = ["ROUTES"]

_OPERATIONS = {"extract": "extraction", "functions": "function_invocation"}
"""The types of nodes whose steps have an artifact here, and what it is of."""

_PREFIXES = {"extraction": "extr", "function_invocation": "func"}


def list_artifacts(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/artifacts?run_id=`: a page, or a bare array."""
    run_id, wanted_step = request.param("run_id"), request.param("step_id")
    if run_id is None and wanted_step is None:
        raise Refusal(400, "Give run_id or step_id")
    runs = [state.run(run_id)] if run_id else list(state.runs.values())
    rows = [
        artifact
        for run in runs
        for step in state.view_of(run).steps
        if (artifact := _artifact(run, step)) is not None
        and request.param("operation") in {None, artifact["operation"]}
        and request.param("block_id") in {None, step.node.id}
        and wanted_step in {None, step_id(run, step)}
    ]
    if not state.generation.has_pages:
        return answer(rows)
    return answer(page(request, rows, _id, lambda row: row, default=100, strict=state.is_strict))


def get_artifact(state: State, _request: Request, *ids: str) -> Response:
    """Answer `GET /v1/workflows/artifacts/{artifact_id}`, or `…/artifacts/{operation}/{artifact_id}`."""
    for run in list(state.runs.values()):
        for step in state.view_of(run).steps:
            artifact = _artifact(run, step)
            if artifact is not None and artifact["id"] == ids[-1] and ids[0] in artifact.values():
                return answer(artifact)
    raise Refusal.structured(404, f"Artifact not found: {ids[-1]}")


def _artifact(run: Run, step: Step) -> dict[str, Any] | None:
    operation = _OPERATIONS.get(step.node.type)
    if operation is None or step.status != "completed":
        return None
    artifact_id = f"{_PREFIXES[operation]}_{run.id.removeprefix('run_')}_{step.node.id}"
    known = {"id": artifact_id, "operation": operation, "created_at": moment(step.completed_at)}
    if operation == "extraction":
        return {**known, **_extraction(step)}
    return {
        **known,
        "run_id": run.id,
        "step_id": step_id(run, step),
        "inputs": {source: plain(value) for source, value in step.inputs.items()},
        "output": plain(step.output),
        "duration_ms": round(((step.completed_at or step.started_at) - step.started_at) * 1000),
        "error": None,
    }


def _extraction(step: Step) -> dict[str, Any]:
    file = next((value for value in step.inputs.values() if isinstance(value, File)), None)
    kinds = {name: "number" if field.is_number else "string" for name, field in step.node.fields.items()}
    return {
        "file": (file or File("", "", "application/octet-stream", 0, "", "")).reference(),
        "model": MODEL,
        "json_schema": {
            "type": "object",
            "properties": {name: {"type": kind} for name, kind in kinds.items()},
        },
        "n_consensus": 1,
        "instructions": None,
        "output": plain(step.output),
        "status": "completed",
        "error": None,
        "consensus": None,
        "metadata": None,
        "usage": None,
    }


def _id(row: dict[str, Any]) -> str:
    return str(row["id"])


_CLASSIC = ("classic", *span("g2a", "g2c"))

ROUTES = (
    Route("GET", "/v1/workflows/artifacts", list_artifacts, (*_CLASSIC, *CURRENT)),
    Route("GET", "/v1/workflows/artifacts/{artifact_id}", get_artifact, CURRENT),
    Route("GET", "/v1/workflows/artifacts/{operation}/{artifact_id}", get_artifact, _CLASSIC),
)
