"""Tasks to be killed: each starts one run on the Retab that its DAG run names, and lives through two retries."""

import os
import signal
from datetime import timedelta

from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator


class StopsBeforeItDefers(RetabRunWorkflowOperator):
    """Stops itself, once, when its run is started and stored and Airflow does not know of the deferral yet."""

    def execute(self, context):
        try:
            return super().execute(context)
        except TaskDeferred:
            if context["ti"].try_number == 1:
                os.kill(os.getpid(), signal.SIGSTOP)
            raise


def task(operator, **settings):
    return operator(
        task_id="run",
        workflow_id="wf_echo",
        json_inputs={
            "json-node-1": {
                "seconds": "{{ dag_run.conf['seconds'] }}",
                "token": "{{ dag_run.conf['token'] }}",
            }
        },
        retab_conn_id="{{ dag_run.conf['connection'] }}",
        poll_interval=1,
        retries=2,
        retry_delay=timedelta(seconds=2),
        **settings,
    )


for name, operator, settings in (
    ("defers", RetabRunWorkflowOperator, {}),
    ("looks", RetabRunWorkflowOperator, {"defer_after": 60}),
    ("stops", StopsBeforeItDefers, {}),
):
    with DAG(name, schedule=None, render_template_as_native_obj=True, max_active_runs=100):
        task(operator, **settings)
