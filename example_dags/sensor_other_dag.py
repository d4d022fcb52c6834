"""Start a run in one DAG and wait for it in another, which others may trigger too. For Airflow 3.

Needs a connection `retab_default` of type `retab`. Trigger start_run with {"document": "/absolute/path/invoice.pdf"}.
"""

from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Param, dag, task

from airflow_provider.operators import RetabRunWorkflowOperator
from airflow_provider.sensors import RetabRunSensor


@dag(schedule=None, params={"document": Param(type="string", title="Absolute path or URI of an invoice")})
def start_run() -> None:
    """Start a run and hand its id over."""
    start = RetabRunWorkflowOperator(
        task_id="start",
        workflow_id="wf_invoice",
        documents={"start-node-1": "{{ params.document }}"},
        wait_for_completion=False,
    )
    hand_over = TriggerDagRunOperator(
        task_id="hand_over",
        trigger_dag_id="collect_run",
        conf={"retab_run_id": "{{ ti.xcom_pull('start', key='run_id') }}"},
    )
    start >> hand_over


@dag(schedule=None, params={"retab_run_id": Param(type="string", title="A run, run_...")})
def collect_run() -> None:
    """Wait for a run that something else has started, then book its invoice."""
    collect = RetabRunSensor(
        task_id="collect", run_id="{{ params.retab_run_id }}", mode="reschedule", poke_interval=30
    )

    @task
    def book(outputs: Any) -> str:
        invoice = outputs["end-node-1"]["json_data"]
        return f"{invoice['vendor_name']}: {invoice['total_amount']} {invoice['currency']}"

    book(collect.output)


start_run()
collect_run()
