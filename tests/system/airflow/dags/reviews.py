"""Every value of on_review, in the triggerer and on the worker."""

from airflow.sdk import DAG

from airflow_provider.operators import RetabRunWorkflowOperator

with DAG("reviews", schedule=None):
    for policy in ("return", "wait", "fail", "skip"):
        for deferrable in (True, False):
            if (policy, deferrable) != ("wait", False):
                RetabRunWorkflowOperator(
                    task_id=f"{policy}_{'deferred' if deferrable else 'here'}",
                    workflow_id="wf_invoice_review",
                    documents={"start-node-1": "{{ dag_run.conf['document'] }}"},
                    deferrable=deferrable,
                    on_review=policy,
                    poll_interval=2,
                )
