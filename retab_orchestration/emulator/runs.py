"""The routes that both families share: get, list, cancel and delete a run."""

from typing import Any

from retab_orchestration.emulator import classic, current
from retab_orchestration.emulator.engine import Run
from retab_orchestration.emulator.routing import Route
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.wire import Request, Response, answer

__all__ = ["ROUTES", "run_body"]


def run_body(state: State, run: Run) -> dict[str, Any]:
    """Return the body of a run in the shape of the routes that created it."""
    family = classic if run.family == "classic" else current
    return family.run_body(run, state.look(run))


def get_run(state: State, _request: Request, run_id: str) -> Response:
    """Answer `GET /v1/workflows/runs/{run_id}`."""
    return answer(run_body(state, state.run(run_id)))


ROUTES = (Route("GET", "/v1/workflows/runs/{run_id}", get_run),)
