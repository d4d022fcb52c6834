"""One run, waited for in every way a sensor can; and one that nobody would wait for."""

from airflow.sdk import DAG

from airflow_provider.operators import RetabRunWorkflowOperator
from airflow_provider.sensors import RetabRunSensor

WAYS = {
    "poke": {"poke_interval": 3, "mode": "poke"},
    "reschedule": {"poke_interval": 12, "mode": "reschedule"},
    "deferred": {"poke_interval": 3, "deferrable": True},
}

with DAG("sensors", schedule=None):
    start = RetabRunWorkflowOperator(
        task_id="start",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"seconds": 12}},
        wait_for_completion=False,
    )
    endless = RetabRunWorkflowOperator(
        task_id="endless",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"seconds": 3600}},
        wait_for_completion=False,
    )
    for name, way in WAYS.items():
        run_id = "{{ ti.xcom_pull('start', key='run_id') }}"
        start >> RetabRunSensor(task_id=name, run_id=run_id, **way)
        run_id = "{{ ti.xcom_pull('endless', key='run_id') }}"
        endless >> RetabRunSensor(task_id=f"{name}_late", run_id=run_id, timeout=2, **way)
