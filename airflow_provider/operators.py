"""The operators: run a workflow, run the inputs of a run again, cancel a run."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider._arguments import (
    CHECKS,
    OnReview,
    as_json,
    as_metadata,
    as_seconds,
    check_each,
    check_pulled,
    check_text,
    checked_partial,
)
from airflow_provider._cancelling.on_kill import CancelOnTimeout
from airflow_provider._create_once.ownership import OnClear
from airflow_provider._documents import (
    ProgressLog,
    check_no_content,
    check_rendered,
    find_documents,
    rendered_later,
)
from airflow_provider._run_owner import RunOwner, check_own_arguments
from airflow_provider._waiting.deadlines import Wait
from airflow_provider._waiting.events import failing_well, failing_well_if_mapped, push_run
from airflow_provider.hooks import RetabHook
from airflow_provider.links import RetabRunLink

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun

__all__ = ["RetabCancelRunOperator", "RetabRestartRunOperator", "RetabRunWorkflowOperator"]


class RetabRunWorkflowOperator(RunOwner):
    """Starts a run of a Retab workflow and returns its outputs, node id -> `{"label", "json_data"}`.

    The XComs `run_id`, `status`, `waiting_for_node_ids` and `run_url` are there from the moment the run exists. A run
    that ends in error, or is cancelled, fails the task with the run's own message. A retry never starts a second run
    while there is one: it takes up the run of the attempt before it, or returns its outputs.

    Args:
        workflow_id: The workflow.
        documents: Start node id -> absolute path, URI (`s3://connection@bucket/key`), or Retab file reference.
        json_inputs: Start node id -> JSON value.
        text_inputs: Start node id -> text; classic routes only.
        version: Which version of the workflow to run; current routes only.
        metadata: What to tag the run with, numbers as text; current routes only.
        output_nodes: The nodes whose outputs to return; None returns those of the workflow's ends.
        output_path: An absolute path or a URI to write the outputs to, as JSON; the task then returns
            `{"uri", "size", "sha256", "run_id", "status"}`. A file `<run id>.json` in it where it ends with a slash.
        retab_conn_id: A connection of type `retab`.
        deferrable: Whether to wait in the triggerer; False waits on the worker.
        defer_after: Seconds, or a timedelta, to wait on the worker before deferring.
        poll_interval: Seconds, or a timedelta, between two polls of the run, at most; twice that while a human is
            asked.
        timeout: Seconds, or a timedelta, that an attempt may wait, without the time in which a human is asked; None for
            any.
        backstop: Seconds, or a timedelta, after which a deferral that no limit ends is resumed, to poll the run and to
            defer again: its trigger may be lost. None for never.
        wait_for_completion: False ends the task once the run exists.
        on_review: When the run waits for a human: `return` the outputs so far, `wait` on, `fail`, or `skip`.
        on_clear: When the task is cleared: `rerun`, cancelling the old run if it goes on, or `reattach` to it.
        cancel_on_timeout: Whether to cancel the run when `timeout` or `execution_timeout` has passed; it is spared
            while it waits for a human, unless this is `always`.
        cancel_on_kill: Whether to cancel the run when the task is stopped.
        kwargs: What every operator takes.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "documents",
        "json_inputs",
        "text_inputs",
        "version",
        "metadata",
        "output_nodes",
        "output_path",
        "retab_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = dict.fromkeys(
        ("documents", "json_inputs", "text_inputs", "metadata", "output_nodes"), "json"
    )

    def __init__(
        self,
        *,
        workflow_id: str,
        documents: Mapping[str, Any] | None = None,
        json_inputs: Mapping[str, Any] | None = None,
        text_inputs: Mapping[str, str] | None = None,
        version: str | None = None,
        metadata: Mapping[str, str] | None = None,
        output_nodes: Sequence[str] | None = None,
        output_path: Any = None,
        retab_conn_id: str = RetabHook.default_conn_name,
        deferrable: bool = True,
        defer_after: float | timedelta = 0.0,
        poll_interval: float | timedelta = 30.0,
        timeout: float | timedelta | None = None,
        backstop: float | timedelta | None = timedelta(days=1),
        wait_for_completion: bool = True,
        on_review: OnReview = "return",
        on_clear: OnClear = "rerun",
        cancel_on_timeout: CancelOnTimeout = True,
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_nodes, self.output_path, self.retab_conn_id = output_nodes, output_path, retab_conn_id
        self.deferrable, self.defer_after = deferrable, as_seconds(defer_after)
        self.poll_interval, self.timeout = as_seconds(poll_interval), as_seconds(timeout)
        self.backstop = as_seconds(backstop)
        self.wait_for_completion, self.on_review, self.on_clear = wait_for_completion, on_review, on_clear
        self.cancel_on_timeout, self.cancel_on_kill = cancel_on_timeout, cancel_on_kill
        self.workflow_id, self.version, self.documents = workflow_id, version, documents
        self.json_inputs, self.text_inputs, self.metadata = json_inputs, text_inputs, metadata
        self._later = rendered_later(**self._optional_inputs)
        self._given_path = output_path
        check_own_arguments(self)

    @property
    def _optional_inputs(self) -> dict[str, Any]:
        names = ("documents", "json_inputs", "text_inputs", "version", "metadata", "output_nodes")
        return {name: getattr(self, name) for name in names}

    def _do_render_template_fields(self, parent: Any, *given: Any, **named: Any) -> None:
        # Airflow stores what was rendered before it executes the task, and a mapped operator calls this alone.
        super()._do_render_template_fields(parent, *given, **named)
        if parent is self:
            with failing_well(self.retab_conn_id):
                check_no_content(**self._optional_inputs)

    def _check_rendered(self, wait: Wait) -> None:
        super()._check_rendered(wait)
        check_rendered(self._later, **self._optional_inputs)
        check_pulled(workflow_id=self.workflow_id)

    def start(self, client: "RetabClient", identity: "RunIdentity", adopt: bool) -> "WorkflowRun":
        """Start a run of the workflow, or return the one of this identity."""
        run = client.create_run(
            self.workflow_id,
            documents=find_documents(self.documents),
            json_inputs=as_json(self.json_inputs),
            text_inputs=self.text_inputs,
            version=self.version,
            metadata=as_metadata(self.metadata),
            identity=identity,
            adopt=adopt,
            on_progress=ProgressLog(),
        )
        self.log.info("Run %s of workflow %s is %s", run.id, self.workflow_id, run.status_name)
        return run


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
        defer_after: Seconds, or a timedelta, to wait on the worker before deferring.
        poll_interval: Seconds, or a timedelta, between two polls of the run, at most; twice that while a human is
            asked.
        timeout: Seconds, or a timedelta, that an attempt may wait, without the time in which a human is asked; None for
            any.
        backstop: Seconds, or a timedelta, after which a deferral that no limit ends is resumed, to poll the run and to
            defer again: its trigger may be lost. None for never.
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
        defer_after: float | timedelta = 0.0,
        poll_interval: float | timedelta = 30.0,
        timeout: float | timedelta | None = None,
        backstop: float | timedelta | None = timedelta(days=1),
        wait_for_completion: bool = True,
        on_review: OnReview = "return",
        on_clear: OnClear = "rerun",
        cancel_on_timeout: CancelOnTimeout = True,
        cancel_on_kill: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_nodes, self.output_path, self.retab_conn_id = output_nodes, output_path, retab_conn_id
        self.deferrable, self.defer_after = deferrable, as_seconds(defer_after)
        self.poll_interval, self.timeout = as_seconds(poll_interval), as_seconds(timeout)
        self.backstop = as_seconds(backstop)
        self.wait_for_completion, self.on_review, self.on_clear = wait_for_completion, on_review, on_clear
        self.cancel_on_timeout, self.cancel_on_kill = cancel_on_timeout, cancel_on_kill
        self.run_id = run_id
        self._given_path = output_path
        check_own_arguments(self)

    def start(self, client: "RetabClient", identity: "RunIdentity", adopt: bool) -> "WorkflowRun":
        """Restart the run, or return the one of this identity."""
        check_pulled(run_id=self.run_id)
        run = client.restart_run(self.run_id, identity=identity, adopt=adopt)
        self.log.info("Run %s repeats run %s and is %s", run.id, self.run_id, run.status_name)
        return run


class RetabCancelRunOperator(BaseOperator):
    """Cancels a run; one that has ended already stays as it is, and the task succeeds.

    It returns `{"run_id", "status", "cancellation"}`, the last being what Retab said: `cancelled`,
    `cancellation_requested`, or `cancellation_failed` for a run that had ended, or that Retab refused to cancel.

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
        self.run_url = ""
        with failing_well_if_mapped(self):
            check_text(run_id=run_id, retab_conn_id=retab_conn_id)

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Begin to map the operator, refusing invalid literals while the DAG file is parsed."""
        return checked_partial(super().partial(**kwargs), partial(check_each, CHECKS))

    def execute(self, context: Context) -> dict[str, Any]:
        """Cancel the run."""
        hook = RetabHook(self.retab_conn_id)
        with failing_well(self.retab_conn_id):
            check_pulled(run_id=self.run_id)
            with hook.get_conn() as client:
                run = client.cancel_run(self.run_id)
                self.run_url = hook.run_url(run.workflow_id, run.id)
        push_run(context, run, self.run_url, is_link_only=not self.do_xcom_push)
        self.log.info("Run %s is %s", run.id, run.status_name)
        return {"run_id": run.id, "status": run.status.value, "cancellation": run.cancellation.status}
