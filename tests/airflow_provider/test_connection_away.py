"""Airflow's database or a secrets backend that is away for a moment: no run is lost for that, and none left behind."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook, TaskDeferred

from airflow_provider._cancelling.cancel import TRIGGERS_ARE_KILLED
from airflow_provider.operators import RetabRunWorkflowOperator
from airflow_provider.sensors import RetabRunSensor
from airflow_provider.triggers import RetabRunTrigger
from tests.sweep.sockets import hurry

ERRORS = {
    "a secrets backend": AirflowNotFoundException("The conn_id `retab_default` isn't defined"),
    "the database": RuntimeError("database is locked: retab://:rt_secret@host"),
}
WHILE = {"for a moment": 2, "for ever": 1000}


@pytest.fixture(params=ERRORS)
def away(request, monkeypatch):
    """Let Airflow give no connection so many times."""
    hurry(monkeypatch)
    is_async = hasattr(BaseHook, "aget_connection")
    give, agive = BaseHook.get_connection, getattr(BaseHook, "aget_connection", None)
    left = [0]

    def fail():
        left[0] -= 1
        if left[0] >= 0:
            raise ERRORS[request.param]

    def given(conn_id):
        fail()
        return give(conn_id)

    async def agiven(conn_id):
        fail()
        return await agive(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(given))
    if is_async:
        monkeypatch.setattr(BaseHook, "aget_connection", staticmethod(agiven))

    def begin(times):
        left[0] = times

    return begin


@pytest.fixture
def stopped(monkeypatch):
    """The task instance of a stopped task, whose state cannot be read so many times."""

    def build(times):
        left = [times]

        def state():
            left[0] -= 1
            if left[0] >= 0:
                raise RuntimeError("database is locked")
            return "failed"

        ti = SimpleNamespace(dag_id="dag", run_id="manual", task_id="run", map_index=-1)
        if TRIGGERS_ARE_KILLED:
            from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

            told = staticmethod(lambda **_: {"manual": {"run": state()}})
            monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", told)
        else:
            ti.current_state = state
        return ti

    return build


def echo(**settings):
    return RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", **settings)


def create(client, seconds=3600):
    return client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": seconds}}).id


def status(client, run_id):
    return client.get_run(run_id).status.value


def kill(run_id, ti):
    trigger = RetabRunTrigger(run_id, cancel_on_kill=True)
    trigger.task_instance = ti
    asyncio.run(trigger.on_kill())


def test_a_trigger_asks_for_its_connection_again(connect, client, fire, away, caplog):
    run_id = create(client, seconds=5)
    away(WHILE["for a moment"])

    [event] = fire(RetabRunTrigger(run_id))

    assert event["status"] == "completed"
    assert [record.levelname for record in caplog.records if "does not give" in record.getMessage()] == [
        "WARNING"
    ]
    assert "rt_secret" not in caplog.text


def test_a_trigger_that_is_never_given_its_connection_says_which(connect, client, fire, away):
    """Another try may go on with the run, which was not cancelled."""
    run_id = create(client)
    away(WHILE["for ever"])

    [event] = fire(RetabRunTrigger(run_id, cancel_on_kill=True))
    away(0)

    assert (event["status"], event["is_final"]) == ("wait_failed", False)
    assert "'retab_default'" in event["message"]
    assert "rt_secret" not in event["message"]
    assert status(client, run_id) == "running"


@pytest.mark.parametrize("kind", ["operator", "sensor"])
def test_a_task_that_resumes_asks_for_its_connection_again(connect, client, context, away, settle, kind):
    run_id = create(client, seconds=1)
    settle(run_id)
    task = echo() if kind == "operator" else RetabRunSensor(task_id="run", run_id=run_id, deferrable=True)
    away(WHILE["for a moment"])

    outputs = task.execute_complete(context, event={"run_id": run_id, "status": "completed"}, run_id=run_id)

    assert outputs["end-node-1"]


def test_a_deferral_that_airflow_ended_still_ends_the_run(connect, client, context, away):
    task = echo(json_inputs={"json-node-1": {"seconds": 3600}}, execution_timeout=None, timeout=60)
    with pytest.raises(TaskDeferred):
        task.execute(context)
    run_id = context["ti"].xcoms["run_id"]
    resumed = echo(json_inputs={"json-node-1": {"seconds": 3600}}, timeout=60)
    away(WHILE["for a moment"])

    with pytest.raises(Exception, match="imeout"):
        resumed.resume_execution("__fail__", {"error": "Trigger timeout"}, context)

    assert status(client, run_id) == "cancelled"


def test_a_stopped_task_whose_connection_is_not_given_stops_its_run(connect, client, away, stopped):
    run_id = create(client)
    away(WHILE["for a moment"])

    kill(run_id, stopped(0))

    assert status(client, run_id) == "cancelled"


def test_a_stopped_task_whose_state_is_not_told_stops_its_run(connect, client, stopped, monkeypatch):
    hurry(monkeypatch)
    run_id = create(client)

    kill(run_id, stopped(3))

    assert status(client, run_id) == "cancelled"


def test_a_stop_ends_although_airflow_never_answers(connect, client, away, stopped, caplog):
    run_id = create(client)
    away(WHILE["for ever"])
    began = time.monotonic()

    kill(run_id, stopped(0))
    away(0)

    assert time.monotonic() - began < 30
    assert "may go on" in caplog.text
    assert "rt_secret" not in caplog.text
    assert status(client, run_id) == "running"
