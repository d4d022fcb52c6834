"""The steps of runs, on the routes of both families."""

from typing import Any

from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.runs.bodies import step_body
from retab_orchestration.emulator.runs.engine import Run, Step
from retab_orchestration.emulator.runs.handles import node_type
from retab_orchestration.emulator.runs.lifecycles import step_id
from retab_orchestration.emulator.serving.paging import page
from retab_orchestration.emulator.serving.routing import CLASSIC, CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer
from retab_orchestration.emulator.state import State

__all__ = ["ROUTES"]

Row = tuple[Run, Step]

_STATUSES = {"awaiting_review": "waiting_for_human"}


def list_run_steps(state: State, _request: Request, run_id: str) -> Response:
    """Answer `GET /v1/workflows/runs/{run_id}/steps`: a bare array, or all in one envelope."""
    run = state.run(run_id)
    bodies = [step_body(run, step) for step in state.view_of(run).steps]
    if state.shape("classic").steps_page is None:
        return answer(bodies)
    return answer({"data": bodies, "list_metadata": {"before": None, "after": None}})


def get_agent_review(state: State, _request: Request, run_id: str, node_id: str) -> Response:
    """Answer `GET /v1/workflows/runs/{run_id}/agent-hil-reviews/{block_id}`: no agent ever reviews here."""
    state.run(run_id)
    raise Refusal(404, f"No agent review of {node_id}")


def get_run_step(state: State, _request: Request, run_id: str, node_id: str) -> Response:
    """Answer `GET /v1/workflows/runs/{run_id}/steps/{node_id}`."""
    run = state.run(run_id)
    for step in state.view_of(run).steps:
        if node_id in {step.node.id, step_id(run, step)}:
            return answer(step_body(run, step))
    raise Refusal(404, "Step not found")


def get_step_outputs(state: State, request: Request, run_id: str) -> Response:
    """Answer `POST /v1/workflows/runs/{run_id}/steps/batch`: `{"outputs": {step id: step}}`.

    A step outside loops has the id of its node. The later servers of those say `executions` for `outputs`.
    """
    run = state.run(run_id)
    body = request.json_object()
    wanted = body.get("node_ids", body.get("block_ids"))
    if not isinstance(wanted, list):
        raise Refusal.invalid(["body", "node_ids"], "Input should be a valid list", "list_type")
    found = {
        step.id: step_body(run, step)
        for step in state.view_of(run).steps
        if step.id in wanted or step.node.id in wanted
    }
    later = {} if "node_ids" in body else {"executions": found}
    return answer({"outputs": found, **later})


def list_steps(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/steps`: a page of the steps of one run, or of all."""
    rows = [row for row in _rows(state, request) if _wanted(row, request)]
    rows.sort(key=lambda row: (row[1].started_at, _key(row)))
    default = state.shape("current").steps_page or 0
    return answer(page(request, rows, _key, _body, default=default, largest=1000, strict=state.is_strict))


def get_step(state: State, request: Request, wanted: str) -> Response:
    """Answer `GET /v1/workflows/steps/{step_id}`."""
    for row in _rows(state, request):
        if wanted in {_key(row), row[1].node.id}:
            return answer(_body(row))
    raise Refusal(404, "Step not found")


def _rows(state: State, request: Request) -> list[Row]:
    run_id = request.param("run_id")
    runs = [state.run(run_id)] if run_id else list(state.runs.values())
    return [(run, step) for run in runs for step in state.view_of(run).steps]


def _wanted(row: Row, request: Request) -> bool:
    run, step = row
    filters = {
        "workflow_id": run.workflow.id,
        "block_id": step.node.id,
        "step_id": _key(row),
        "block_ids": step.node.id,
        "block_type": node_type(run.shape, step.node),
        "status": step.status,
    }
    for name, value in filters.items():
        asked = [_STATUSES.get(each, each) for each in request.params(name)]
        if asked and value not in asked:
            return False
    return True


def _key(row: Row) -> str:
    return step_id(*row)


def _body(row: Row) -> dict[str, Any]:
    return step_body(*row)


ROUTES = (
    Route("GET", "/v1/workflows/runs/{run_id}/steps", list_run_steps, CLASSIC),
    Route(
        "POST", "/v1/workflows/runs/{run_id}/steps/batch", get_step_outputs, ("classic", *span("g1a", "g1b"))
    ),
    Route("GET", "/v1/workflows/runs/{run_id}/steps/{node_id}", get_run_step, CLASSIC),
    Route("GET", "/v1/workflows/runs/{run_id}/agent-hil-reviews/{block_id}", get_agent_review, ("g2b",)),
    Route("GET", "/v1/workflows/steps", list_steps, CURRENT),
    Route("GET", "/v1/workflows/steps/{step_id}", get_step, CURRENT),
)
