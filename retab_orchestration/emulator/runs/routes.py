"""The routes for runs that both families share, and the classic restart."""

from typing import Any

from retab_orchestration.emulator.runs.bodies import run_body
from retab_orchestration.emulator.runs.creation import start_run
from retab_orchestration.emulator.runs.engine import Run
from retab_orchestration.emulator.runs.run_list import find_runs
from retab_orchestration.emulator.serving.paging import page
from retab_orchestration.emulator.serving.routing import CLASSIC, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer
from retab_orchestration.emulator.state import State

__all__ = ["ROUTES"]


def get_run(state: State, _request: Request, run_id: str) -> Response:
    """Answer `GET /v1/workflows/runs/{run_id}`."""
    return answer(run_body(state, state.run(run_id)))


def list_runs(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/runs`."""
    fields = set(request.params("fields")) if state.generation.has_fields else set()

    def write(run: Run) -> dict[str, Any]:
        body = run_body(state, run)
        return {key: body[key] for key in body if key in fields | {"id"}} if fields else body

    runs = find_runs(state, request)
    return answer(page(request, runs, lambda run: run.id, write, strict=state.is_strict))


def delete_run(state: State, _request: Request, run_id: str) -> Response:
    """Answer `DELETE /v1/workflows/runs/{run_id}`."""
    del state.runs[state.run(run_id).id]
    return Response(204)


def cancel_run(state: State, request: Request, run_id: str) -> Response:
    """Answer `POST /v1/workflows/runs/{run_id}/cancel`, with 200 whether or not the run can be cancelled."""
    run = state.run(run_id)
    command = _command(request, f"cancel {run_id}")
    status = state.recall(command, run_id) or _cancel(state, run)
    if command is not None:
        state.commands[command] = (run_id, status)
    body: dict[str, Any] = {"run": run_body(state, run), "cancellation_status": status}
    if run.shape.is_current:
        body["redis_available"] = True
    return answer(body)


def restart_run(state: State, request: Request, run_id: str) -> Response:
    """Answer `POST /v1/workflows/runs/{run_id}/restart`: a new run with the same inputs."""
    run = state.run(run_id)
    command = _command(request, f"restart {run_id}")
    again = state.runs.get(state.recall(command, run_id) or "")
    if again is None:
        if state.view_of(run).is_active:
            raise Refusal(409, "Only a completed, failed or cancelled run can be restarted")
        again = Run("", run.workflow, state.shape("classic"), trigger_type="restart")
        again.documents, again.json_inputs = run.documents, run.json_inputs
        again.text_inputs = run.text_inputs
        again.source_id, again.has_metadata = run_id, False
        start_run(state, again)
        if command is not None:
            state.commands[command] = (run_id, again.id)
    return answer(run_body(state, again))


def _cancel(state: State, run: Run) -> str:
    view = state.view_of(run)
    if not view.is_active:
        return "cancelled" if view.status == "cancelled" else "cancellation_failed"
    if run.workflow.cancel_error is not None:
        run.cancel_requested_at = run.cancel_failed_at = state.clock()
        return "cancellation_failed"
    if run.cancelled_at is None:
        run.cancel_requested_at = state.clock()
        run.cancelled_at = run.cancel_requested_at + run.workflow.cancel_seconds / state.speed
    return "cancelled" if state.view_of(run).status == "cancelled" else "cancellation_requested"


def _command(request: Request, prefix: str) -> str | None:
    command = request.json_object().get("command_id")
    if command is not None and not isinstance(command, str):
        raise Refusal.invalid(["body", "command_id"], "Input should be a valid string", "string_type")
    return f"{prefix} {command}" if command else None


ROUTES = (
    Route("GET", "/v1/workflows/runs", list_runs),
    Route("GET", "/v1/workflows/runs/{run_id}", get_run),
    Route("DELETE", "/v1/workflows/runs/{run_id}", delete_run),
    Route("POST", "/v1/workflows/runs/{run_id}/cancel", cancel_run),
    Route("POST", "/v1/workflows/runs/{run_id}/restart", restart_run, CLASSIC),
)
