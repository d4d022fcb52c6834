"""As many mapped runs as the environment says: waited for in the triggerer, or on the worker."""

import os

from airflow.sdk import DAG

from airflow_provider.operators import RetabRunWorkflowOperator

COUNT = int(os.environ["BENCH_RUNS"])

for name, deferrable in (("deferred", True), ("held", False)):
    with DAG(name, schedule=None) as dag:
        RetabRunWorkflowOperator.partial(
            task_id="run", workflow_id="wf_bench", deferrable=deferrable, retries=0
        ).expand(json_inputs=[{"start-json-1": {"number": number}} for number in range(COUNT)])
    globals()[name] = dag
