"""What a release of November 2026 left in Airflow's database goes on with this one: triggers, and deferred tasks."""

import json
from importlib import import_module
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider.operators import RetabRestartRunOperator, RetabRunWorkflowOperator
from airflow_provider.sensors import RetabRunSensor

[SAMPLE] = (Path(__file__).parents[1] / "samples" / "upgrade").glob("airflow-*.json")
DEFERRALS = json.loads(SAMPLE.read_text())["deferrals"]
each_deferral = pytest.mark.parametrize("deferral", DEFERRALS, ids=lambda deferral: deferral["name"])


def rebuilt(trigger, **changes):
    module, _, name = trigger["classpath"].rpartition(".")
    return getattr(import_module(module), name)(**trigger["kwargs"] | changes)


def task_of(deferral):
    if deferral["name"] == "a sensor":
        return RetabRunSensor(task_id="run", run_id="run_1", deferrable=True)
    if deferral["name"] == "a restart":
        return RetabRestartRunOperator(task_id="run", run_id="run_0")
    return RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo")


@each_deferral
def test_a_trigger_is_rebuilt_with_what_it_had(deferral):
    path, kwargs = rebuilt(deferral["trigger"]).serialize()

    assert path == deferral["trigger"]["classpath"]
    assert deferral["trigger"]["kwargs"].items() <= kwargs.items()


@each_deferral
def test_a_trigger_waits_and_its_task_is_resumed(deferral, connect, client, context, fire, resume):
    connect("other")
    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 1}})
    timeless = {"deadline": None, "strict_deadline": None}  # those of that day are over

    [event] = fire(rebuilt(deferral["trigger"], run_id=run.id, not_before=0.0, poll_interval=0.5, **timeless))
    task, kwargs = task_of(deferral), deferral["kwargs"] | {"run_id": run.id, **timeless}
    try:
        outputs = getattr(task, deferral["method_name"])(context, event=event, **kwargs)
    except TaskDeferred as again:
        # It was waited for the end of a review, and the clock goes on.
        assert deferral["trigger"]["kwargs"]["watch"] == "review_end"
        outputs = resume(task, again)

    assert list(outputs) == ["end-node-1"]
