"""Operators for runs that are there already: cancel one, or run its inputs again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider.hooks import RetabHook
from airflow_provider.inputs import OnReview, check_text
from airflow_provider.links import RetabRunLink
from airflow_provider.outcomes import failing_well, push_run
from airflow_provider.owner import RunOwner, check_waiting
from airflow_provider.ownership import OnClear
from airflow_provider.stopping import CancelOnTimeout

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun


class RetabRestartRunOperator(RunOwner):
    """Runs the inputs of a run again, in the version that is published now, and returns the new run's outputs.

    The new run is this task's as that of a RetabRunWorkflowOperator is, and the XComs are the same; the old run stays
    as it is.

    Args:
        run_id: The run to repeat.
        output_nodes: The nodes whose outputs to return; None returns those of the workflow's ends.
        output_path: An absolute path or a URI to write the outputs to, as JSON; the task then returns
            `{"uri", "size", "sha256", "run_id", "status"}`. A file `<run id>.json` in it where it ends with a slash.
        retab_conn_id: A connection of type `retab`.
        deferrable: Whether to wait in the triggerer; False waits on the worker.
        defer_after: Seconds to wait on the worker before deferring.
        poll_interval: Seconds between two looks at the run, at most; twice that while a human is asked.
        timeout: Seconds that an attempt may wait, without the time in which a human is asked; None for any.
        wait_for_completion: False ends the task once the run exists.
        on_review: When the run waits for a human: `return` the outputs so far, `wait` on, `fail`, or `skip`.
        on_clear: When the task is cleared: `rerun`, cancelling the old run if it goes on, or `reattach` to it.
        cancel_on_timeout: Whether to cancel the run when `timeout` or `execution_timeout` has passed; it is spared
            while it waits for a human, unless this is `always`.
        cancel_on_kill: Whether to cancel the run when the task is stopped.
        kwargs: What every operator takes.
    """

    template_fields: Sequence[str] = ("run_id", "output_nodes", "output_path", "retab_conn_id")
    may_start_again = True

    def __init__(
        self,
        *,
        run_id: str,
        output_nodes: Sequence[str] | None = None,
        output_path: Any = None,
        retab_conn_id: str = RetabHook.default_conn_name,
        deferrable: bool = True,
        defer_after: float = 0.0,
        poll_interval: float = 30.0,
        timeout: float | None = None,
        wait_for_completion: bool = True,
        on_review: OnReview = "return",
        on_clear: OnClear = "rerun",
        cancel_on_timeout: CancelOnTimeout = True,
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_nodes, self.output_path, self.retab_conn_id = output_nodes, output_path, retab_conn_id
        self.deferrable, self.defer_after = deferrable, defer_after
        self.poll_interval, self.timeout = poll_interval, timeout
        self.wait_for_completion, self.on_review, self.on_clear = wait_for_completion, on_review, on_clear
        self.cancel_on_timeout, self.cancel_on_kill = cancel_on_timeout, cancel_on_kill
        self.run_id = run_id
        check_waiting(self)
        check_text(run_id=run_id)

    def start(self, client: "RetabClient", identity: "RunIdentity", adopt: bool) -> "WorkflowRun":
        """Restart the run, or return the one of this identity."""
        run = client.restart_run(self.run_id, identity=identity, adopt=adopt)
        self.log.info("Run %s repeats run %s and is %s", run.id, self.run_id, run.status_name)
        return run


class RetabCancelRunOperator(BaseOperator):
    """Cancels a run; one that has ended already stays as it is, and the task succeeds.

    It returns `{"run_id", "status", "cancellation"}`, the last being what Retab said: `cancelled`,
    `cancellation_requested`, or `cancellation_failed` for a run that had ended.

    Args:
        run_id: The run.
        retab_conn_id: A connection of type `retab`.
    """

    template_fields: Sequence[str] = ("run_id", "retab_conn_id")
    operator_extra_links = (RetabRunLink(),)
    ui_color = "#e5e0fb"

    def __init__(
        self, *, run_id: str, retab_conn_id: str = RetabHook.default_conn_name, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
        self.retab_conn_id = retab_conn_id
        self.run_url: str | None = None
        check_text(run_id=run_id, retab_conn_id=retab_conn_id)

    def execute(self, context: Context) -> dict[str, Any]:
        """Cancel the run."""
        self.run_url = ""
        hook = RetabHook(self.retab_conn_id)
        with failing_well(), hook.get_conn() as client:
            run = client.cancel_run(self.run_id)
            self.run_url = hook.run_url(run.workflow_id, run.id)
        push_run(context, run, self.run_url)
        self.log.info("Run %s is %s", run.id, run.status_name)
        return {"run_id": run.id, "status": run.status.value, "cancellation": run.cancellation.status}
