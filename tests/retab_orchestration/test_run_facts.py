"""What runs and steps say besides their state, read from servers of every generation."""

from dataclasses import replace

import pytest

from retab_orchestration import RunStatus, StepStatus
from retab_orchestration.emulator.generations import GENERATIONS, span
from retab_orchestration.emulator.workflows.built_in import BUILT_IN
from retab_orchestration.models import Cancellation, TriggerType
from tests.emulator.conftest import pages

FLAT, NEW = span("g1a", "g1b"), span("g3a", "g3c")
REVIEWED = next(workflow for workflow in BUILT_IN if workflow.id == "wf_invoice_review")
WORKFLOWS = [replace(REVIEWED, id="wf_lenient", on_reject="completed")]
DOCUMENT = {"start-node-1": ("invoice.pdf", pages(2))}


@pytest.fixture(params=GENERATIONS)
def api(request):
    return request.param


@pytest.fixture
def client(connect, api):
    return connect(server=api, workflows=WORKFLOWS)[0]


def finished(client, workflow_id, **inputs):
    return client.wait_for_run(client.create_run(workflow_id, **inputs).id)


def test_cost_tokens_model_and_trace_are_read_where_they_are_said(client, api):
    run = finished(client, "wf_invoice", documents=DOCUMENT)
    [extract] = [step for step in client.list_steps(run.id) if step.node_id == "extract-node-1"]

    assert extract.model == "retab-emulator-1"
    if api in FLAT:
        assert run.cost == extract.cost == {"total": 0.02, "input_cost": 0.016, "output_cost": 0.004}
        assert extract.tokens == {"input_tokens": 1000, "output_tokens": 40, "total_tokens": 1040}
        assert [span["name"] for span in run.trace_spans] == ["Invoice Processing"]
        assert [span["name"] for span in extract.trace_spans] == ["extract"]
    else:
        assert run.cost == extract.cost == extract.tokens == {}
        assert run.trace_spans == extract.trace_spans == ()


def test_the_cost_of_a_run_with_a_loop_counts_every_pass(client, api):
    run = client.get_run(finished(client, "wf_for_each", documents=DOCUMENT).id, usage=True)

    # Two pages, each extracted and edited.
    assert run.usage.model == "retab-emulator-1"
    if api in FLAT:
        assert (run.usage.cost, run.usage.tokens) == (0.04, 4 * 520)
    elif api in NEW:
        assert (run.usage.credits, run.usage.pages) == (4.0, 4)


def test_what_started_a_run_is_read(client, api):
    by_email, by_hand = client.create_run("wf_by_email"), client.create_run("wf_by_hand")

    assert (by_email.trigger.type, by_hand.trigger.type) == (TriggerType.EMAIL, TriggerType.MANUAL)
    sender = None if api in span("g3b", "g3c") else "invoices@example.com"
    assert (by_email.trigger.email, by_hand.trigger.email) == (sender, None)
    assert [run.id for run in client.iter_runs(trigger_type="email")] == [by_email.id]
    dataset = "dataset_emulator" if api == "g1a" else None
    assert (by_hand.dataset_id, by_email.dataset_id) == (dataset, None)


def test_details_of_an_error_are_read(client):
    details = {"error_code": "E17", "stack_trace": "line 1", "context": {"tray": 2}}
    run = finished(client, "wf_fail", json_inputs={"json-node-1": {"message": "No toner", **details}})
    [failed] = [step for step in client.list_steps(run.id) if step.status is StepStatus.ERROR]

    for read in (run.error.details, failed.error_details):
        assert {key: read[key] for key in details} == details
    assert failed.retry_count == 2
    assert "line 1" not in str(run.error.message)


def test_skipped_steps_have_ended_and_give_nothing(client):
    run = finished(client, "wf_lenient", documents=DOCUMENT)
    client.decide_review(run.id, "hil-node-1", approved=False, reason="unreadable")

    done = client.wait_for_run(run.id, on_review="wait")

    steps = {step.node_id: step.status for step in client.list_steps(run.id)}
    assert (done.status, steps["end-node-1"]) == (RunStatus.COMPLETED, StepStatus.SKIPPED)
    assert steps["end-node-1"].is_terminal
    assert "end-node-1" not in done.outputs


def test_a_refused_cancellation_says_so_and_the_run_goes_on(client, api):
    run = client.create_run("wf_uncancellable")
    assert run.cancellation == Cancellation()

    refused = client.cancel_run(run.id)

    assert (refused.cancellation.status, refused.status) == ("cancellation_failed", RunStatus.RUNNING)
    assert refused.is_cancel_refused
    if api in FLAT:
        told = client.get_run(run.id).cancellation
        assert {told.signal_error, told.native_error, told.confirmation_error} == {
            "The engine took no signal"
        }
        assert told.signal_failed_at == told.requested_at is not None
        assert not told.confirmation_pending
    assert client.wait_for_run(run.id).status is RunStatus.COMPLETED
    late = client.cancel_run(run.id)
    assert (late.cancellation.status, late.is_cancel_refused) == ("cancellation_failed", False)


def test_the_parts_of_a_split_are_read_from_its_handles(client, api):
    run = finished(client, "wf_split", documents=DOCUMENT)
    [split] = [step for step in client.list_steps(run.id) if step.node_id == "split-node-1"]

    parts = {name: payload.document for name, payload in split.handle_outputs.items()}
    assert {name: part.filename for name, part in parts.items()} == {
        "output-file-Invoice": "invoice Invoice.pdf",
        "output-file-Attachments": "invoice Attachments.pdf",
    }
    known = {f"output-file-{name}": part for name, part in split.split_documents.items()}
    assert known == (parts if api == "g1a" else {})
    assert [made.handle for made in client.list_documents(run.id)] == list(parts)


def test_what_the_engine_keeps_stays_in_the_body_alone(client, api):
    run = finished(client, "wf_invoice_review", documents=DOCUMENT)

    if api in FLAT:
        assert run.resume_status == "waiting_for_human"
    client.decide_review(run.id, "hil-node-1", approved=True)
    done = client.wait_for_run(run.id)
    assert done.resume_status == ("fully_resumed" if api in FLAT else None)
    for read in (run, done):
        assert not {"dag_snapshot", "pending_node_outputs", "executed_node_ids"} & set(read.model_dump())
