"""Operators for runs that are there already: cancel one, or run its inputs again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider.hooks import RetabHook
from airflow_provider.inputs import check_text
from airflow_provider.links import RetabRunLink
from airflow_provider.outcomes import failing_well, push_run
from airflow_provider.owner import RunOwner

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun


class RetabRestartRunOperator(RunOwner):
    """Runs the inputs of a run again, in the version that is published now, and returns the new run's outputs.

    The new run is this task's as that of a RetabRunWorkflowOperator is, and the XComs are the same; the old run stays
    as it is.

    Args:
        run_id: The run to repeat.
        kwargs: How to wait, and when to cancel: all that `RunOwner` takes, and what every operator does.
    """

    template_fields: Sequence[str] = ("run_id", "output_nodes", "output_path", "retab_conn_id")
    may_start_again = True

    def __init__(self, *, run_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_id = run_id
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
