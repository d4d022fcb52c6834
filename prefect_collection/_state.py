"""What a flow run knows of the runs that it has started: as labels of the flow run, and in Prefect's result storage."""

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

# Prefect's server reads labels, merges and writes them, so two writers at once could lose one of the two.
_one_writer = threading.Lock()

CLOCKS_DIFFER = timedelta(minutes=10)
"""By how much Prefect's clock and Retab's may differ."""


@dataclass(frozen=True)
class Given:
    """What a create is called with, as far as it tells one call from another."""

    operation: str
    inputs: Mapping[str, Any]
    """Everything that the run starts from, except for its documents."""
    dedupe_key: str = "0"
    places: Mapping[str, str] | None = None
    """Start node id -> where its document is."""

    def __post_init__(self) -> None:
        # Anything else may be written in another way by the next process, which would then start another run.
        if not isinstance(self.dedupe_key, str | int):
            raise InvalidInputError(
                f"dedupe_key must be a string, the same one in each try, not of type {type(self.dedupe_key).__name__}"
            )

    def digest(self, owner: Owner, documents: Any) -> str:
        """Return 20 hex digits for this call by this owner; `documents` is what is known of the documents."""
        inputs = {name: value for name, value in self.inputs.items() if value not in (None, {})}
        parts = (owner.id, owner.path, self.operation, _plain(inputs), str(self.dedupe_key), documents)
        return digest_of(*parts)[:20]


@dataclass(frozen=True)
class Record:
    """What is known of one call: the run that it started, or that its create was begun and not heard of again."""

    content: str = ""
    """What stands for the call, and for what was in its documents."""
    run_id: str | None = None
    since: str | None = None
    after: str | None = None
    """The run of this call that had ended badly, where another was begun."""
    attempt: str = ""
    """In which attempt the run was started or taken up."""
    facts: DocumentFacts = ()
    """How the documents looked, where the record was found by their places."""

    @classmethod
    def read(cls, text: Any, attempt: Any = "", content: str = "") -> "Record":
        """Read what `text` gave; of anything else nothing is known."""
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
        """Whether there is anything to know."""
        return self.run_id is not None or self.since is not None

    @property
    def as_json(self) -> dict[str, str]:
        """What `read` needs, beside the content."""
        return {"text": self.text, "attempt": self.attempt}

    @property
    def text(self) -> str:
        """The run, or since when it is being created; what a person reads in the label."""
        if self.since is None:
            return self.run_id or ""
        return f"{_BEGUN}{self.since}" + (f"{_AFTER}{self.after}" if self.after else "")


class CallRecords:
    """What was started by one call in one flow run, wherever and however often it is called again.

    There is a record for each content that the documents had. Beside it is noted how they looked at their places, so
    that a run is remembered whose documents are gone. It blocks, in threads of its own where an event loop must not be
    blocked.

    Args:
        owner: Whose call it is.
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
        """Read the labels again: another call has written to them."""
        self.owner = replace(self.owner, labels=read_labels(self.owner))

    def content_of(self, contents: Mapping[str, Any]) -> str:
        """Return what stands for this call with what is in its documents."""
        return self._given.digest(self.owner, {"contents": dict(contents)})

    def by_place(self) -> list[Record]:
        """Return a record for each content that these places had: from the labels, or else from the result storage."""
        labels, start = self.owner.labels or {}, f"{_FACTS}{self._place}."
        facts_of = {label.removeprefix(start): labels[label] for label in labels if label.startswith(start)}
        records = [
            replace(self.by_content(content), facts=tuple(str(facts).split(" ")))
            for content, facts in (facts_of or _stored(self._place)).items()
        ]
        return [record for record in records if record.is_known]

    def by_content(self, content: str) -> Record:
        """Return the record of a content, wherever it was."""
        labels = self.owner.labels or {}
        record = Record.read(labels.get(self._prefix + content), labels.get(_ATTEMPT + content), content)
        if record.is_known:
            return record
        stored = _stored(content)
        return Record.read(stored.get("text"), stored.get("attempt"), content)

    def begin(self, known: Record, facts: DocumentFacts) -> Record:
        """Note that a create is about to be sent; a failure to note it keeps it from being sent."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        record = self._record(known, facts, since=now, after=known.run_id or known.after)
        self._write_labels(record)
        self._write_results(record)
        return record

    def restore(self, known: Record) -> None:
        """Note that nothing was created, so that what was known before is what is known."""
        self._write(known)

    def keep(self, run_id: str, known: Record, facts: DocumentFacts) -> Record:
        """Note what was created, or taken up; a failure to note it is no reason to lose it."""
        record = self._record(known, facts, run_id=run_id)
        self._write(record)
        return record

    def _record(self, known: Record, facts: DocumentFacts, **of_run: Any) -> Record:
        return Record(known.content, attempt=self.owner.attempt, facts=facts, **of_run)

    def _write(self, record: Record) -> None:
        for write in (self._write_labels, self._write_results):
            try:
                write(record)
            except Exception as error:  # noqa: BLE001  the run is there, whatever Prefect's server or storage says
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
    # A flow's own store keeps the metadata of results nowhere, so that nothing could be read again by its key.
    return get_result_store().model_copy(update={"metadata_storage": None})


def _stored(digest: str) -> dict[str, Any]:
    store = _store()
    if not store.exists(_key(digest)):
        return {}
    try:
        found = json.loads(store.read(_key(digest)).result)
    except (ValueError, TypeError):
        return {}  # nobody who writes here has written it
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Begun:
    """A create of which nothing was heard."""

    owner: str
    """Whose it was: the outermost flow run, as a rule."""
    content: str
    at: datetime
    """In UTC."""


@dataclass(frozen=True)
class Started:
    """What a flow run has started with one account."""

    run_ids: set[str] = field(default_factory=set)
    begun: list[Begun] = field(default_factory=list)


def runs_in(labels: Mapping[str, Any]) -> dict[str | None, Started]:
    """Return what a flow run's labels tell, by the account that it was started with, None for the environment's."""
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
