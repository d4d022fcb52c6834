"""DAGs that both Airflow 2.11 and 3.3 run with `dag.test()`; what differs between runs comes in their conf."""

from datetime import UTC, datetime

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider.operators import RetabRunWorkflowOperator
from airflow_provider.sensors import RetabRunSensor

START = datetime(2026, 1, 1, tzinfo=UTC)
DOCUMENTS = {"start-node-1": "{{ dag_run.conf.document }}"}
ENDLESS = {"json-node-1": {"seconds": 1_000_000}}

with DAG("every_way", schedule=None, start_date=START) as every_way:
    run = RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"seconds": 60, "dag": "{{ dag.dag_id }}"}},
    )
    here = RetabRunWorkflowOperator(
        task_id="here", workflow_id="wf_invoice", documents=DOCUMENTS, deferrable=False
    )
    there = RetabRunSensor(
        task_id="there", run_id="{{ dag_run.conf.other_run_id }}", deferrable=True, poke_interval=1
    )
    poked = RetabRunSensor(task_id="poked", run_id="{{ ti.xcom_pull('run', key='run_id') }}", poke_interval=1)

    @task
    def read(outputs):
        return outputs["end-node-1"]["json_data"]["vendor_name"]

    run >> here >> there >> poked >> read(here.output)

with DAG("mapped", schedule=None, start_date=START) as mapped:
    RetabRunWorkflowOperator.partial(task_id="run", workflow_id="wf_echo", deferrable=False).expand(
        json_inputs=[{"json-node-1": {"seconds": 0, "number": number}} for number in range(3)]
    )

with DAG("mapped_and_deferred", schedule=None, start_date=START) as mapped_and_deferred:
    RetabRunWorkflowOperator.partial(task_id="run", workflow_id="wf_echo").expand(
        json_inputs=[{"json-node-1": {"seconds": 20}}]
    )

with DAG("connected_by_database", schedule=None, start_date=START) as connected_by_database:
    RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"seconds": 60}},
        retab_conn_id="of_the_database",
    )

with DAG("missing", schedule=None, start_date=START) as missing:
    RetabRunSensor(
        task_id="run",
        run_id="run_nowhere",
        mode="reschedule",
        poke_interval=0.5,
        not_found_grace=0.3,
        timeout=10,
    )

with DAG("lost", schedule=None, start_date=START) as lost:
    RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", retries=2, retry_delay=0.1)

with DAG("tries", schedule=None, start_date=START) as tries:
    RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"seconds": 20}},
        retries=2,
        retry_delay=0.1,
    )

with DAG("bad_ends", schedule=None, start_date=START) as bad_ends:
    RetabRunWorkflowOperator(
        task_id="skips",
        workflow_id="wf_invoice_review",
        documents=DOCUMENTS,
        on_review="skip",
        deferrable=False,
    )
    RetabRunWorkflowOperator(task_id="fails", workflow_id="wf_fail", deferrable=False)

with DAG("endless", schedule=None, start_date=START) as endless:
    RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", json_inputs=ENDLESS, poll_interval=1)

with DAG("endless_here", schedule=None, start_date=START) as endless_here:
    RetabRunWorkflowOperator(
        task_id="run", workflow_id="wf_echo", json_inputs=ENDLESS, poll_interval=1, deferrable=False
    )
