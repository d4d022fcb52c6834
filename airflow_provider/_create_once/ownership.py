"""Which run a task owns: one, over all its retries; another one after a clear, unless it is told otherwise."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Context

from airflow_provider._connection import warn_of_names
from airflow_provider._core import core
from airflow_provider._create_once.decide import (
    Earlier,
    Facts,
    OnClear,
    Own,
    Standing,
    Step,
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
from airflow_provider._create_once.later_attempts import give_way, refuse_if_late
from airflow_provider._state.attempts import Attempt, Entry, Ledger, identity_of

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun

__all__ = ["OnClear", "Owned", "Ownership"]

Start = Callable[["RunIdentity", bool], "WorkflowRun"]
"""Starts a run of an identity; the flag says that there may be one already."""

_GATHERING = {Step.LOOK_FOR_EARLIER, Step.LOOK_FOR_OWN, Step.ASK_SERVER, Step.CANCEL_EARLIER}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owned:
    """A task's run, and whether it was there before this attempt."""

    run: "WorkflowRun"
    reattached: bool
    is_successors: bool = False
    """Whether it is that of an attempt which has taken this one's place, and so not this one's to cancel."""


class Ownership:
    """What one attempt of a task knows of its run, and does about it as `decide` says.

    Airflow keeps it for us over retries and clears, except from 3.0 to 3.2; there, and when it is lost, the run's tags
    tell. Where there are no tags either, a retry cannot know whether there is a run, and starts none.

    Args:
        context: The task's.
        task: The task, for its `retries` (more tries than that were granted by a clear), its `on_clear` and, where it
            has one, its `workflow_id`.
        namespace: Tells this Airflow from others that use the same account.
        is_shared: Whether the namespace is the same on all workers.
    """

    def __init__(self, context: Context, task: Any, *, namespace: str, is_shared: bool = True) -> None:
        self._began = time.monotonic()
        self._attempt = Attempt.of(context, task.retries or 0)
        self._ledger = Ledger(context, self._attempt)
        self._entry = self._ledger.entry
        self._workflow_id: str | None = getattr(task, "workflow_id", None)
        self._on_clear: OnClear = task.on_clear
        self._is_shared = is_shared
        self._before_clear: list[WorkflowRun] = []
        self._since_clear: list[WorkflowRun] = []
        attempt, entry = self._attempt, self._entry
        kept = entry.numbers if entry else None
        self._standing = standing_of(kept, attempt.numbers, attempt.try_number)
        self.identity = identity_of(
            attempt,
            entry,
            self._standing,
            namespace=namespace,
            is_shared=is_shared,
            is_kept=self._ledger.is_kept,
        )
        self.unheard_of = self.identity
        """Which run there may be of which this attempt has not heard yet."""

    def acquire(self, client: "RetabClient", start: Start, *, may_start_again: bool = False) -> Owned:
        """Return the task's run, starting one only if there is none, or if it ended in error or was cancelled.

        Args:
            client: The account.
            start: Starts a run.
            may_start_again: Whether `start` does no harm when it is repeated after an answer was lost.

        Raises:
            CreateOutcomeUnknownError: An earlier attempt was, or may have been, cut off while it started a run, which
                cannot be looked for.
            InputsChangedError: The task's run was started with other inputs.
        """
        facts = Facts(
            self._standing,
            self._ledger.kept,
            self._on_clear,
            self._attempt.is_granted,
            may_start_again=may_start_again,
        )
        while (step := decide(facts)) in _GATHERING:
            facts = self._gathered(client, facts, step)
        if step is Step.REFUSE:
            raise unknown(self._workflow_id, _since(self._entry, self._attempt), is_sure=self._ledger.is_kept)
        if step is Step.TAKE_UP_EARLIER:
            return self._keep(Owned(self._before_clear[-1], reattached=True))
        if step is Step.TAKE_UP_OWN:
            return self._keep(Owned(self._since_clear[-1], reattached=True))
        owned = self._start(client, start, step, may_start_again=may_start_again)
        if self._may_have_missed():
            warn_of_names(client, owned.run, self.identity)
        return owned

    def _gathered(self, client: "RetabClient", facts: Facts, step: Step) -> Facts:
        """Find out what has to be known before the next decision, or do what has to be done before it."""
        if step is Step.LOOK_FOR_EARLIER:
            self._before_clear = self._earlier(client)
            return replace(facts, earlier=earlier_state(self._before_clear, self._on_clear))
        if step is Step.CANCEL_EARLIER:
            cancel_all(client, self._before_clear)
            return replace(facts, earlier=Earlier.NONE)
        if step is Step.LOOK_FOR_OWN:
            self._since_clear, state = self._own(client)
            return replace(facts, own=state)
        return replace(facts, can_find=client.can_find_runs())

    def _start(self, client: "RetabClient", start: Start, step: Step, *, may_start_again: bool) -> Owned:
        """Start a run, or let the create take up the one that it finds."""
        refuse_if_late(began=self._began, ledger=self._ledger)
        if step is Step.CREATE_NEXT:
            self.identity = _next_to(self.identity, self._entry)
        self._ledger.write(self.identity)
        self.unheard_of = replace(self.identity, begun=datetime.now(UTC))
        try:
            run = start(self.identity, step is not Step.CREATE)
        except Exception as error:
            if step is not Step.CREATE and has_no_source(error) and (found := unread(client, self.identity)):
                return self._keep(Owned(found, reattached=True))
            # What may be repeated has to be the same then, on a host with another namespace as well.
            if created_nothing(error) and not may_start_again:
                self._ledger.restore()
            raise
        if run.id in {each.id for each in self._since_clear if not has_failed(each)}:
            return self._keep(Owned(run, reattached=True))
        instead = give_way(client, run, self.identity, began=self._began, ledger=self._ledger)
        if instead is not None:
            return Owned(instead, reattached=False, is_successors=True)
        return self._keep(Owned(run, reattached=False))

    def _keep(self, owned: Owned) -> Owned:
        """Write down which run it is, as far as this Airflow can."""
        try:
            self._ledger.write(self.identity, owned.run.id)
        except Exception:  # noqa: BLE001
            # The run exists, so that failing now would lose what its tags tell just as well.
            _log.warning("Airflow did not take the id of run %s", owned.run.id, exc_info=True)
        if owned.reattached:
            _log.info("Run %s of an earlier attempt is %s", owned.run.id, owned.run.status_name)
        return owned

    def has_successor(self) -> bool:
        """Return whether another attempt has taken this one's place, as far as can be told; never raises."""
        return self._ledger.successor() is not None

    @property
    def is_cleared(self) -> bool:
        """Whether the attempt follows a clear."""
        return self._standing is Standing.CLEARED

    @property
    def last_run_id(self) -> str | None:
        """The run of the attempt before, where it was kept; a clear may have come between."""
        return self._entry.run_id if self._entry else None

    @property
    def kept_run_id(self) -> str | None:
        """The run of the attempt before, where this one is its retry and it was kept."""
        return self.last_run_id if self._standing is Standing.RETRY else None

    def _own(self, client: "RetabClient") -> tuple[list["WorkflowRun"], Own]:
        """Return the runs of this attempt and those before it, the last being the one that counts."""
        listed = client.find_runs(self.identity)
        known = Own.FAILED if listed else Own.NONE
        if not all(map(has_failed, listed)):
            known = Own.LISTED
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
        # Clearing a finished DAG run gives it a new start, so that they may be older than that.
        family = replace(self.identity, since=None, begun=None)
        runs = {run.id: run for run in client.find_runs(family, any_generation=True)}
        if not self._ledger.is_kept and all(map(has_failed, runs.values())):
            # The attempt before may have been killed as it started one, which a list may not show for a while.
            late = replace(family, begun=self._attempt.ti_began)
            runs = {run.id: run for run in client.find_runs(late, any_generation=True)}
        entry, own = self._entry, self.identity.tags.items()
        if entry is not None and entry.begun is not None:
            runs |= {run.id: run for run in client.find_runs(entry.meant())}
        if entry is not None and entry.run_id is not None and entry.run_id not in runs:
            run = existing(client, entry.run_id)
            runs |= {run.id: run} if run else {}
        found = [run for run in runs.values() if not own <= run.metadata.items()]
        if entry is None or self._on_clear == "rerun":
            return found
        # The others may be those of a DAG run that had the same id, and was deleted.
        last = entry.meant().tags.items()
        return [run for run in found if run.id == entry.run_id or last <= run.metadata.items()]

    def _may_have_missed(self) -> bool:
        """Whether a run may have been looked for, or may be looked for next, under the name of another machine."""
        if self._ledger.is_kept or self._is_shared:
            return False
        is_cleared = self._standing is Standing.CLEARED and not self._before_clear
        return is_cleared or (self._attempt.started is None and self._attempt.numbers.max_tries > 0)


def _next_to(identity: "RunIdentity", entry: Entry | None) -> "RunIdentity":
    """Return the identity of the run that follows one which failed."""
    return replace(identity, key=core.RunIdentity.of(identity.key, entry.run_id if entry else None).key)


def _since(entry: Entry | None, attempt: Attempt) -> str:
    """Return when a create can have been begun."""
    return (entry and entry.since) or text_of(attempt.began or attempt.ti_began or datetime.now(UTC))
