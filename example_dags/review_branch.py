"""Run a workflow that may stop for a human: go on at once if it did not, after the decision if it did. For Airflow 3.

Needs a connection `retab_default` of type `retab`. Trigger it with {"document": "/absolute/path/to/invoice.pdf"}.
Decide in Retab, or with `RetabClient().decide_review(run_id, "hil-node-1", approved=True)`.
"""

from typing import Any

from airflow.sdk import Param, dag, task

from airflow_provider.operators import RetabRunWorkflowOperator
from airflow_provider.sensors import RetabRunSensor

PARAMS = {
    "document": Param(type="string", title="Absolute path or URI of an invoice"),
    "workflow_id": Param("wf_invoice_review", type="string"),
}


@dag(schedule=None, params=PARAMS)
def review_branch() -> None:
    """Read an invoice, wait for its review if there is one, then book it."""
    read = RetabRunWorkflowOperator(
        task_id="read_invoice",
        workflow_id="{{ params.workflow_id }}",
        documents={"start-node-1": "{{ params.document }}"},
    )

    @task.branch
    def is_reviewed(status: str) -> str:
        return "wait_for_decision" if status == "waiting_for_human" else "book"

    decided = RetabRunSensor(
        task_id="wait_for_decision",
        run_id="{{ ti.xcom_pull('read_invoice', key='run_id') }}",
        deferrable=True,
        poke_interval=10,
    )

    @task(trigger_rule="none_failed_min_one_success")
    def book(at_once: Any, after_review: Any) -> str:
        invoice = (after_review or at_once)["end-node-1"]["json_data"]
        return f"{invoice['vendor_name']}: {invoice['total_amount']} {invoice['currency']}"

    branch = is_reviewed("{{ ti.xcom_pull('read_invoice', key='status') }}")
    booked = book(read.output, decided.output)
    read >> branch >> [decided, booked]


review_branch()
