"""The records of a flow run's runs: labels of the flow run, and entries of Prefect's result storage."""

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.results import ResultStore, get_result_store
from pydantic import StrictBool, StrictFloat, StrictInt

from prefect_collection._documents import DocumentFacts
from prefect_collection._identity import Owner, read_labels
from prefect_collection._prefect_server import PrefectServer
from prefect_collection._waiting import run_logger
from retab_orchestration import InvalidInputError
from retab_orchestration.identity import digest_of

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
_BEGUN = "creating since "
_AFTER = " after "

# Prefect's server reads, merges and writes labels, so one of two concurrent writes could be lost.
_one_writer = threading.Lock()

CLOCKS_DIFFER = timedelta(minutes=10)
"""By how much Prefect's clock and Retab's may differ."""


@dataclass(frozen=True)
class Given:
    """The arguments of a create, as far as they tell one call from another."""

    operation: str
    inputs: Mapping[str, Any]
    """The inputs of the run without its documents."""
    dedupe_key: str = "0"
    places: Mapping[str, str] | None = None
    """Start node id -> where its document is."""

    def __post_init__(self) -> None:
        # Anything else may have another text in the next process, which would then start another run.
        if not isinstance(self.dedupe_key, str | int):
            raise InvalidInputError(
                f"dedupe_key must be a string, the same one in each try, not of type {type(self.dedupe_key).__name__}"
            )

    def digest(self, owner: Owner, documents: Any) -> str:
        """Return the key of this call by this owner, 20 hex digits; `documents` is what is known of the documents."""
        inputs = {name: value for name, value in self.inputs.items() if value not in (None, {})}
        parts = (owner.id, owner.path, self.operation, _plain(inputs), str(self.dedupe_key), documents)
        return digest_of(*parts)[:20]


@dataclass(frozen=True)
class Record:
    """What is recorded of one call: the run that it started, or a create whose outcome is not known."""

    content: str = ""
    """The key of the call and of the contents of its documents."""
    run_id: str | None = None
    since: str | None = None
    after: str | None = None
    """The run of this call that ended badly, if another create was begun after it."""
    attempt: str = ""
    """The attempt in which the run was started or adopted."""
    facts: DocumentFacts = ()
    """The facts of the documents, if the record was found by their places."""

    @classmethod
    def read(cls, text: Any, attempt: Any = "", content: str = "") -> "Record":
        """Return the record of a label's text; an empty record for anything else."""
        record = cls(content, attempt=attempt if isinstance(attempt, str) else "")
        if not isinstance(text, str) or not text:
            return record
        if not text.startswith(_BEGUN):
            return replace(record, run_id=text)
        since, _, after = text.removeprefix(_BEGUN).partition(_AFTER)
        try:
            datetime.fromisoformat(since)
        except ValueError:
            return record
        return replace(record, since=since, after=after or None)

    @property
    def is_known(self) -> bool:
        """Whether anything is recorded."""
        return self.run_id is not None or self.since is not None

    def ends(self, begun: "Record") -> bool:
        """Return whether this is the run of a create of which the other record has the beginning only."""
        return self.run_id not in {None, begun.after} and self.attempt == begun.attempt

    @property
    def as_json(self) -> dict[str, str]:
        """Return what `read` needs besides the content."""
        return {"text": self.text, "attempt": self.attempt}

    @property
    def text(self) -> str:
        """The text of the label: the run's id, or since when it is being created."""
        if self.since is None:
            return self.run_id or ""
        return f"{_BEGUN}{self.since}" + (f"{_AFTER}{self.after}" if self.after else "")


class CallRecords:
    """The records of one call in one flow run.

    There is a record for each content that the documents had. Beside it are the facts of the documents at their places,
    so that a run is found whose documents are gone. The methods block.

    Args:
        owner: The owner of the call.
        given: The call.
        account: The name of the block that the call is made with, None for the environment's account.
    """

    def __init__(self, owner: Owner, given: Given, account: str | None) -> None:
        self.owner = owner
        self.server = PrefectServer()
        self._given = given
        self._place = given.digest(owner, {"places": dict(given.places or {})})
        self._prefix = _TEST_RUN if given.operation == "create_test_run" else _RUN
        self._account = account

    def refresh(self) -> None:
        """Read the labels again, because another call has written to them."""
        self.owner = replace(self.owner, labels=read_labels(self.owner))

    def content_of(self, contents: Mapping[str, Any]) -> str:
        """Return the key of this call and of the contents of its documents."""
        return self._given.digest(self.owner, {"contents": dict(contents)})

    def by_place(self) -> list[Record]:
        """Return a record for each content that these places had, from the labels or the result storage."""
        labels, start = self.owner.labels or {}, f"{_FACTS}{self._place}."
        facts_of = {label.removeprefix(start): labels[label] for label in labels if label.startswith(start)}
        records = [
            replace(self.by_content(content), facts=tuple(str(facts).split(" ")))
            for content, facts in (facts_of or _stored(self._place)).items()
        ]
        return [record for record in records if record.is_known]

    def by_content(self, content: str) -> Record:
        """Return the record of a content, wherever its documents were."""
        labels = self.owner.labels or {}
        record = Record.read(labels.get(self._prefix + content), labels.get(_ATTEMPT + content), content)
        if record.run_id is not None:
            return record
        kept = _stored(content)
        stored = Record.read(kept.get("text"), kept.get("attempt"), content)
        return stored if not record.is_known or stored.ends(record) else record

    def begin(self, known: Record, facts: DocumentFacts) -> Record:
        """Record that a create is about to be sent; raise if that cannot be recorded."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = self._record(known, facts, since=now, after=known.run_id or known.after)
        self._write_labels(record)
        self._write_results(record)
        return record

    def restore(self, known: Record) -> None:
        """Record that nothing was created, by writing the record from before again."""
        self._write(known)

    def keep(self, run_id: str, known: Record, facts: DocumentFacts) -> Record:
        """Record a run that was created or adopted; only log if that cannot be recorded."""
        record = self._record(known, facts, run_id=run_id)
        self._write(record)
        return record

    def _record(self, known: Record, facts: DocumentFacts, **of_run: Any) -> Record:
        return Record(known.content, attempt=self.owner.attempt, facts=facts, **of_run)

    def _write(self, record: Record) -> None:
        for write in (self._write_labels, self._write_results):
            try:
                write(record)
            except Exception as error:  # noqa: BLE001 the run exists, whether or not Prefect can record it
                run_logger().warning("Could not note run %s with the flow run: %r", record.run_id, error)

    def _write_labels(self, record: Record) -> None:
        if not self.owner.flow_runs:
            return
        labels: dict[str, StrictBool | StrictInt | StrictFloat | str] = {
            self._prefix + record.content: record.text,
            _ATTEMPT + record.content: record.attempt,
            _OWNER + record.content: self.owner.id,
        }
        if record.facts:
            labels[f"{_FACTS}{self._place}.{record.content}"] = " ".join(record.facts)
        if self._account:
            labels[_ACCOUNT + record.content] = self._account
        with _one_writer:
            for flow_run_id in self.owner.flow_runs:
                self.server.client.update_flow_run_labels(flow_run_id, labels)

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
    begun: list[Begun] = field(default_factory=list)


def runs_in(labels: Mapping[str, Any]) -> dict[str | None, Started]:
    """Return the runs in a flow run's labels, by the block of their account, None for the environment's."""
    found: dict[str | None, Started] = {}
    for label, text in labels.items():
        record = Record.read(text)
        if not label.startswith(_RUN) or not record.is_known:
            continue
        content = label.removeprefix(_RUN)
        started = found.setdefault(labels.get(_ACCOUNT + content), Started())
        if record.run_id is not None:
            started.run_ids.add(record.run_id)
        if record.since is not None:
            owner = str(labels.get(_OWNER + content, ""))
            started.begun.append(Begun(owner, content, datetime.fromisoformat(record.since)))
    return found


def _plain(inputs: Mapping[str, Any]) -> str:
    try:
        return json.dumps(inputs, default=str, sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"the inputs are not JSON: {error}; give dicts with strings for keys, lists, strings, numbers"
        ) from error
