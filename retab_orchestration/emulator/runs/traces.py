"""The traces of runs and steps: spans of time in spans of time. No page of the API names a key of theirs."""

from typing import Any

from retab_orchestration.emulator.runs.engine import Run, Step, View
from retab_orchestration.emulator.serving.wire import moment

__all__ = ["run_spans", "step_spans"]

_Span = dict[str, Any]


def run_spans(run: Run, view: View) -> list[_Span] | None:
    """Return the trace of a run: a span with those of its steps, and in that of a loop those of its passes."""
    if view.started_at is None:
        return None
    whole = _span(run.workflow.name, view.started_at, view.completed_at)
    spans = {step.id: _span(step.node.label, step.started_at, step.completed_at) for step in view.steps}
    for step in view.steps:
        spans.get(step.loop_id or "", whole)["children"].append(spans[step.id])
    return [whole]


def step_spans(step: Step) -> list[_Span]:
    """Return the trace of a step that works on a document: reading it, and what a model makes of it."""
    began, ended = step.started_at, step.completed_at
    middle = None if ended is None else began + (ended - began) / 4
    whole = _span(step.node.type, began, ended)
    whole["children"] = [
        _span("read", began, middle),
        _span("model", began if middle is None else middle, ended),
    ]
    return [whole]


def _span(name: str, began: float, ended: float | None) -> _Span:
    lasted = None if ended is None else round((ended - began) * 1000)
    times = {"started_at": moment(began), "completed_at": moment(ended), "duration_ms": lasted}
    return {"name": name, **times, "children": []}
