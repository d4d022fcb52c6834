"""A task that waits on its worker, in a DAG run that is deleted and made again."""

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG

from airflow_provider.operators import RetabRunWorkflowOperator

with DAG("remade", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"seconds": 1}},
        retab_conn_id="retab_remade",
        deferrable=False,
        poll_interval=1,
    )
