"""The state of an emulator between requests, and its settings."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from retab_orchestration.emulator.evaluations.node_tests import TestRun
from retab_orchestration.emulator.files.store import FileStore
from retab_orchestration.emulator.generations import BY_NAME, Generation
from retab_orchestration.emulator.runs.engine import Run, View
from retab_orchestration.emulator.runs.timeline import view_of
from retab_orchestration.emulator.serving.wire import Refusal
from retab_orchestration.emulator.workflows.values import Workflow

__all__ = ["ORGANIZATION_ID", "Publication", "State", "Traits"]

ORGANIZATION_ID = "org_emulator"
"""The organisation that owns everything here."""


@dataclass(frozen=True)
class Traits:
    """How servers with the same routes differ from each other."""

    idempotency: str = "compared"
    """What a repeated `Idempotency-Key` means: `compared` answers with the run of the first create, or 409 if the
    requests differ; `honoured` answers with that run whatever the request; `ignored` starts another run."""
    metadata: str = "kept"
    """What the server does with a run's metadata: `kept`, and a filter of the list; `unfiltered`, kept, but no filter
    of the list; `dropped`, not even a key of the run."""
    list_lag: float = 0.0
    """Seconds for which a new run is in no list; it can be read by its id at once."""
    absent_routes: str = "unknown"
    """How a path that other servers have is refused: as `unknown`, or, where an id fits, as one of a `workflow` that is
    not there."""

    def __post_init__(self) -> None:
        for name, allowed in _TRAITS.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} is {getattr(self, name)!r}: use {' or '.join(map(repr, allowed))}")
        if not self.list_lag >= 0:
            raise ValueError(f"list_lag is {self.list_lag}: use seconds, 0 for none")


_TRAITS = {
    "idempotency": ("compared", "honoured", "ignored"),
    "metadata": ("kept", "unfiltered", "dropped"),
    "absent_routes": ("unknown", "workflow"),
}


@dataclass(frozen=True)
class Publication:
    """A version of a workflow, as it was published."""

    workflow: Workflow
    at: float | None = None
    """When; None for those that were published before the emulator started."""
    description: str = ""


@dataclass
class State:
    """The settings and the state of one emulator."""

    api: str
    clock: Callable[[], float]
    speed: float
    workflows: dict[str, Workflow]
    """By id, as they are now: their drafts."""
    traits: Traits = field(default_factory=Traits)
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Held during creates, because large bodies are read in threads."""
    runs: dict[str, Run] = field(default_factory=dict)
    commands: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Idempotency key or command id -> (fingerprint of its request, id of what was created)."""
    gates: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Review id -> (run id, step id), for every gate that somebody was told of."""
    leases: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Review id -> since when, and until when, somebody has it in hand."""
    test_runs: dict[str, TestRun] = field(default_factory=dict)
    file_store: FileStore = field(default_factory=FileStore)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What is kept of other kinds, by kind and by id: experiments, block executions, blueprints."""
    runs_created: int = 0

    def __post_init__(self) -> None:
        self._given = dict(self.workflows)
        self.publications = self._published()

    def _published(self) -> dict[str, list[Publication]]:
        return {each.id: [Publication(each)] if each.published else [] for each in self.workflows.values()}

    @property
    def generation(self) -> Generation:
        """What the server has."""
        return BY_NAME[self.api]

    @property
    def is_strict(self) -> bool:
        """Whether an unknown cursor is refused."""
        return self.generation.is_strict

    def shape(self, routes: str) -> Generation:
        """Return what is created over `classic` or `current` routes looks like."""
        return BY_NAME[routes if self.api == "both" else self.api]

    def workflow(self, workflow_id: str) -> Workflow:
        """Return a workflow.

        Raises:
            Refusal: 404 when there is none.
        """
        if workflow_id not in self.workflows:
            raise Refusal.structured(404, f"Workflow not found: {workflow_id}")
        return self.workflows[workflow_id]

    def workflows_named(self, workflow_id: str | None) -> list[Workflow]:
        """Return the workflow that a path or a query names, all where none does.

        Raises:
            Refusal: 404 when there is none of that id.
        """
        return [self.workflow(workflow_id)] if workflow_id else list(self.workflows.values())

    def production(self, workflow_id: str) -> Workflow | None:
        """Return the newest published version of a workflow, None when there is none."""
        published = self.publications.get(workflow_id)
        return published[-1].workflow if published else None

    def kept(self, kind: str) -> dict[str, Any]:
        """Return the records of a kind, by their ids, in the order of their creation."""
        return self.records.setdefault(kind, {})

    def run(self, run_id: str) -> Run:
        """Return a run.

        Raises:
            Refusal: 404 when there is none.
        """
        if run_id not in self.runs:
            raise Refusal(404, "Workflow run not found")
        return self.runs[run_id]

    def view_of(self, run: Run) -> View:
        """Return the present state of a run."""
        return view_of(run, self.clock())

    def add_run(self, run: Run) -> Run:
        """Add a new run."""
        with self.lock:
            self.runs_created += 1
            run.number = self.runs_created
            self.runs[run.id] = run
            return run

    def recall(self, key: str | None, fingerprint: str) -> str | None:
        """Return the id of what an earlier request with this key has created, None when there was none.

        Raises:
            Refusal: 409 when that request was another one.
        """
        if key is None or key not in self.commands:
            return None
        known, made = self.commands[key]
        if known != fingerprint and self.traits.idempotency == "compared":
            error = {"code": "idempotency_key_reused", "message": f"{key} came before with another request."}
            raise Refusal.structured(409, error)
        return made

    def reset(self) -> None:
        """Delete every run, test run, file, command and record, and undo what was done to workflows."""
        for memory in (self.runs, self.gates, self.leases, self.test_runs, self.commands, self.records):
            memory.clear()
        self.workflows = dict(self._given)
        self.publications = self._published()
        self.file_store = FileStore()
        self.runs_created = 0
