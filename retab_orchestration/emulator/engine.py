"""The state of a run at a given time: a pure function of its inputs, the decisions, and the clock."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retab_orchestration.emulator.documents import File, extract
from retab_orchestration.emulator.generations import Generation
from retab_orchestration.emulator.workflows import Node, Workflow

__all__ = ["Decision", "Run", "Step", "Version", "View", "is_split", "plain", "review_id", "view_of"]

_ROUNDING = 1e-6
"""Seconds by which sums of times may be off."""

ACTIVE = frozenset({"running", "waiting_for_human"})
"""The statuses from which a run can still go on."""


@dataclass(frozen=True)
class Decision:
    """The decision of a human at a gate."""

    at: float
    approved: bool
    modified_data: Any = None
    """What replaces the output under review; None keeps it."""
    reason: str | None = None
    version_id: str = ""
    """The version that was decided on."""
    resumes: bool = True
    """Whether the run goes on; otherwise it waits at this gate for ever, although it is decided."""


@dataclass(frozen=True)
class Version:
    """One version of the output under review."""

    id: str
    parent_id: str | None
    """None for the first one, which the workflow itself wrote."""
    snapshot: dict[str, Any]
    note: str | None
    created_at: float


@dataclass
class Run:
    """A run as it was created, with the decisions and the cancellation since; `view_of` computes its state."""

    id: str
    workflow: Workflow
    shape: Generation
    """What its bodies look like, everywhere: that of the routes that created it."""
    created_at: float
    seconds: float
    """How long it runs, from its creation to its end, without the time humans take."""
    number: int = 0
    """Its place in the order of creation."""
    documents: dict[str, File] = field(default_factory=dict)
    json_inputs: dict[str, Any] = field(default_factory=dict)
    text_inputs: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] | None = None
    has_metadata: bool = True
    """Whether its bodies show metadata."""
    trigger_type: str = "api"
    source_id: str | None = None
    """The id of the run that it repeats."""
    created: dict[str, Any] = field(default_factory=dict)
    """Node id -> the file that it makes, or the files of a split by their names."""
    decisions: dict[str, Decision] = field(default_factory=dict)
    """Gate id -> decision."""
    versions: dict[str, list[Version]] = field(default_factory=dict)
    """Gate id -> versions of what is reviewed there, oldest first; filled on first use."""
    cancel_requested_at: float | None = None
    cancelled_at: float | None = None
    """When a cancellation takes effect; the run may have ended before."""
    settled: "View | None" = None
    """The view, once it cannot change any more."""

    def given(self, node_id: str) -> bool:
        """Return whether the caller gave this start node a value."""
        return node_id in self.documents or node_id in self.json_inputs or node_id in self.text_inputs


@dataclass
class Step:
    """One node of a run that has begun."""

    node: Node
    status: str
    started_at: float
    completed_at: float | None
    inputs: dict[str, Any] = field(default_factory=dict)
    """Source node id -> its output."""
    output: Any = None
    """A JSON value, a `File`, or files by their names."""
    error: Mapping[str, Any] | None = None
    """`message`, `stage`, `category`, `code`."""
    decision: Decision | None = None


@dataclass
class View:
    """The state of a run at one moment."""

    status: str
    """The classic name of the status: running, waiting_for_human, completed, error, cancelled."""
    steps: list[Step]
    """The steps that have begun, by start time."""
    updated_at: float
    completed_at: float | None = None
    waiting: tuple[str, ...] = ()
    waiting_since: float | None = None
    waited: float = 0.0
    """Seconds that humans have taken so far."""
    failed: Step | None = None

    @property
    def is_active(self) -> bool:
        """Whether the run can still go on."""
        return self.status in ACTIVE


def review_id(run_id: str, node_id: str) -> str:
    """Return the id of the review at a gate, which depends on run and node only."""
    return "rev_" + hashlib.sha256(f"{run_id}/{node_id}".encode()).hexdigest()[:26]


def plain(value: Any) -> Any:
    """Return a value as JSON: a file as its reference."""
    if is_split(value):
        return {name: file.reference() for name, file in value.items()}
    return value.reference() if isinstance(value, File) else value


def is_split(value: Any) -> bool:
    """Return whether a value is files by their names."""
    return isinstance(value, dict) and any(isinstance(each, File) for each in value.values())


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
        ready = max((steps[source].completed_at or 0.0 for source in node.after), default=run.created_at)
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
    view = View("running", begun, updated_at=_updated(run, begun, horizon), waited=_waited(steps, horizon))
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
    elif all(step.status == "waiting_for_human" for step in open_steps):
        view.status = "waiting_for_human"
        view.waiting = tuple(step.node.id for step in open_steps)
        view.waiting_since = min(step.started_at for step in open_steps)
    return view


def _close(open_steps: list[Step], view: View, at: float) -> None:
    view.completed_at = view.updated_at = at
    for step in open_steps:
        step.status, step.completed_at = "cancelled", at


def _updated(run: Run, steps: list[Step], horizon: float) -> float:
    times = [time for step in steps for time in (step.started_at, step.completed_at) if time is not None]
    if run.cancel_requested_at is not None and run.cancel_requested_at <= horizon:
        times.append(run.cancel_requested_at)
    return max(times, default=run.created_at)


def _waited(steps: dict[str, Step], horizon: float) -> float:
    gates = [step for step in steps.values() if step.node.is_gate]
    return sum(
        (step.completed_at if step.completed_at is not None else horizon) - step.started_at for step in gates
    )
