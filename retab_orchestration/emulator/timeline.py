"""The state of a run at a given time: a pure function of its inputs, the decisions, and the clock."""

from typing import Any

from retab_orchestration.emulator.documents import File, extract
from retab_orchestration.emulator.engine import Run, Step, View, plain

__all__ = ["view_of"]

_ROUNDING = 1e-6
"""Seconds by which sums of times may be off."""


def view_of(run: Run, now: float) -> View:
    """Return the state of a run at `now`, seconds since 1970."""
    if run.settled is not None:
        return run.settled
    horizon = now if run.cancelled_at is None else min(now, run.cancelled_at)
    steps, stop = _advance(run, horizon)
    if stop is not None and stop < horizon:
        horizon = stop
        steps, stop = _advance(run, horizon)
    view = _view(run, steps, horizon, stop, now)
    if not view.is_active:
        run.settled = view
    return view


def _advance(run: Run, horizon: float) -> tuple[dict[str, Step], float | None]:
    """Compute the steps up to the horizon; return them, and when one of them stopped the run, if one did."""
    steps: dict[str, Step] = {}
    stops: list[float] = []
    for node in run.workflow.nodes:
        if any(source not in steps or steps[source].status != "completed" for source in node.after):
            continue
        ready = max((steps[source].completed_at or 0.0 for source in node.after), default=run.starts_at)
        if ready > horizon + _ROUNDING:
            continue
        step = Step(node, "running", ready, None, {source: steps[source].output for source in node.after})
        if node.is_gate:
            _pass_gate(run, step, horizon)
        else:
            _work(run, step, horizon)
        if step.status in {"error", "cancelled"} and step.completed_at is not None:
            stops.append(step.completed_at)
        steps[node.id] = step
    return steps, min(stops, default=None)


def _work(run: Run, step: Step, horizon: float) -> None:
    end = step.started_at + run.seconds * run.workflow.shares[step.node.id]
    if end > horizon + _ROUNDING:
        return
    step.completed_at = end
    step.error = _error(run, step)
    step.status = "completed" if step.error is None else "error"
    step.output = None if step.error else _output(run, step)


def _pass_gate(run: Run, step: Step, horizon: float) -> None:
    step.output = next(iter(step.inputs.values()), None)
    step.decision = decision = run.decisions.get(step.node.id)
    if decision is None or decision.at > horizon or not decision.resumes:
        step.status = "waiting_for_human"
        return
    step.completed_at = decision.at
    step.status = "completed" if decision.approved else "cancelled"
    if decision.approved and decision.modified_data is not None:
        step.output = decision.modified_data


def _output(run: Run, step: Step) -> Any:
    node = step.node
    known = {
        "start": run.documents,
        "start_json": run.json_inputs,
        "start_text": run.text_inputs,
        "split": run.created,
        "edit": run.created,
    }.get(node.type)
    if known is not None:
        return known.get(node.id)
    if node.type == "extract":
        file = _document(step)
        return extract(file.text if file else "", node.fields)
    if len(step.inputs) == 1:
        return next(iter(step.inputs.values()))
    return {source: plain(value) for source, value in step.inputs.items()}


def _error(run: Run, step: Step) -> dict[str, Any] | None:
    node = step.node
    if node.type in {"split", "edit"} and node.id not in run.created:
        message = f"{node.label} has no PDF that it could read"
        return {"message": message, "stage": "document_fetch", "category": "permanent"}
    if node.error is not None:
        asked: dict[str, Any] = next((value for value in step.inputs.values() if isinstance(value, dict)), {})
        asked = {key: value for key, value in asked.items() if value is None or isinstance(value, str)}
        return {key: asked.get(key, node.error.get(key)) for key in ("message", "stage", "category")}
    file = _document(step) if node.type == "extract" else None
    if file is not None and file.problem:
        message = f"{node.label} could not read {file.filename}: {file.problem}"
        return {"message": message, "stage": "document_fetch", "category": "permanent"}
    return None


def _document(step: Step) -> File | None:
    return next((value for value in step.inputs.values() if isinstance(value, File)), None)


def _view(run: Run, steps: dict[str, Step], horizon: float, stop: float | None, now: float) -> View:
    begun = [step for step in steps.values() if not step.node.is_start or run.given(step.node.id)]
    begun.sort(key=lambda step: step.started_at)
    open_steps = [step for step in steps.values() if step.completed_at is None]
    view = View(_begin(run, horizon), begun, _updated(run, begun, horizon), waited=_waited(steps, horizon))
    view.started_at = run.starts_at if view.status == "running" else None
    view.failed = next((step for step in begun if step.status == "error"), None)
    if stop is not None:
        view.status = "error" if view.failed else run.workflow.on_reject
        _close(open_steps, view, stop)
    elif not open_steps and len(steps) == len(run.workflow.nodes):
        view.status = "completed"
        view.completed_at = max(step.completed_at or 0.0 for step in steps.values())
    elif run.cancelled_at is not None and run.cancelled_at <= now:
        view.status = "cancelled"
        _close(open_steps, view, run.cancelled_at)
    elif open_steps and all(step.status == "waiting_for_human" for step in open_steps):
        view.status = "waiting_for_human"
        view.waiting = tuple(step.node.id for step in open_steps)
        view.waiting_since = min(step.started_at for step in open_steps)
    return view


def _begin(run: Run, horizon: float) -> str:
    """Return the status of a run that goes on: how far it was on its way to its start."""
    if run.starts_at <= horizon + _ROUNDING:
        return "running"
    return "queued" if run.shape.has_queued and run.queued_at <= horizon else "pending"


def _close(open_steps: list[Step], view: View, at: float) -> None:
    view.completed_at = view.updated_at = at
    for step in open_steps:
        step.status, step.completed_at = "cancelled", at


def _updated(run: Run, steps: list[Step], horizon: float) -> float:
    times = [time for step in steps for time in (step.started_at, step.completed_at) if time is not None]
    times += [
        time for time in (run.queued_at, run.cancel_requested_at) if time is not None and time <= horizon
    ]
    return max(times, default=run.created_at)


def _waited(steps: dict[str, Step], horizon: float) -> float:
    gates = [step for step in steps.values() if step.node.is_gate]
    return sum(
        (step.completed_at if step.completed_at is not None else horizon) - step.started_at for step in gates
    )
