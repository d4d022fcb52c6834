"""Run a workflow on one document, and use what it read in the next task. For Airflow 3.

Needs a connection `retab_default` of type `retab`. Trigger it with {"document": "/absolute/path/to/invoice.pdf"}; a URI
such as s3://connection@bucket/invoice.pdf does as well.
"""

from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider.operators import RetabRunWorkflowOperator


@dag(schedule=None, params={"document": Param(type="string", title="Absolute path or URI of an invoice")})
def run_workflow() -> None:
    """Read an invoice, then book it."""
    read = RetabRunWorkflowOperator(
        task_id="read_invoice",
        workflow_id="wf_invoice",
        documents={"start-node-1": "{{ params.document }}"},
        on_review="wait",  # the next task uses the outputs: a human's answer comes first
    )

    @task
    def book(outputs: Any) -> str:
        invoice = outputs["end-node-1"]["json_data"]
        return f"{invoice['vendor_name']}: {invoice['total_amount']} {invoice['currency']}"

    book(read.output)


run_workflow()
