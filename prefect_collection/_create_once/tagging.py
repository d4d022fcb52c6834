"""What the tags of runs tell of the calls of earlier processes, and whether they are enough to remember a call by."""

from collections.abc import Callable, Generator
from datetime import datetime
from functools import partial
from typing import Any

from prefect_collection._create_once.announcements import ANNOUNCED
from prefect_collection._create_once.creates import Creates
from prefect_collection._create_once.creation import Creation
from prefect_collection._create_once.effects import AwaitCall, Effects, Request, Share, Sleep
from prefect_collection._create_once.turns import TURNS
from prefect_collection._labels import SHARED
from prefect_collection._prefect_server import api_address
from prefect_collection._state import CLOCKS_DIFFER, CallRecords
from prefect_collection._tags import FilteredAccounts
from prefect_collection.credentials import namespace_of
from retab_orchestration import RetabError, RunIdentity, WorkflowRun
from retab_orchestration.identity import IDENTITY

__all__ = ["Tagging"]

_FILTERED = FilteredAccounts()

_BETWEEN_TRIES, _LONGEST_WAIT = 0.02, 2.0
"""Seconds between two questions whether the first create of a process is answered, and for how long others wait."""

_LONGEST_LIST = 10.0
"""Seconds after which a call reads the list itself: it may block the event loop of the one that reads it."""


class Tagging:
    """The tags of the runs of one owner and account."""

    def __init__(self, creation: Creation, call_records: CallRecords) -> None:
        self._creation = creation
        self._call_records = call_records
        self._finds_out = False

    def is_enough(self) -> Generator[Any, Any, bool]:
        """Return whether a run is found by its tags on this server however old it is.

        The first create of a process finds that out, and those beside it wait for its answer for a while.
        """
        account = self._call_records.key
        waited = 0.0
        while self._creation.can_filter is not None and _FILTERED.known(account) is None:
            if _FILTERED.begin(account):
                self._finds_out = True
                if not _FILTERED.is_answered(account):
                    return False
                yield from self._ask(self._creation.can_filter)
            elif waited >= _LONGEST_WAIT:
                return False
            else:
                yield Sleep(_BETWEEN_TRIES)
                waited += _BETWEEN_TRIES
        return self._creation.can_filter is not None and bool(_FILTERED.known(account))

    def _ask(self, can_filter: Callable[[], Any]) -> Effects:
        try:
            _FILTERED.found(self._call_records.key, is_filtered=(yield Request(can_filter)))
        except RetabError:
            # A create need not fail because of that.
            _FILTERED.answered(self._call_records.key, is_kept=False)
        finally:
            self.end()

    def end(self) -> None:
        """Let another call find out what this one was to, if it has not."""
        if self._finds_out:
            self._finds_out = False
            _FILTERED.end(self._call_records.key)

    def answered(self, run: WorkflowRun, identity: RunIdentity) -> bool:
        """Record the answer to a create; return whether its run remembers the call."""
        is_kept = run.metadata.get(IDENTITY) == identity.key
        _FILTERED.answered(self._call_records.key, is_kept=is_kept)
        # A run that was found may have been created by another attempt, and says so.
        return is_kept and identity.tags.items() <= run.metadata.items()

    def add_earlier(self) -> Effects:
        """Read the runs that earlier processes have started, if there may be any: one list, once in a process."""
        records = self._call_records
        if records.has_unread:
            records.family.add_shared((yield Share(SHARED, (api_address(), records.owner.flow_runs[-1]))))
            records.family.read_in = records.owner.attempt
        if not records.is_complete:
            announced = yield Share(ANNOUNCED, (api_address(), records.owner.flow_runs[-1]))
            records.is_announced = records.account in announced
        while records.may_be_incomplete:
            if (yield from self._list(None)):
                return

    def add_others(self, others: Creates) -> Effects:
        """Add the runs that other processes have started, those of one that has died once the list must show them."""
        records = self._call_records
        records.family.add_reported(others.runs)
        while others.cut_off is not None and others.cut_off != records.family.listed_until.get(records.key):
            if (yield from self._list(others.cut_off)):
                return

    def _list(self, begun: datetime | None) -> Generator[Any, Any, bool]:
        """Read the list, unless another call does; return whether there is nothing left to read."""
        records, find = self._call_records, self._creation.find
        turn = f"family {records.owner.id} {records.key}"
        running = TURNS.take(turn)
        if running is not None and (yield AwaitCall(running, _LONGEST_LIST)):
            return False
        try:
            if self._creation.can_filter is not None and (yield Request(self._creation.can_filter)):
                _FILTERED.found(records.key, is_filtered=True)
                family = self._family(begun)
                records.family.add_listed((yield Request(partial(find, family, any_generation=True))))
                records.family.complete.add(records.key)
                if begun is not None:
                    records.family.listed_until[records.key] = begun
        except RetabError:
            if records.is_announced:
                raise  # what is not listed now would be created again
        finally:
            if running is None:
                TURNS.leave(turn)
        return True

    def _family(self, begun: datetime | None) -> RunIdentity:
        owner = self._call_records.owner
        since = owner.since - CLOCKS_DIFFER if owner.since else None
        names = (namespace_of(self._creation.block), "prefect", owner.id)
        return RunIdentity.of(*names, on_mismatch="create", since=since, begun=begun)
