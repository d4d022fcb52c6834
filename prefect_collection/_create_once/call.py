"""One call that starts a run, as a generator of effects that a driver of either colour runs."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from prefect_collection._create_once.claiming import Claiming
from prefect_collection._create_once.creation import Creation
from prefect_collection._create_once.decide import (
    Action,
    Claimed,
    Findable,
    Known,
    Situation,
    Source,
    Status,
    decide,
)
from prefect_collection._create_once.effects import Effects, InThread, InThreadShielded, Request
from prefect_collection._create_once.errors import FlowRunStoppedError, gone, several, unknown
from prefect_collection._create_once.turns import TURNS
from prefect_collection._documents import DocumentFacts, agree, facts_of, read_all
from prefect_collection._identity import Owner, stopped_here
from prefect_collection._state import CLOCKS_DIFFER, CallRecords, Record
from prefect_collection._waiting import run_logger
from prefect_collection.credentials import namespace_of
from retab_orchestration import (
    CreateOutcomeUnknownError,
    Document,
    FileReference,
    NotFoundError,
    RetabError,
    RunIdentity,
    RunStatus,
)

__all__ = ["Call", "created", "found"]

_FAILED = frozenset({RunStatus.ERROR, RunStatus.CANCELLED})
_CREATES = frozenset({Action.CREATE, Action.FIND_OR_CREATE})


class Call:
    """One call, and what is known of it so far."""

    def __init__(self, creation: Creation, call_records: CallRecords) -> None:
        self._creation = creation
        self._call_records = call_records
        self._facts: DocumentFacts = ()
        self._noted: dict[str, DocumentFacts] = {}
        self._claiming = Claiming(call_records)
        self._in_turn = True
        self.documents: Mapping[str, Document | FileReference] | None = None

    def by_places(self) -> Effects:
        """Return the run of documents that are gone or unchanged; otherwise read them, and return None."""
        given = self._creation.documents
        references = {node: each for node, each in (given or {}).items() if isinstance(each, FileReference)}
        if given is None or len(references) == len(given):
            self.documents = given if given is None else references
            return None
        self._facts = yield InThread(partial(facts_of, given))
        records: list[Record] = yield InThread(self._call_records.by_place)
        self._noted = {record.content: record.facts for record in records}
        source, known, record = _remembered(records, self._facts)
        try:
            action, record = yield from self._settled(source, known, record)
            if action is Action.REFUSE_SEVERAL:
                raise several(self._creation, records)
            if action is not Action.READ:
                return (yield from self._done(action, record))
        finally:
            yield from self._claiming.leave()
        self.documents = yield InThread(partial(read_all, given))
        return None

    def by_content(self, content: str, *, in_turn: bool) -> Effects:
        """Return the run of this content, or create it.

        Args:
            content: The hash of the call and of the contents of its documents.
            in_turn: Whether no equal call is running in this process.
        """
        self._in_turn = in_turn
        self._claiming.is_needed &= in_turn
        record = yield InThread(partial(self._call_records.by_content, content))
        try:
            action, record = yield from self._settled(Source.READ, _known_of(record), record)
            return (yield from self._done(action, record))
        finally:
            yield from self._claiming.leave()

    def _settled(
        self, source: Source, known: Known, record: Record
    ) -> Generator[Any, Any, tuple[Action, Record]]:
        """Find out what must be known until the action is decided; return it with its record."""
        now = self._situation(source, known, record)
        while True:
            action = decide(now)
            if action is Action.CLAIM or (action in _CREATES and self._claiming.is_lost):
                before, record = record, (yield from self._claiming.take(record))
                if record.as_json != before.as_json:
                    now = self._situation(source, _known_of(record), record)
                now = replace(now, claimed=Claimed.YES)
            elif action is Action.READ_STATUS:
                now = replace(now, status=(yield from self._status_of(str(record.run_id))))
            elif action is Action.CHECK_FINDABLE:
                findable = yield Request(self._creation.can_find)
                now = replace(now, findable=Findable.YES if findable else Findable.NO)
            else:
                return action, record

    def _situation(self, source: Source, known: Known, record: Record) -> Situation:
        now = Situation(source, known, self._call_records.owner.start)
        if known is Known.RUN and record.attempt == self._call_records.owner.attempt:
            return replace(now, status=Status.THIS_ATTEMPT)
        return now

    def _status_of(self, run_id: str) -> Generator[Any, Any, Status]:
        try:
            run = yield Request(partial(self._creation.read, run_id))
        except NotFoundError:
            return Status.GOES_ON  # a new run may not be found yet
        return Status.ENDED_BADLY if run.status in _FAILED else Status.GOES_ON

    def _done(self, action: Action, record: Record) -> Effects:
        if action is Action.TAKE:
            facts = record.facts or self._facts
            if (
                record.attempt != self._call_records.owner.attempt
                or self._noted.get(record.content, ()) != facts
            ):
                yield InThread(partial(self._call_records.keep, str(record.run_id), record, facts))
            return found(str(record.run_id))
        if action is Action.REFUSE_UNKNOWN:
            raise unknown(self._creation, record)
        if action is Action.REFUSE_GONE:
            raise gone(self._creation, record)
        if action is Action.FIND:
            return (yield from self._tagged(record))
        return (yield from self._create(record, adopt=action is Action.FIND_OR_CREATE))

    def _create(self, known: Record, *, adopt: bool) -> Effects:
        call_records = self._call_records
        send = partial(
            self._creation.send,
            self.documents,
            identity=_identity_of(self._creation, call_records.owner, known, found_by_tags=adopt),
            adopt=adopt,
        )
        yield from self._begin(known)
        if self._in_turn and (made := TURNS.overtaken_by(known.content)) is not None:
            self._claiming.outcome = yield InThreadShielded(
                partial(call_records.keep, made, known, self._facts)
            )
            return found(made)
        try:
            run = yield Request(send)
        except CreateOutcomeUnknownError:
            raise
        except RetabError:
            # A RetabError of a create means that nothing was created. Any other exception, such as one of a signal
            # handler or a cancellation, may come while the create is in flight.
            yield InThread(partial(call_records.restore, known))
            self._claiming.outcome = known
            raise
        if self._claiming.is_lost and (yield Request(self._creation.can_find)):
            # This process was paused, and another one may have created as well: one of the two runs is cancelled.
            run = yield Request(partial(send, adopt=True))
        self._claiming.outcome = yield InThreadShielded(
            partial(call_records.keep, run.id, known, self._facts)
        )
        if not self._in_turn:
            TURNS.overtake(known.content, run.id)
        return created(run.id)

    def _begin(self, known: Record) -> Generator[Any, Any, None]:
        """Record that a create is about to be sent, unless nobody would cancel its run."""
        _refuse_if_stopped(self._call_records.owner)
        try:
            self._claiming.outcome = yield InThread(partial(self._call_records.begin, known, self._facts))
            # The hook reads the records after the flow run has stopped: either it sees this one, or this is refused.
            _refuse_if_stopped(self._call_records.owner)
        except Exception:
            yield InThread(partial(self._call_records.restore, known))
            self._claiming.outcome = known
            raise

    def _tagged(self, known: Record) -> Effects:
        """Return the run of a create that was cut off and whose document is gone."""
        identity = _identity_of(self._creation, self._call_records.owner, known, found_by_tags=True)
        runs = yield Request(partial(self._creation.find, identity))
        living = [run for run in runs if run.status not in _FAILED]
        if not living:
            raise gone(self._creation, known)
        self._claiming.outcome = yield InThread(
            partial(self._call_records.keep, living[0].id, known, known.facts)
        )
        return found(living[0].id)


def _refuse_if_stopped(owner: Owner) -> None:
    stopped = owner.stopped or stopped_here()
    if stopped is not None:
        raise FlowRunStoppedError(f"{stopped}, and starts nothing any more: run it again")


def _identity_of(creation: Creation, owner: Owner, known: Record, *, found_by_tags: bool) -> RunIdentity:
    """Return the identity of the run; all runs of its flow run have the same family."""
    # A restart after one that ended badly needs another command, where no tags tell that it did.
    ended = known.run_id or known.after
    again = "" if found_by_tags or ended is None else f" after {ended}"
    return RunIdentity.of(
        namespace_of(creation.block),
        "prefect",
        owner.id,
        generation=known.content + again,
        on_mismatch="create",
        since=owner.since - CLOCKS_DIFFER if owner.since else None,
        begun=datetime.fromisoformat(known.since) if known.since else None,
    )


def _known_of(record: Record) -> Known:
    if record.since is not None:
        return Known.CREATING
    return Known.RUN if record.run_id is not None else Known.NOTHING


def _remembered(records: list[Record], now: DocumentFacts) -> tuple[Source, Known, Record]:
    """Return what is recorded for these places, compared with how they are now."""
    for source in (Source.UNCHANGED, Source.GONE):
        fitting = [record for record in records if agree(record.facts, now) is source]
        if len(fitting) > 1:
            return source, Known.SEVERAL, fitting[0]
        if fitting:
            return source, _known_of(fitting[0]), fitting[0]
    return Source.CHANGED, Known.NOTHING, Record()


def created(run_id: str) -> str:
    """Log that a run was created, and return its id."""
    run_logger().info("Created run %s", run_id)
    return run_id


def found(run_id: str) -> str:
    """Log that a run was found, and return its id."""
    run_logger().info("Found run %s, which this flow run has started before", run_id)
    return run_id
