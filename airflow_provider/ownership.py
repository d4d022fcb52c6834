"""Which run a task owns: one, over all its retries; another one after a clear, unless it is told otherwise."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Context

from airflow_provider.create_errors import created_nothing, has_no_source, text_of, unknown
from airflow_provider.deciding import Earlier, Facts, Kept, OnClear, Own, Standing, Step, decide, standing_of
from airflow_provider.entries import Attempt, Entry, identity_of
from airflow_provider.memory import memory_of

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun

__all__ = ["OnClear", "Owned", "Ownership"]

Start = Callable[["RunIdentity", bool], "WorkflowRun"]
"""Starts a run of an identity; the flag says that there may be one already."""

_KEY = "retab_run"

_GATHERING = {Step.LOOK_FOR_EARLIER, Step.LOOK_FOR_OWN, Step.ASK_SERVER, Step.CANCEL_EARLIER}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owned:
    """A task's run, and whether it was there before this attempt."""

    run: "WorkflowRun"
    reattached: bool


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
        self._memory = memory_of(context)
        self._attempt = Attempt.of(context, task.retries or 0)
        self._entry = self._read()
        self._workflow_id: str | None = getattr(task, "workflow_id", None)
        self._on_clear: OnClear = task.on_clear
        self._is_shared = is_shared
        self._before_clear: list[WorkflowRun] = []
        self._since_clear: list[WorkflowRun] = []
        attempt, entry = self._attempt, self._entry
        kept = entry.numbers if entry else None
        self._standing = standing_of(kept, attempt.numbers, attempt.try_number)
        is_kept = self._memory is not None
        self.identity = identity_of(
            attempt, entry, self._standing, namespace=namespace, is_shared=is_shared, is_kept=is_kept
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
            self._kept,
            self._on_clear,
            self._attempt.is_granted,
            may_start_again=may_start_again,
        )
        while (step := decide(facts)) in _GATHERING:
            facts = self._gathered(client, facts, step)
        if step is Step.REFUSE:
            raise unknown(
                self._workflow_id, _since(self._entry, self._attempt), is_sure=self._memory is not None
            )
        if step is Step.TAKE_UP_EARLIER:
            return self._keep(Owned(self._before_clear[-1], reattached=True))
        if step is Step.TAKE_UP_OWN:
            return self._keep(Owned(self._since_clear[-1], reattached=True))
        owned = self._start(client, start, step, may_start_again=may_start_again)
        if self._may_have_missed():
            _warn_of_names(client, owned.run, self.identity)
        return owned

    def _gathered(self, client: "RetabClient", facts: Facts, step: Step) -> Facts:
        """Find out what has to be known before the next decision, or do what has to be done before it."""
        if step is Step.LOOK_FOR_EARLIER:
            self._before_clear = self._earlier(client)
            return replace(facts, earlier=_earlier_state(self._before_clear, self._on_clear))
        if step is Step.CANCEL_EARLIER:
            _cancel_all(client, self._before_clear)
            return replace(facts, earlier=Earlier.NONE)
        if step is Step.LOOK_FOR_OWN:
            self._since_clear, state = self._own(client)
            return replace(facts, own=state)
        return replace(facts, can_find=client.can_find_runs())

    def _start(self, client: "RetabClient", start: Start, step: Step, *, may_start_again: bool) -> Owned:
        """Start a run, or let the create take up the one that it finds."""
        if step is Step.CREATE_NEXT:
            self.identity = _next_to(self.identity, self._entry)
        self._write(run_id=None)
        self.unheard_of = replace(self.identity, begun=datetime.now(UTC))
        try:
            run = start(self.identity, step is not Step.CREATE)
        except Exception as error:
            if step is not Step.CREATE and has_no_source(error) and (found := _unread(client, self.identity)):
                return self._keep(Owned(found, reattached=True))
            # What may be repeated has to be the same then, on a host with another namespace as well.
            if created_nothing(error) and not may_start_again:
                self._restore()
            raise
        living = {each.id for each in self._since_clear if not _has_failed(each)}
        return self._keep(Owned(run, reattached=run.id in living))

    def _keep(self, owned: Owned) -> Owned:
        """Write down which run it is, as far as this Airflow can."""
        try:
            self._write(run_id=owned.run.id)
        except Exception:  # noqa: BLE001
            # The run exists, so that failing now would lose what its tags tell just as well.
            _log.warning("Airflow did not take the id of run %s", owned.run.id, exc_info=True)
        if owned.reattached:
            _log.info("Run %s of an earlier attempt is %s", owned.run.id, owned.run.status_name)
        return owned

    @property
    def kept_run_id(self) -> str | None:
        """The run of the attempt before, where this one is its retry and it was kept."""
        return self._entry.run_id if self._entry and self._standing is Standing.RETRY else None

    @property
    def _kept(self) -> Kept:
        if self._memory is None:
            return Kept.NOWHERE
        if self._entry is None:
            return Kept.NOTHING
        return Kept.RUN if self._entry.run_id else Kept.INTENT

    def _own(self, client: "RetabClient") -> tuple[list["WorkflowRun"], Own]:
        """Return the runs of this attempt and those before it, the last being the one that counts."""
        listed = client.find_runs(self.identity)
        known = Own.FAILED if listed else Own.NONE
        if not all(map(_has_failed, listed)):
            known = Own.LISTED
        run_id = self.kept_run_id
        if run_id is None or run_id in {run.id for run in listed}:
            return listed, known
        run = _existing(client, run_id)
        if run is None:
            return listed, known
        if _has_failed(run):
            return listed, Own.FAILED if known is Own.NONE else known
        return [*listed, run], Own.BY_ID

    def _earlier(self, client: "RetabClient") -> list["WorkflowRun"]:
        """Return the runs from before the clear, oldest first."""
        # Clearing a finished DAG run gives it a new start, so that they may be older than that.
        family = replace(self.identity, since=None, begun=None)
        runs = {run.id: run for run in client.find_runs(family, any_generation=True)}
        entry, own = self._entry, self.identity.tags.items()
        if entry is not None and entry.begun is not None:
            runs |= {run.id: run for run in client.find_runs(entry.meant())}
        if entry is not None and entry.run_id is not None and entry.run_id not in runs:
            run = _existing(client, entry.run_id)
            runs |= {run.id: run} if run else {}
        found = [run for run in runs.values() if not own <= run.metadata.items()]
        if entry is None or self._on_clear == "rerun":
            return found
        # The others may be those of a DAG run that had the same id, and was deleted.
        last = entry.meant().tags.items()
        return [run for run in found if run.id == entry.run_id or last <= run.metadata.items()]

    def _may_have_missed(self) -> bool:
        """Whether a run may have been looked for, or may be looked for next, under the name of another machine."""
        if self._memory is not None or self._is_shared:
            return False
        is_cleared = self._standing is Standing.CLEARED and not self._before_clear
        return is_cleared or (self._attempt.started is None and self._attempt.numbers.max_tries > 0)

    def _read(self) -> Entry | None:
        entry = None if self._memory is None else Entry.read(self._memory.get(_KEY))
        return entry if entry and entry.is_of(self._attempt) else None

    def _write(self, run_id: str | None) -> None:
        if self._memory is not None:
            attempt, identity = self._attempt, self.identity
            now = text_of(datetime.now(UTC))
            entry = Entry(identity.key, identity.family, attempt.numbers, now, attempt.started, run_id)
            self._memory.set(_KEY, entry.written())

    def _restore(self) -> None:
        if self._memory is not None and self._entry:
            self._memory.set(_KEY, self._entry.written())
        elif self._memory is not None:
            self._memory.delete(_KEY)


def _next_to(identity: "RunIdentity", entry: Entry | None) -> "RunIdentity":
    """Return the identity of the run that follows one which failed."""
    from retab_orchestration import RunIdentity

    return replace(identity, key=RunIdentity.of(identity.key, entry.run_id if entry else None).key)


def _since(entry: Entry | None, attempt: Attempt) -> str:
    """Return when a create can have been begun."""
    return (entry and entry.since) or text_of(attempt.began or attempt.ti_began or datetime.now(UTC))


def _unread(client: "RetabClient", identity: "RunIdentity") -> "WorkflowRun | None":
    """Return the run that an earlier attempt has started from a document which is gone since."""
    living = [run for run in client.find_runs(identity) if not _has_failed(run)]
    if living:
        _log.warning("The document of run %s is gone, so it was not compared with the run's", living[0].id)
    return living[0] if living else None


def _has_failed(run: "WorkflowRun") -> bool:
    return run.is_terminal and run.status.value != "completed"


def _earlier_state(runs: list["WorkflowRun"], on_clear: OnClear) -> Earlier:
    if not runs:
        return Earlier.NONE
    if not runs[-1].is_terminal or (on_clear == "rerun" and any(not run.is_terminal for run in runs)):
        return Earlier.GOES_ON
    return Earlier.FAILED if _has_failed(runs[-1]) else Earlier.COMPLETED


def _existing(client: "RetabClient", run_id: str) -> "WorkflowRun | None":
    """Look at a run that we know by its id; None when it is gone."""
    from retab_orchestration import NotFoundError

    try:
        return client.get_run(run_id, outputs=False)
    except NotFoundError:
        return None


def _cancel_all(client: "RetabClient", runs: list["WorkflowRun"]) -> None:
    from retab_orchestration import ConflictError, NotFoundError

    for run in runs:
        if run.is_terminal:
            continue
        _log.info("Cancelling run %s, which was started before the task was cleared", run.id)
        try:
            client.cancel_run(run.id)
        except (ConflictError, NotFoundError) as error:
            _log.info("Run %s had ended: %s", run.id, error)


def _warn_of_names(client: "RetabClient", run: "WorkflowRun", identity: "RunIdentity") -> None:
    """Say that another worker would not find this run, unless there are no tags by which anybody could."""
    from retab_orchestration import RetabError

    try:
        is_found = identity.tags.items() <= run.metadata.items() or client.can_find_runs()
    except RetabError:
        return  # the run exists, so this must not fail the task
    if is_found:
        _log.warning(
            "This Airflow keeps nothing for a task, and finds its runs by the name of the worker's machine, so that a "
            "run which another worker started may go on beside run %s. Set `namespace` in the extra of the "
            "connection, to a name such as 'production'",
            run.id,
        )
