"""The DAG's `retries` change while a task waits, and its worker dies: that is a retry, which cancels nothing."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator

KEPT = 3


class Store(dict):
    """What `context["task_state_store"]` is on Airflow 3.3."""

    set = dict.__setitem__
    delete = dict.pop


@pytest.fixture(params=["kept", "kept nowhere"])
def attempt(request, context, ti, connect):
    """Begin an attempt of a task that has so many retries by now; return the run that it waits for."""
    ti.max_tries = KEPT
    context["dag_run"] = SimpleNamespace(id=7, clear_number=0, start_date=datetime.now(UTC))
    if request.param == "kept":
        context["task_state_store"] = Store()

    def begin(try_number, retries):
        ti.try_number = try_number
        task = RetabRunWorkflowOperator(
            task_id="run",
            workflow_id="wf_echo",
            json_inputs={"json-node-1": {"seconds": 3600}},
            retries=retries,
        )
        with pytest.raises(TaskDeferred) as deferred:
            task.execute(context)
        return deferred.value.kwargs["run_id"]

    return begin


@pytest.mark.parametrize("retries", [KEPT + 2, KEPT - 2], ids=["more", "fewer than a clear could explain"])
def test_retries_that_change_while_a_task_waits_make_no_clear_of_a_retry(attempt, context, client, retries):
    run_id = attempt(1, KEPT)
    context["dag_run"].clear_number = 1  # another task of the DAG run was cleared

    assert attempt(2, retries) == run_id
    assert client.get_run(run_id).status.value == "running"
