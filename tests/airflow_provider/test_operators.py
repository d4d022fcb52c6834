import json
import time
from collections.abc import Sequence

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider.operators import RetabRunWorkflowOperator
from retab_orchestration import (
    CreateOutcomeUnknownError,
    InvalidInputError,
    ReviewRequiredError,
    RunCancelledError,
    RunFailedError,
    WaitTimeoutError,
)
from tests.airflow_provider.refusals import refused

XCOMS = {"run_id": str, "status": str, "waiting_for_node_ids": list, "run_url": str}


def operator(workflow_id="wf_echo", **settings):
    return RetabRunWorkflowOperator(task_id="run", workflow_id=workflow_id, **settings)


def echo(seconds, **settings):
    return operator(json_inputs={"json-node-1": {"seconds": seconds}}, **settings)


@pytest.fixture(params=[True, False], ids=["deferrable", "on the worker"])
def deferrable(request):
    return request.param


def types_of(xcoms):
    """Return the types of what a task pushes for others."""
    return {key: type(value) for key, value in xcoms.items() if key != "retab_deferral"}


def test_completed_run_gives_its_outputs(connect, emulator, execute, ti, invoice, deferrable):
    documents = {"start-node-1": str(invoice)}

    outputs = execute(operator("wf_invoice", documents=documents, deferrable=deferrable))

    assert outputs["end-node-1"]["json_data"]["vendor_name"] == "Northwind"
    assert outputs["end-node-1"]["json_data"]["total_amount"] == 12.5
    assert ti.xcoms["status"] == "completed"
    assert ti.xcoms["waiting_for_node_ids"] == []
    assert ti.xcoms["run_url"] == f"{emulator.url}/v1/workflows/runs/{ti.xcoms['run_id']}"
    assert types_of(ti.xcoms) == XCOMS
    assert emulator.stats()["runs_created"] == 1


class ReadLater(Sequence):
    """What Airflow gives for the XComs of a mapped task."""

    def __getitem__(self, index):
        return [1, {"two": 2}][index]

    def __len__(self):
        return 2


def test_xcoms_of_a_mapped_task_are_a_list_in_a_json_input(connect, execute):
    task = echo(0)
    task.json_inputs = {"json-node-1": {"seconds": 0, "numbers": ReadLater()}}  # as it is rendered

    outputs = execute(task)

    assert outputs["end-node-1"]["json_data"]["json-node-1"] == {"seconds": 0, "numbers": [1, {"two": 2}]}


def test_outputs_are_those_of_the_nodes_asked_for(connect, execute, invoice, deferrable):
    documents = {"start-node-1": invoice}

    outputs = execute(
        operator("wf_invoice", documents=documents, output_nodes=["extract-node-1"], deferrable=deferrable)
    )

    assert list(outputs) == ["extract-node-1"]


def test_xcoms_are_there_before_the_task_defers(connect, context, ti):
    with pytest.raises(TaskDeferred):
        echo(30).execute(context)

    assert types_of(ti.xcoms) == XCOMS
    assert set(ti.xcoms) == {*XCOMS, "retab_deferral"}
    assert ti.xcoms["status"] in {"pending", "queued", "running"}


def test_deferral_carries_ids_and_times_only(connect, context, ti):
    before = time.time()

    with pytest.raises(TaskDeferred) as deferred:
        echo(30, timeout=600, poll_interval=7).execute(context)

    path, kwargs = deferred.value.trigger.serialize()
    assert path == "airflow_provider.triggers.RetabRunTrigger"
    assert kwargs["run_id"] == ti.xcoms["run_id"]
    assert kwargs["retab_conn_id"] == "retab_default"
    assert kwargs["poll_interval"] == 7
    assert kwargs["on_review"] == "return"
    assert kwargs["cancel_on_kill"] is True
    assert before + 10 <= kwargs["not_before"] <= time.time() + 10
    assert before + 600 <= kwargs["deadline"] <= time.time() + 600
    assert deferred.value.method_name == "execute_complete"
    assert before <= deferred.value.kwargs["seen_at"] <= time.time()
    assert deferred.value.kwargs == {
        "run_id": kwargs["run_id"],
        "seen_at": deferred.value.kwargs["seen_at"],
        "deadline": kwargs["deadline"],
        "strict_deadline": None,
        "reattached": False,
        "seconds_left": None,
        "failing_since": None,
        "not_found_until": None,
    }
    assert kwargs["watch"] == "end"
    assert (
        600 < deferred.value.timeout.total_seconds() <= 660
    )  # a trigger that says nothing is not waited for


def test_run_that_is_over_within_defer_after_never_defers(connect, context, ti, emulator):
    outputs = echo(1, defer_after=20).execute(context)

    assert outputs["end-node-1"]["json_data"]["json-node-1"] == {"seconds": 1}
    assert ti.xcoms["status"] == "completed"


def test_run_that_is_longer_than_defer_after_defers(connect, context):
    began = time.monotonic()

    with pytest.raises(TaskDeferred):
        echo(600, defer_after=1).execute(context)

    assert time.monotonic() - began >= 1


def test_run_that_is_over_when_it_is_created_never_defers(connect, context, emulator):
    outputs = echo(0).execute(context)

    assert list(outputs) == ["end-node-1"]


def test_without_waiting_the_task_ends_with_the_create(connect, context, ti, emulator):
    assert echo(600, wait_for_completion=False).execute(context) == {}

    assert types_of(ti.xcoms) == XCOMS
    assert "GET /v1/workflows/runs/{run_id}" not in emulator.stats()["requests"]


@pytest.fixture
def waiting_for_review(invoice, deferrable):
    def build(**settings):
        documents = {"start-node-1": str(invoice)}
        return operator("wf_invoice_review", documents=documents, deferrable=deferrable, **settings)

    return build


def test_review_returns_the_outputs_so_far(connect, execute, ti, waiting_for_review):
    assert execute(waiting_for_review()) == {}

    assert ti.xcoms["status"] == "waiting_for_human"
    assert ti.xcoms["waiting_for_node_ids"] == ["hil-node-1"]
    assert types_of(ti.xcoms) == XCOMS


def test_review_fails_the_task_if_told_to(connect, execute, ti, waiting_for_review):
    with pytest.raises(ReviewRequiredError, match=r"hil-node-1.*on_review='wait'"):
        execute(waiting_for_review(on_review="fail"))

    assert ti.xcoms["status"] == "waiting_for_human"
    assert types_of(ti.xcoms) == XCOMS


def test_review_skips_the_task_if_told_to(connect, execute, ti, waiting_for_review):
    with pytest.raises(AirflowSkipException, match="hil-node-1"):
        execute(waiting_for_review(on_review="skip"))

    assert ti.xcoms["status"] == "waiting_for_human"


def test_review_is_waited_for_if_told_to(connect, context, ti, client, resume, invoice, settle):
    task = operator("wf_invoice_review", documents={"start-node-1": invoice}, on_review="wait")
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    settle(ti.xcoms["run_id"])
    client.decide_review(ti.xcoms["run_id"], "hil-node-1", approved=True)

    outputs = resume(task, deferred.value)

    assert outputs["end-node-1"]["json_data"]["invoice_number"] == "INV-7"
    assert ti.xcoms["status"] == "completed"


def test_decision_between_event_and_resume_is_waited_for(connect, context, ti, client, resume, fire, invoice):
    task = operator("wf_invoice_review", documents={"start-node-1": invoice})
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    [event] = fire(deferred.value.trigger)
    client.decide_review(ti.xcoms["run_id"], "hil-node-1", approved=True)

    try:
        outputs = task.execute_complete(context, event=event, **deferred.value.kwargs)
    except TaskDeferred as again:
        outputs = resume(task, again)

    assert outputs["end-node-1"]["json_data"]["invoice_number"] == "INV-7"


def test_failed_run_fails_the_task_with_its_own_message(connect, execute, ti, deferrable):
    json_inputs = {"json-node-1": {"message": "The scanner was on fire"}}
    task = operator("wf_fail", json_inputs=json_inputs, deferrable=deferrable)

    with refused(RunFailedError, match="The scanner was on fire"):
        execute(task)

    assert ti.xcoms["status"] == "error"
    assert types_of(ti.xcoms) == XCOMS


def test_cancelled_run_fails_the_task(connect, context, ti, client, resume):
    task = echo(600)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    client.cancel_run(ti.xcoms["run_id"])

    with pytest.raises(RunCancelledError, match=ti.xcoms["run_id"]):
        resume(task, deferred.value)

    assert ti.xcoms["status"] == "cancelled"


def test_timeout_fails_the_task_and_names_the_run(connect, execute, ti, deferrable):
    with pytest.raises(WaitTimeoutError, match="run_") as failure:
        execute(echo(600, timeout=1, deferrable=deferrable))

    assert failure.value.run.id == ti.xcoms["run_id"]
    assert ti.xcoms["status"] == "running"


def test_trigger_that_lost_sight_of_the_run_fails_the_task(connect, context):
    task = echo(600)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    event = {
        "run_id": deferred.value.kwargs["run_id"],
        "status": "wait_failed",
        "message": "no route to host",
    }

    with pytest.raises(AirflowException, match="no route to host"):
        task.execute_complete(context, event=event, **deferred.value.kwargs)


FOREIGN = {
    "missing": None,
    "of another kind": "success",
    "empty": {},
    "without a status": {"run_id": "run_1"},
    "of another run": {"run_id": "run_2", "status": "completed"},
    "of an unknown status": {"run_id": "run_1", "status": "splendid"},
}


@pytest.mark.parametrize("event", FOREIGN.values(), ids=FOREIGN)
def test_missing_or_foreign_event_fails_loudly(connect, context, emulator, event):
    with refused(InvalidInputError, match="resumed with"):
        operator().execute_complete(context, event=event, run_id="run_1")

    assert emulator.stats()["requests"] == {}


def test_run_id_comes_from_the_xcom_where_the_resume_lost_it(connect, context, ti, execute, client):
    """Airflow 3.3.2's `dag.test` drops what was given to `defer`."""
    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 0}})
    ti.xcom_push("run_id", run.id)

    outputs = operator().execute_complete(context, event={"run_id": run.id, "status": "completed"})

    assert list(outputs) == ["end-node-1"]


def test_event_without_any_known_run_fails_loudly(connect, context):
    with refused(InvalidInputError, match="waits for None"):
        operator().execute_complete(context, event={"run_id": "run_1", "status": "completed"})


def test_lost_create_is_sent_once_and_never_retried(connect, context, emulator):
    connect(extra={"api": "classic", "auth": "api-key"})
    emulator.post_faults([{"match": "POST /v1/workflows/*", "kind": "reset_after"}])

    with refused(CreateOutcomeUnknownError, match="wf_echo"):
        echo(1).execute(context)

    assert emulator.stats()["requests"] == {"POST /v1/workflows/{workflow_id}/run": 1}


def test_killed_worker_cancels_the_run(connect, context, ti, client):
    task = echo(600)
    with pytest.raises(TaskDeferred):
        task.execute(context)

    task.on_kill()

    assert client.get_run(ti.xcoms["run_id"]).status.value == "cancelled"


def test_killed_before_the_create_does_nothing(connect, emulator):
    echo(600).on_kill()

    assert emulator.stats()["requests"] == {}


def test_kill_ends_in_time_when_retab_does_not_answer(connect, context, emulator):
    task = echo(600)
    with pytest.raises(TaskDeferred):
        task.execute(context)
    emulator.post_faults([{"match": "* /v1/workflows/runs/*", "times": 9, "kind": "hold_before"}])
    began = time.monotonic()

    task.on_kill()

    assert time.monotonic() - began < 5
    emulator.release()


def test_document_by_uri(connect, execute, invoice):
    documents = {"start-node-1": f"file://{invoice}"}

    outputs = execute(operator("wf_invoice", documents=documents, defer_after=20))

    assert outputs["end-node-1"]["json_data"]["invoice_number"] == "INV-7"


@pytest.mark.parametrize("missing", ["nowhere.pdf", ""])
def test_missing_document_by_uri_creates_nothing(connect, context, emulator, tmp_path, missing):
    documents = {"start-node-1": f"file://{tmp_path}/{missing}"}

    with refused(InvalidInputError, match="start-node-1"):
        operator("wf_invoice", documents=documents).execute(context)

    assert emulator.stats()["runs_created"] == 0


def test_document_by_object_storage_path(connect, execute, invoice):
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    documents = {"start-node-1": ObjectStoragePath(f"file://{invoice}")}

    outputs = execute(operator("wf_invoice", documents=documents, defer_after=20))

    assert outputs["end-node-1"]["json_data"]["invoice_number"] == "INV-7"


def test_every_input_is_templated_and_none_is_a_template_file():
    inputs = {"workflow_id", "documents", "json_inputs", "text_inputs", "version", "metadata", "output_nodes"}
    inputs |= {"output_path"}

    assert set(RetabRunWorkflowOperator.template_fields) == inputs | {"retab_conn_id"}
    assert RetabRunWorkflowOperator.template_ext == ()


def test_settings_are_keyword_only():
    with pytest.raises(Exception, match=r"(?i)keyword|positional"):
        RetabRunWorkflowOperator("run", "wf_echo")


def test_nothing_that_airflow_keeps_holds_a_key_or_a_document(connect, context, ti, invoice):
    task = operator("wf_invoice", documents={"start-node-1": invoice})
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)

    kept = json.dumps([deferred.value.trigger.serialize(), deferred.value.kwargs, ti.history])
    kept += repr([getattr(task, field) for field in task.template_fields])

    assert "rt_test_3b1c9f" not in kept
    assert "PDF-1.4" not in kept
    assert "JVBERi" not in kept
