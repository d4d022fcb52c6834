"""What every task does alike with the run it waits for: defer, resume, leave XComs, end as the run did."""

import logging
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, Context, TaskDeferred

from airflow_provider.hooks import RetabHook
from airflow_provider.inputs import OnReview, check_nodes
from airflow_provider.outcomes import (
    OUT_OF_TIME,
    TIMEOUT,
    WAIT_FAILED,
    RunEvent,
    conclude,
    failing_well,
    is_settled,
    push_run,
)

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, WorkflowRun

log = logging.getLogger(__name__)

# Seconds after the last deadline of ours at which Airflow ends a deferral whose trigger never spoke.
_BACKSTOP = 60.0


@dataclass(frozen=True)
class Wait:
    """How long a task waits, and for what kind of run; it travels with the task while that is deferred."""

    deadline: float | None = None
    """Seconds since the epoch; the time in which a human is asked does not count."""
    strict_deadline: float | None = None
    """Seconds since the epoch, whoever is asked meanwhile."""
    reattached: bool = False
    """Whether the run is one that an earlier attempt had started."""

    @classmethod
    def begin(cls, timeout: float | None, execution_timeout: timedelta | None) -> "Wait":
        """Turn the seconds that a wait may take from now on into moments."""
        strict = None if execution_timeout is None else time.time() + execution_timeout.total_seconds()
        return cls(None if timeout is None else time.time() + timeout, strict)

    def backstop(self, shortest: float, *, through_review: bool) -> timedelta | None:
        """Return how long Airflow may leave the task deferred, None where nobody can know.

        Args:
            shortest: Seconds that the deferral takes at least.
            through_review: Whether the wait goes on, and `deadline` moves, while a human is asked.
        """
        moments = (self.strict_deadline, None if through_review else self.deadline)
        nearest = min((moment for moment in moments if moment is not None), default=None)
        if nearest is None:
            return None
        return timedelta(seconds=max(nearest - time.time(), shortest) + _BACKSTOP)


class RunWaiter:
    """A task that ends when a run has settled; it is mixed into operators and the sensor."""

    retab_conn_id: str
    output_nodes: Any
    on_review: OnReview
    cancel_on_kill: bool = False
    run_url: str | None = None
    """Where to look at the run; empty before there is one, None where only the XCom knows."""
    _run_id: str | None = None

    @cached_property
    def hook(self) -> RetabHook:
        """The hook of `retab_conn_id`."""
        return RetabHook(self.retab_conn_id)

    @property
    def seconds_between_looks(self) -> float:
        """Seconds between two looks at the run, at most."""
        raise NotImplementedError

    def timed_out(self, client: "RetabClient", run: "WorkflowRun", status: str) -> Exception:
        """Return what the task fails with when its time is over.

        Args:
            client: The account.
            run: The run, which goes on.
            status: `TIMEOUT` or `OUT_OF_TIME`.
        """
        raise NotImplementedError

    def execute_complete(  # noqa: PLR0917  Airflow gives all by name
        self,
        context: Context,
        event: dict[str, Any] | None = None,
        run_id: str | None = None,
        deadline: float | None = None,
        strict_deadline: float | None = None,
        reattached: bool = False,
    ) -> dict[str, Any]:
        """Fetch the run that the trigger waited for, and end the task as it did.

        Args:
            context: The task's.
            event: What the trigger fired.
            run_id: The run that the task deferred for; `airflow dags test` loses it, then the XCom tells.
            deadline: When the wait has to end, seconds since the epoch.
            strict_deadline: The same, for the time in which a human is asked as well.
            reattached: Whether an earlier attempt had started the run.

        Raises:
            AirflowFailException: Another attempt would end as this one did.
        """
        wait = Wait(deadline, strict_deadline, reattached)
        with failing_well():
            self._run_id = run_id or own_run_id(context)
            outcome = RunEvent.read(event, run_id=self._run_id)
            with self.hook.get_conn() as client:
                run = client.get_run(outcome.run_id, output_nodes=self._nodes())
                return self._resume(client, context, run, outcome, wait)

    def _resume(
        self, client: "RetabClient", context: Context, run: "WorkflowRun", outcome: RunEvent, wait: Wait
    ) -> dict[str, Any]:
        if is_settled(run, self.on_review):
            return self._finish(context, run)
        self._push(context, run)
        if outcome.status in {TIMEOUT, OUT_OF_TIME}:
            raise self.timed_out(client, run, outcome.status)
        if outcome.status == WAIT_FAILED:
            raise AirflowException(f"The triggerer could not wait for run {run.id}: {outcome.message}")
        # A human decided between the event and now, so the run goes on.
        raise self._deferral(run.id, wait)

    def _deferral(self, run_id: str, wait: Wait) -> TaskDeferred:
        from airflow_provider.triggers import SHORTEST_DEFERRAL, RetabRunTrigger

        return TaskDeferred(
            trigger=RetabRunTrigger(
                run_id,
                retab_conn_id=self.retab_conn_id,
                deadline=wait.deadline,
                strict_deadline=wait.strict_deadline,
                not_before=time.time() + SHORTEST_DEFERRAL,
                poll_interval=self.seconds_between_looks,
                on_review=self.on_review,
                cancel_on_kill=self.cancel_on_kill,
            ),
            method_name="execute_complete",
            kwargs={"run_id": run_id, **asdict(wait)},
            timeout=wait.backstop(SHORTEST_DEFERRAL, through_review=self.on_review == "wait"),
        )

    def _finish(self, context: Context, run: "WorkflowRun") -> dict[str, Any]:
        self._push(context, run)
        log.info("Run %s is %s", run.id, run.status_name)
        return conclude(run, self.on_review)

    def _push(self, context: Context, run: "WorkflowRun") -> None:
        self.run_url = self.hook.run_url(run.workflow_id, run.id)
        push_run(context, run, self.run_url)

    def _nodes(self) -> list[str] | None:
        return check_nodes(self.output_nodes)


def own_run_id(context: Context) -> str | None:
    """Return the run id that this task left as an XCom before it deferred."""
    ti = context["ti"]
    run_id: str | None = ti.xcom_pull(task_ids=ti.task_id, key="run_id", map_indexes=ti.map_index)
    return run_id
