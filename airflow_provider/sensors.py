"""RetabRunSensor: waits for a run that something else started."""

import time
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
    TaskDeferred,
)

from airflow_provider.hooks import RetabHook
from airflow_provider.inputs import (
    OnReview,
    check_nodes,
    check_on_review,
    check_seconds,
    check_text,
    is_rendered_later,
)
from airflow_provider.links import RetabRunLink
from airflow_provider.outcomes import (
    TIMEOUT,
    WAIT_FAILED,
    RunEvent,
    conclude,
    is_settled,
    own_run_id,
    push_run,
)

if TYPE_CHECKING:
    from retab_orchestration import WorkflowRun


class RetabRunSensor(BaseSensorOperator):
    """Waits for a Retab run and returns its outputs, node id -> `{"label", "json_data"}`.

    It leaves the same XComs as the operator. A run that ends in error, or is cancelled, fails the task without a
    retry. `poke_interval`, `timeout`, `mode`, `soft_fail` and the rest are Airflow's own; `timeout` ends with
    AirflowSensorTimeout in every mode. With `mode="reschedule"`, Airflow 3.3 needs a `poke_interval` of 10 s or more.

    Args:
        run_id: The run, often `"{{ ti.xcom_pull('run', key='run_id') }}"`.
        retab_conn_id: A connection of type `retab`.
        output_nodes: The nodes whose outputs to return; None returns those of the workflow's ends.
        on_review: When the run waits for a human: `wait` on, `return` the outputs so far, `fail`, or `skip`.
        deferrable: Whether to wait in the triggerer, whatever `mode` says.
    """

    template_fields: Sequence[str] = ("run_id", "output_nodes", "retab_conn_id")
    operator_extra_links = (RetabRunLink(),)
    ui_color = "#e5e0fb"

    def __init__(
        self,
        *,
        run_id: str,
        retab_conn_id: str = RetabHook.default_conn_name,
        output_nodes: Sequence[str] | None = None,
        on_review: OnReview = "wait",
        deferrable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.retab_conn_id = retab_conn_id
        self.output_nodes = output_nodes
        self.on_review = check_on_review(on_review)
        self.deferrable = deferrable
        self.run_url: str | None = None
        self._pushed: str | None = None
        check_text(run_id=run_id, retab_conn_id=retab_conn_id)
        if not is_rendered_later(output_nodes):
            check_nodes(output_nodes)
        check_seconds(poke_interval=self.poke_interval, timeout=self.timeout, zero={"timeout"})

    @cached_property
    def hook(self) -> RetabHook:
        """The hook of `retab_conn_id`."""
        return RetabHook(self.retab_conn_id)

    def execute(self, context: Context) -> Any:
        """Look once and defer until the run has settled; without `deferrable`, poke as any sensor does."""
        if not self.deferrable:
            return super().execute(context)
        deadline = time.time() + self.timeout
        run = self._look()
        if is_settled(run, self.on_review):
            return self._finish(context, run)
        self._push(context, run)
        raise self._deferral(run.id, deadline)

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once."""
        run = self._look()
        if not is_settled(run, self.on_review):
            self._push(context, run)
            return PokeReturnValue(is_done=False)
        return PokeReturnValue(is_done=True, xcom_value=self._finish(context, run))

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
            AirflowSensorTimeout: The deadline passed.
        """
        outcome = RunEvent.read(event, run_id=run_id or own_run_id(context))
        run = self._look()
        if is_settled(run, self.on_review):
            return self._finish(context, run)
        self._push(context, run)
        if outcome.status == TIMEOUT:
            raise AirflowSensorTimeout(f"Run {run.id} is still {run.status_name} after {self.timeout:g} s")
        if outcome.status == WAIT_FAILED:
            raise AirflowException(f"The triggerer could not wait for run {run.id}: {outcome.message}")
        raise self._deferral(
            run.id, deadline
        )  # a human decided between the event and now, so the run goes on

    def _look(self) -> "WorkflowRun":
        with self.hook.get_conn() as client:
            return client.get_run(self.run_id, output_nodes=check_nodes(self.output_nodes))

    def _finish(self, context: Context, run: "WorkflowRun") -> dict[str, Any]:
        from retab_orchestration import RetabError

        self._push(context, run)
        self.log.info("Run %s is %s", run.id, run.status_name)
        try:
            return conclude(run, self.on_review)
        except RetabError as error:
            # Looking again changes nothing; and this is what soft_fail and never_fail understand in every mode.
            raise AirflowFailException(str(error)) from error

    def _push(self, context: Context, run: "WorkflowRun") -> None:
        if run.status_name != self._pushed:
            self.run_url = self.hook.run_url(run.workflow_id, run.id)
            push_run(context, run, self.run_url)
            self._pushed = run.status_name

    def _deferral(self, run_id: str, deadline: float | None) -> TaskDeferred:
        from airflow_provider.triggers import SHORTEST_DEFERRAL, RetabRunTrigger

        return TaskDeferred(
            trigger=RetabRunTrigger(
                run_id,
                retab_conn_id=self.retab_conn_id,
                deadline=deadline,
                not_before=time.time() + SHORTEST_DEFERRAL,
                poll_interval=self.poke_interval,
                on_review=self.on_review,
                pause_in_review=False,
            ),
            method_name="execute_complete",
            kwargs={"run_id": run_id, "deadline": deadline},
        )
