"""What a run's own tags remember of the call that has started it, where the server's list filters by tags."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect_collection._documents import DocumentFacts
from retab_orchestration import RunStatus, WorkflowRun
from retab_orchestration.identity import NOTE

__all__ = ["FAILED", "Family", "FilteredAccounts", "Note", "family_of", "noted", "short_id"]

FAILED = frozenset({RunStatus.ERROR, RunStatus.CANCELLED})

_VERSION = "1"
_LONGEST = 500
_REMEMBERED = 4096


def short_id(flow_run_id: UUID) -> str:
    """Return how a flow run is named in a note: by the end of its id, for its beginning may be a time."""
    return flow_run_id.hex[-12:]


@dataclass(frozen=True)
class Note:
    """What the tag says: the call without and with the contents of its documents, and for whom it was made."""

    content: str
    """The key of the call and of the contents of its documents."""
    attempt: str
    place: str
    """The key of the call and of the places of its documents."""
    facts: DocumentFacts = ()
    flow_runs: tuple[str, ...] = ()
    """The flow run of the call and those around it, as `short_id` names them."""

    @property
    def text(self) -> str | None:
        """The text of the tag; None where it would be too long."""
        parts = (
            _VERSION,
            self.content,
            self.attempt,
            self.place,
            ",".join(self.facts),
            ",".join(self.flow_runs),
        )
        text = " ".join(part or "." for part in parts)
        return text if len(text) <= _LONGEST else None

    @classmethod
    def read(cls, text: Any) -> "Note | None":
        """Return the note of a tag; None for anything else."""
        version, *parts = ["" if part == "." else part for part in str(text).split(" ")]
        if version != _VERSION or len(parts) != len(("content", "attempt", "place", "facts", "flow_runs")):
            return None
        content, attempt, place, facts, flow_runs = parts
        return cls(content, attempt, place, _split(facts), _split(flow_runs))


def _split(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()


class Family:
    """The runs of one owner that are known by their notes.

    Attributes:
        complete: The accounts of which all runs of earlier processes are among them, listed, or known not to be.
        listed_until: Account -> until when a process that has died may have created, whose runs were waited for.
        announced: The accounts and the flow runs with which this process has written that there are such runs.
        announcing: Held by the call that writes it.
        news: When what other processes have created was added, as `TURNS` counts.
        shared: The labels that are inputs of the flow run, as far as this process has read or written them.
        read_in: The attempt in which all of them were read.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[str, Note]] = {}
        self._places: dict[str, dict[str, DocumentFacts]] = {}
        self.complete: set[str] = set()
        self.listed_until: dict[str, datetime] = {}
        self.announced: set[tuple[str | None, UUID]] = set()
        self.announcing = threading.Lock()
        self.news = 0
        self.shared: Mapping[str, Any] = {}
        self.read_in = ""

    def add(self, note: Note, run_id: str) -> None:
        """Add the run of a call, in the place of the one before it."""
        with self._lock:
            self._runs[note.content] = run_id, note
            if note.facts:
                self._places.setdefault(note.place, {})[note.content] = note.facts

    def add_listed(self, runs: Iterable[WorkflowRun]) -> None:
        """Add the runs of a list, oldest first, as far as they are not known."""
        with self._lock:
            known = {*self._runs}
        best: dict[str, tuple[WorkflowRun, Note]] = {}
        for run in runs:
            note = Note.read(run.metadata.get(NOTE))
            if note is None or note.content in known:
                continue
            if note.content not in best or best[note.content][0].status in FAILED or run.status not in FAILED:
                best[note.content] = run, note
        for run, note in best.values():
            self.add(note, run.id)

    def add_reported(self, runs: Mapping[str, Mapping[str, Any]]) -> None:
        """Add the runs that another process has reported, as far as they are not known."""
        for content, each in runs.items():
            note = Note.read(each.get("note"))
            if note is not None and self.by_content(content) is None:
                self.add(note, str(each.get("id")))

    def add_shared(self, labels: Mapping[str, Any]) -> None:
        """Add labels that are inputs of the flow run."""
        with self._lock:
            self.shared = {**self.shared, **labels}

    def by_content(self, content: str) -> tuple[str, Note] | None:
        """Return the run of a call and its note."""
        with self._lock:
            return self._runs.get(content)

    def by_place(self, place: str) -> dict[str, DocumentFacts]:
        """Return the facts of each content that was at a place."""
        with self._lock:
            return dict(self._places.get(place, {}))


_families: OrderedDict[tuple[str, ...], Family] = OrderedDict()
_lock = threading.Lock()


def family_of(*key: str) -> Family:
    """Return what this process knows of the runs of an owner."""
    with _lock:
        family = _families.get(key) or _families.setdefault(key, Family())
        _families.move_to_end(key)
        if len(_families) > _REMEMBERED:
            _families.popitem(last=False)
        return family


class FilteredAccounts:
    """Which accounts have a list that filters by tags, as far as this process knows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, bool] = {}
        self._answered: set[str] = set()
        self._busy: set[str] = set()

    def known(self, account: str) -> bool | None:
        """Return what is known."""
        return self._known.get(account)

    def begin(self, account: str) -> bool:
        """Return whether the call is the one to find it out, for which others wait; it has to call `end`."""
        with self._lock:
            if account in self._busy or account in self._known:
                return False
            self._busy.add(account)
            return True

    def end(self, account: str) -> None:
        """Let the next call find it out if it is not known yet."""
        with self._lock:
            self._busy.discard(account)

    def is_answered(self, account: str) -> bool:
        """Return whether an answer to a create had its tags, so that a request shows the rest."""
        return account in self._answered

    def answered(self, account: str, *, is_kept: bool) -> None:
        """Record whether the answer to a create had its tags."""
        with self._lock:
            if is_kept:
                self._answered.add(account)
            else:
                self._answered.discard(account)
                self._known[account] = False

    def found(self, account: str, *, is_filtered: bool) -> None:
        """Record what a request has shown."""
        with self._lock:
            if is_filtered or account in self._answered:
                self._known[account] = is_filtered


def noted(flow_run_id: UUID, found: Iterable[WorkflowRun]) -> set[str]:
    """Return those of the runs of an outermost flow run that a flow run has started and that have not ended."""
    notes = {run.id: Note.read(run.metadata.get(NOTE)) for run in found if not run.is_terminal}
    own = short_id(flow_run_id)
    return {run_id for run_id, note in notes.items() if note is not None and own in note.flow_runs}
