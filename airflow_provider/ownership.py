"""Which run a task owns: one, over all its retries; another one after a clear, unless it is told otherwise."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import Context

from airflow_provider.memory import memory_of

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun

OnClear = Literal["rerun", "reattach"]
"""What clearing a task means: start a new run, cancelling an old one that goes on; or take the old one up again."""

Start = Callable[["RunIdentity", bool], "WorkflowRun"]
"""Starts a run of an identity; the flag says that there may be one already."""

_KEY = "retab_run"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Owned:
    """A task's run, and whether it was there before this attempt."""

    run: "WorkflowRun"
    reattached: bool


class Ownership:
    """What one attempt of a task knows of its run.

    Airflow keeps it for us over retries and clears, except from 3.0 to 3.2; there, and when it is lost, the run's tags
    tell. Where there are no tags either, a retry cannot know whether there is a run, and starts none.

    Args:
        context: The task's.
        task: The task, for its `retries` (more tries than that were granted by a clear), its `on_clear` and, where it
            has one, its `workflow_id`.
        namespace: Tells this Airflow from others that use the same account.
    """

    def __init__(self, context: Context, task: Any, *, namespace: str) -> None:
        from retab_orchestration import RunIdentity

        self._ti = ti = context["ti"]
        self._dag_run: Any = context.get("dag_run")
        self._memory = memory_of(context)
        self._before = self._read()
        self._workflow_id: str | None = getattr(task, "workflow_id", None)
        self._retries: int = task.retries or 0
        self._on_clear: OnClear = task.on_clear
        self._is_same = self._before.get("generation") == ti.max_tries
        # A clear grants a task new tries, and so changes this number; a retry does not.
        self._is_cleared = not self._is_same and (bool(self._before) or ti.max_tries != self._retries)
        self._run_id: str | None = self._before.get("run_id")
        if self._is_same:  # by another host, perhaps, whose default namespace is another
            self.identity = RunIdentity(self._before["identity"], self._before["family"])
        else:
            names = (ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
            self.identity = RunIdentity.of(namespace, *names, generation=ti.max_tries)

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
        if self._is_cleared and (owned := self._after_clear(client)) is not None:
            return self.keep(owned)
        known, adoptable = self._own(client)
        if adoptable is not None:
            return self.keep(Owned(adoptable, reattached=True))
        if self._may_be_lost(may_start_again) and not client.can_find_runs():
            raise self._unknown()
        self.identity = self._next_identity(client)
        self._write(run_id=None)
        try:
            run = start(self.identity, self._may_exist)
        except Exception as error:
            # What may be repeated has to be the same then, on a host with another namespace as well.
            if _created_nothing(error) and not may_start_again:
                self._restore()
            raise
        return self.keep(Owned(run, reattached=run.id in known))

    def keep(self, owned: Owned) -> Owned:
        """Write down which run it is, as far as this Airflow can."""
        self._run_id = owned.run.id
        try:
            self._write(run_id=owned.run.id)
        except Exception:  # noqa: BLE001
            # The run exists, so that failing now would lose what its tags tell just as well.
            _log.warning("Airflow did not take the id of run %s", owned.run.id, exc_info=True)
        if owned.reattached:
            _log.info("Run %s of an earlier attempt is %s", owned.run.id, owned.run.status_name)
        self._before, self._is_same, self._is_cleared = self._entry(owned.run.id), True, False
        return owned

    @property
    def _may_exist(self) -> bool:
        return bool(self._is_same or self._ti.try_number > 1)

    def _may_be_lost(self, may_start_again: bool) -> bool:
        """Whether an earlier attempt may have started a run that we know nothing of."""
        if self._memory is None:
            # An attempt that was killed looks like one that failed, and only the names of the task mark a command as
            # the same, in which another host's may differ. The first attempt after a clear is a new beginning.
            granted = self._ti.max_tries - self._retries + 1
            return bool(self._ti.try_number > 1 and self._ti.try_number != granted)
        return self._is_same and self._run_id is None and not may_start_again

    def _own(self, client: "RetabClient") -> tuple[set[str], "WorkflowRun | None"]:
        """Return the ids of our runs that did not fail, and one that the list of runs does not show, if there is."""
        if not self._may_exist:
            return set(), None
        listed = client.find_runs(self.identity)
        adoptable = None
        if self._is_same and self._run_id is not None and self._run_id not in {run.id for run in listed}:
            adoptable = _living(client, self._run_id)
        return {run.id for run in listed if not _has_failed(run)}, adoptable

    def _after_clear(self, client: "RetabClient") -> Owned | None:
        """Return the run to take up again; or cancel those that still go on, and return None."""
        known = self._earlier(client)
        if self._on_clear == "reattach":
            newest = known[-1] if known else None
            return None if newest is None or _has_failed(newest) else Owned(newest, reattached=True)
        for run in known:
            if not run.is_terminal:
                _log.info("Cancelling run %s, which was started before the task was cleared", run.id)
                _cancel(client, run.id)
        return None

    def _earlier(self, client: "RetabClient") -> list["WorkflowRun"]:
        runs = {run.id: run for run in client.find_runs(self.identity, any_generation=True)}
        if self._run_id is not None and self._run_id not in runs:
            run = _living(client, self._run_id)
            runs |= {run.id: run} if run else {}
        own = self.identity.tags.items()
        return [run for run in runs.values() if not own <= run.metadata.items()]

    def _next_identity(self, client: "RetabClient") -> "RunIdentity":
        from retab_orchestration import RunIdentity

        if self._is_same and self._run_id is not None and not client.can_find_runs():
            return RunIdentity.of(self.identity.key, self._run_id)  # not the run that failed once more
        return self.identity

    def _unknown(self) -> Exception:
        from retab_orchestration import CreateOutcomeUnknownError

        since, until = self._since(), _now()
        attempt = "was" if self._memory else "may have been"
        of = f"run of {self._workflow_id}" if self._workflow_id else "run"
        narrowed = f"workflow_id={self._workflow_id!r}, " if self._workflow_id else ""
        return CreateOutcomeUnknownError(
            f"an earlier attempt of this task {attempt} cut off while it started a {of}, between {since} and {until}, "
            "and these routes have nothing to find it by; look for it with "
            f"list_runs({narrowed}from_date={since[:10]!r}, to_date={until[:10]!r}), then clear the task to start a "
            "run all the same",
            workflow_id=self._workflow_id,
            since=since,
            until=until,
        )

    def _since(self) -> str:
        if "since" in self._before:
            return str(self._before["since"])
        began = getattr(self._dag_run, "start_date", None) or getattr(self._ti, "start_date", None)
        return _text(began) if began else _now()

    def _entry(self, run_id: str | None) -> dict[str, Any]:
        return {
            "identity": self.identity.key,
            "family": self.identity.family,
            "generation": self._ti.max_tries,
            "since": _now(),
            **({"run_id": run_id} if run_id else {}),
        }

    def _read(self) -> dict[str, Any]:
        found = None if self._memory is None else self._memory.get(_KEY)
        return found if isinstance(found, dict) and {"identity", "family", "generation"} <= set(found) else {}

    def _write(self, run_id: str | None) -> None:
        if self._memory is not None:
            self._memory.set(_KEY, self._entry(run_id))

    def _restore(self) -> None:
        if self._memory is not None and self._before:
            self._memory.set(_KEY, self._before)
        elif self._memory is not None:
            self._memory.delete(_KEY)


def _now() -> str:
    return _text(datetime.now(UTC))


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def _created_nothing(error: Exception) -> bool:
    from retab_orchestration import CreateOutcomeUnknownError, RetabError

    return isinstance(error, RetabError) and not isinstance(error, CreateOutcomeUnknownError)


def _has_failed(run: "WorkflowRun") -> bool:
    return run.is_terminal and run.status.value != "completed"


def _living(client: "RetabClient", run_id: str) -> "WorkflowRun | None":
    """Look at a run that we know by its id; None when it is gone or failed."""
    from retab_orchestration import NotFoundError

    try:
        run = client.get_run(run_id, outputs=False)
    except NotFoundError:
        return None
    return None if _has_failed(run) else run


def _cancel(client: "RetabClient", run_id: str) -> None:
    from retab_orchestration import ConflictError, NotFoundError

    try:
        client.cancel_run(run_id)
    except (ConflictError, NotFoundError) as error:
        _log.info("Run %s had ended: %s", run_id, error)
