"""Experiments with one block, and the state of their runs at a given time; every document has the best score."""

from dataclasses import dataclass, field
from typing import Any

from retab_orchestration.emulator.generations import Generation
from retab_orchestration.emulator.serving.wire import moment, new_id
from retab_orchestration.emulator.workflows.values import Workflow

__all__ = ["KINDS", "SCORE", "Document", "Experiment", "ExperimentRun", "experiment_body"]

KINDS = frozenset({"extract", "classifier", "split", "for_each"})
"""The types of blocks that experiments are about."""

SCORE = 1.0

_PENDING = 0.1
_EACH = 0.4


@dataclass(frozen=True)
class Document:
    """One document of an experiment: what its block takes."""

    handle_inputs: dict[str, Any]
    id: str = field(default_factory=lambda: new_id("expdoc"))


@dataclass
class Experiment:
    """An experiment, which runs as often as it is asked to."""

    id: str
    workflow_id: str
    block_id: str
    kind: str
    """The type of its block."""
    name: str
    n_consensus: int
    documents: tuple[Document, ...]
    created_at: float
    updated_at: float


@dataclass
class ExperimentRun:
    """A run of an experiment: one document after the other, each 0.4 s long, after 0.1 s of waiting."""

    id: str
    experiment: Experiment
    """As it was when the run began."""
    workflow: Workflow
    shape: Generation
    """What its body and those of its results look like."""
    created_at: float
    speed: float
    cancelled_at: float | None = None
    cancelled_documents: set[str] = field(default_factory=set)

    @property
    def _start(self) -> float:
        return self.created_at + _PENDING / self.speed

    @property
    def _end(self) -> float:
        return self._start + _EACH / self.speed * len(self.experiment.documents)

    def status(self, now: float) -> str:
        """Return pending, running, completed or cancelled."""
        if self.cancelled_at is not None:
            return "cancelled"
        if now >= self._end:
            return "completed"
        return "running" if now >= self._start else "pending"

    def times(self, now: float) -> dict[str, Any]:
        """Return its `created_at`, `started_at`, `completed_at` and `duration_ms`, as they are shown."""
        begun = self._start if self._start <= (self.cancelled_at or now) else None
        end = self.cancelled_at or (self._end if self._end <= now else None)
        return {
            "created_at": moment(self.created_at),
            "started_at": moment(begun),
            "completed_at": moment(end),
            "duration_ms": None if end is None else round((end - self.created_at) * 1000),
        }

    def cancel(self, now: float) -> None:
        """Cancel it, if it goes on."""
        if self.status(now) in {"pending", "running"}:
            self.cancelled_at = now


def experiment_body(experiment: Experiment, last: ExperimentRun | None, now: float) -> dict[str, Any]:
    """Return the body of an experiment, of which the last run is known."""
    statuses = {"pending": "processing", "running": "processing"}
    status = last.status(now) if last else "draft"
    return {
        "id": experiment.id,
        "workflow_id": experiment.workflow_id,
        "block_id": experiment.block_id,
        "block_kind": experiment.kind,
        "block_type": experiment.kind,
        "name": experiment.name,
        "n_consensus": experiment.n_consensus,
        "document_count": len(experiment.documents),
        "last_run_id": last.id if last else None,
        "created_at": moment(experiment.created_at),
        "updated_at": moment(experiment.updated_at),
        "status": statuses.get(status, status),
        "score": SCORE if status == "completed" else None,
        "is_stale": False,
        "schema_drift": "unknown",
        "schema_drift_detail": None,
    }
