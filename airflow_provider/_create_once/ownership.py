"""The run that a task owns: one over all its retries, another one after a clear unless `on_clear` is `reattach`."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Context

from airflow_provider._connection import warn_of_names
from airflow_provider._core import core
from airflow_provider._create_once.decide import (
    Action,
    Earlier,
    Facts,
    OnClear,
    Own,
    Standing,
    decide,
    standing_of,
)
from airflow_provider._create_once.earlier_attempts import (
    cancel_all,
    created_nothing,
    earlier_state,
    existing,
    has_failed,
    has_no_source,
    text_of,
    unknown,
    unread,
)
from airflow_provider._create_once.later_attempts import give_way, may_be_replaced, refuse_if_late
from airflow_provider._state.attempts import Attempt, Record, TaskRecords, identity_of

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun

__all__ = ["OnClear", "Owned", "Ownership"]

Start = Callable[["RunIdentity", bool], "WorkflowRun"]
"""Starts a run of an identity; the flag is `adopt`."""

_GATHERING = {Action.FIND_EARLIER, Action.FIND_OWN, Action.CHECK_FINDABLE, Action.CANCEL_EARLIER}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owned:
    """A task's run, and whether an earlier attempt has started it."""

    run: "WorkflowRun"
    reattached: bool
    is_successors: bool = False
    """Whether it belongs to the attempt that has replaced this one, so that this one must not cancel it."""


class Ownership:
    """The run of one attempt of a task: finds or starts it as `decide` says.

    Airflow keeps a record of it over retries and clears, except from 3.0 to 3.2; there, and when the record is lost,
    the run is found by its tags. Where there are no tags either, a retry cannot know whether there is a run, and starts
    none.

    Args:
        context: The task's.
        task: The task, for its `retries` (more tries than that come from a clear), its `on_clear` and, where it has
            one, its `workflow_id`.
        namespace: Tells this Airflow from others that use the same account.
        is_shared: Whether the namespace is the same on all workers.
    """

    def __init__(self, context: Context, task: Any, *, namespace: str, is_shared: bool = True) -> None:
        self._began = time.monotonic()
        self._attempt = Attempt.of(context, task.retries or 0)
        self._records = TaskRecords(context, self._attempt)
        self.may_be_replaced = partial(may_be_replaced, began=self._began, records=self._records)
        self._record = self._records.previous
        self._workflow_id: str | None = getattr(task, "workflow_id", None)
        self._on_clear: OnClear = task.on_clear
        self._is_shared = is_shared
        self._before_clear: list[WorkflowRun] = []
        self._since_clear: list[WorkflowRun] = []
        attempt, record = self._attempt, self._record
        kept = record.numbers if record else None
        self._standing = standing_of(kept, attempt.numbers, attempt.try_number, repeats=attempt.repeats)
        self.identity = identity_of(
            attempt,
            record,
            self._standing,
            namespace=namespace,
            is_shared=is_shared,
            is_kept=self._records.is_kept,
        )
        self.unheard_of = self.identity
        """The identity of the run that this attempt may have without knowing it yet."""

    def acquire(self, client: "RetabClient", start: Start, *, may_start_again: bool = False) -> Owned:
        """Return the task's run, starting one only if there is none, or if it ended in error or was cancelled.

        Args:
            client: The account.
            start: Starts a run.
            may_start_again: Whether `start` may be repeated after a lost answer.

        Raises:
            CreateOutcomeUnknownError: An earlier attempt was, or may have been, cut off while it started a run, which
                cannot be searched for.
            InputsChangedError: The task's run was started with other inputs.
        """
        facts = Facts(
            self._standing,
            self._records.kept,
            self._on_clear,
            self._attempt.is_granted,
            may_start_again=may_start_again,
        )
        while (action := decide(facts)) in _GATHERING:
            facts = self._gathered(client, facts, action)
        if action is Action.REFUSE:
            raise unknown(
                self._workflow_id, _since(self._record, self._attempt), is_sure=self._records.is_kept
            )
        if action is Action.TAKE_UP_EARLIER:
            return self._keep(Owned(self._before_clear[-1], reattached=True))
        if action is Action.TAKE_UP_OWN:
            return self._keep(Owned(self._since_clear[-1], reattached=True))
        owned = self._start(client, start, action, may_start_again=may_start_again)
        if (
            not self._records.is_kept
            and not self._is_shared
            and _may_have_missed(self._attempt, is_cleared=self.is_cleared and not self._before_clear)
        ):
            warn_of_names(client, owned.run, self.identity)
        return owned

    def _gathered(self, client: "RetabClient", facts: Facts, action: Action) -> Facts:
        """Do an action that is followed by another decision; return the facts after it."""
        if action is Action.FIND_EARLIER:
            self._before_clear = self._earlier(client)
            return replace(facts, earlier=earlier_state(self._before_clear, self._on_clear))
        if action is Action.CANCEL_EARLIER:
            cancel_all(client, self._before_clear)
            return replace(facts, earlier=Earlier.NONE)
        if action is Action.FIND_OWN:
            self._since_clear, state = self._own(client)
            return replace(facts, own=state)
        return replace(facts, can_find=client.can_find_runs())

    def _start(self, client: "RetabClient", start: Start, action: Action, *, may_start_again: bool) -> Owned:
        """Start a run, or let the create adopt the one that it finds."""
        refuse_if_late(began=self._began, records=self._records)
        if action is Action.CREATE_NEXT:
            self.identity = _next_to(self.identity, self._record)
        self._records.write(self.identity)
        self.unheard_of = replace(self.identity, begun=datetime.now(UTC))
        may_adopt = action is not Action.CREATE
        try:
            run = start(self.identity, may_adopt)
        except Exception as error:
            if may_adopt and has_no_source(error) and (found := unread(client, self.identity)):
                return self._keep(Owned(found, reattached=True))
            # A repeated start needs the same identity, also on a host with another namespace.
            if created_nothing(error) and not may_start_again:
                self.unheard_of = self.identity
                self._records.restore()
            raise
        if run.id in {each.id for each in self._since_clear if not has_failed(each)}:
            return self._keep(Owned(run, reattached=True))
        instead = give_way(client, run, self.identity, began=self._began, records=self._records)
        if instead is not None:
            return Owned(instead, reattached=False, is_successors=True)
        return self._keep(Owned(run, reattached=False))

    def _keep(self, owned: Owned) -> Owned:
        """Record the run, if this Airflow has a store."""
        try:
            self._records.write(self.identity, owned.run.id)
        except Exception:  # noqa: BLE001
            # The run exists and has its tags, so the task goes on without the record.
            _log.warning("Airflow did not take the id of run %s", owned.run.id, exc_info=True)
        if owned.reattached:
            _log.info("Run %s of an earlier attempt is %s", owned.run.id, owned.run.status_name)
        return owned

    def has_successor(self) -> bool:
        """Return whether another attempt has replaced this one, as far as is known; never raise."""
        return self._records.successor() is not None

    @property
    def is_cleared(self) -> bool:
        """Whether the attempt follows a clear."""
        return self._standing is Standing.CLEARED

    @property
    def last_run_id(self) -> str | None:
        """The run of the attempt before, where it was recorded; a clear may have come between."""
        return self._record.run_id if self._record else None

    @property
    def kept_run_id(self) -> str | None:
        """The run of the attempt before, where this one is its retry and it was recorded."""
        return self.last_run_id if self._standing is Standing.RETRY else None

    def _own(self, client: "RetabClient") -> tuple[list["WorkflowRun"], Own]:
        """Return the runs of this attempt and those before it, the last being the one that counts."""
        listed = client.find_runs(self.identity)
        known = (Own.FAILED if all(map(has_failed, listed)) else Own.LISTED) if listed else Own.NONE
        run_id = self.kept_run_id
        if run_id is None or run_id in {run.id for run in listed}:
            return listed, known
        run = existing(client, run_id)
        if run is None:
            return listed, known
        if has_failed(run):
            return listed, Own.FAILED if known is Own.NONE else known
        return [*listed, run], Own.BY_ID

    def _earlier(self, client: "RetabClient") -> list["WorkflowRun"]:
        """Return the runs from before the clear, oldest first."""
        # Clearing a finished DAG run gives it a new start, so the runs may be older than that.
        family = replace(self.identity, since=None, begun=None)
        runs = {run.id: run for run in client.find_runs(family, any_generation=True)}
        if not self._records.is_kept and all(map(has_failed, runs.values())):
            # The attempt before may have been killed while it started a run, which a list may not show for a while.
            late = replace(family, begun=self._attempt.ti_began)
            runs = {run.id: run for run in client.find_runs(late, any_generation=True)}
        record, own = self._record, self.identity.tags.items()
        if record is not None and record.begun is not None:
            runs |= {run.id: run for run in client.find_runs(record.meant())}
        if record is not None and record.run_id is not None and record.run_id not in runs:
            run = existing(client, record.run_id)
            runs |= {run.id: run} if run else {}
        found = [run for run in runs.values() if not own <= run.metadata.items()]
        if record is None or self._on_clear == "rerun":
            return found
        # The others may belong to a deleted DAG run of the same id.
        last = record.meant().tags.items()
        return [run for run in found if run.id == record.run_id or last <= run.metadata.items()]


def _may_have_missed(attempt: Attempt, *, is_cleared: bool) -> bool:
    """Return whether an identity that depends on a machine's name may have missed a run, or may do so next."""
    return is_cleared or (attempt.started is None and attempt.numbers.max_tries > 0)


def _next_to(identity: "RunIdentity", record: Record | None) -> "RunIdentity":
    """Return the identity of the run that follows a failed one."""
    return replace(identity, key=core.RunIdentity.of(identity.key, record.run_id if record else None).key)


def _since(record: Record | None, attempt: Attempt) -> str:
    """Return the earliest time of a create."""
    return (record and record.since) or text_of(attempt.began or attempt.ti_began or datetime.now(UTC))
