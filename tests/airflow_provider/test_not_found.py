"""A run that is not found: forgiven for a while from the sensor's first poke, in whichever process that was."""

import time
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider._waiting.events import poll_policy
from airflow_provider.sensors import RetabRunSensor
from airflow_provider.triggers import RetabRunTrigger
from retab_orchestration import InvalidInputError, NotFoundError
from tests.airflow_provider.refusals import refused

GET = "GET /v1/workflows/runs/{run_id}"


def sensor(run_id="run_nowhere", **settings):
    return RetabRunSensor(task_id="run", run_id=run_id, poke_interval=0.2, **settings)


@pytest.fixture
def pauses(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


@pytest.fixture
def run_id(connect, client):
    return client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 600}}).id


@pytest.mark.parametrize(
    ("seconds", "missing", "polls", "fails"),
    [
        (None, 9, 1, False),
        (59, 9, 1, False),
        (61, 1, 2, False),
        (61, 2, 3, False),
        (61, 3, 3, True),
        (600_000, 9, 3, True),
    ],
)
def test_a_rescheduled_sensor_polls_again_by_itself_once_its_run_should_be_there(
    run_id, context, emulator, first_poked, pauses, seconds, missing, polls, fails
):
    first_poked(seconds)
    emulator.post_faults([{"match": "GET /v1/workflows/runs/*", "kind": "http_404", "times": missing}])
    task = sensor(run_id, mode="reschedule")

    if fails:
        with refused(NotFoundError, match="404"):
            task.poke(context)
    else:
        assert not task.poke(context)

    assert emulator.stats()["requests"][GET] == polls
    assert pauses == [10.0] * (polls - 1)


def test_an_outage_says_nothing_of_a_run_that_was_not_found(run_id, context, emulator, first_poked, pauses):
    first_poked(600)
    faults = [("http_404", 1, 1), ("garbage", 2, 4), ("http_404", 6, 99)]
    emulator.post_faults(
        [
            {"match": "GET /v1/workflows/runs/*", "kind": kind, "nth": nth, "times": times}
            for kind, nth, times in faults
        ]
    )

    assert not sensor(run_id, mode="reschedule").poke(context)


def test_a_grace_of_the_author_s_own_counts(context, connect, emulator, first_poked, pauses):
    first_poked(100)
    assert not sensor(mode="reschedule", not_found_grace=timedelta(minutes=2)).poke(context)
    with refused(NotFoundError, match="run_nowhere"):
        sensor(mode="reschedule", not_found_grace=90).poke(context)


@pytest.mark.parametrize("wrong", [-1, "60", True, 1e10], ids=repr)
def test_a_grace_that_is_no_time_is_refused_while_the_dag_file_is_parsed(wrong):
    with pytest.raises(InvalidInputError, match="not_found_grace must be a number of seconds"):
        sensor(not_found_grace=wrong)
    with pytest.raises(InvalidInputError, match="not_found_grace must be a number of seconds"):
        RetabRunSensor.partial(task_id="run", not_found_grace=wrong).expand(run_id=["run_1"])


def test_a_deferral_carries_the_first_poke(connect, context):
    task = sensor(deferrable=True)
    with pytest.raises(TaskDeferred) as first:
        task.execute(context)
    until = first.value.kwargs["not_found_until"]
    assert abs(until - time.time() - 60) < 5

    event = {"run_id": "run_nowhere", "status": "running", "at": time.time()}
    with pytest.raises(TaskDeferred) as second:
        task.execute_complete(context, event=event, **first.value.kwargs)

    for deferred in (first.value, second.value):
        assert deferred.kwargs["not_found_until"] == until
        assert deferred.trigger.serialize()[1]["not_found_until"] == until


@pytest.mark.parametrize(
    ("seconds_left", "grace"), [(None, 60), (100, 90), (10, 0), (-5, 0)], ids=lambda seconds: f"{seconds} s"
)
def test_a_trigger_forgives_what_is_left_from_its_first_poll_on(seconds_left, grace):
    until = None if seconds_left is None else time.time() + seconds_left

    policy = poll_policy(30, 10.0, until)

    assert policy.not_found_grace == pytest.approx(grace, abs=1)


def test_a_trigger_whose_run_should_be_there_says_so_after_three_polls(connect, fire, emulator, monkeypatch):
    monkeypatch.setattr("retab_orchestration.policies._BETWEEN_MISSING", 0.1)

    [event] = fire(RetabRunTrigger("run_nowhere", poll_interval=0.1, not_found_until=time.time() - 1))

    assert event["status"] == "wait_failed"
    assert event["is_final"] is True
    assert emulator.stats()["requests"][GET] == 3
