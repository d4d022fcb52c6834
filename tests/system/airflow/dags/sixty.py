"""Sixty mapped runs of 0 to 12 seconds, none of which may be retried."""

from airflow.sdk import DAG

from airflow_provider.operators import RetabRunWorkflowOperator

with DAG("sixty", schedule=None):
    RetabRunWorkflowOperator.partial(task_id="run", workflow_id="wf_echo", retries=0, poll_interval=2).expand(
        json_inputs=[{"json-node-1": {"seconds": number * 12 / 59, "number": number}} for number in range(60)]
    )
