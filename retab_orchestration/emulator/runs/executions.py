"""Executing one block again on what it took in a run; older servers call that a simulation."""

from typing import Any

from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.runs.creation import text_at
from retab_orchestration.emulator.runs.engine import Run, Step
from retab_orchestration.emulator.runs.handles import input_handles, node_type, output_handles
from retab_orchestration.emulator.runs.lifecycles import step_id
from retab_orchestration.emulator.serving.paging import order, page
from retab_orchestration.emulator.serving.routing import CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment, new_id
from retab_orchestration.emulator.state import State

__all__ = ["ROUTES"]

_KEPT = "execution"


def simulate(state: State, _request: Request, run_id: str, block_id: str) -> Response:
    """Answer `POST /v1/workflows/runs/{run_id}/steps/{block_id}/simulate`."""
    run, step = _step(state, run_id, block_id)
    succeeded = step.status == "completed"
    error = (step.error or {}).get("message", f"The step is {step.status}")
    body = {
        **_shared(state, run, step, "sim"),
        "run_id": run.id,
        "step_id": step_id(run, step),
        "success": succeeded,
        "error": None if succeeded else error,
        "skipped": False,
        "routing_decision": None,
    }
    state.kept(_KEPT)[body["id"]] = body
    return answer(body)


def list_simulations(state: State, request: Request, run_id: str, block_id: str) -> Response:
    """Answer `GET /v1/workflows/runs/{run_id}/steps/{block_id}/simulations`: the newest first."""
    return _list(state, request, "run_id", run_id, block_id)


def create_execution(state: State, request: Request) -> Response:
    """Answer `POST /v1/workflows/blocks/executions`."""
    body = request.json_object()
    run, step = _step(state, *(text_at(body, name, ["body"]) for name in ("run_id", "block_id")))
    lifecycle = {"status": "completed"}
    if step.status != "completed":
        message = (step.error or {}).get("message") or f"The step is {step.status}"
        lifecycle = {"status": "error", "message": message}
    execution = {
        **_shared(state, run, step, "blockexec"),
        "workflow_version_id": run.workflow.version_id,
        "source_run_id": run.id,
        "run_id": run.id,
        "source_step_id": step_id(run, step),
        "lifecycle": lifecycle,
        "routing_decisions": None,
        "started_at": moment(state.clock()),
        "completed_at": moment(state.clock()),
    }
    state.kept(_KEPT)[execution["id"]] = execution
    return answer(execution)


def list_executions(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/blocks/executions?run_id=&block_id=`."""
    asked = {name: request.param(name) for name in ("run_id", "block_id")}
    for name, value in asked.items():
        if value is None:
            raise Refusal.invalid(["query", name], "Field required", "missing")
    return _list(state, request, "source_run_id", asked["run_id"], asked["block_id"])


def _list(state: State, request: Request, key: str, run_id: str | None, block_id: str | None) -> Response:
    rows = [
        row for row in state.kept(_KEPT).values() if (row.get(key), row["block_id"]) == (run_id, block_id)
    ]
    if order(request, "desc"):
        rows.reverse()
    return answer(page(request, rows, lambda row: str(row["id"]), lambda row: row, strict=state.is_strict))


def _step(state: State, run_id: str, block_id: str) -> tuple[Run, Step]:
    run = state.run(run_id)
    for step in state.view_of(run).steps:
        if step.node.id == block_id:
            return run, step
    raise Refusal.structured(404, f"Block {block_id} has not run in {run_id}")


def _shared(state: State, run: Run, step: Step, prefix: str) -> dict[str, Any]:
    return {
        "id": new_id(prefix),
        "workflow_id": run.workflow.id,
        "block_id": step.node.id,
        "block_type": node_type(run.shape, step.node),
        "handle_inputs": input_handles(run.shape, step),
        "handle_outputs": output_handles(run.shape, step),
        "artifact": None,
        "duration_ms": 0,
        "block_config": None,
        "available_iterations": None,
        "created_at": moment(state.clock()),
    }


_STEP = "/v1/workflows/runs/{run_id}/steps/{block_id}"

ROUTES = (
    Route("POST", f"{_STEP}/simulate", simulate, ("classic", *span("g2a", "g2c"))),
    Route("GET", f"{_STEP}/simulations", list_simulations, ("classic", *span("g2b", "g2c"))),
    Route("POST", "/v1/workflows/blocks/executions", create_execution, CURRENT),
    Route("GET", "/v1/workflows/blocks/executions", list_executions, CURRENT),
)
