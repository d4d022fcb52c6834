"""Run a workflow on each of many documents, without sending Retab all of them at once. For Airflow 3.

Needs a connection `retab_default` of type `retab`. Trigger it with
{"documents": ["/absolute/path/1.pdf", "/absolute/path/2.pdf"]}.
"""

from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider.operators import RetabRunWorkflowOperator


@dag(
    schedule=None, params={"documents": Param(type="array", items={"type": "string"}, title="Paths or URIs")}
)
def mapped_documents() -> None:
    """Read many invoices, then add them up."""

    @task
    def list_documents(params: Any = None) -> list[dict[str, str]]:
        return [{"start-node-1": document} for document in params["documents"]]

    read = RetabRunWorkflowOperator.partial(
        task_id="read_invoice",
        workflow_id="wf_invoice",
        on_review="wait",  # the outputs are added up: a human's answer comes first
        max_active_tis_per_dagrun=4,  # limits the runs that are open; a pool does so for all DAGs, once it is there
        map_index_template="{{ task.documents['start-node-1'] }}",
    ).expand(documents=list_documents())

    @task
    def add_up(outputs: Any) -> float:
        totals: list[float] = [each["end-node-1"]["json_data"]["total_amount"] for each in outputs]
        return sum(totals)

    add_up(read.output)


mapped_documents()
