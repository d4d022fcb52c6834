"""What operator and sensor do alike with the run they wait for: defer, resume, leave XComs, end as it did."""

import logging
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowException, Context, TaskDeferred

from airflow_provider.hooks import RetabHook
from airflow_provider.inputs import OnReview, check_nodes
from airflow_provider.outcomes import TIMEOUT, WAIT_FAILED, RunEvent, conclude, is_settled, push_run

if TYPE_CHECKING:
    from retab_orchestration import WorkflowRun

log = logging.getLogger(__name__)


class RunWaiter:
    """A task that ends when a run has settled; it is mixed into the operator and the sensor."""

    retab_conn_id: str
    output_nodes: Any
    on_review: OnReview
    run_url: str | None = None
    """Where to look at the run; empty before there is one, None where only the XCom knows."""
    pause_in_review: ClassVar[bool] = True
    """Whether the time in which a human is asked moves the deadline."""

    @cached_property
    def hook(self) -> RetabHook:
        """The hook of `retab_conn_id`."""
        return RetabHook(self.retab_conn_id)

    @property
    def seconds_between_looks(self) -> float:
        """Seconds between two looks at the run, at most."""
        raise NotImplementedError

    def timed_out(self, run: "WorkflowRun") -> Exception:
        """Return what the task fails with when its time is over."""
        raise NotImplementedError

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any] | None = None,
        run_id: str | None = None,
        deadline: float | None = None,
    ) -> dict[str, Any]:
        """Fetch the run that the trigger waited for, and end the task as it did.

        Args:
            context: The task's.
            event: What the trigger fired.
            run_id: The run that the task deferred for; `airflow dags test` loses it, then the XCom tells.
            deadline: When the wait has to end, seconds since the epoch.

        Raises:
            InvalidInputError: The event is missing, of another trigger, or about another run.
        """
        outcome = RunEvent.read(event, run_id=run_id or _own_run_id(context))
        with self.hook.get_conn() as client:
            run = client.get_run(outcome.run_id, output_nodes=self._nodes())
        if is_settled(run, self.on_review):
            return self._finish(context, run)
        self._push(context, run)
        if outcome.status == TIMEOUT:
            raise self.timed_out(run)
        if outcome.status == WAIT_FAILED:
            raise AirflowException(f"The triggerer could not wait for run {run.id}: {outcome.message}")
        # A human decided between the event and now, so the run goes on.
        raise self._deferral(run.id, deadline)

    def _deferral(self, run_id: str, deadline: float | None) -> TaskDeferred:
        from airflow_provider.triggers import SHORTEST_DEFERRAL, RetabRunTrigger

        return TaskDeferred(
            trigger=RetabRunTrigger(
                run_id,
                retab_conn_id=self.retab_conn_id,
                deadline=deadline,
                not_before=time.time() + SHORTEST_DEFERRAL,
                poll_interval=self.seconds_between_looks,
                on_review=self.on_review,
                pause_in_review=self.pause_in_review,
            ),
            method_name="execute_complete",
            kwargs={"run_id": run_id, "deadline": deadline},
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


def _own_run_id(context: Context) -> str | None:
    """Return the run id that this task left as an XCom before it deferred."""
    ti = context["ti"]
    run_id: str | None = ti.xcom_pull(task_ids=ti.task_id, key="run_id", map_indexes=ti.map_index)
    return run_id
