"""RunStopper: what ends a run together with its task: a kill, a time limit, a deferral that Airflow gave up."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowTaskTimeout, Context

from airflow_provider._cancelling.cancel import cancel_in_time, cancel_unheard_of, cancel_unless_reviewed
from airflow_provider._connection import through_key_changes, through_outages
from airflow_provider._core import core
from airflow_provider._create_once.earlier_attempts import StoppedError
from airflow_provider._create_once.ownership import Ownership, Start
from airflow_provider._state.attempts import kept_run_id
from airflow_provider._waiting.deadlines import Wait
from airflow_provider._waiting.events import KeptWait, is_settled, own_run_id
from airflow_provider._waiting.resume import Ending, RunWait, ending_of, log

if TYPE_CHECKING:
    from airflow_provider.hooks import RetabHook
    from retab_orchestration import (
        InputsChangedError,
        RetabClient,
        RunIdentity,
        WaitTimeoutError,
        WorkflowRun,
    )

CancelOnTimeout = bool | Literal["always"]
"""Whether a run is cancelled when its time is over; `always` even while it waits for a human."""


# The states of a task that is being executed; Airflow 2's `dag.test()` leaves it at the second or third.
_NOT_ENDED = frozenset({None, "scheduled", "queued", "running"})


class RunStopper:
    """Ends a task's run together with the task: at a kill, at a time limit, at a deferral that Airflow gave up.

    Args:
        waiting: Returns the task's wait for its run; a task may be stopped before the templates of that are rendered.
        timeout: Seconds that an attempt may wait, without the time in which a human is asked.
        execution_timeout: Airflow's own limit.
        cancel_on_timeout: Whether to cancel the run when either has passed.
        cancel_on_kill: Whether to cancel the run when the task is stopped.
    """

    def __init__(
        self,
        waiting: Callable[[], RunWait],
        *,
        timeout: float | None,
        execution_timeout: timedelta | None,
        cancel_on_timeout: CancelOnTimeout,
        cancel_on_kill: bool,
    ) -> None:
        self._wait = waiting
        self._timeout, self._execution_timeout = timeout, execution_timeout
        self._cancel_on_timeout, self._cancel_on_kill = cancel_on_timeout, cancel_on_kill
        self.run_id: str | None = None
        """The task's run, once this process knows it."""
        self.is_superseded = False
        """Whether the run is that of an attempt which has taken this one's place."""
        self.is_killed = False

    @property
    def _waiting(self) -> RunWait:
        return self._wait()

    @property
    def _hook(self) -> "RetabHook":
        return self._waiting.hook

    def kill(self, context: Context | None) -> None:
        """Cancel the run, if Retab answers at once: Airflow ends the process 5 s after this begins.

        Args:
            context: The task's; None where Airflow has not given it yet.
        """
        is_late = isinstance(sys.exception(), AirflowTaskTimeout)
        if not is_late and _has_reported(context):
            return
        self.is_killed = True
        run_id = self.run_id
        if run_id is None and is_late and context is not None:
            # Airflow 2 gives up before it resumes a task that is late.
            run_id = own_run_id(context) or kept_run_id(context)
        wanted = self._cancel_on_timeout if is_late else self._cancel_on_kill
        if wanted and run_id is not None and not self.is_superseded:
            cancel_in_time(
                self._hook, run_id, spare_review=is_late and wanted != "always", is_killed=not is_late
            )

    def resume(self, run_id: str) -> None:
        """Note the run of a task that resumes.

        Raises:
            StoppedError: The task was stopped before; its run is cancelled.
        """
        self.run_id = run_id
        self.cancel_if_killed(run_id)

    def stop_if_killed(self) -> None:
        """Fail a task that was stopped: Airflow 3 calls `on_kill` in the middle of what its process does.

        Raises:
            StoppedError: It was.
        """
        if self.is_killed:
            raise StoppedError("The task was stopped; it does not go on to succeed")

    def unless_killed(self, start: Start) -> Start:
        """Return a start that raises StoppedError once the task is stopped: the search before it may take a while."""

        def checked(identity: "RunIdentity", adopt: bool) -> "WorkflowRun":
            self.stop_if_killed()
            return start(identity, adopt)

        return checked

    @contextmanager
    def cancelling_if_cut_off(self, client: "RetabClient", ownership: Ownership) -> Iterator[None]:
        """Cancel what there may be of a run whose task is stopped, or takes too long, before it has heard of it.

        So is a run that was started with other inputs, which no attempt will take up any more.
        """
        try:
            yield
        except core.InputsChangedError as error:
            raise self._changed(client, ownership, error) from error
        except BaseException as error:
            is_late = isinstance(error, AirflowTaskTimeout)
            wanted = self._cancel_on_timeout if is_late else self.is_killed and self._cancel_on_kill
            if wanted and (is_late or not ownership.has_successor()):
                cancel_unheard_of(
                    self._hook,
                    ownership.unheard_of,
                    ownership.last_run_id,
                    is_cleared=ownership.is_cleared,
                    spare_review=is_late and wanted != "always",
                    is_killed=not is_late,
                )
            raise

    def _changed(self, client: "RetabClient", ownership: Ownership, error: "InputsChangedError") -> Exception:
        told, run = str(error), error.run
        if run is not None and not run.is_terminal and not ownership.may_be_replaced():
            told += f". What became of that run: {self._end(client, run)}"
        return core.InputsChangedError(told, run=run)

    def cancel_if_killed(self, run_id: str) -> None:
        """Cancel a run of which this process did not know yet when the task was stopped.

        Raises:
            StoppedError: The task was stopped.
        """
        if self.is_killed and self._cancel_on_kill and not self.is_superseded:
            cancel_in_time(self._hook, run_id)
        self.stop_if_killed()

    def timed_out(self, client: "RetabClient", run: "WorkflowRun", *, is_strict: bool) -> Exception:
        """Cancel a run whose time is over, if it is to be, and return an error that says so.

        Args:
            client: The account.
            run: The run, which goes on.
            is_strict: Whether it is the time of `execution_timeout`.
        """
        limit = self._execution_timeout if is_strict else timedelta(seconds=self._timeout or 0)
        seconds = f"{limit.total_seconds():g} s" if limit else "its time"
        name = "execution_timeout" if is_strict else "timeout"
        told = f"Run {run.id} is still {run.status_name} after {seconds} ({name})"
        return core.WaitTimeoutError(f"{told}; {self._end(client, run)}", run=run)

    def end_if_late(self, context: Context, last: "WorkflowRun", error: "WaitTimeoutError") -> "WorkflowRun":
        """Return a run that has settled after all, or waits for a human; end one that is late, once it was seen."""
        return through_key_changes(self._hook, partial(self._end_if_late, context, last, error))

    def _end_if_late(
        self, context: Context, last: "WorkflowRun", error: "WaitTimeoutError", client: "RetabClient"
    ) -> "WorkflowRun":
        if error.__cause__ is not None:  # nobody knows what became of it while it could not be polled
            run_id = last.id
            last = through_outages(lambda: client.get_run(run_id, outputs=False))
        if is_settled(last, self._waiting.on_review):
            return client.get_run(last.id, output_nodes=self._waiting.nodes)
        if last.is_waiting:  # its clock stopped when nobody could see it
            return last
        self._waiting.push(context, last)
        raise self.timed_out(client, last, is_strict=False) from error

    def after_deferral(self, context: Context, failure: dict[str, Any]) -> "KeptWait | WorkflowRun | None":
        """Return what follows a deferral that Airflow itself has ended.

        Args:
            context: The task's.
            failure: What Airflow resumes the task with; why it ended the deferral.

        Returns:
            What the task had left, if it is to wait on; a run that has settled after all; None for one that goes on or
            is cancelled.
        """
        kept = KeptWait.pull(context)
        limits = Wait.begin(self._timeout, self._execution_timeout) if kept is None else kept.wait
        bound = limits.bound(through_review=self._waiting.on_review == "wait")
        ending = ending_of(str(failure.get("error")), is_kept=kept is not None, is_bounded=bound is not None)
        if kept is not None and ending is Ending.BACKSTOP:
            log.info("Run %s is polled, as its trigger has said nothing for long (backstop)", kept.run_id)
            return kept
        self.run_id = run_id = own_run_id(context) or kept_run_id(context)
        return None if run_id is None else self._settled(context, run_id, is_late=ending is Ending.LATE)

    def _settled(self, context: Context, run_id: str, *, is_late: bool) -> "WorkflowRun | None":
        with self._hook.get_conn_through_outages() as client:
            try:
                poll = partial(client.get_run, run_id, output_nodes=self._waiting.nodes)
                run = through_outages(poll) if is_late else poll()
            except core.RetabError as error:
                log.warning("Run %s may go on, it could not be polled: %s", run_id, error)
                return None
            if is_settled(run, self._waiting.on_review):
                return run
            self._waiting.push(context, run)
            if is_late:
                log.warning("Run %s: Airflow ended the deferral; %s", run.id, self._end(client, run))
        return None

    def _end(self, client: "RetabClient", run: "WorkflowRun") -> str:
        """Cancel a run whose time is over, if it is to be; return what became of it."""
        if not self._cancel_on_timeout:
            return "it goes on: wait for it with RetabRunSensor, or cancel it"
        spare_review = self._cancel_on_timeout != "always"
        try:
            return through_outages(lambda: cancel_unless_reviewed(client, run.id, spare_review=spare_review))
        except core.RetabError as error:
            return f"it may go on, for cancelling it failed: {error}"


def _has_reported(context: Context | None) -> bool:
    """Return whether Airflow knows how the task has ended, or that it is deferred: its run is then as it left it.

    Airflow 3 ends a process whose callbacks take longer than `[core] task_success_overtime`, and each ends one that is
    left when its machine is shut down.
    """
    ti: Any = context["ti"] if context else None
    own = _text_of(getattr(ti, "state", None))
    if own in _NOT_ENDED:
        return False
    if not hasattr(ti, "current_state"):
        return True
    try:  # Airflow 2 reports after its callbacks, and until then a user may give the task another state
        return _text_of(ti.current_state()) in {own, "running"}
    except Exception:  # noqa: BLE001  whatever a database raises in the middle of a task
        return True


def _text_of(state: Any) -> str | None:
    return None if state is None else str(getattr(state, "value", state))


@contextmanager
def heeding_interrupts(stopper: RunStopper, context: Context) -> Iterator[None]:
    """Cancel the run where Ctrl-C ends the task, as in `airflow dags test`: Airflow calls no `on_kill` then."""
    try:
        yield
    except KeyboardInterrupt:
        stopper.kill(context)
        raise
