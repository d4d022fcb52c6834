"""What runs cost: credits, pages, tokens and the model of each step that works on documents."""

from dataclasses import dataclass
from typing import Any

from retab_orchestration.emulator.files.documents import File
from retab_orchestration.emulator.generations import Generation
from retab_orchestration.emulator.runs.engine import Run, Step, View
from retab_orchestration.emulator.runs.traces import run_spans, step_spans
from retab_orchestration.emulator.serving.paging import page
from retab_orchestration.emulator.serving.routing import CURRENT, Route
from retab_orchestration.emulator.serving.wire import Request, Response, answer, moment
from retab_orchestration.emulator.state import State

__all__ = ["MODEL", "ROUTES", "Cost", "cost_of", "run_costs", "step_costs"]

MODEL = "retab-emulator-1"
"""The model of every step that has one."""

_WORKING = frozenset({"extract", "split", "edit"})
_CREDITS_A_PAGE = 1.0
_COST_A_PAGE = 0.01
_TOKENS_A_PAGE = 500


@dataclass(frozen=True)
class Cost:
    """What one step has cost."""

    pages: int

    @property
    def credits(self) -> float:
        """Credits, of which a page takes one."""
        return _CREDITS_A_PAGE * self.pages

    @property
    def money(self) -> dict[str, float]:
        """What it comes to, as the oldest servers put it."""
        total = round(_COST_A_PAGE * self.pages, 6)
        return {"total": total, "input_cost": round(total * 0.8, 6), "output_cost": round(total * 0.2, 6)}

    @property
    def tokens(self) -> dict[str, int]:
        """How many tokens went in and came out."""
        read, written = _TOKENS_A_PAGE * self.pages, 20 * self.pages
        return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}


def cost_of(step: Step) -> Cost | None:
    """Return what a step has cost, None for one that costs nothing or has not completed."""
    if step.node.type not in _WORKING or step.status != "completed":
        return None
    given = next((value for value in step.inputs.values() if isinstance(value, File)), None)
    return Cost((given.page_count or 1) if given else 1)


def step_costs(shape: Generation, step: Step) -> dict[str, Any]:
    """Return what the body of a step says of its cost, and of what it did."""
    cost = cost_of(step)
    model = {"model": MODEL if cost else None}
    if not shape.has_costs:
        return model
    money, tokens = (cost.money, cost.tokens) if cost else (None, None)
    return {**model, "cost": money, "tokens": tokens, "trace_spans": step_spans(step) if cost else None}


def run_costs(run: Run, view: View) -> dict[str, Any]:
    """Return what the body of a run says of its cost so far, and of what it did."""
    if not run.shape.has_costs:
        return {}
    costs = [cost for step in view.steps if (cost := cost_of(step)) is not None]
    summary = Cost(sum(cost.pages for cost in costs)).money if costs else None
    return {"cost_summary": summary, "trace_spans": run_spans(run, view)}


def list_primitives(state: State, request: Request) -> Response:
    """Answer `GET /v1/usage/primitives`: what each step of a run, or of all runs, has cost."""
    run_id = request.param("run_id")
    runs = [state.run(run_id)] if run_id else list(state.runs.values())
    rows = [
        _primitive(run, step, cost)
        for run in runs
        for step in state.view_of(run).steps
        if (cost := cost_of(step)) is not None
    ]
    return answer(page(request, rows, lambda row: str(row["id"]), lambda row: row, strict=state.is_strict))


def _primitive(run: Run, step: Step, cost: Cost) -> dict[str, Any]:
    return {
        "id": f"use_{run.id}_{step.id}",
        "run_id": run.id,
        "block_id": step.node.id,
        "operation": step.node.type,
        "model": MODEL,
        "credits": cost.credits,
        "page_count": cost.pages,
        "created_at": moment(step.completed_at),
    }


ROUTES = (Route("GET", "/v1/usage/primitives", list_primitives, CURRENT),)
