"""RetabRunSensor: waits for a run that something else started."""

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    BaseSensorOperator,
    Context,
    PokeReturnValue,
)

from airflow_provider._arguments import (
    CHECKS,
    LONGEST,
    Checks,
    OnReview,
    as_seconds,
    by_name,
    check_each,
    check_seconds,
    checked_partial,
)
from airflow_provider._core import core
from airflow_provider._waiting.deadlines import Wait, moment_after
from airflow_provider._waiting.events import (
    OUT_OF_TIME,
    RunEvent,
    failing_well,
    failing_well_if_mapped,
    is_settled,
    own_run_id,
    waited_for,
)
from airflow_provider._waiting.failing import heeding_flags, limit_of, too_late
from airflow_provider._waiting.resume import Action, RunWait
from airflow_provider.hooks import RetabHook
from airflow_provider.links import RetabRunLink

if TYPE_CHECKING:
    from retab_orchestration import RetabError, WorkflowRun
    from retab_orchestration.policies import ErrorBudget

_CHECKS: Checks = {
    **CHECKS,
    **by_name(partial(check_seconds, zero={"not_found_grace"}), "not_found_grace"),
}


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
        deferrable: Whether to wait in the triggerer, whatever `mode` says; None for Airflow's setting
            `[operators] default_deferrable`.
        not_found_grace: Seconds, or a timedelta, from the first poke for which a run may not be found yet; after that
            the sensor fails once three polls in a row do not find it.
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
        deferrable: bool | None = None,
        not_found_grace: float | timedelta = 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.retab_conn_id = retab_conn_id
        self.output_nodes = output_nodes
        self.on_review: OnReview = on_review
        default = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = default if deferrable is None else deferrable
        self.not_found_grace: float = as_seconds(not_found_grace)
        self._pushed: tuple[str, tuple[str, ...]] | None = None
        # Of a sensor that polls, Airflow itself counts the time, which may be without an end.
        timeout = self.timeout if self.deferrable else min(self.timeout, LONGEST)
        with failing_well_if_mapped(self):
            check_each(_CHECKS, vars(self))
            check_seconds(poke_interval=self.poke_interval, timeout=timeout, zero={"timeout"})

    @cached_property
    def hook(self) -> RetabHook:
        """The hook of `retab_conn_id`."""
        return RetabHook(self.retab_conn_id)

    @cached_property
    def _waiting(self) -> RunWait:
        return RunWait(self, self.hook, poll_interval=float(self.poke_interval), owns_run=False)

    @property
    def run_url(self) -> str:
        """Where to see the run; empty until this process has seen it."""
        return self._waiting.run_url

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Begin to map the sensor, refusing invalid literals while the DAG file is parsed."""
        return checked_partial(super().partial(**kwargs), partial(check_each, _CHECKS))

    def execute(self, context: Context) -> Any:
        """Poll once and defer until the run has settled; without `deferrable`, poke as any sensor does."""
        if not self.deferrable:
            with heeding_flags(self, failures=(AirflowSensorTimeout, AirflowSkipException)):
                return super().execute(context)
        # Airflow's sensors count every second, those in which a human is asked as well.
        wait = Wait(
            strict_deadline=moment_after(limit_of(self)[0]),
            not_found_until=moment_after(self.not_found_grace),
        )
        with heeding_flags(self, partial(self._poll_on, context, self.run_id, wait)), _failing_well(self):
            run = self._poll_run(context)
            if run is not None and is_settled(run, self.on_review):
                return self._finish(context, run)
            if run is not None:
                self._push(context, run)
            raise self._waiting.defer(context, self.run_id, wait)

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, run_id: str | None = None, **clocks: Any
    ) -> dict[str, Any]:
        """Fetch the run that the trigger waited for, and end the task as it did.

        Args:
            context: The task's.
            event: What the trigger fired.
            run_id: The run that the task deferred for; `airflow dags test` loses it, then the XCom tells.
            clocks: The fields of the `Wait` that the task deferred with.

        Raises:
            AirflowFailException: Another attempt would end as this one did.
            AirflowSensorTimeout: The time is over.
        """
        known, wait = waited_for(context, run_id, clocks)
        with (
            heeding_flags(self, partial(self._poll_on, context, known or self.run_id, wait)),
            _failing_well(self),
        ):
            outcome = RunEvent.read(event, run_id=known or self.run_id)
            with self.hook.get_conn_through_outages() as client:
                resumed = self._waiting.resume(client, context, outcome, wait)
            run = resumed.run
            if resumed.action is Action.DEFER:
                raise self._waiting.defer(context, outcome.run_id, resumed.wait, resumed.nodes)
            if run is None:
                raise too_late(self, f"Run {outcome.run_id} could not be polled after")
            if resumed.action is Action.TIMED_OUT:  # the run is not the sensor's to cancel
                raise too_late(self, f"Run {run.id} is still {run.status_name} after")
            return self._finish(context, run)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; where Airflow itself ended the deferral because its time is over, poll the run once more."""
        if next_method != "__fail__":
            # Not as Airflow's sensors, whose flags mean another thing here than in a poke.
            return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)
        if "timeout" in str((next_kwargs or {}).get("error")).lower():
            run_id = own_run_id(context) or self.run_id
            event = {"run_id": run_id, "status": OUT_OF_TIME}
            return self.execute_complete(context, event, run_id, strict_deadline=time.time())
        with heeding_flags(self):
            return super().resume_execution(next_method, next_kwargs, context)

    def _poll_on(self, context: Context, run_id: str | None, wait: Wait) -> BaseException:
        if run_id is None or (wait.strict_deadline is not None and time.time() >= wait.strict_deadline):
            return too_late(self, f"Run {run_id} could not be polled after")
        deferral: BaseException = self._waiting.defer(context, run_id, replace(wait, failing_since=None))
        return deferral

    def poke(self, context: Context) -> PokeReturnValue:
        """Poll once."""
        with _failing_well(self):
            run = self._poll_run(context)
            if run is None:
                return PokeReturnValue(is_done=False)
            if is_settled(run, self.on_review):
                return PokeReturnValue(is_done=True, xcom_value=self._finish(context, run))
            self._push(context, run)
            return PokeReturnValue(is_done=False)

    def _poll_run(self, context: Context) -> "WorkflowRun | None":
        """Return the run; None where it could not be seen this time, which is forgiven."""
        from airflow_provider._waiting.poke import poke

        return poke(self, context, self._errors)

    @cached_property
    def _errors(self) -> "ErrorBudget":
        return core.policies.ErrorBudget(core.PollPolicy().error_budget, self.not_found_grace)

    def _finish(self, context: Context, run: "WorkflowRun") -> dict[str, Any]:
        try:
            return self._waiting.finish(context, run)
        except core.RetabError as error:
            # Polling again changes nothing; and this is what soft_fail and never_fail understand in every mode.
            failure = _final(error, self.retab_conn_id)
            raise failure from failure.__cause__

    def _push(self, context: Context, run: "WorkflowRun") -> None:
        state = (run.status_name, run.waiting_for_node_ids)
        if state != self._pushed:
            self._waiting.log_state(run)
            self._waiting.push(context, run)
            self._pushed = state


def _final(error: "RetabError", conn_id: str) -> AirflowFailException:
    from airflow_provider._errors import final_error

    return final_error(error, conn_id)


def _failing_well(sensor: RetabRunSensor) -> AbstractContextManager[None]:
    # A sensor that may not fail is skipped, which is no error.
    level = logging.INFO if sensor.soft_fail or sensor.never_fail else logging.ERROR
    return failing_well(sensor.retab_conn_id, level)
