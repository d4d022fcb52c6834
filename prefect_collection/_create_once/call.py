"""One call that starts a run, as a generator of effects that a driver of either colour runs."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from prefect_collection._create_once.claiming import Claiming
from prefect_collection._create_once.create import Create, found, identity_of
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
from prefect_collection._create_once.effects import Effects, InThread, Request
from prefect_collection._create_once.errors import gone, several, unknown
from prefect_collection._create_once.tagging import Tagging
from prefect_collection._create_once.turns import TURNS
from prefect_collection._documents import DocumentFacts, agree, facts_of, read_all
from prefect_collection._state import CallRecords, Record
from prefect_collection._tags import FAILED
from retab_orchestration import Document, FileReference, NotFoundError

__all__ = ["Call"]

_CREATES = frozenset({Action.CREATE, Action.FIND_OR_CREATE})


class Call:
    """One call, and what is known of it so far."""

    def __init__(self, creation: Creation, call_records: CallRecords, begun: int) -> None:
        self._creation = creation
        self._call_records = call_records
        self._tagging = Tagging(creation, call_records)
        self._facts: DocumentFacts = ()
        self._noted: dict[str, DocumentFacts] = {}
        self._claiming = Claiming(call_records, begun)
        self._in_turn = True
        self.documents: Mapping[str, Document | FileReference] | None = None

    def by_places(self) -> Effects:
        """Return the run of documents that are gone or unchanged; otherwise read them, and return None."""
        yield from self._tagging.add_earlier()
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
            self._tagging.end()
            yield from self._claiming.leave()

    def _settled(
        self, source: Source, known: Known, record: Record
    ) -> Generator[Any, Any, tuple[Action, Record]]:
        """Find out what must be known until the action is decided; return it with its record."""
        now = self._situation(source, known, record)
        while True:
            action = decide(now)
            if action is Action.CLAIM or (action in _CREATES and self._claiming.is_lost):
                before, record = record, (yield from self._claimed(record))
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

    def _claimed(self, record: Record) -> Generator[Any, Any, Record]:
        """Keep other processes from creating the same run; return what is recorded then."""
        yield from self._claiming.enter(record)
        if self._claiming.has_news:
            news = TURNS.now()
            yield InThread(self._call_records.refresh)
            yield from self._tagging.add_others(self._claiming.others)
            self._call_records.family.news = news
            now: Record = yield InThread(partial(self._call_records.by_content, record.content))
            record = replace(now, facts=record.facts)
        return (yield from self._claiming.take(record))

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
        return Status.ENDED_BADLY if run.status in FAILED else Status.GOES_ON

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
        create = Create(
            self._creation, self._call_records, self._claiming, self._tagging, in_turn=self._in_turn
        )
        is_adopted = action is Action.FIND_OR_CREATE
        return (yield from create.send(record, self.documents, self._facts, adopt=is_adopted))

    def _tagged(self, known: Record) -> Effects:
        """Return the run of a create that was cut off and whose document is gone."""
        identity = identity_of(self._creation, self._call_records.owner, known, found_by_tags=True)
        runs = yield Request(partial(self._creation.find, identity))
        living = [run for run in runs if run.status not in FAILED]
        if not living:
            raise gone(self._creation, known)
        self._claiming.outcome = yield InThread(
            partial(self._call_records.keep, living[0].id, known, known.facts)
        )
        return found(living[0].id)


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
