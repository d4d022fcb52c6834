"""Runs, their steps, and their state at one moment: values, which `timeline.view_of` computes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from retab_orchestration.emulator.files.documents import File
from retab_orchestration.emulator.generations import Generation
from retab_orchestration.emulator.workflows.values import Node, Workflow

__all__ = ["Decision", "Pass", "Run", "Step", "Version", "View", "is_split", "plain", "review_id"]

ACTIVE = frozenset({"pending", "queued", "running", "waiting_for_human"})
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
    """A run as it was created, with the decisions and the cancellation since; `timeline.view_of` computes its state."""

    id: str
    workflow: Workflow
    shape: Generation
    """What its bodies look like, everywhere: that of the routes that created it."""
    created_at: float = 0.0
    seconds: float = 0.0
    """How long it runs, from its start to its end, without the time humans take."""
    pending: float = 0.0
    """Seconds from its creation until it is queued."""
    queued: float = 0.0
    """Seconds from there to its start."""
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
    """Step id -> the file that it makes, or the files of a split, or of a loop, by their names."""
    decisions: dict[str, Decision] = field(default_factory=dict)
    """Step id of a gate -> decision."""
    versions: dict[str, list[Version]] = field(default_factory=dict)
    """Step id of a gate -> versions of what is reviewed there, oldest first; filled on first use."""
    cancel_requested_at: float | None = None
    cancel_failed_at: float | None = None
    """When the engine last refused a cancellation; the run goes on."""
    cancelled_at: float | None = None
    """When a cancellation takes effect; the run may have ended before."""
    settled: "View | None" = None
    """The view, once it cannot change any more."""

    @property
    def queued_at(self) -> float:
        """When it is dispatched."""
        return self.created_at + self.pending

    @property
    def starts_at(self) -> float:
        """When its first nodes begin."""
        return self.queued_at + self.queued

    def given(self, node_id: str) -> bool:
        """Return whether the caller gave this start node a value."""
        return node_id in self.documents or node_id in self.json_inputs or node_id in self.text_inputs


@dataclass(frozen=True)
class Pass:
    """A pass through a loop."""

    loop: Node
    number: int
    """From 0."""

    @property
    def is_parallel(self) -> bool:
        """Whether the passes of this loop go on at the same time."""
        return self.loop.type == "for_each"


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
    """`message`, `stage`, `category`, `error_code`, `stack_trace`, `context`."""
    decision: Decision | None = None
    passes: tuple[Pass, ...] = ()
    """Where it is in the loops around its node, outermost first."""

    @property
    def id(self) -> str:
        """The id of its node, with the passes through the loops around that."""
        return _placed(self.passes, self.node)

    @property
    def retry_count(self) -> int:
        """How many times it has been tried again."""
        return 0 if self.completed_at is None else self.node.retries

    @property
    def loop_id(self) -> str | None:
        """The id of the step of the loop around it, None outside loops."""
        return _placed(self.passes[:-1], self.passes[-1].loop) if self.passes else None


@dataclass
class View:
    """The state of a run at one moment."""

    status: str
    """The classic name of the status: pending, queued, running, waiting_for_human, completed, error, cancelled."""
    steps: list[Step]
    """The steps that have begun, by start time."""
    updated_at: float
    started_at: float | None = None
    """None while the run is pending or queued, and if it was cancelled then."""
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

    @property
    def milliseconds(self) -> int | None:
        """How long the run took from its start to its end, None as long as it has not both."""
        if self.started_at is None or self.completed_at is None:
            return None
        return round((self.completed_at - self.started_at) * 1000)


def _placed(passes: tuple[Pass, ...], node: Node) -> str:
    return "".join(f"{each.loop.id}_iter_{each.number}_" for each in passes) + node.id


def review_id(run_id: str, step_id: str) -> str:
    """Return the id of the review at a gate, which depends on run and step only."""
    return "rev_" + hashlib.sha256(f"{run_id}/{step_id}".encode()).hexdigest()[:26]


def plain(value: Any) -> Any:
    """Return a value as JSON: a file as its reference."""
    if is_split(value):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value.reference() if isinstance(value, File) else value


def is_split(value: Any) -> bool:
    """Return whether a value is files by their names."""
    return isinstance(value, dict) and any(isinstance(each, File) for each in value.values())
