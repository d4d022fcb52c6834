"""The records of a flow run's runs: labels of the flow run, and entries of Prefect's result storage."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.results import ResultStore, get_result_store

from prefect_collection._create_once.announcements import Announced, announce
from prefect_collection._create_once.decide import Start
from prefect_collection._documents import DocumentFacts
from prefect_collection._identity import Owner, read_labels
from prefect_collection._labels import Labels, read_shared, write_labels, write_shared
from prefect_collection._prefect_server import api_address
from prefect_collection._record import Given, Record
from prefect_collection._tags import Family, Note, family_of, short_id
from prefect_collection._waiting import run_logger

__all__ = [
    "CLOCKS_DIFFER",
    "Begun",
    "CallRecords",
    "Given",
    "Record",
    "Started",
    "runs_in",
]

_RUN = "retab.run."
_TEST_RUN = "retab.test-run."
_ACCOUNT = "retab.account."
_ATTEMPT = "retab.attempt."
_OWNER = "retab.owner."
_FACTS = "retab.looked."

_one_writer = threading.Lock()

CLOCKS_DIFFER = timedelta(minutes=10)
"""By how much Prefect's clock and Retab's may differ."""


class CallRecords:
    """The records of one call in one flow run.

    There is a record for each content that the documents had. Beside it are the facts of the documents at their places,
    so that a run is found whose documents are gone. Where a run remembers its call by its own tags, that is not written
    down elsewhere. The methods block.

    Args:
        owner: The owner of the call.
        given: The call.
        account: The name of the block that the call is made with, None for the environment's account.
        key: What tells the account from others.

    Attributes:
        is_tagged: Whether the run of this call remembers it, so that nothing is written down.
        is_announced: Whether the flow run says that there are runs of this account that only their tags tell.
        is_shared: Whether another process may write labels of the flow run at the same time.
    """

    def __init__(self, owner: Owner, given: Given, account: str | None, key: str) -> None:
        self.owner = owner
        self.account = account
        self.key = key
        self.family: Family = family_of(api_address(), owner.id)
        self.is_tagged = self.is_announced = False
        self.is_shared = not owner.is_alone
        self._given = given
        self._place = given.digest(owner, {"places": dict(given.places or {})})
        self._prefix = _TEST_RUN if given.operation == "create_test_run" else _RUN

    @property
    def is_complete(self) -> bool:
        """Whether this process knows all runs of this account that earlier ones have started."""
        return not self.owner.flow_runs or self.key in self.family.complete

    @property
    def may_be_incomplete(self) -> bool:
        """Whether runs of an earlier process of the flow run may be known by their tags only."""
        return not self.is_complete and (self.owner.start is not Start.FIRST or self.is_announced)

    @property
    def has_unread(self) -> bool:
        """Whether earlier attempts may have written labels as inputs, which this process has not read in this one."""
        is_begun = self.owner.start is not Start.FIRST and bool(self.owner.flow_runs)
        return is_begun and self.family.read_in != self.owner.attempt

    def refresh(self) -> None:
        """Read the labels again, because another call has written to them."""
        self.owner = replace(self.owner, labels=read_labels(self.owner))

    def refresh_shared(self, content: str) -> None:
        """Read the labels of a call again whose process has died, those that are inputs as well."""
        self.refresh()
        self.family.add_shared(read_shared(self.owner.flow_runs[-1], content))

    @property
    def _labels(self) -> Mapping[str, Any]:
        return {**(self.owner.labels or {}), **self.family.shared}

    def content_of(self, contents: Mapping[str, Any]) -> str:
        """Return the key of this call and of the contents of its documents."""
        return self._given.digest(self.owner, {"contents": dict(contents)})

    def note_of(self, content: str, facts: DocumentFacts) -> str | None:
        """Return the tag by which a run remembers this call; None where it would be too long."""
        flow_runs = tuple(map(short_id, self.owner.flow_runs))
        return Note(content, self.owner.attempt, self._place, facts, flow_runs).text

    def by_place(self) -> list[Record]:
        """Return a record for each content that these places had, wherever it is recorded."""
        labels, start = self._labels, f"{_FACTS}{self._place}."
        facts_of = {label.removeprefix(start): labels[label] for label in labels if label.startswith(start)}
        tagged = {content: " ".join(facts) for content, facts in self.family.by_place(self._place).items()}
        records = [
            replace(self.by_content(content), facts=tuple(str(facts).split(" ")))
            for content, facts in (tagged | facts_of or _stored(self._place)).items()
        ]
        return [record for record in records if record.is_known]

    def by_content(self, content: str) -> Record:
        """Return the record of a content, wherever its documents were."""
        labels = self._labels
        record = Record.read(labels.get(self._prefix + content), labels.get(_ATTEMPT + content), content)
        if record.run_id is not None:
            return record
        found = self.family.by_content(content)
        kept = _stored(content) if found is None else {"text": found[0], "attempt": found[1].attempt}
        stored = Record.read(kept.get("text"), kept.get("attempt"), content)
        return stored if not record.is_known or stored.ends(record) else record

    def is_labelled(self, content: str) -> bool:
        """Return whether there is a label of this content, which has to be written again when anything changes."""
        return self._prefix + content in self._labels

    def begin(self, known: Record, facts: DocumentFacts) -> Record:
        """Record that a create is about to be sent; raise if that cannot be recorded."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = self._record(known, facts, since=now, after=known.run_id or known.after)
        if not self.may_be_incomplete:
            self.family.complete.add(self.key)
        if not self.is_tagged:
            self._write_labels(record)
            self._write_results(record)
        return record

    @property
    def has_announced(self) -> bool:
        """Whether this process has written with the flow runs that there are runs that only their tags tell."""
        return self.family.announced >= {(self.account, flow_run_id) for flow_run_id in self.owner.flow_runs}

    def announce(self) -> bool:
        """Write that with the flow runs, for this account.

        Returns:
            Whether it is written; Prefect's server may take no inputs of flow runs.
        """
        with self.family.announcing:
            for flow_run_id in self.owner.flow_runs if not self.has_announced else ():
                if not announce(flow_run_id, self.account, (self.owner.id, self.owner.flow_runs[-1])):
                    return False
                self.family.announced.add((self.account, flow_run_id))
        return True

    def restore(self, known: Record) -> None:
        """Record that nothing was created, by writing the record from before again."""
        if not self.is_tagged:
            self._write(known)

    def note(self, record: Record) -> bool:
        """Write down a create whose outcome is not known; return whether that was possible."""
        return self._write(record)

    def keep(self, run_id: str, known: Record, facts: DocumentFacts) -> Record:
        """Record a run that was created or adopted; only log if that cannot be recorded."""
        record = self._record(known, facts, run_id=run_id)
        note = Note.read(self.note_of(known.content, facts))
        if self.is_tagged and note is not None:
            self.family.add(note, run_id)
        else:
            self._write(record)
        return record

    def report_of(self, record: Record) -> dict[str, str] | None:
        """Return what the next process has to know of a run that its own tags tell; None where there is no run."""
        note = self.note_of(record.content, record.facts)
        if record.run_id is None or note is None:
            return None
        return {"id": record.run_id, "note": note, "account": self.account or ""}

    def _record(self, known: Record, facts: DocumentFacts, **of_run: Any) -> Record:
        return Record(known.content, attempt=self.owner.attempt, facts=facts, **of_run)

    def _write(self, record: Record) -> bool:
        is_written = True
        for write in (self._write_labels, self._write_results):
            try:
                write(record)
            except Exception as error:  # noqa: BLE001 the run exists, whether or not Prefect can record it
                run_logger().warning("Could not note run %s with the flow run: %r", record.run_id, error)
                is_written = False
        return is_written

    def _write_labels(self, record: Record) -> None:
        if not self.owner.flow_runs:
            return
        labels: Labels = {
            self._prefix + record.content: record.text,
            _ATTEMPT + record.content: record.attempt,
            _OWNER + record.content: self.owner.id,
        }
        if record.facts:
            labels[f"{_FACTS}{self._place}.{record.content}"] = " ".join(record.facts)
        if self.account:
            labels[_ACCOUNT + record.content] = self.account
        if self.is_shared or self._prefix + record.content in self.family.shared:
            self.family.add_shared(labels)
            for flow_run_id in self.owner.flow_runs:
                write_shared(flow_run_id, record.content, labels)
        for flow_run_id in self.owner.flow_runs:
            write_labels(flow_run_id, labels)

    def _write_results(self, record: Record) -> None:
        store = _store()
        store.write(json.dumps(record.as_json), key=_key(record.content))
        if record.facts:
            with _one_writer:
                facts_of = _stored(self._place) | {record.content: " ".join(record.facts)}
                store.write(json.dumps(facts_of), key=_key(self._place))


def _key(digest: str) -> str:
    return f"retab-{digest}"


def _store() -> ResultStore:
    # A flow's own store may keep no metadata of results, without which nothing is found by its key.
    return get_result_store().model_copy(update={"metadata_storage": None})


def _stored(digest: str) -> dict[str, Any]:
    store = _store()
    if not store.exists(_key(digest)):
        return {}
    try:
        found = json.loads(store.read(_key(digest)).result)
    except (ValueError, TypeError):
        return {}  # not written by this package
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Begun:
    """A create whose outcome is not known."""

    owner: str
    """Its owner, most often the outermost flow run."""
    content: str
    at: datetime
    """In UTC."""


@dataclass(frozen=True)
class Started:
    """What a flow run has started with one account."""

    run_ids: set[str] = field(default_factory=set)
    test_run_ids: set[str] = field(default_factory=set)
    begun: list[Begun] = field(default_factory=list)
    families: set[tuple[str, UUID]] = field(default_factory=set)
    """The owners of runs that are known by their tags, with the outermost flow run of each."""


def runs_in(labels: Mapping[str, Any], announced: Announced) -> dict[str | None, Started]:
    """Return the runs of a flow run by the block of their account, None for the environment's.

    Args:
        labels: Its labels.
        announced: What is announced with it.
    """
    found = {account: Started(families={*families}) for account, families in announced.items()}
    for label, text in labels.items():
        record = Record.read(text)
        if not label.startswith((_RUN, _TEST_RUN)) or not record.is_known:
            continue
        is_test, content = label.startswith(_TEST_RUN), label.removeprefix(_TEST_RUN).removeprefix(_RUN)
        started = found.setdefault(labels.get(_ACCOUNT + content), Started())
        if record.run_id is not None:
            (started.test_run_ids if is_test else started.run_ids).add(record.run_id)
        if record.since is not None and not is_test:
            begun_by = str(labels.get(_OWNER + content, ""))
            started.begun.append(Begun(begun_by, content, datetime.fromisoformat(record.since)))
    return found
