"""`timeout`, `execution_timeout` and Airflow's own end of a deferral: each ends the wait, and the run."""

import threading
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator
from retab_orchestration import RunFailedError, WaitTimeoutError
from tests.airflow_provider.refusals import refused
from tests.sweep.sockets import hurry


class Store(dict):
    """What `context["task_state_store"]` is on Airflow 3.3."""

    set = dict.__setitem__
    delete = dict.pop


def echo(seconds=3600, **settings):
    json_inputs = {"json-node-1": {"seconds": seconds}}
    return RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", json_inputs=json_inputs, **settings)


@pytest.fixture(params=[True, False], ids=["deferrable", "on the worker"])
def deferrable(request):
    return request.param


@pytest.fixture
def status(client, ti):
    return lambda: client.get_run(ti.xcoms["run_id"]).status.value


CANCELS = [(True, "cancelled"), ("always", "cancelled"), (False, "running")]


@pytest.mark.parametrize(("cancel", "becomes"), CANCELS)
def test_timeout_ends_the_run_unless_told_otherwise(connect, execute, status, deferrable, cancel, becomes):
    task = echo(timeout=1, deferrable=deferrable, cancel_on_timeout=cancel)

    with pytest.raises(WaitTimeoutError, match=r"after 1 s \(timeout\)"):
        execute(task)

    assert status() == becomes


@pytest.mark.parametrize(("cancel", "becomes"), CANCELS)
def test_execution_timeout_holds_while_deferred(connect, execute, status, cancel, becomes):
    task = echo(execution_timeout=timedelta(seconds=1), cancel_on_timeout=cancel)

    with pytest.raises(WaitTimeoutError, match=r"after 1 s \(execution_timeout\)"):
        execute(task)

    assert status() == becomes


@pytest.fixture
def short_grace(monkeypatch):
    monkeypatch.setattr("airflow_provider.triggers._GRACE", 0.5)


@pytest.mark.parametrize(
    ("cancel", "becomes"),
    [(True, "waiting_for_human"), ("always", "cancelled"), (False, "waiting_for_human")],
)
def test_execution_timeout_spares_a_run_that_waits_for_a_human(
    connect, context, resume, status, settle, ti, review, short_grace, cancel, becomes
):
    task = review(execution_timeout=timedelta(seconds=3), cancel_on_timeout=cancel)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    settle(ti.xcoms["run_id"])

    with pytest.raises(WaitTimeoutError, match="execution_timeout"):
        resume(task, deferred.value)

    assert status() == becomes


def test_timeout_stands_still_while_a_human_is_asked(connect, context, resume, client, settle, ti, review):
    task = review(timeout=3, poll_interval=1)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    run_id = ti.xcoms["run_id"]
    settle(run_id)
    human = threading.Timer(4, client.decide_review, [run_id, "hil-node-1"], {"approved": True})
    human.start()

    assert "end-node-1" in resume(task, deferred.value)
    human.join()


def test_cancel_that_fails_is_told(connect, execute, emulator, status):
    emulator.post_faults([{"match": "POST */cancel", "times": 9, "kind": "http_400"}])

    with pytest.raises(WaitTimeoutError, match="it may go on, for cancelling it failed"):
        execute(echo(timeout=1))

    assert status() == "running"


@pytest.mark.parametrize("deferrable", [True, False])
def test_cancel_that_retab_refuses_is_told(connect, execute, client, ti, caplog, deferrable):
    task = RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_uncancellable",
        json_inputs={"json-node-1": {"seconds": 600}},
        timeout=1,
        deferrable=deferrable,
    )

    with pytest.raises(WaitTimeoutError, match="it goes on, for Retab refused to cancel it"):
        execute(task)

    assert client.get_run(ti.xcoms["run_id"]).status.value == "running"
    assert "refused to cancel it" in caplog.text


def test_run_that_ends_in_time_is_never_late(connect, execute):
    assert "end-node-1" in execute(echo(10, timeout=5, execution_timeout=timedelta(seconds=5)))


def test_backstop_is_later_than_every_deadline(connect, context):
    with pytest.raises(TaskDeferred) as deferred:
        echo(timeout=300, execution_timeout=timedelta(seconds=600)).execute(context)
    assert 300 < deferred.value.timeout.total_seconds() <= 360

    assert deferred.value.kwargs["deadline"] == deferred.value.trigger.deadline
    assert deferred.value.kwargs["strict_deadline"] == deferred.value.trigger.strict_deadline


def test_backstop_is_a_day_where_a_review_may_take_any_time(connect, context, review):
    with pytest.raises(TaskDeferred) as deferred:
        review(timeout=300).execute(context)

    assert deferred.value.timeout == timedelta(days=1)


def given_up(task, context, error="Trigger timeout"):
    return task.resume_execution("__fail__", {"error": error}, context)


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])  # of 3.3 and 2.11
@pytest.mark.parametrize(("cancel", "becomes"), CANCELS)
def test_deferral_that_airflow_ends_ends_the_run(connect, context, status, cancel, becomes, error):
    task = echo(timeout=300, cancel_on_timeout=cancel)
    with pytest.raises(TaskDeferred):
        task.execute(context)

    with pytest.raises(Exception, match=error):
        given_up(task, context, error)

    assert status() == becomes


def test_deferral_that_airflow_ends_in_an_outage_ends_the_run_all_the_same(
    connect, context, emulator, status, monkeypatch
):
    hurry(monkeypatch)
    task = echo(timeout=5)
    with pytest.raises(TaskDeferred):
        task.execute(context)
    emulator.post_faults([{"match": "GET /v1/workflows/runs/*", "kind": "http_503", "times": 20}])

    with pytest.raises(Exception, match="Trigger timeout"):
        given_up(task, context)

    assert status() == "cancelled"


def test_deferral_that_airflow_ends_ends_the_run_although_its_xcoms_were_deleted(
    connect, context, client, ti
):
    context["task_state_store"] = Store()
    with pytest.raises(TaskDeferred) as deferred:
        echo(timeout=5).execute(context)
    ti.xcoms.clear()

    with pytest.raises(Exception, match="Trigger timeout"):
        given_up(echo(timeout=5), context)

    assert client.get_run(deferred.value.kwargs["run_id"]).status.value == "cancelled"


def test_run_of_a_trigger_that_broke_goes_on_for_the_retry(connect, context, status):
    task = echo()
    with pytest.raises(TaskDeferred):
        task.execute(context)

    with pytest.raises(Exception, match="Trigger failure"):
        given_up(task, context, "Trigger failure")

    assert status() == "running"


def test_run_that_completed_although_its_deferral_failed_gives_its_outputs(connect, context, ti, settle):
    task = echo(20)
    with pytest.raises(TaskDeferred):
        task.execute(context)
    settle(ti.xcoms["run_id"])

    assert "end-node-1" in given_up(task, context)


def test_run_that_failed_fails_the_task_for_its_own_reason(connect, context, ti, client):
    run = client.create_run("wf_fail", json_inputs={"json-node-1": {"message": "The scanner was on fire"}})
    client.wait_for_run(run.id)
    ti.xcom_push("run_id", run.id)

    with refused(RunFailedError, match="on fire"):
        given_up(echo(), context)


def test_deferral_that_ended_before_there_was_a_run_just_fails(connect, context, emulator):
    with pytest.raises(Exception, match="Trigger timeout"):
        given_up(echo(), context)

    assert emulator.stats()["requests"] == {}
