"""RetabRunWorkflowOperator: starts a run, waits for it off the worker, hands its outputs on."""

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    BaseOperator,
    Context,
)

from airflow_provider.documents import check_documents, find_documents
from airflow_provider.hooks import RetabHook
from airflow_provider.inputs import (
    OnReview,
    check_maps,
    check_nodes,
    check_on_review,
    check_seconds,
    check_text,
    is_rendered_later,
)
from airflow_provider.links import RetabRunLink
from airflow_provider.outcomes import is_settled, poll_policy
from airflow_provider.waiting import RunWaiter

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, WorkflowRun


class RetabRunWorkflowOperator(RunWaiter, BaseOperator):
    """Starts a run of a Retab workflow and returns its outputs, node id -> `{"label", "json_data"}`.

    The XComs `run_id`, `status`, `waiting_for_node_ids` and `run_url` are there from the moment the run exists. A run
    that ends in error, or is cancelled, fails the task with the run's own message.

    Args:
        workflow_id: The workflow.
        documents: Start node id -> absolute path, URI (`s3://connection@bucket/key`), or Retab file reference.
        json_inputs: Start node id -> JSON value.
        text_inputs: Start node id -> text; classic routes only.
        version: Which version of the workflow to run; current routes only.
        metadata: Strings to tag the run with; current routes only.
        output_nodes: The nodes whose outputs to return; None returns those of the workflow's ends.
        retab_conn_id: A connection of type `retab`.
        deferrable: Whether to wait in the triggerer; False waits on the worker.
        defer_after: Seconds to wait on the worker before deferring.
        poll_interval: Seconds between two looks at the run, at most; twice that while a human is asked.
        timeout: Seconds that the run may take, without the time in which a human is asked; None for any.
        wait_for_completion: False ends the task once the run exists.
        on_review: When the run waits for a human: `return` the outputs so far, `wait` on, `fail`, or `skip`.
    """

    template_fields: Sequence[str] = (
        "workflow_id",
        "documents",
        "json_inputs",
        "text_inputs",
        "version",
        "metadata",
        "output_nodes",
        "retab_conn_id",
    )
    # An input that ends in .json or .sql is an input, not the name of a template.
    template_ext: Sequence[str] = ()
    template_fields_renderers: ClassVar[dict[str, str]] = dict.fromkeys(
        ("documents", "json_inputs", "text_inputs", "metadata", "output_nodes"), "json"
    )
    operator_extra_links = (RetabRunLink(),)
    ui_color = "#e5e0fb"

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
        retab_conn_id: str = RetabHook.default_conn_name,
        deferrable: bool = True,
        defer_after: float = 0.0,
        poll_interval: float = 30.0,
        timeout: float | None = None,
        wait_for_completion: bool = True,
        on_review: OnReview = "return",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.documents = documents
        self.json_inputs = json_inputs
        self.text_inputs = text_inputs
        self.version = version
        self.metadata = metadata
        self.output_nodes = output_nodes
        self.retab_conn_id = retab_conn_id
        self.deferrable = deferrable
        self.defer_after = defer_after
        self.poll_interval = poll_interval
        self.timeout = timeout
        self.wait_for_completion = wait_for_completion
        self.on_review = check_on_review(on_review)
        self._run_id: str | None = None
        self._check()

    @property
    def seconds_between_looks(self) -> float:
        """`poll_interval`."""
        return self.poll_interval

    def timed_out(self, run: "WorkflowRun") -> Exception:
        """Return an error that names the run, which goes on."""
        from retab_orchestration import WaitTimeoutError

        told = f"Run {run.id} is still {run.status_name} after {self.timeout} s"
        return WaitTimeoutError(f"{told}; it goes on: wait for it with RetabRunSensor, or cancel it", run=run)

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the run, wait for it here as long as asked to, then defer until it has settled."""
        self.run_url = ""
        with self.hook.get_conn() as client:
            run = self._create(client)
            self._run_id = run.id
            self._push(context, run)
            if not self.wait_for_completion:
                return dict(run.final_outputs)
            deadline = None if self.timeout is None else time.time() + self.timeout
            run = self._wait_here(client, context, run)
        if is_settled(run, self.on_review):
            return self._finish(context, run)
        raise self._deferral(run.id, deadline)

    def on_kill(self) -> None:
        """Cancel the run that this worker started, if Retab answers at once; Airflow waits 5 s for us."""
        if self._run_id is None:
            return
        from retab_orchestration import RetryPolicy

        try:
            with self.hook.get_conn(timeout=1.5, retry=RetryPolicy(attempts=1)) as client:
                client.cancel_run(self._run_id)
        except Exception as error:  # noqa: BLE001  the task ends anyway, and this is all it can say
            self.log.warning("Run %s may go on, cancelling it failed: %s", self._run_id, error)

    def _check(self) -> None:
        check_text(workflow_id=self.workflow_id, retab_conn_id=self.retab_conn_id)
        check_documents(self.documents)
        check_maps(json_inputs=self.json_inputs, text_inputs=self.text_inputs, metadata=self.metadata)
        if not is_rendered_later(self.output_nodes):
            check_nodes(self.output_nodes)
        check_seconds(poll_interval=self.poll_interval, timeout=self.timeout)
        check_seconds(defer_after=self.defer_after, zero={"defer_after"})

    def _create(self, client: "RetabClient") -> "WorkflowRun":
        from retab_orchestration import CreateOutcomeUnknownError

        self._nodes()  # refused before the create rather than after
        try:
            run = client.create_run(
                self.workflow_id,
                documents=find_documents(self.documents),
                json_inputs=self.json_inputs or None,
                text_inputs=self.text_inputs or None,
                version=self.version or None,
                metadata=self.metadata or None,
            )
        except CreateOutcomeUnknownError as error:
            # A retry of the task could start the run a second time.
            raise AirflowFailException(str(error)) from error
        self.log.info("Run %s of workflow %s is %s", run.id, self.workflow_id, run.status_name)
        return run

    def _wait_here(self, client: "RetabClient", context: Context, run: "WorkflowRun") -> "WorkflowRun":
        from retab_orchestration import WaitTimeoutError

        if is_settled(run, self.on_review):
            return client.get_run(run.id, output_nodes=self._nodes())
        limits = [self.timeout, self.defer_after if self.deferrable else None]
        limit = min((each for each in limits if each is not None), default=None)
        if limit == 0:
            return run
        try:
            return client.wait_for_run(
                run.id,
                timeout=limit,
                poll=poll_policy(self.poll_interval),
                on_review="wait" if self.on_review == "wait" else "return",
                output_nodes=self._nodes(),
                on_change=lambda seen: self.log.info("Run %s is %s", seen.id, seen.status_name),
            )
        except WaitTimeoutError as error:
            last: WorkflowRun = error.run or run
            if limit == self.timeout:
                self._push(context, last)
                raise self.timed_out(last) from error
            return last

    def _push(self, context: Context, run: "WorkflowRun") -> None:
        # The answer to a create may hold no more than an id and a state.
        super()._push(
            context, run if run.workflow_id else run.model_copy(update={"workflow_id": self.workflow_id})
        )
