"""Values as a DAG's author, or Airflow's rendering, gives them: they are taken for what they mean."""

from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, TaskDeferred

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


def test_a_text_that_the_author_has_written_is_taken_as_it_is(connect, context, ti):
    connect(extra={"api": "classic", "auth": "api-key"})

    RetabRunWorkflowOperator(**ECHO, text_inputs={"text-node-1": "None"}, wait_for_completion=False).execute(
        context
    )

    assert ti.xcoms["run_id"]


CONTENT = [
    ("documents", {"start-node-1": b"%PDF-1.7 of a client"}, "documents has bytes in it"),
    ("documents", {"start-node-1": bytearray(b"%PDF-1.7 of a client")}, "documents has bytes in it"),
    ("documents", {"start-node-1": ("a.pdf", b"%PDF-1.7 of a client")}, "documents has bytes in it"),
    ("documents", {"start-node-1": "data:application/pdf;base64,JVBERi0xLjcK"}, "the document itself"),
    ("documents", {"start-node-1": {"filename": "a.pdf", "content": "JVBERi0xLjcK"}}, "the document itself"),
    ("json_inputs", {"json-node-1": {"pages": [b"%PDF-1.7 of a client"]}}, "json_inputs has bytes in it"),
    ("text_inputs", {"text-node-1": b"%PDF-1.7 of a client"}, "text_inputs has bytes in it"),
]


@pytest.mark.parametrize("is_mapped", [False, True], ids=["one task", "mapped"])
@pytest.mark.parametrize(("name", "content", "told"), CONTENT)
def test_the_content_of_a_document_is_refused_before_airflow_stores_it(
    context, ti, name, content, told, is_mapped
):
    """A function may make it, and Airflow stores what it has rendered before it executes the task."""
    given = {name: lambda context, jinja_env: content}
    if is_mapped:
        with DAG("mapped", schedule=None):
            mapped = RetabRunWorkflowOperator.partial(**ECHO, **given).expand(version=["1"])
        task = mapped.unmap({"version": "1"})
    else:
        task = RetabRunWorkflowOperator(**ECHO, **given)

    with pytest.raises(AirflowFailException, match=told) as refused:
        task._do_render_template_fields(task, task.template_fields, context, task.get_template_env(), set())

    assert "JVBERi" not in str(refused.value)
    assert "%PDF" not in str(refused.value)
