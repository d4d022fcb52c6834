"""The table of what completed runs gave at one node, or took there, as CSV."""

import csv
import io
from typing import Any

from retab_orchestration.emulator.runs.creation import text_at
from retab_orchestration.emulator.runs.engine import Run, plain
from retab_orchestration.emulator.serving.routing import CLASSIC, CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer
from retab_orchestration.emulator.state import State

__all__ = ["ROUTES"]


def export_runs(state: State, request: Request) -> Response:
    """Answer `POST /v1/workflows/runs/export`, or `…/export_payload` on the classic routes."""
    body = request.json_object()
    workflow = state.workflow(text_at(body, "workflow_id", ["body"]))
    node_id = text_at(body, "block_id" if body.get("block_id") else "node_id", ["body"])
    if workflow.node(node_id) is None:
        raise Refusal.structured(404, f"Block not found: {node_id}")
    chosen = _texts(body, "selected_run_ids")
    side = body.get("export_source") or "outputs"
    if side not in ("outputs", "inputs"):
        where = ["body", "export_source"]
        raise Refusal.invalid(where, "Input should be 'outputs' or 'inputs'", "enum")
    rows = [
        row
        for run in list(state.runs.values())
        if run.workflow.id == workflow.id and (not chosen or run.id in chosen)
        if (row := _row(state, run, node_id, side)) is not None
    ]
    columns = list(
        dict.fromkeys([*_texts(body, "preferred_columns"), *(name for row in rows for name in row)])
    )
    text = io.StringIO()
    table = csv.DictWriter(text, columns, restval="", delimiter=_character(body, "delimiter", ";"),
                           quotechar=_character(body, "quote", '"'), lineterminator="\n")  # fmt: skip
    table.writeheader()
    table.writerows(rows)
    return answer({"csv_data": text.getvalue(), "rows": len(rows), "columns": len(columns)})


def _row(state: State, run: Run, node_id: str, side: str) -> dict[str, Any] | None:
    """Return the row of a run, None for one that has not completed or has nothing there."""
    view = state.view_of(run)
    step = next((step for step in view.steps if step.node.id == node_id), None)
    if view.status != "completed" or step is None:
        return None
    value = (
        plain(step.output) if side == "outputs" else {name: plain(each) for name, each in step.inputs.items()}
    )
    cells = value if isinstance(value, dict) else {"value": value}
    return {"run_id": run.id, **cells}


def _texts(body: dict[str, Any], name: str) -> list[str]:
    values = body.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise Refusal.invalid(["body", name], "Input should be a list of strings", "list_type")
    return values


def _character(body: dict[str, Any], name: str, default: str) -> str:
    value = body.get(name) or default
    if not isinstance(value, str) or len(value) != 1 or value in "\r\n\0 ":
        raise Refusal.invalid(["body", name], "Input should be one character", "string_type")
    return value


ROUTES = (
    Route("POST", "/v1/workflows/runs/export_payload", export_runs, CLASSIC),
    Route("POST", "/v1/workflows/runs/export", export_runs, CURRENT),
)
