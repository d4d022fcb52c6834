"""RetabRunWorkflowOperator: starts a run, waits for it off the worker, hands its outputs on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import Context

from airflow_provider.controls import RetabCancelRunOperator, RetabRestartRunOperator
from airflow_provider.documents import ProgressLog, check_documents, find_documents
from airflow_provider.inputs import check_maps, check_text
from airflow_provider.owner import RunOwner

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
        metadata: Strings to tag the run with; current routes only.
        kwargs: How to wait, and when to cancel: all that `RunOwner` takes, and what every operator does.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workflow_id = workflow_id
        self.documents = documents
        self.json_inputs = json_inputs
        self.text_inputs = text_inputs
        self.version = version
        self.metadata = metadata
        check_text(workflow_id=workflow_id)
        check_documents(documents)
        check_maps(json_inputs=json_inputs, text_inputs=text_inputs, metadata=metadata)

    def start(self, client: "RetabClient", identity: "RunIdentity", adopt: bool) -> "WorkflowRun":
        """Start a run of the workflow, or return the one of this identity."""
        run = client.create_run(
            self.workflow_id,
            documents=find_documents(self.documents),
            json_inputs=self.json_inputs or None,
            text_inputs=self.text_inputs or None,
            version=self.version or None,
            metadata=self.metadata or None,
            identity=identity,
            adopt=adopt,
            on_progress=ProgressLog(),
        )
        self.log.info("Run %s of workflow %s is %s", run.id, self.workflow_id, run.status_name)
        return run

    def _push(self, context: Context, run: "WorkflowRun") -> None:
        # The answer to a create may hold no more than an id and a state.
        super()._push(
            context, run if run.workflow_id else run.model_copy(update={"workflow_id": self.workflow_id})
        )
