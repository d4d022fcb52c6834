"""A review stops the clock of `timeout`, whoever restarts meanwhile; a resume that fails is deferred again."""

import json
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator
from airflow_provider.triggers import RetabRunTrigger
from dev.hosts.processes import wait_until
from retab_orchestration import RetabClient, RunStatus
from retab_orchestration.emulator import Emulator, Node, Workflow

REVIEW = "wf_invoice_review"
KEY = "rt_test_3b1c9f"


@pytest.fixture
def operator(invoice):
    return RetabRunWorkflowOperator(
        task_id="read",
        workflow_id=REVIEW,
        documents={"start-node-1": str(invoice)},
        timeout=3.0,
        on_review="wait",
    )


def deferred_by(act):
    with pytest.raises(TaskDeferred) as deferred:
        act()
    return deferred.value


def fired(fire, deferral):
    """Fire the trigger of a deferral in another triggerer, which knows what Airflow stored and nothing else."""
    kwargs = json.loads(json.dumps(deferral.trigger.serialize()[1]))
    [event] = fire(RetabRunTrigger(**{**kwargs, "not_before": 0.0}))
    return event


def resumed(operator, context, deferral, event):
    kwargs = json.loads(json.dumps(deferral.kwargs))
    return operator.execute_complete(context, event=event, **kwargs)


def test_a_review_longer_than_the_timeout_ends_in_the_outputs(connect, context, ti, operator, client, fire):
    first = deferred_by(lambda: operator.execute(context))
    run_id = ti.xcoms["run_id"]
    asked = fired(fire, first)
    assert asked["status"] == "waiting_for_human"

    in_review = deferred_by(lambda: resumed(operator, context, first, asked))

    assert (ti.xcoms["status"], ti.xcoms["waiting_for_node_ids"]) == ("waiting_for_human", ["hil-node-1"])
    assert in_review.kwargs["deadline"] is None
    assert 0 < in_review.kwargs["seconds_left"] <= 3.0
    time.sleep(3.5)
    client.decide_review(run_id, "hil-node-1", approved=True)

    decided = fired(fire, in_review)
    try:
        outputs = resumed(operator, context, in_review, decided)
    except TaskDeferred as going_on:  # it had not ended yet when it was read
        outputs = resumed(operator, context, going_on, fired(fire, going_on))
    assert "end-node-1" in outputs
    assert client.get_run(run_id).status is RunStatus.COMPLETED


def test_a_review_is_told_as_xcoms_while_a_worker_waits_through_it(connect, context, ti, invoice, client):
    task = RetabRunWorkflowOperator(
        task_id="read",
        workflow_id=REVIEW,
        documents={"start-node-1": str(invoice)},
        on_review="wait",
        deferrable=False,
        poll_interval=0.5,
    )
    told = []

    def decide():
        wait_until(lambda: ti.xcoms.get("waiting_for_node_ids"), timeout=30, what="the review", interval=0.05)
        told.append((ti.xcoms["status"], ti.xcoms["waiting_for_node_ids"]))
        client.decide_review(ti.xcoms["run_id"], "hil-node-1", approved=True)

    human = threading.Thread(target=decide)
    human.start()
    outputs = task.execute(context)
    human.join()

    assert told == [("waiting_for_human", ["hil-node-1"])]
    assert (ti.xcoms["status"], ti.xcoms["waiting_for_node_ids"]) == ("completed", [])
    assert "end-node-1" in outputs


def test_a_worker_waits_on_although_airflow_takes_no_xcom(connect, context, ti, execute, monkeypatch, caplog):
    task = RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"seconds": 1}},
        deferrable=False,
        poll_interval=0.5,
    )
    push = ti.xcom_push

    def fail_once_it_waits(key, value):
        if len(ti.history) == 4:
            monkeypatch.setattr(ti, "xcom_push", push)
            raise ConnectionError("no answer from the API server")
        push(key, value)

    monkeypatch.setattr(ti, "xcom_push", fail_once_it_waits)

    assert "end-node-1" in execute(task)
    assert "Airflow did not take the state of run" in caplog.text


def test_a_triggerer_that_comes_back_during_a_review_has_no_deadline(
    connect, context, operator, client, fire, ti
):
    first = deferred_by(lambda: operator.execute(context))
    in_review = deferred_by(lambda: resumed(operator, context, first, fired(fire, first)))

    assert in_review.trigger.serialize()[1]["deadline"] is None
    assert in_review.trigger.serialize()[1]["watch"] == "review_end"
    assert in_review.timeout == timedelta(days=1)


def test_what_was_deferred_before_the_clock_was_ours_goes_on(connect, context, operator, client, fire, ti):
    first = deferred_by(lambda: operator.execute(context))
    run_id = ti.xcoms["run_id"]
    old_trigger = {
        "run_id": run_id,
        "retab_conn_id": "retab_default",
        "deadline": time.time() + 600,
        "strict_deadline": None,
        "not_before": 0.0,
        "poll_interval": 30.0,
        "on_review": "wait",
        "cancel_on_kill": True,
    }
    fired(fire, first)
    client.decide_review(run_id, "hil-node-1", approved=True)
    [event] = fire(RetabRunTrigger(**old_trigger))
    event.pop("at")
    old_kwargs = {
        "run_id": run_id,
        "deadline": time.time() + 600,
        "strict_deadline": None,
        "reattached": False,
    }

    assert "end-node-1" in operator.execute_complete(context, event=event, **old_kwargs)


@pytest.mark.parametrize("kind", ["http_503", "garbage", "http_401", "http_404"])
def test_a_resume_that_cannot_read_its_run_is_deferred_again(
    connect, context, ti, client, emulator, settle, kind
):
    operator = RetabRunWorkflowOperator(
        task_id="read", workflow_id="wf_echo", json_inputs={"json-node-1": {}}
    )
    first = deferred_by(lambda: operator.execute(context))
    run_id = ti.xcoms["run_id"]
    settle(run_id)
    event = {"run_id": run_id, "status": "completed", "waiting_for_node_ids": [], "at": time.time()}
    emulator.post_faults([{"match": "GET /v1/workflows/runs/*", "kind": kind, "times": 99}])

    again = deferred_by(lambda: resumed(operator, context, first, event))

    assert time.time() - again.kwargs["failing_since"] < 60
    emulator.post_faults([])
    assert resumed(operator, context, again, event)


def test_a_key_that_stays_wrong_at_a_resume_is_told_as_the_trigger_told_it(
    connect, context, ti, client, emulator
):
    operator = RetabRunWorkflowOperator(
        task_id="read", workflow_id="wf_echo", json_inputs={"json-node-1": {"seconds": 600}}
    )
    first = deferred_by(lambda: operator.execute(context))
    emulator.post_faults([{"match": "GET /v1/workflows/runs/*", "kind": "http_401", "times": 99}])
    event = {
        "run_id": ti.xcoms["run_id"],
        "status": "wait_failed",
        "message": "Retab refuses the API key of connection 'retab_default'",
        "is_final": True,
    }

    with pytest.raises(AirflowFailException, match="connection 'retab_default'"):
        resumed(operator, context, first, event)


def test_a_resume_that_has_failed_for_too_long_fails_and_cancels_nothing(
    connect, context, ti, client, emulator
):
    operator = RetabRunWorkflowOperator(
        task_id="read", workflow_id="wf_echo", json_inputs={"json-node-1": {"seconds": 600}}
    )
    first = deferred_by(lambda: operator.execute(context))
    run_id = ti.xcoms["run_id"]
    emulator.post_faults([{"match": "GET /v1/workflows/runs/*", "kind": "http_503", "times": 99}])
    kwargs = {**first.kwargs, "failing_since": time.time() - 601}

    with pytest.raises(Exception, match="HTTP 503") as failed:
        operator.execute_complete(context, event={"run_id": run_id, "status": "timeout"}, **kwargs)

    assert not isinstance(failed.value, TaskDeferred | AirflowFailException)
    emulator.post_faults([])
    assert client.get_run(run_id).status is RunStatus.RUNNING


RUN = "GET /v1/workflows/runs/*"
EVERYTHING = "GET /v1/workflows/runs*"


def looks(emulator):
    return emulator.stats()["requests"].get("GET /v1/workflows/runs/{run_id}", 0)


@contextmanager
def outage_once_seen(emulator, seconds):
    """Let nobody look at runs for some seconds, once somebody has."""

    def strike():
        wait_until(lambda: looks(emulator), timeout=30, what="a look", interval=0.01)
        emulator.post_faults([{"match": EVERYTHING, "kind": "http_503", "times": 100_000}])
        time.sleep(seconds)
        emulator.post_faults([])

    striking = threading.Thread(target=strike)
    striking.start()
    yield
    striking.join(60)


def until_in_review(operator, context, fire, deferral):
    """Resume a task each time that its trigger fires, until a review is seen; return the deferral that follows."""
    while deferral.trigger.serialize()[1]["watch"] != "review_end":
        event = fired(fire, deferral)
        deferral = deferred_by(partial(resumed, operator, context, deferral, event))
    return deferral


@pytest.fixture
def short_review(invoice):
    """A task which may take two seconds, and whose run waits for a human after half a second if not told otherwise."""

    def build(seconds=10, **settings):
        return RetabRunWorkflowOperator(
            task_id="read",
            workflow_id=REVIEW,
            documents={"start-node-1": str(invoice)},
            json_inputs={"json-node-1": {"seconds": seconds}},
            timeout=2.0,
            on_review="wait",
            poll_interval=0.5,
            **settings,
        )

    return build


def test_a_review_that_begins_in_an_outage_does_not_count_from_there_on(
    connect, context, ti, short_review, client, emulator, fire, resume
):
    """It lasts past the deadline: what is seen after it may have begun at its start."""
    operator = short_review()
    first = deferred_by(lambda: operator.execute(context))
    with outage_once_seen(emulator, 3.5):
        in_review = until_in_review(operator, context, fire, first)

    assert in_review.kwargs["seconds_left"] > 1.0
    assert (ti.xcoms["status"], ti.xcoms["waiting_for_node_ids"]) == ("waiting_for_human", ["hil-node-1"])
    client.decide_review(ti.xcoms["run_id"], "hil-node-1", approved=True)
    assert "end-node-1" in resume(operator, in_review)


def test_a_review_that_begins_while_no_triggerer_runs_does_not_count(
    connect, context, ti, short_review, client, fire, settle
):
    operator = short_review()
    first = deferred_by(lambda: operator.execute(context))
    settle(ti.xcoms["run_id"])
    time.sleep(2.0)

    in_review = deferred_by(lambda: resumed(operator, context, first, fired(fire, first)))

    assert in_review.kwargs["seconds_left"] > 1.0


def test_a_review_is_told_as_xcoms_although_its_run_cannot_be_read(
    connect, context, ti, short_review, emulator, fire
):
    """What resumes the task next is the end of that review, perhaps in days."""
    operator = short_review()
    first = deferred_by(lambda: operator.execute(context))
    asked = fired(fire, first)
    emulator.post_faults([{"match": RUN, "kind": "http_503", "times": 99}])

    again = deferred_by(lambda: resumed(operator, context, first, asked))

    assert again.trigger.serialize()[1]["watch"] == "review_end"
    assert (ti.xcoms["status"], ti.xcoms["waiting_for_node_ids"]) == ("waiting_for_human", ["hil-node-1"])


@pytest.mark.parametrize(
    "settings", [{"deferrable": False}, {"defer_after": 60.0}], ids=["on the worker", "before it defers"]
)
def test_a_worker_whose_time_passes_in_an_outage_waits_through_the_review_that_began_in_it(
    connect, context, ti, short_review, client, emulator, resume, settings
):
    operator = short_review(30, **settings)

    def decide():
        wait_until(lambda: ti.xcoms.get("waiting_for_node_ids"), timeout=30, what="the review", interval=0.05)
        client.decide_review(ti.xcoms["run_id"], "hil-node-1", approved=True)

    human = threading.Thread(target=decide)
    human.start()
    with outage_once_seen(emulator, 3.0):
        try:
            outputs = operator.execute(context)
        except TaskDeferred as deferred:
            outputs = resume(operator, deferred)
    human.join(60)

    assert "end-node-1" in outputs
    assert client.get_run(ti.xcoms["run_id"]).status is RunStatus.COMPLETED


TWO_REVIEWS = Workflow(
    "wf_two_reviews",
    "Two reviews",
    (
        Node("json-node-1", "start_json", "JSON"),
        Node("hil-node-1", "hil", "First", ("json-node-1",)),
        Node("hil-node-2", "hil", "Second", ("hil-node-1",)),
        Node("end-node-1", "end", "Output", ("hil-node-2",)),
    ),
)


@pytest.fixture
def two_reviews(connect):
    """A client of a server on which one review follows another at once, and what makes a task there."""
    with Emulator(speed=20, workflows=[TWO_REVIEWS]) as server:
        connect(host=server.url)

        def build(**settings):
            json_inputs = {"json-node-1": {}}
            return RetabRunWorkflowOperator(
                task_id="read",
                workflow_id="wf_two_reviews",
                json_inputs=json_inputs,
                on_review="wait",
                poll_interval=0.5,
                **settings,
            )

        with RetabClient(KEY, server.url) as client:
            yield client, build


@pytest.mark.parametrize(
    "is_restarted", [False, True], ids=["one triggerer", "a triggerer that is restarted"]
)
def test_the_second_of_two_reviews_is_told_as_xcoms(context, ti, two_reviews, fire, resume, is_restarted):
    client, build = two_reviews
    operator = build(timeout=60.0)
    first = deferred_by(lambda: operator.execute(context))
    in_review = until_in_review(operator, context, fire, first)
    run_id = ti.xcoms["run_id"]
    assert ti.xcoms["waiting_for_node_ids"] == ["hil-node-1"]
    decide = partial(client.decide_review, run_id, approved=True)

    if is_restarted:
        decide("hil-node-1")
        event = fired(fire, in_review)
    else:
        deciding = threading.Timer(1.0, decide, ["hil-node-1"])
        deciding.start()
        event = fired(fire, in_review)
        deciding.join()
    in_second = deferred_by(lambda: resumed(operator, context, in_review, event))

    assert (ti.xcoms["status"], ti.xcoms["waiting_for_node_ids"]) == ("waiting_for_human", ["hil-node-2"])
    assert in_second.kwargs["seconds_left"] == pytest.approx(in_review.kwargs["seconds_left"], abs=5)
    decide("hil-node-2")
    assert "end-node-1" in resume(operator, in_second)


def test_the_second_of_two_reviews_is_told_as_xcoms_on_the_worker(context, ti, two_reviews):
    client, build = two_reviews
    operator = build(deferrable=False)

    def decide_both():
        for node in ("hil-node-1", "hil-node-2"):
            asked = lambda: ti.xcoms.get("waiting_for_node_ids") == [node]  # noqa: B023, E731
            wait_until(asked, timeout=30, what=f"the review at {node}", interval=0.05)
            client.decide_review(ti.xcoms["run_id"], node, approved=True)

    humans = threading.Thread(target=decide_both)
    humans.start()
    outputs = operator.execute(context)
    humans.join(60)

    assert "end-node-1" in outputs


def test_the_second_of_two_reviews_is_told_as_xcoms_where_the_worker_saw_the_first(
    context, ti, two_reviews, fire, resume
):
    client, build = two_reviews
    operator = build(timeout=60.0, defer_after=30)
    in_review = deferred_by(lambda: operator.execute(context))
    assert ti.xcoms["waiting_for_node_ids"] == ["hil-node-1"]

    client.decide_review(ti.xcoms["run_id"], "hil-node-1", approved=True)
    is_second = lambda: list(client.get_run(ti.xcoms["run_id"]).waiting_for_node_ids) == ["hil-node-2"]  # noqa: E731
    wait_until(is_second, timeout=30, what="the second review", interval=0.05)
    event = fired(fire, in_review)
    in_second = deferred_by(lambda: resumed(operator, context, in_review, event))

    assert (ti.xcoms["status"], ti.xcoms["waiting_for_node_ids"]) == ("waiting_for_human", ["hil-node-2"])
    client.decide_review(ti.xcoms["run_id"], "hil-node-2", approved=True)
    assert "end-node-1" in resume(operator, in_second)
