"""The state of a run at a given time: a pure function of its inputs, the decisions, and the clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import NoneType
from typing import Any

from retab_orchestration.emulator.files.documents import File, extract
from retab_orchestration.emulator.runs.engine import Decision, Pass, Run, Step, View, plain
from retab_orchestration.emulator.runs.loops import MOST_PASSES, counted, gathered, items_of
from retab_orchestration.emulator.workflows.values import Node

__all__ = ["view_of"]

_ROUNDING = 1e-6
"""Seconds by which sums of times may be off."""

_TEXT = (str, NoneType)
_ERROR = {
    **dict.fromkeys(("message", "stage", "category", "error_code", "stack_trace"), _TEXT),
    "context": (dict, NoneType),
}
"""What a JSON input may say of an error, by key."""


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


@dataclass(frozen=True)
class _Section:
    """Nodes that are worked on from a time on: those of a workflow, or those of one pass through a loop."""

    nodes: tuple[Node, ...]
    shares: Mapping[str, float]
    begins_at: float
    seconds: float
    given: Mapping[str, Any] = field(default_factory=dict)
    """What its first nodes take."""
    passes: tuple[Pass, ...] = ()


def _advance(run: Run, horizon: float) -> tuple[list[Step], float | None]:
    """Compute the steps up to the horizon; return them, and when one of them stopped the run, if one did."""
    workflow = run.workflow
    section = _Section(workflow.nodes, workflow.shares, run.starts_at, run.seconds)
    steps = _steps_of(run, section, horizon)
    stops = [step.completed_at for step in steps if step.status in {"error", "cancelled"}]
    return steps, min((stop for stop in stops if stop is not None), default=None)


def _steps_of(run: Run, section: _Section, horizon: float) -> list[Step]:
    """Compute the steps of a section, after each loop those of its passes."""
    steps: dict[str, Step] = {}
    found: list[Step] = []
    for node in section.nodes:
        if any(source not in steps or steps[source].status != "completed" for source in node.after):
            continue
        ready = max((steps[source].completed_at or 0.0 for source in node.after), default=section.begins_at)
        if ready > horizon + _ROUNDING:
            continue
        taken = {source: steps[source].output for source in node.after} if node.after else section.given
        step = Step(node, "running", ready, None, dict(taken), passes=section.passes)
        steps[node.id] = step
        found.append(step)
        seconds = section.seconds * section.shares[node.id]
        if node.is_gate:
            _pass_gate(run, step, horizon)
        elif node.is_loop and 0 < len(items := items_of(run, step)) <= MOST_PASSES:
            found += _repeat(run, step, items, seconds, horizon)
        else:
            _work(run, step, seconds, horizon)
    return found


def _repeat(run: Run, step: Step, items: list[Any], seconds: float, horizon: float) -> list[Step]:
    """Compute the steps of the passes through a loop, which ends with the last of them."""
    loop, begins_at = step.node, step.started_at
    is_parallel = Pass(loop, 0).is_parallel
    found: list[Step] = []
    ends: list[Step] = []
    for number, item in enumerate(items):
        passes = (*step.passes, Pass(loop, number))
        given = {loop.id: item if is_parallel else counted(ends[-1].output if ends else item, number)}
        each = seconds if is_parallel else seconds / len(items)
        passed = _steps_of(run, _Section(loop.body, loop.shares, begins_at, each, given, passes), horizon)
        found += passed
        end = next((one for one in passed if one.node is loop.body[-1] and one.passes == passes), None)
        if end is not None and end.completed_at is not None:
            ends.append(end)
            begins_at = begins_at if is_parallel else end.completed_at
        elif not is_parallel:
            break
    if len(ends) == len(items):
        step.completed_at = max(end.completed_at or 0.0 for end in ends)
        step.status = "completed"
        step.output = gathered([end.output for end in ends]) if is_parallel else ends[-1].output
    return found


def _work(run: Run, step: Step, seconds: float, horizon: float) -> None:
    end = step.started_at + seconds
    if end > horizon + _ROUNDING:
        return
    step.completed_at = end
    step.error = _error(run, step)
    step.status = "completed" if step.error is None else "error"
    step.output = None if step.error else _output(run, step)


def _pass_gate(run: Run, step: Step, horizon: float) -> None:
    step.output = next(iter(step.inputs.values()), None)
    step.decision = decision = run.decisions.get(step.id)
    if decision is None or decision.at > horizon or not decision.resumes:
        step.status = "waiting_for_human"
        return
    step.completed_at = decision.at
    if not decision.approved:
        _reject(step, decision, fails=run.workflow.on_reject == "error")
        return
    step.status = "completed"
    if decision.modified_data is not None:
        step.output = decision.modified_data


def _reject(step: Step, decision: Decision, *, fails: bool) -> None:
    step.status = "error" if fails else "cancelled"
    if fails:
        message = f"{step.node.label} was rejected" + (f": {decision.reason}" if decision.reason else "")
        step.error = _failure(message, "execution", "rejected")


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
        return known.get(step.id)
    if node.is_loop:
        return gathered([])  # there was nothing to go through
    if node.type == "extract":
        file = _document(step)
        return extract(file.text if file else "", node.fields)
    if len(step.inputs) == 1:
        return next(iter(step.inputs.values()))
    return {source: plain(value) for source, value in step.inputs.items()}


def _error(run: Run, step: Step) -> dict[str, Any] | None:
    node = step.node
    needs_pages = node.type in {"split", "edit"} or (node.is_loop and _document(step) is not None)
    if needs_pages and step.id not in run.created:
        message = f"{node.label} has no PDF that it could read"
        return _failure(message, "document_fetch", "unreadable_document")
    if node.is_loop and len(items_of(run, step)) > MOST_PASSES:
        message = f"{node.label} would go through more than {MOST_PASSES} passes"
        return _failure(message, "execution", "too_many_passes")
    if node.error is not None:
        asked: dict[str, Any] = next((value for value in step.inputs.values() if isinstance(value, dict)), {})
        asked = {key: value for key, value in asked.items() if isinstance(value, _ERROR.get(key, ()))}
        return {key: asked.get(key, node.error.get(key)) for key in _ERROR}
    file = _document(step) if node.type == "extract" else None
    if file is not None and file.problem:
        message = f"{node.label} could not read {file.filename}: {file.problem}"
        return _failure(message, "document_fetch", "unreadable_document", {"filename": file.filename})
    return None


def _failure(message: str, stage: str, code: str, context: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "message": message,
        "stage": stage,
        "category": "permanent",
        "error_code": code,
        "context": context,
    }


def _document(step: Step) -> File | None:
    return next((value for value in step.inputs.values() if isinstance(value, File)), None)


def _view(run: Run, steps: list[Step], horizon: float, stop: float | None, now: float) -> View:
    begun = [step for step in steps if not step.node.is_start or run.given(step.node.id)]
    begun.sort(key=lambda step: step.started_at)
    open_steps = [step for step in steps if step.completed_at is None]
    view = View(_begin(run, horizon), begun, _updated(run, begun, horizon), waited=_waited(steps, horizon))
    view.started_at = run.starts_at if view.status == "running" else None
    view.failed = next((step for step in begun if step.status == "error"), None)
    if stop is not None:
        view.status = "error" if view.failed else run.workflow.on_reject
        _close(open_steps, view, stop)
        if view.status == "completed":
            view.steps += _passed_over(run, steps, stop)
    elif not open_steps and sum(not step.passes for step in steps) == len(run.workflow.nodes):
        view.status = "completed"
        view.completed_at = max(step.completed_at or 0.0 for step in steps)
    elif run.cancelled_at is not None and run.cancelled_at <= now:
        view.status = "cancelled"
        _close(open_steps, view, run.cancelled_at)
    elif (gates := [step for step in open_steps if step.node.is_gate]) and all(
        step.node.is_loop or step.status == "waiting_for_human" for step in open_steps
    ):
        view.status = "waiting_for_human"
        view.waiting = tuple(dict.fromkeys(step.node.id for step in gates))
        view.waiting_since = min(step.started_at for step in gates)
    return view


def _passed_over(run: Run, steps: list[Step], at: float) -> list[Step]:
    """Return a step for each node that a completed run did not come to."""
    known = {step.node.id for step in steps if not step.passes}
    return [Step(node, "skipped", at, at) for node in run.workflow.nodes if node.id not in known]


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


def _waited(steps: list[Step], horizon: float) -> float:
    """Return how long humans have taken, times in which several were asked counted once."""
    waits = sorted(
        (step.started_at, horizon if step.completed_at is None else step.completed_at)
        for step in steps
        if step.node.is_gate
    )
    waited, until = 0.0, float("-inf")
    for began, ended in waits:
        waited += max(0.0, ended - max(began, until))
        until = max(until, ended)
    return waited
