"""Runs that end badly, or that nobody knows the end of."""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider.operators import RetabRunWorkflowOperator

with DAG("ends", schedule=None):
    RetabRunWorkflowOperator(
        task_id="fails",
        workflow_id="wf_fail",
        json_inputs={"json-node-1": {"message": "The scanner was on fire"}},
    )
    RetabRunWorkflowOperator(
        task_id="late", workflow_id="wf_echo", json_inputs={"json-node-1": {"seconds": 3600}}, timeout=3
    )
    RetabRunWorkflowOperator(
        task_id="lost",
        workflow_id="wf_echo",
        retab_conn_id="retab_classic",
        retries=3,
        retry_delay=timedelta(seconds=1),
    )
