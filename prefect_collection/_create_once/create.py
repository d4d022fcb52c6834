"""One create of a call: what is recorded before it is sent, and after it is answered."""

from collections.abc import Generator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from prefect_collection._create_once.claiming import Claiming
from prefect_collection._create_once.creation import Creation
from prefect_collection._create_once.effects import Effects, InThread, InThreadShielded, Request
from prefect_collection._create_once.errors import FlowRunStoppedError
from prefect_collection._create_once.tagging import Tagging
from prefect_collection._create_once.turns import TURNS
from prefect_collection._documents import DocumentFacts
from prefect_collection._identity import Owner, stopped_here
from prefect_collection._state import CLOCKS_DIFFER, CallRecords, Record
from prefect_collection._waiting import run_logger
from prefect_collection.credentials import namespace_of
from retab_orchestration import (
    CreateOutcomeUnknownError,
    Document,
    FileReference,
    RetabError,
    RunIdentity,
)

__all__ = ["Create", "created", "found", "identity_of"]

Documents = Mapping[str, Document | FileReference]


class Create:
    """One create of a call.

    Args:
        creation: The call.
        call_records: Its records.
        claiming: Its claim.
        tagging: The tags of its owner's runs.
        in_turn: Whether no equal call is running in this process.
    """

    def __init__(
        self,
        creation: Creation,
        call_records: CallRecords,
        claiming: Claiming,
        tagging: Tagging,
        *,
        in_turn: bool,
    ) -> None:
        self._creation = creation
        self._call_records = call_records
        self._claiming = claiming
        self._tagging = tagging
        self._in_turn = in_turn

    def send(
        self, known: Record, documents: Documents | None, facts: DocumentFacts, *, adopt: bool
    ) -> Effects:
        """Create the run, or adopt the one that the tags tell, and return its id.

        Args:
            known: What is recorded of the call.
            documents: Its documents, read.
            facts: Their facts.
            adopt: Whether to search for a run first.
        """
        call_records, claiming = self._call_records, self._claiming
        note = call_records.note_of(known.content, facts)
        identity = replace(
            identity_of(self._creation, call_records.owner, known, found_by_tags=adopt), note=note
        )
        send = partial(self._creation.send, documents, identity=identity, adopt=adopt)
        is_free = note is not None and claiming.is_of_process and not call_records.is_labelled(known.content)
        is_tagged = is_free and (yield from self._tagging.is_enough())
        if is_tagged and not call_records.has_announced:
            is_tagged = yield InThread(call_records.announce)
        call_records.is_tagged = claiming.is_tagged = is_tagged
        begun = yield from self._begin(known, facts)
        if self._in_turn and (made := TURNS.overtaken_by(known.content)) is not None:
            claiming.outcome = yield from self._kept(made, known, facts)
            return found(made)
        try:
            run = yield Request(send)
        except BaseException as error:
            # A RetabError of a create means that nothing was created. Any other exception, such as one of a signal
            # handler or a cancellation, may come while the create is in flight.
            is_unknown = not isinstance(error, RetabError) or isinstance(error, CreateOutcomeUnknownError)
            yield from self._failed(begun if is_unknown else known, is_unknown=is_unknown)
            raise
        if claiming.is_lost and (yield Request(self._creation.can_find)):
            # This process was paused, and another one may have created as well: one of the two runs is cancelled.
            run = yield Request(partial(send, adopt=True))
        remembers = self._creation.can_filter is not None and self._tagging.answered(run, identity)
        call_records.is_tagged = claiming.is_tagged = call_records.is_tagged and remembers
        claiming.outcome = yield from self._kept(run.id, known, facts)
        if not self._in_turn:
            TURNS.overtake(known.content, run.id)
        return created(run.id)

    def _kept(self, run_id: str, known: Record, facts: DocumentFacts) -> Generator[Any, Any, Record]:
        """Record the run; without a thread where it is only remembered."""
        if self._call_records.is_tagged:
            return self._call_records.keep(run_id, known, facts)
        kept: Record = yield InThreadShielded(partial(self._call_records.keep, run_id, known, facts))
        return kept

    def _failed(self, record: Record, *, is_unknown: bool) -> Effects:
        """Record that nothing was created, or that nobody knows."""
        if not is_unknown:
            yield InThread(partial(self._call_records.restore, record))
            self._claiming.outcome = record
        elif not self._claiming.is_tagged:
            self._claiming.outcome = record  # written down before the create was sent
        elif (yield InThreadShielded(partial(self._call_records.note, record))):
            self._claiming.outcome, self._claiming.is_tagged = record, False

    def _begin(self, known: Record, facts: DocumentFacts) -> Generator[Any, Any, Record]:
        """Record that a create is about to be sent, unless nobody would cancel its run."""
        _refuse_if_stopped(self._call_records.owner)
        try:
            begin = partial(self._call_records.begin, known, facts)
            begun: Record = begin() if self._call_records.is_tagged else (yield InThread(begin))
            # What is not written down is known once the create is answered.
            self._claiming.outcome = None if self._claiming.is_tagged else begun
            # The hook reads the records after the flow run has stopped: either it sees this one, or this is refused.
            _refuse_if_stopped(self._call_records.owner)
        except Exception:
            yield InThread(partial(self._call_records.restore, known))
            self._claiming.outcome = known
            raise
        return begun


def _refuse_if_stopped(owner: Owner) -> None:
    stopped = owner.stopped or stopped_here()
    if stopped is not None:
        raise FlowRunStoppedError(f"{stopped}, and starts nothing any more: run it again")


def identity_of(creation: Creation, owner: Owner, known: Record, *, found_by_tags: bool) -> RunIdentity:
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


def created(run_id: str) -> str:
    """Log that a run was created, and return its id."""
    run_logger().info("Created run %s", run_id)
    return run_id


def found(run_id: str) -> str:
    """Log that a run was found, and return its id."""
    run_logger().info("Found run %s, which this flow run has started before", run_id)
    return run_id
