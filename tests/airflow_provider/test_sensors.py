import time
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider.sensors import RetabRunSensor
from retab_orchestration import InvalidInputError, ServerError
from retab_orchestration.policies import ErrorBudget
from tests.airflow_provider.refusals import refused
from tests.sweep.sockets import hurry

XCOMS = {"run_id": str, "status": str, "waiting_for_node_ids": list, "run_url": str}


def sensor(run_id, **settings):
    return RetabRunSensor(task_id="run", run_id=run_id, poke_interval=0.2, **settings)


@pytest.fixture(params=[{"mode": "poke"}, {"deferrable": True}], ids=["poke", "deferrable"])
def how(request):
    return request.param


@pytest.fixture
def start(client):
    def create(seconds):
        return client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": seconds}}).id

    return create


@pytest.fixture
def in_review(client, invoice, settle):
    run = client.create_run("wf_invoice_review", documents={"start-node-1": invoice})
    settle(run.id)
    return run.id


def test_completed_run_gives_its_outputs(connect, start, execute, ti, how):
    run_id = start(20)

    outputs = execute(sensor(run_id, **how))

    assert outputs["end-node-1"]["json_data"]["json-node-1"] == {"seconds": 20}
    assert ti.xcoms["status"] == "completed"
    assert {key: type(value) for key, value in ti.xcoms.items()} == XCOMS


def test_outputs_are_those_of_the_nodes_asked_for(connect, client, execute, invoice, how):
    run = client.create_run("wf_invoice", documents={"start-node-1": invoice})

    assert list(execute(sensor(run.id, output_nodes=["extract-node-1"], **how))) == ["extract-node-1"]


@pytest.mark.parametrize(
    ("setting", "given", "defers"),
    [("True", {}, True), ("False", {}, False), ("True", {"deferrable": False}, False)],
)
def test_a_sensor_defers_where_airflow_is_told_that_sensors_do(
    connect, start, context, monkeypatch, setting, given, defers
):
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", setting)
    task = sensor(start(600), timeout=0.3, **given)

    with pytest.raises(TaskDeferred if defers else AirflowSensorTimeout):
        task.execute(context)


def test_run_that_has_ended_never_defers(connect, start, context, settle):
    run_id = start(0)
    settle(run_id)

    assert list(sensor(run_id, deferrable=True).execute(context)) == ["end-node-1"]


def test_one_poke_looks_once(connect, start, context, emulator):
    poked = sensor(start(600)).poke(context)

    assert not poked
    assert poked.xcom_value is None
    assert emulator.stats()["requests"]["GET /v1/workflows/runs/{run_id}"] == 1


def test_link_is_there_while_the_sensor_is_deferred(connect, start, context, ti):
    run_id = start(600)

    with pytest.raises(TaskDeferred) as deferred:
        sensor(run_id, deferrable=True, timeout=60).execute(context)

    assert ti.xcoms["run_url"].endswith(run_id)
    kwargs = deferred.value.trigger.serialize()[1]
    assert kwargs["not_before"] > time.time() + 9
    assert time.time() < kwargs["strict_deadline"] < time.time() + 61
    assert kwargs["on_review"] == "wait"
    assert kwargs["cancel_on_kill"] is False


def test_timeout_is_a_sensor_timeout(connect, start, execute, ti, how):
    run_id = start(600)

    with pytest.raises(AirflowSensorTimeout):
        execute(sensor(run_id, timeout=0.5, **how))


def test_timeout_counts_in_review_too(connect, in_review, execute, how, monkeypatch):
    monkeypatch.setattr("airflow_provider.triggers._GRACE", 0.5)

    with pytest.raises(AirflowSensorTimeout):
        execute(sensor(in_review, timeout=0.5, **how))


@pytest.mark.parametrize("options", [{}, {"soft_fail": True}, {"never_fail": True}], ids=str)
def test_execution_timeout_counts_while_deferred_as_it_does_in_a_poke(
    connect, start, execute, client, options
):
    """Airflow's own time-out of a poke is retried as the task says, and nothing that `soft_fail` skips."""
    run_id = start(600)
    task = sensor(run_id, deferrable=True, execution_timeout=timedelta(seconds=1), **options)

    with pytest.raises(AirflowTaskTimeout, match=r"after 1 s \(execution_timeout\)"):
        execute(task)

    assert client.get_run(run_id).status.value == "running"


def test_review_is_waited_for_by_default(connect, in_review, client, context, resume):
    task = sensor(in_review, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    client.decide_review(in_review, "hil-node-1", approved=True, modified_data={"vendor_name": "Southwind"})

    outputs = resume(task, deferred.value)

    assert outputs["end-node-1"]["json_data"]["vendor_name"] == "Southwind"


def test_review_returns_the_outputs_so_far_if_told_to(connect, in_review, execute, ti, how):
    assert execute(sensor(in_review, on_review="return", **how)) == {}

    assert ti.xcoms["waiting_for_node_ids"] == ["hil-node-1"]


def test_review_fails_the_task_if_told_to(connect, in_review, execute, how):
    with pytest.raises(AirflowFailException, match="hil-node-1"):
        execute(sensor(in_review, on_review="fail", **how))


def test_review_skips_the_task_if_told_to(connect, in_review, execute, how):
    with pytest.raises(AirflowSkipException, match="hil-node-1"):
        execute(sensor(in_review, on_review="skip", **how))


def test_failed_run_fails_the_task_with_its_own_message(connect, client, execute, ti, how):
    run = client.create_run("wf_fail", json_inputs={"json-node-1": {"message": "The scanner was on fire"}})

    with pytest.raises(AirflowFailException, match="The scanner was on fire"):
        execute(sensor(run.id, **how))

    assert ti.xcoms["status"] == "error"


def test_cancelled_run_fails_the_task(connect, client, start, execute, how):
    run_id = start(600)
    client.cancel_run(run_id)

    with pytest.raises(AirflowFailException, match="cancelled"):
        execute(sensor(run_id, **how))


def test_trigger_that_lost_sight_of_the_run_fails_the_task(connect, start, context):
    run_id = start(600)
    event = {"run_id": run_id, "status": "wait_failed", "message": "no route to host"}

    with pytest.raises(AirflowException, match="no route to host"):
        sensor(run_id, deferrable=True).execute_complete(context, event=event, run_id=run_id)


@pytest.mark.parametrize("event", [None, {}, {"run_id": "run_2", "status": "completed"}])
def test_missing_or_foreign_event_fails_loudly(connect, context, event):
    with refused(InvalidInputError, match="resumed with"):
        sensor("run_1", deferrable=True).execute_complete(context, event=event, run_id="run_1")


@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_an_outage_ends_a_sensor_after_its_budget_and_one_that_is_rescheduled_at_its_timeout(
    connect, start, context, emulator, mode
):
    task = sensor(start(600), mode=mode)
    task._errors = ErrorBudget(0.05)
    emulator.post_faults([{"match": "GET /v1/workflows/runs/*", "kind": "http_503", "times": 999}])

    assert not task.poke(context)
    time.sleep(0.1)
    if mode == "poke":
        with pytest.raises(ServerError, match="HTTP 503"):
            task.poke(context)
    else:
        assert not task.poke(context)

    emulator.post_faults([])
    assert not task.poke(context)


def test_more_failed_pokes_than_ever_were_forgiven_end_nothing(connect, start, context, emulator):
    task = sensor(start(600))
    emulator.post_faults([{"match": "GET /v1/workflows/runs/*", "kind": "garbage", "times": 999}])

    assert not any(task.poke(context) for _ in range(6))


@pytest.mark.parametrize("option", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("ends", ["failed", "in review"])
def test_a_run_that_has_ended_badly_before_the_sensor_looks_is_skipped_if_the_sensor_fails_softly(
    connect, client, settle, in_review, execute, how, option, ends
):
    run_id = in_review
    if ends == "failed":
        run_id = client.create_run("wf_fail").id
        settle(run_id)

    with pytest.raises(AirflowSkipException):
        execute(sensor(run_id, on_review="fail", **{option: True}, **how))


@pytest.mark.parametrize("option", ["soft_fail", "never_fail"])
@pytest.mark.parametrize("ends", ["late", "failed", "given up by Airflow"])
def test_a_sensor_that_fails_softly_does_so_when_it_resumes_as_well(
    connect, client, start, context, fire, option, ends
):
    run_id = client.create_run("wf_fail", json_inputs={"json-node-1": {"seconds": 20}}).id
    task = sensor(
        start(600) if ends == "late" else run_id,
        deferrable=True,
        timeout=60 if ends == "failed" else 0.1,
        **{option: True},
    )
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    method, kwargs = "__fail__", {"error": "Trigger timeout"}
    if ends != "given up by Airflow":
        [event] = fire(deferred.value.trigger)
        method, kwargs = deferred.value.method_name, {"event": event, **deferred.value.kwargs}

    with pytest.raises(AirflowSkipException):
        task.resume_execution(method, kwargs, context)


def test_a_sensor_that_never_fails_is_skipped_where_its_connection_is_not_there(context, how):
    with pytest.raises(AirflowSkipException):
        sensor("run_1", never_fail=True, retab_conn_id="not_there", **how).execute(context)


def test_a_deferred_sensor_whose_time_is_over_in_an_outage_ends_with_a_sensor_timeout(
    connect, start, context, emulator, monkeypatch
):
    hurry(monkeypatch)
    task = sensor(start(600), deferrable=True, timeout=5)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    emulator.post_faults([{"match": "GET /v1/workflows/runs*", "kind": "http_503", "times": 9999}])
    event = {"run_id": task.run_id, "status": "out_of_time"}

    with pytest.raises(AirflowSensorTimeout, match="could not be polled"):
        task.execute_complete(context, event=event, **deferred.value.kwargs)
