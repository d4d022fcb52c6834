"""With `do_xcom_push=False` a task pushes what its link needs, and what Airflow drops of a deferral: nothing else."""

import threading

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider.operators import (
    RetabCancelRunOperator,
    RetabRestartRunOperator,
    RetabRunWorkflowOperator,
)
from airflow_provider.sensors import RetabRunSensor
from dev.hosts.processes import wait_until

LINK, DEFERRAL = "run_url", "retab_deferral"


OFF = {"task_id": "run", "do_xcom_push": False}


def echo(**settings):
    json_inputs = {"json-node-1": {"seconds": 5}}
    return RetabRunWorkflowOperator(workflow_id="wf_echo", json_inputs=json_inputs, **OFF, **settings)


def sensor(run_id, **settings):
    return RetabRunSensor(run_id=run_id, poke_interval=0.2, **OFF, **settings)


TASKS = {
    # a task, given the run that a sensor, a restart or a cancel is about -> the XComs that it leaves
    "an operator": (lambda _: echo(), {LINK, DEFERRAL}),
    "an operator on the worker": (lambda _: echo(deferrable=False), {LINK}),
    "an operator that does not wait": (lambda _: echo(wait_for_completion=False), {LINK}),
    "a restart": (lambda run_id: RetabRestartRunOperator(run_id=run_id, **OFF), {LINK, DEFERRAL}),
    "a cancel": (lambda run_id: RetabCancelRunOperator(run_id=run_id, **OFF), {LINK}),
    "a sensor": (lambda run_id: sensor(run_id, deferrable=True), {LINK}),
    "a sensor that pokes": (lambda run_id: sensor(run_id, deferrable=False), {LINK}),
}


@pytest.mark.parametrize("name", TASKS)
def test_what_is_pushed(connect, client, execute, ti, name):
    build, keys = TASKS[name]
    run_id = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 5}}).id

    outputs = execute(build(run_id))

    assert set(ti.xcoms) == keys
    assert ti.xcoms[LINK].startswith("http://")
    assert isinstance(outputs, dict)


def test_a_review_is_not_pushed_either(connect, client, execute, ti, invoice):
    task = RetabRunWorkflowOperator(
        workflow_id="wf_invoice_review",
        documents={"start-node-1": str(invoice)},
        timeout=60,
        poll_interval=0.2,
        on_review="wait",
        **OFF,
    )

    def decide():
        in_review = lambda: ti.xcoms.get(DEFERRAL, {}).get("nodes") == ["hil-node-1"]  # noqa: E731
        wait_until(in_review, timeout=30, what="the review", interval=0.05)
        client.decide_review(ti.xcoms[DEFERRAL]["run_id"], "hil-node-1", approved=True)

    human = threading.Thread(target=decide)
    human.start()
    outputs = execute(task)
    human.join()

    assert "end-node-1" in outputs
    assert set(ti.xcoms) == {LINK, DEFERRAL}


def test_a_review_that_cannot_be_read_is_not_pushed_either(connect, context, emulator, ti):
    task = echo(on_review="wait", timeout=60)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    emulator.post_faults([{"match": "GET /v1/workflows/runs/*", "kind": "garbage", "times": 99}])
    event = {
        "run_id": deferred.value.kwargs["run_id"],
        "status": "waiting_for_human",
        "waiting_for_node_ids": ["hil-node-1"],
    }

    with pytest.raises(TaskDeferred):
        task.execute_complete(context, event=event, **deferred.value.kwargs)

    assert set(ti.xcoms) == {LINK, DEFERRAL}


@pytest.mark.parametrize("kind", ["operator", "sensor"])
def test_a_task_whose_deferral_lost_its_arguments_goes_on(connect, client, context, fire, kind):
    """As in `airflow dags test`."""
    run_id = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 5}}).id
    task = echo() if kind == "operator" else sensor(run_id, deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    [event] = fire(deferred.value.trigger)

    assert "end-node-1" in task.execute_complete(context, event=event)
