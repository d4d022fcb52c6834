"""Values as a DAG's author, or Airflow's rendering, gives them: they are taken for what they mean."""

from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider.operators import RetabRestartRunOperator, RetabRunWorkflowOperator

ECHO = {"task_id": "run", "workflow_id": "wf_echo"}


@pytest.mark.parametrize("operator", [RetabRunWorkflowOperator, RetabRestartRunOperator])
def test_every_limit_takes_a_timedelta(operator):
    source = {"workflow_id": "wf_echo"} if operator is RetabRunWorkflowOperator else {"run_id": "run_1"}
    task = operator(
        task_id="run",
        timeout=timedelta(hours=1),
        poll_interval=timedelta(minutes=1),
        defer_after=timedelta(milliseconds=500),
        **source,
    )

    assert (task.timeout, task.poll_interval, task.defer_after) == (3600.0, 60.0, 0.5)


def test_metadata_of_native_objects_is_text(connect, context, ti, client):
    """As `render_template_as_native_obj` makes of a template."""
    task = RetabRunWorkflowOperator(
        **ECHO, json_inputs={"json-node-1": {"seconds": 600}}, metadata={"shard": "{{ 7 }}"}
    )
    task.metadata = {"shard": 7, "ratio": 0.5, "is_late": True, "name": "a"}

    with pytest.raises(TaskDeferred):
        task.execute(context)

    found = client.get_run(ti.xcoms["run_id"]).metadata
    assert {key: found[key] for key in task.metadata} == {
        "shard": "7",
        "ratio": "0.5",
        "is_late": "True",
        "name": "a",
    }


def test_a_text_input_that_is_no_text_is_named_before_the_run_exists(connect, context, emulator):
    task = RetabRunWorkflowOperator(**ECHO, text_inputs={"text-node-1": "{{ 3 }}"})
    task.text_inputs = {"text-node-1": 3}

    with pytest.raises(AirflowFailException, match=r"text_inputs\['text-node-1'\] must be a string, not int"):
        task.execute(context)

    assert emulator.stats()["runs_created"] == 0


def test_the_function_that_a_template_field_is_is_called(connect, context, ti, client):
    task = RetabRunWorkflowOperator(
        **ECHO, json_inputs=lambda context, jinja_env: {"json-node-1": {"seconds": 600, "of": context["ds"]}}
    )
    task.render_template_fields({**context, "ds": "2026-08-07"}, jinja_env=task.get_template_env())

    with pytest.raises(TaskDeferred):
        task.execute(context)

    assert task.json_inputs["json-node-1"] == {"seconds": 600, "of": "2026-08-07"}
    assert client.get_run(ti.xcoms["run_id"]).status.value == "running"
