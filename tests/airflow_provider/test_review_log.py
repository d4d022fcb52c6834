"""A review in a task's log: one WARNING that says at which node, where to decide it, and how."""

import logging
from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator
from airflow_provider.sensors import RetabRunSensor
from airflow_provider.triggers import RetabRunTrigger

NODE = "hil-node-1"


@pytest.fixture
def run_id(client, invoice, settle):
    run = client.create_run("wf_invoice_review", documents={"start-node-1": invoice})
    assert settle(run.id).is_waiting
    return run.id


@pytest.fixture(autouse=True)
def dashboard(connect):
    connect(extra={"dashboard_url": "https://retab.example/{run_id}"})


@pytest.fixture
def lines(caplog, monkeypatch):
    """Return what was logged of runs, level and text, by the task and by its trigger."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(RetabRunTrigger, "logger", lambda _: logging.getLogger("airflow_provider.triggers"))
    return lambda: [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name.startswith("airflow_provider") and "Run run_" in record.getMessage()
    ]


def warned(lines):
    return [text for level, text in lines() if level == "WARNING"]


def of_review(run_id):
    return (
        f"Run {run_id} is waiting_for_human at {NODE}: decide it in Retab (https://retab.example/{run_id}), "
        "or with decide_review of the client of a RetabHook"
    )


@pytest.mark.parametrize("settings", [{"deferrable": False}, {"defer_after": 30}, {}], ids=str)
def test_a_task_warns_once(execute, ti, invoice, lines, settings):
    execute(
        RetabRunWorkflowOperator(
            task_id="run",
            workflow_id="wf_invoice_review",
            documents={"start-node-1": str(invoice)},
            poll_interval=0.1,
            **settings,
        )
    )

    assert warned(lines) == [of_review(ti.xcoms["run_id"])]
    assert "awaiting_review" not in str(lines())


def test_a_sensor_warns_once(execute, run_id, lines):
    execute(RetabRunSensor(task_id="run", run_id=run_id, poke_interval=0.01, on_review="return"))

    assert warned(lines) == [of_review(run_id)]


@pytest.mark.parametrize(("nodes", "expected"), [(None, 1), (["another"], 1), ([NODE], 0)])
def test_a_trigger_warns_of_a_review_that_the_task_does_not_know(fire, run_id, lines, nodes, expected):
    fire(RetabRunTrigger(run_id, poll_interval=0.1, nodes=nodes))

    assert warned(lines) == [of_review(run_id)] * expected
    assert [level for level, _ in lines()].count("INFO") == 1 - expected


@pytest.mark.parametrize(
    ("settings", "limits"),
    [
        ({}, "for as long as it takes"),
        ({"timeout": 3600}, "at most 3600 s without the time that a human takes"),
        (
            {"timeout": 3600, "execution_timeout": timedelta(hours=2)},
            "at most 3600 s without the time that a human takes and at most 7200 s in all",
        ),
    ],
    ids=["none", "timeout", "both"],
)
def test_a_task_that_defers_says_who_waits_how_long_and_what_silence_means(
    context, ti, caplog, settings, limits
):
    caplog.set_level(logging.INFO)
    inputs = {"json-node-1": {"seconds": 600}}
    task = RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", json_inputs=inputs, **settings)

    with pytest.raises(TaskDeferred):
        task.execute(context)

    assert (
        f"Run {ti.xcoms['run_id']} goes on, and a triggerer waits for it from here on, {limits}. If nothing follows "
        "this line, no triggerer is running: start one with `airflow triggerer`"
    ) in caplog.text


@pytest.mark.parametrize("kind", ["operator", "sensor"])
def test_a_task_that_defers_again_says_so_again(context, run_id, caplog, kind):
    caplog.set_level(logging.INFO)
    task = (
        RetabRunSensor(task_id="run", run_id=run_id, deferrable=True)
        if kind == "sensor"
        else RetabRunWorkflowOperator(task_id="run", workflow_id="wf_invoice_review", on_review="wait")
    )
    event = {"run_id": run_id, "status": "waiting_for_human"}

    with pytest.raises(TaskDeferred):
        task.execute_complete(context, event=event, run_id=run_id)

    assert f"Run {run_id} goes on, and a triggerer waits for it from here on" in caplog.text
