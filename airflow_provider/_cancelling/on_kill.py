"""RunStopper: what ends a run together with its task: a kill, a time limit, a deferral that Airflow gave up."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout, Context, TaskDeferred

from airflow_provider._cancelling.cancel import cancel_in_time, cancel_unheard_of, cancel_unless_reviewed
from airflow_provider._core import core
from airflow_provider._create_once.ownership import Ownership
from airflow_provider._state.attempts import kept_run_id
from airflow_provider._waiting.deadlines import Wait
from airflow_provider._waiting.events import OUT_OF_TIME, TIMEOUT, failing_well, is_settled
from airflow_provider._waiting.resume import RunWaiter, log, own_run_id, patiently, through_key_changes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retab_orchestration import RetabClient, WaitTimeoutError, WorkflowRun

CancelOnTimeout = bool | Literal["always"]
"""Whether a run is cancelled when its time is over; `always` even while it waits for a human."""


class RunStopper(RunWaiter):
    """A task that waits for a run of its own, and stops it; it is mixed into operators."""

    timeout: float | None
    execution_timeout: timedelta | None
    cancel_on_timeout: CancelOnTimeout
    _killed: bool = False
    _is_superseded: bool = False
    _context: Context | None = None

    def pre_execute(self, context: Any) -> None:
        """Keep what `on_kill` is not given."""
        self._context = context
        super().pre_execute(context)  # type: ignore[misc]  # Airflow 2 calls the author's `pre_execute` there

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; where Airflow itself ended the deferral, look at the run and cancel it if its time is over."""
        if next_method == "__fail__":
            with failing_well():
                outputs = self._look_after(context, str((next_kwargs or {}).get("error")))
            if outputs is not None:
                return outputs
        return super().resume_execution(next_method, next_kwargs, context)  # type: ignore[misc]

    def on_kill(self) -> None:
        """Cancel the run, if Retab answers at once: Airflow ends the process 5 s after this begins."""
        self._killed = True
        is_late = isinstance(sys.exception(), AirflowTaskTimeout)
        run_id = self._run_id
        if run_id is None and is_late and self._context is not None:
            # Airflow 2 gives up before it resumes a task that is late.
            run_id = own_run_id(self._context) or kept_run_id(self._context)
        wanted = self.cancel_on_timeout if is_late else self.cancel_on_kill
        if wanted and run_id is not None and not self._is_superseded:
            cancel_in_time(
                self.hook, run_id, spare_review=is_late and wanted != "always", is_killed=not is_late
            )

    @contextmanager
    def cancelling_if_cut_off(self, ownership: Ownership) -> Iterator[None]:
        """Cancel what there may be of a run whose task is stopped, or takes too long, before it has heard of it."""
        try:
            yield
        except BaseException as error:
            is_late = isinstance(error, AirflowTaskTimeout)
            wanted = self.cancel_on_timeout if is_late else self._killed and self.cancel_on_kill
            if wanted and (is_late or not ownership.has_successor()):
                cancel_unheard_of(
                    self.hook,
                    ownership.unheard_of,
                    ownership.last_run_id,
                    is_cleared=ownership.is_cleared,
                    spare_review=is_late and wanted != "always",
                    is_killed=not is_late,
                )
            raise

    def timed_out(self, client: "RetabClient", run: "WorkflowRun", status: str) -> Exception:
        """Cancel the run if it is to be, and return an error that says so."""
        limit = self.execution_timeout if status == OUT_OF_TIME else timedelta(seconds=self.timeout or 0)
        seconds = f"{limit.total_seconds():g} s" if limit else "its time"
        name = "execution_timeout" if status == OUT_OF_TIME else "timeout"
        told = f"Run {run.id} is still {run.status_name} after {seconds} ({name})"
        return core.WaitTimeoutError(f"{told}; {self._end(client, run)}", run=run)

    def _late(self, context: Context, last: "WorkflowRun", error: "WaitTimeoutError") -> "WorkflowRun":
        """Return a run that has settled after all, or waits for a human; end one that is late, once it was seen."""
        return through_key_changes(self.hook, partial(self._late_by, context, last, error))

    def _late_by(
        self, context: Context, last: "WorkflowRun", error: "WaitTimeoutError", client: "RetabClient"
    ) -> "WorkflowRun":
        if error.__cause__ is not None:  # nobody knows what became of it while it could not be looked at
            run_id = last.id
            last = patiently(lambda: client.get_run(run_id, outputs=False))
        if is_settled(last, self.on_review):
            return client.get_run(last.id, output_nodes=self._nodes())
        if last.is_waiting:  # its clock stopped when nobody could see it
            return last
        self._push(context, last)
        raise self.timed_out(client, last, TIMEOUT) from error

    def _look_after(self, context: Context, error: str) -> dict[str, Any] | None:
        """Return the outputs of a run that has settled although its deferral failed; None where it goes on, or ends."""
        self._run_id, is_late = own_run_id(context) or kept_run_id(context), "timeout" in error.lower()
        if self._run_id is None:
            return None
        with self.hook.get_conn() as client:
            try:
                run = self._seen(client, self._run_id, is_late=is_late)
            except core.RetabError as failure:
                log.warning("Run %s may go on, it could not be looked at: %s", self._run_id, failure)
                return None
            if is_settled(run, self.on_review):
                return self._finish(context, run)
            self._push(context, run)
            if is_late:
                log.warning("Run %s: Airflow ended the deferral; %s", run.id, self._end(client, run))
        return None

    def _seen(self, client: "RetabClient", run_id: str, *, is_late: bool) -> "WorkflowRun":
        def poll() -> "WorkflowRun":
            return client.get_run(run_id, output_nodes=self._nodes())

        return patiently(poll) if is_late else poll()

    def _end(self, client: "RetabClient", run: "WorkflowRun") -> str:
        """Cancel a run whose time is over, if it is to be; return what became of it."""
        if not self.cancel_on_timeout:
            return "it goes on: wait for it with RetabRunSensor, or cancel it"
        spare_review = self.cancel_on_timeout != "always"
        try:
            is_cancelled = patiently(
                lambda: cancel_unless_reviewed(client, run.id, spare_review=spare_review)
            )
        except core.RetabError as error:
            return f"it may go on, for cancelling it failed: {error}"
        return "it was cancelled" if is_cancelled else "it goes on, for it waits for a human"

    def _deferral(self, run_id: str, wait: Wait, nodes: "Sequence[str] | None" = None) -> TaskDeferred:
        self._stop_if_killed()
        return super()._deferral(run_id, wait, nodes)

    def _stop_if_killed(self) -> None:
        # Airflow 3 calls on_kill in the middle of whatever this process does, which then goes on.
        if self._killed:
            raise AirflowException("The task was stopped; it does not go on to succeed")
