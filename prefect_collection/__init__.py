"""Retab for Prefect: an account and a workflow as blocks, operations as tasks, and the usual case as a flow."""

from prefect_collection.cancellation import (
    cancel_retab_runs,
    cancel_runs_of_flow_run,
    cancellation_automation,
)
from prefect_collection.credentials import RetabCredentials
from prefect_collection.flows import arun_workflow, run_workflow
from prefect_collection.tasks import (
    acancel_run,
    acreate_run,
    acreate_test_run,
    adecide_review,
    aget_run,
    alist_runs,
    alist_steps,
    arestart_run,
    await_for_run,
    cancel_run,
    create_run,
    create_test_run,
    decide_review,
    get_run,
    list_runs,
    list_steps,
    restart_run,
    wait_for_run,
)
from prefect_collection.workflow import RetabRun, RetabWorkflow

__all__ = [
    "RetabCredentials",
    "RetabRun",
    "RetabWorkflow",
    "acancel_run",
    "acreate_run",
    "acreate_test_run",
    "adecide_review",
    "aget_run",
    "alist_runs",
    "alist_steps",
    "arestart_run",
    "arun_workflow",
    "await_for_run",
    "cancel_retab_runs",
    "cancel_run",
    "cancel_runs_of_flow_run",
    "cancellation_automation",
    "create_run",
    "create_test_run",
    "decide_review",
    "get_run",
    "list_runs",
    "list_steps",
    "restart_run",
    "run_workflow",
    "wait_for_run",
]
