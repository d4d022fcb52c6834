"""The key of an account is changed while runs are waited for: the connection is read anew, and the waits go on."""

import asyncio
import json
import threading
import time

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator
from airflow_provider.sensors import RetabRunSensor
from airflow_provider.triggers import RetabRunTrigger
from retab_orchestration import RetabClient, WaitTimeoutError
from retab_orchestration.emulator import Emulator

BEFORE, AFTER = "rt_before_1", "rt_after_2"


@pytest.fixture
def server():
    with Emulator(api_key=BEFORE, speed=20) as emulator:
        yield emulator


@pytest.fixture
def key(server, monkeypatch):
    """Write the connection with a key."""

    def write(password):
        connection = {"conn_type": "retab", "password": password, "host": server.url}
        monkeypatch.setenv("AIRFLOW_CONN_RETAB_DEFAULT", json.dumps(connection))

    write(BEFORE)
    return write


@pytest.fixture
def runs(server):
    def start(count, seconds=60):
        with RetabClient(BEFORE, server.url) as client:
            inputs = {"json-node-1": {"seconds": seconds}}
            return [client.create_run("wf_echo", json_inputs=inputs).id for _ in range(count)]

    return start


def rotate(server, key):
    key(AFTER)
    server.set_key(AFTER)


async def all_of(triggers, meanwhile):
    async def first(trigger):
        return [event.payload async for event in trigger.run()]

    waits = asyncio.gather(*map(first, triggers))
    await asyncio.sleep(1.0)
    meanwhile()
    return [event for events in await asyncio.wait_for(waits, 120) for event in events]


def test_fifty_deferred_tasks_go_on_with_the_new_key(server, key, runs):
    triggers = [RetabRunTrigger(run_id, poll_interval=1.0) for run_id in runs(50)]

    events = asyncio.run(all_of(triggers, lambda: rotate(server, key)))

    assert [event["status"] for event in events] == ["completed"] * 50


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_a_sensor_that_pokes_goes_on_with_the_new_key(server, key, runs, mode):
    [run_id] = runs(1, 0)
    sensor = RetabRunSensor(task_id="wait", run_id=run_id, mode=mode, poke_interval=10)
    rotate(server, key)
    sensor.hook._known = None
    key(BEFORE)
    assert sensor.hook.get_conn() is not None  # it has read the old key
    key(AFTER)

    deadline = time.monotonic() + 20
    while not (seen := sensor.poke({"ti": Ti()})).is_done:
        assert time.monotonic() < deadline
        time.sleep(0.2)

    assert "end-node-1" in seen.xcom_value


class Ti:
    def xcom_push(self, key, value):
        pass


def test_a_key_that_stays_wrong_fails_once_and_names_the_connection(server, key, runs, monkeypatch):
    [run_id] = runs(1)
    server.set_key(AFTER)
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    sensor = RetabRunSensor(task_id="wait", run_id=run_id, poke_interval=10)

    with pytest.raises(AirflowFailException, match="'retab_default'") as failed:
        sensor.poke({"ti": Ti()})

    assert BEFORE not in str(failed.value)
    assert len([pause for pause in slept if pause]) == 2
    assert sum(slept) <= 60


@pytest.mark.parametrize("how", [{"deferrable": False, "timeout": 60.0}, {"defer_after": 60.0}])
def test_a_task_that_waits_on_its_worker_goes_on_with_the_new_key(server, key, context, how):
    operator = RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"seconds": 60}},
        poll_interval=0.5,
        **how,
    )
    timer = threading.Timer(1.0, rotate, (server, key))
    timer.start()

    outputs = operator.execute(context)

    timer.join(10)
    assert "end-node-1" in outputs


def test_a_task_on_its_worker_whose_key_stays_wrong_fails_once_and_names_the_connection(
    server, context, ti, key, monkeypatch
):
    operator = RetabRunWorkflowOperator(
        task_id="run", workflow_id="wf_echo", json_inputs={"json-node-1": {"seconds": 600}}, deferrable=False
    )
    started, slept = operator.start, []

    def start(*given):
        run = started(*given)
        server.set_key(AFTER)
        monkeypatch.setattr(time, "sleep", slept.append)
        return run

    monkeypatch.setattr(operator, "start", start)

    with pytest.raises(AirflowFailException, match="'retab_default'") as failed:
        operator.execute(context)

    assert str(failed.value).count("'retab_default'") == 1
    assert len([pause for pause in slept if pause > 20]) == 2


@pytest.mark.parametrize(("is_final", "error"), [(True, AirflowFailException), (False, AirflowException)])
def test_a_trigger_whose_failure_is_final_fails_the_task_without_a_retry(
    server, key, context, ti, is_final, error
):
    operator = RetabRunWorkflowOperator(
        task_id="run", workflow_id="wf_echo", json_inputs={"json-node-1": {"seconds": 600}}
    )
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context)
    event = {"run_id": ti.xcoms["run_id"], "status": "wait_failed", "message": "why", "is_final": is_final}

    with pytest.raises(AirflowException, match="why") as failed:
        operator.execute_complete(context, event=event, **deferred.value.kwargs)

    assert type(failed.value) is error


def test_a_task_that_is_late_with_a_new_key_cancels_its_run_with_it(server, key, context, ti):
    operator = RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"seconds": 600}},
        poll_interval=0.5,
        deferrable=False,
        timeout=3.0,
    )
    timer = threading.Timer(1.0, rotate, (server, key))
    timer.start()

    with pytest.raises(WaitTimeoutError, match="it was cancelled"):
        operator.execute(context)

    timer.join(10)
    with RetabClient(AFTER, server.url) as client:
        assert client.get_run(ti.xcoms["run_id"]).status.value == "cancelled"
