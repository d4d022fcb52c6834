"""What ends the process of a task that has ended, or is deferred, does not cancel the run that the task left to go on.

Airflow 3 asks a process to end whose callbacks take longer than `[core] task_success_overtime`; so does the end of its
machine.
"""

from contextlib import suppress

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider.operators import RetabRunWorkflowOperator
from retab_orchestration import ReviewRequiredError


@pytest.fixture
def status(ti, client):
    return lambda: client.get_run(ti.xcoms["run_id"]).status.value


@pytest.fixture
def end(context, ti, execute):
    """Execute a task as a worker does, which notes the state in the end; an error is an end as well."""

    def act(task, state, *, through_deferrals=True):
        ti.state = "running"
        task.pre_execute(context)
        with suppress(
            AirflowException, AirflowSkipException, AirflowTaskTimeout, ReviewRequiredError, TaskDeferred
        ):
            execute(task) if through_deferrals else task.execute(context)
        ti.state = state

    return act


def echo(**settings):
    json_inputs = {"json-node-1": {"seconds": 3600}}
    return RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", json_inputs=json_inputs, **settings)


def test_a_run_that_is_not_waited_for_goes_on(connect, end, status):
    task = echo(wait_for_completion=False)
    end(task, "success")

    task.on_kill()

    assert status() == "running"


def test_a_run_that_a_trigger_waits_for_goes_on(connect, end, status):
    task = echo()
    end(task, "deferred", through_deferrals=False)

    task.on_kill()

    assert status() == "running"


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(
    ("on_review", "state"), [("return", "success"), ("fail", "failed"), ("skip", "skipped")]
)
def test_a_run_that_waits_for_a_human_goes_on(connect, end, status, invoice, on_review, state, deferrable):
    task = RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_invoice_review",
        documents={"start-node-1": str(invoice)},
        on_review=on_review,
        deferrable=deferrable,
        poll_interval=0.1,
    )
    end(task, state)

    task.on_kill()

    assert status() == "waiting_for_human"


@pytest.mark.parametrize("state", ["failed", "up_for_retry"])
def test_a_run_that_is_to_outlive_an_execution_timeout_goes_on(connect, ti, end, status, monkeypatch, state):
    """Airflow calls `on_kill` for the time-out itself, and again when it ends the process."""
    task, push = echo(cancel_on_timeout=False), ti.xcom_push

    def be_late(key, value):
        push(key, value)
        if key == "run_url":
            raise AirflowTaskTimeout

    monkeypatch.setattr(ti, "xcom_push", be_late)
    end(task, state)

    task.on_kill()

    assert status() == "running"


@pytest.mark.parametrize("state", ["running", None])
def test_a_run_whose_task_still_has_to_report_is_cancelled(connect, end, status, state):
    task = echo(wait_for_completion=False)
    end(task, state)

    task.on_kill()

    assert status() == "cancelled"


@pytest.mark.parametrize(
    ("state", "becomes"), [("running", "running"), ("success", "running"), ("failed", "cancelled")]
)
def test_on_airflow_2_a_task_that_is_marked_while_its_callbacks_run_stops_its_run(
    connect, ti, end, status, state, becomes
):
    """It reports its end once they have run."""
    task = echo(wait_for_completion=False)
    end(task, "success")
    ti.current_state = lambda: state

    task.on_kill()

    assert status() == becomes
