"""Retab's operations as Prefect tasks: the plain name blocks, the name with an `a` before it awaits."""

from prefect_collection.tasks.reviews import adecide_review, decide_review
from prefect_collection.tasks.runs import (
    acancel_run,
    acreate_run,
    aget_run,
    alist_runs,
    alist_steps,
    arestart_run,
    cancel_run,
    create_run,
    get_run,
    list_runs,
    list_steps,
    restart_run,
)
from prefect_collection.tasks.test_runs import acreate_test_run, create_test_run
from prefect_collection.tasks.waits import await_for_run, wait_for_run

__all__ = [
    "acancel_run",
    "acreate_run",
    "acreate_test_run",
    "adecide_review",
    "aget_run",
    "alist_runs",
    "alist_steps",
    "arestart_run",
    "await_for_run",
    "cancel_run",
    "create_run",
    "create_test_run",
    "decide_review",
    "get_run",
    "list_runs",
    "list_steps",
    "restart_run",
    "wait_for_run",
]
