"""A deferral that no limit ends is ended by Airflow after a day: its run is polled once, and waited for as before."""

import time
from datetime import timedelta
from functools import partial

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator
from retab_orchestration import WaitTimeoutError
from tests.sweep.sockets import hurry

KEPT = "retab_deferral"
RUN = "GET /v1/workflows/runs/{run_id}"
DAY = timedelta(days=1)


def echo(seconds=3600, **settings):
    json_inputs = {"json-node-1": {"seconds": seconds}}
    return RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", json_inputs=json_inputs, **settings)


def deferred_by(act):
    with pytest.raises(TaskDeferred) as deferred:
        act()
    return deferred.value


@pytest.fixture
def begin(connect, context):
    """Execute a task until it defers."""
    return lambda task: deferred_by(partial(task.execute, context))


@pytest.fixture
def ended_by_airflow(context):
    """Resume a task in another process, as Airflow does that has ended its deferral, until it defers again."""

    def resume(task, error="Trigger timeout"):
        return deferred_by(partial(task.resume_execution, "__fail__", {"error": error}, context))

    return resume


@pytest.fixture
def status(client, ti):
    return lambda: client.get_run(ti.xcoms["run_id"]).status.value


LIMITS = {
    # the settings -> the seconds of the deferral, at least and at most
    "no limit": ({}, (86400, 86400)),
    "a limit that a review moves": ({"timeout": 300, "on_review": "wait"}, (86400, 86400)),
    "a limit": ({"timeout": 300}, (300, 360)),
    "a limit that counts reviews": (
        {"timeout": 300, "execution_timeout": timedelta(hours=1), "on_review": "wait"},
        (3600, 3660),
    ),
    "another backstop": ({"backstop": timedelta(hours=2)}, (7200, 7200)),
    "a backstop in seconds": ({"backstop": 7200}, (7200, 7200)),
    "less than a deferral takes": ({"backstop": 1}, (10, 10)),
    "more than the backstop": ({"backstop": 60, "timeout": 300}, (300, 360)),
}


@pytest.mark.parametrize("name", LIMITS)
def test_when_airflow_ends_a_deferral(begin, name):
    settings, (least, most) = LIMITS[name]

    assert least - 5 < begin(echo(**settings)).timeout.total_seconds() <= most


def test_none_is_no_backstop(begin):
    assert begin(echo(backstop=None)).timeout is None


def test_what_airflow_may_drop_is_an_xcom_as_well(begin, ti):
    first = begin(echo(timeout=600, on_review="wait"))

    assert ti.xcoms[KEPT] == {**first.kwargs, "nodes": []}


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])  # of 3.3 and 2.11
def test_a_run_that_goes_on_is_polled_once_and_waited_for_with_the_same_clocks(
    begin, ended_by_airflow, emulator, ti, status, error
):
    settings = {"timeout": 600, "on_review": "wait"}
    first = begin(echo(**settings))
    before = emulator.stats()["requests"].get(RUN, 0)

    again = ended_by_airflow(echo(**settings), error)

    requests = emulator.stats()["requests"]
    assert requests[RUN] == before + 1
    assert not [name for name in requests if "cancel" in name]
    assert again.kwargs.pop("seen_at") >= first.kwargs.pop("seen_at")
    assert again.kwargs == first.kwargs
    assert again.timeout == DAY
    kwargs = [each.trigger.serialize()[1] | {"not_before": 0} for each in (first, again)]
    assert kwargs[0] == kwargs[1]
    assert status() == "running"


def test_the_clock_of_a_review_stands_still_over_a_backstop(
    begin, ended_by_airflow, review, context, fire, settle, ti
):
    task = review(timeout=600)
    first = begin(task)
    settle(ti.xcoms["run_id"])
    [event] = fire(first.trigger)
    in_review = deferred_by(lambda: task.execute_complete(context, event=event, **first.kwargs))
    assert in_review.timeout == DAY

    again = ended_by_airflow(review(timeout=600))

    assert again.kwargs["seconds_left"] == in_review.kwargs["seconds_left"]
    assert again.kwargs["deadline"] is None
    watched = [each.trigger.serialize()[1] for each in (in_review, again)]
    assert [(each["watch"], each["nodes"]) for each in watched] == [("review_end", ["hil-node-1"])] * 2
    assert ti.xcoms["status"] == "waiting_for_human"


def test_a_deadline_that_passed_meanwhile_is_left_to_the_trigger(begin, ended_by_airflow, resume, ti, status):
    begin(echo(timeout=600, on_review="wait"))
    ti.xcoms[KEPT]["deadline"] = time.time() - 5
    task = echo(timeout=600, on_review="wait")

    again = ended_by_airflow(task)

    assert again.kwargs["deadline"] == ti.xcoms[KEPT]["deadline"] < time.time()
    assert status() == "running"
    with pytest.raises(WaitTimeoutError, match=r"\(timeout\); it was cancelled"):
        resume(task, again)
    assert status() == "cancelled"


def test_a_run_that_has_settled_ends_the_task(begin, context, ti, settle):
    begin(echo(20))
    settle(ti.xcoms["run_id"])

    outputs = echo(20).resume_execution("__fail__", {"error": "Trigger timeout"}, context)

    assert "end-node-1" in outputs


def test_a_run_that_was_taken_up_and_then_cancelled_is_started_anew(begin, ended_by_airflow, client, ti):
    begin(echo())
    first = ti.xcoms["run_id"]
    ti.xcoms[KEPT]["reattached"] = True
    client.cancel_run(first)

    again = ended_by_airflow(echo())

    assert again.kwargs["run_id"] == ti.xcoms["run_id"] != first


def test_a_run_that_cannot_be_read_is_waited_for_until_that_has_gone_on_for_too_long(
    begin, ended_by_airflow, context, emulator, ti, status, monkeypatch
):
    hurry(monkeypatch)
    begin(echo())
    emulator.post_faults([{"match": "GET /v1/workflows/runs/*", "kind": "http_503", "times": 99}])

    again = ended_by_airflow(echo())

    assert again.kwargs["failing_since"] == ti.xcoms[KEPT]["failing_since"]
    ti.xcoms[KEPT]["failing_since"] -= 601
    with pytest.raises(Exception, match="HTTP 503") as failed:
        echo().resume_execution("__fail__", {"error": "Trigger timeout"}, context)
    assert not isinstance(failed.value, TaskDeferred | AirflowFailException)
    emulator.post_faults([])
    assert status() == "running"


@pytest.mark.parametrize("left", [None, "text", {"run_id": 7}, {"run_id": "run_1", "deadline": "soon"}])
def test_a_task_without_what_it_had_left_fails_and_its_run_goes_on(begin, context, ti, status, left):
    begin(echo())
    ti.xcoms[KEPT] = left

    with pytest.raises(Exception, match="Trigger timeout"):
        echo().resume_execution("__fail__", {"error": "Trigger timeout"}, context)

    assert status() == "running"


def test_clocks_that_airflow_dags_test_loses_go_on(begin, context, ti):
    first = begin(echo(timeout=600, on_review="wait"))
    event = {"run_id": ti.xcoms["run_id"], "status": "running"}

    again = deferred_by(lambda: echo(timeout=600, on_review="wait").execute_complete(context, event=event))

    assert again.kwargs["deadline"] == first.kwargs["deadline"]
