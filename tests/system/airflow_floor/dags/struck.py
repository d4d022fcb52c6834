"""Tasks that start by themselves, each on a Retab of its own with classic routes, and wait on the worker."""

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG

from airflow_provider.operators import RetabRunWorkflowOperator

for name in ("before", "after", "look"):
    with DAG(name, schedule="@once", start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        RetabRunWorkflowOperator(
            task_id="run",
            workflow_id="wf_echo",
            json_inputs={"json-node-1": {"seconds": 2}},
            retab_conn_id=f"retab_{name}",
            deferrable=False,
            poll_interval=1,
            retries=2,
            retry_delay=timedelta(seconds=1),
        )
