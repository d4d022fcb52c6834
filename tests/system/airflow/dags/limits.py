"""Runs whose tasks run out of time, are stopped while they wait on the worker, or act on runs of others."""

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider.operators import (
    RetabCancelRunOperator,
    RetabRestartRunOperator,
    RetabRunWorkflowOperator,
)


class GivenUp(RetabRunWorkflowOperator):
    """Airflow ends its deferral long before its trigger has anything to say."""

    def _deferral(self, *given):
        deferred = super()._deferral(*given)
        deferred.timeout = timedelta(seconds=1)
        return deferred


ENDLESS = {"workflow_id": "wf_echo", "json_inputs": {"json-node-1": {"seconds": 3600}}}

with DAG("limits", schedule=None):
    RetabRunWorkflowOperator(task_id="late", execution_timeout=timedelta(seconds=12), **ENDLESS)
    RetabRunWorkflowOperator(
        task_id="late_here", execution_timeout=timedelta(seconds=4), deferrable=False, **ENDLESS
    )
    RetabRunWorkflowOperator(
        task_id="late_in_review",
        workflow_id="wf_invoice_review",
        documents={"start-node-1": "{{ dag_run.conf['document'] }}"},
        on_review="wait",
        execution_timeout=timedelta(seconds=12),
    )
    GivenUp(task_id="given_up", timeout=3600, **ENDLESS)
    RetabRunWorkflowOperator(task_id="stopped_here", deferrable=False, poll_interval=3, **ENDLESS)
    written = RetabRunWorkflowOperator(
        task_id="written",
        workflow_id="wf_invoice",
        documents={"start-node-1": "{{ dag_run.conf['document'] }}"},
        output_path="{{ dag_run.conf['folder'] }}/",
    )
    written >> RetabRestartRunOperator(
        task_id="restarted", run_id="{{ ti.xcom_pull('written', key='run_id') }}"
    )
    written >> RetabRunWorkflowOperator(
        task_id="backstopped",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"seconds": 25}},
        backstop=10,
        poll_interval=3,
    )
    endless = RetabRunWorkflowOperator(task_id="endless", wait_for_completion=False, **ENDLESS)
    endless >> RetabCancelRunOperator(
        task_id="cancelled", run_id="{{ ti.xcom_pull('endless', key='run_id') }}"
    )
