"""Which run a task owns: one, over all its retries; another one after a clear, unless it is told otherwise."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import Context

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

    Airflow 3.3 keeps it for us over retries and clears; before that, and when it is lost, the run's tags tell.

    Args:
        context: The task's.
        namespace: Tells this Airflow from others that use the same account.
        retries: The task's; more tries than that were granted by a clear.
        on_clear: What a clear means.
    """

    def __init__(self, context: Context, *, namespace: str, retries: int, on_clear: OnClear) -> None:
        from retab_orchestration import RunIdentity

        self._ti = ti = context["ti"]
        self._store: Any = context.get("task_state_store")
        self._before = self._read()
        self._on_clear = on_clear
        self._is_same = self._before.get("generation") == ti.max_tries
        # A clear grants a task new tries, and so changes this number; a retry does not.
        self._is_cleared = not self._is_same and (bool(self._before) or ti.max_tries != retries)
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
            CreateOutcomeUnknownError: An earlier attempt was cut off, and its run cannot be looked for.
            InputsChangedError: The task's run was started with other inputs.
        """
        if self._is_cleared and (owned := self._after_clear(client)) is not None:
            return self.keep(owned)
        known, adoptable = self._own(client)
        if adoptable is not None:
            return self.keep(Owned(adoptable, reattached=True))
        if self._was_cut_off and not may_start_again and not client.can_find_runs():
            raise self._unknown()
        identity = self._next_identity(client)
        self._write(run_id=None)
        try:
            run = start(identity, self._may_exist)
        except Exception as error:
            if _created_nothing(error):
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

    @property
    def _was_cut_off(self) -> bool:
        return self._is_same and self._run_id is None

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

        since = str(self._before.get("since"))
        return CreateOutcomeUnknownError(
            f"an attempt of this task was cut off while it started a run at {since}, and these routes have nothing to "
            f"find it by; look with list_runs(from_date={since[:10]!r}), then clear the task to start a run anyway",
            since=since,
        )

    def _entry(self, run_id: str | None) -> dict[str, Any]:
        return {
            "identity": self.identity.key,
            "family": self.identity.family,
            "generation": self._ti.max_tries,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            **({"run_id": run_id} if run_id else {}),
        }

    def _read(self) -> dict[str, Any]:
        found = None if self._store is None else self._store.get(_KEY)
        return found if isinstance(found, dict) and {"identity", "family", "generation"} <= set(found) else {}

    def _write(self, run_id: str | None) -> None:
        if self._store is not None:
            self._store.set(_KEY, self._entry(run_id))

    def _restore(self) -> None:
        if self._store is not None and self._before:
            self._store.set(_KEY, self._before)
        elif self._store is not None:
            self._store.delete(_KEY)


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
