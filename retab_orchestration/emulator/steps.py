"""The steps of runs, on the routes of both families."""

from typing import Any

from retab_orchestration.emulator import classic, current
from retab_orchestration.emulator.engine import Run, Step
from retab_orchestration.emulator.routing import Route
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.wire import Request, Response, answer

__all__ = ["ROUTES"]


def list_run_steps(state: State, _request: Request, run_id: str) -> Response:
    """Answer `GET /v1/workflows/runs/{run_id}/steps`: a bare array."""
    run = state.run(run_id)
    return answer([_body(run, step) for step in state.look(run).steps])


def list_steps(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/steps`: a page."""
    wanted = request.param("run_id")
    runs = [run for run in state.runs.values() if wanted in {None, run.id}]
    rows = [_body(run, step) for run in runs for step in state.look(run).steps]
    return answer({"data": rows, "list_metadata": {"before": None, "after": None}})


def _body(run: Run, step: Step) -> dict[str, Any]:
    return (classic if run.family == "classic" else current).step_body(run, step)


ROUTES = (
    Route("GET", "/v1/workflows/runs/{run_id}/steps", list_run_steps, ("classic",)),
    Route("GET", "/v1/workflows/steps", list_steps, ("current",)),
)
