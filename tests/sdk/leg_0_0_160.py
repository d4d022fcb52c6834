"""Drives the official SDK 0.0.160, of the current routes, against an emulator: `leg_0_0_160.py URL`.

Run by `test_sdk_legs.py` in a venv that holds the SDK; the emulator's key is `rt_test_right`.
"""

import base64
import json
import sys
import time
from pathlib import Path

import httpx
from retab import Retab
from retab.exceptions import AuthenticationError, ConflictError, NotFoundError, ValidationError
from retab.types.mime import FileRef, MIMEData

INVOICE = Path(__file__).parents[1] / "samples" / "documents" / "invoice.pdf"
VALUES = {
    "invoice_number": "INV-2024-001",
    "invoice_date": "2024-01-15",
    "vendor_name": "Northwind Paper Works",
    "currency": "EUR",
    "total_amount": 1234.56,
}


def wait(get, run_id, *statuses):
    deadline = time.monotonic() + 20
    while (run := get(run_id)).lifecycle.status not in statuses:
        assert time.monotonic() < deadline, f"{run_id} is still {run.lifecycle.status}"
        time.sleep(0.1)
    return run


def outputs(client, run):
    """The outputs of the sinks, found as a user of the current routes has to find them."""
    edges = client.workflows.edges.list(run.workflow_id)
    sources = {edge.source_block for edge in edges}
    steps = client.workflows.steps.list(run_id=run.id)
    return {
        step.block_id: step.handle_outputs["output-json-0"].data
        for step in steps
        if step.block_id not in sources
    }


def create_get_steps(client):
    workflows = client.workflows
    created = workflows.runs.create("wf_invoice", documents={"start-node-1": INVOICE}, metadata={"leg": "a"})
    assert created.lifecycle.status in {"pending", "running"}
    assert created.inputs.documents["start-node-1"].filename == "invoice.pdf"
    assert created.metadata == {"leg": "a"}
    done = wait(workflows.runs.get, created.id, "completed")
    assert done.timing.completed_at > done.timing.created_at
    steps = list(workflows.steps.list(run_id=done.id, limit=1))
    assert [step.block_id for step in steps] == ["start-node-1", "extract-node-1", "end-node-1"]
    assert {step.lifecycle.status for step in steps} == {"completed"}
    assert (
        workflows.steps.get(steps[1].step_id, run_id=done.id).handle_outputs["output-json-0"].data == VALUES
    )
    assert outputs(client, done) == {"end-node-1": VALUES}
    blocks = {block.id: block.type.value for block in workflows.blocks.list("wf_invoice")}
    assert blocks["start-node-1"] == "start_document"
    return done


def list_runs(client, done):
    runs = client.workflows.runs
    metadata = {"batch": "b1"}
    ids = [
        runs.create("wf_echo", json_inputs={"json-node-1": {"seconds": 0, "n": n}}, metadata=metadata).id
        for n in range(5)
    ]
    listed = runs.list(metadata=json.dumps(metadata), limit=2, order="asc")
    assert listed.has_more
    assert [run.id for run in listed] == ids
    assert [run.id for run in runs.list(search=done.id, status="completed")] == [done.id]
    assert len(runs.list(metadata=json.dumps(metadata), status="error")) == 0
    refused(ValidationError, runs.list, limit=101)


def cancel(client):
    runs = client.workflows.runs
    run = runs.create("wf_echo", json_inputs={"json-node-1": {"seconds": 600}})
    answer = runs.cancel(run.id)
    assert answer.cancellation_status == "cancelled"
    assert answer.run.lifecycle.status == "cancelled"
    ended = runs.create("wf_echo", json_inputs={"json-node-1": {"seconds": 0}})
    assert runs.cancel(ended.id).cancellation_status == "cancellation_failed"


def fail(client):
    runs = client.workflows.runs
    asked = {"message": "no luck", "category": "transient"}
    failed = wait(runs.get, runs.create("wf_fail", json_inputs={"json-node-1": asked}).id, "error")
    assert failed.lifecycle.message == "no luck"
    assert failed.lifecycle.category == "transient"
    assert failed.lifecycle.stage == "execution"
    step = next(
        step for step in client.workflows.steps.list(run_id=failed.id) if step.lifecycle.status == "error"
    )
    assert step.step_id == failed.lifecycle.failing_step_id


def waiting_review(client):
    runs = client.workflows.runs
    run = runs.create("wf_invoice_review", documents={"start-node-1": INVOICE})
    waiting = wait(runs.get, run.id, "awaiting_review")
    assert waiting.lifecycle.waiting_for_block_ids == ["hil-node-1"]
    (review,) = client.workflows.reviews.list(run_id=run.id)
    assert client.workflows.reviews.get(review.id) == review
    assert review.decision is None
    (seed,) = client.workflows.reviews.versions.list(review.id)
    assert seed.parent_id is None
    assert seed.snapshot == VALUES
    return run, review, seed


def reviews(client):
    runs, decide = client.workflows.runs, client.workflows.reviews
    run, review, seed = waiting_review(client)
    edited = {**VALUES, "total_amount": 1.0}
    version = decide.versions.create(review.id, seed.id, edited, note="typo")
    assert decide.versions.create(review.id, seed.id, edited).id == version.id
    assert decide.versions.get(version.id).snapshot == edited
    refused(ConflictError, decide.approve, review.id, seed.id)
    assert decide.approve(review.id, version.id).submission_status == "accepted"
    assert decide.approve(review.id, version.id).submission_status == "already_applied"
    assert decide.reject(review.id, seed.id, "too late").submission_status == "conflict"
    done = wait(runs.get, run.id, "completed")
    assert outputs(client, done) == {"end-node-1": edited}
    assert len(decide.list(run_id=run.id)) == 0
    assert decide.list(run_id=run.id, decision_status="approved")[0].decision.version_id == version.id

    run, review, seed = waiting_review(client)
    refused(ValidationError, decide.reject, review.id, seed.id, "")
    assert decide.reject(review.id, seed.id, "unreadable").review.decision.reason == "unreadable"
    assert wait(runs.get, run.id, "cancelled").lifecycle.reason == "unreadable"

    run, review, seed = waiting_review(client)
    runs.cancel(run.id)
    assert decide.list(run_id=run.id, decision_status="cancelled")[0].cancelled_at is not None
    refused(NotFoundError, decide.get, "rev_unknown")


def upload(client):
    content = INVOICE.read_bytes()
    session = client.files.create_upload("invoice.pdf", len(content), content_type="application/pdf")
    sent = httpx.request(
        session.upload_method, session.upload_url, content=content, headers=session.upload_headers
    )
    assert sent.status_code == 200
    stored = client.files.complete_upload(session.file_id)
    assert client.files.get(session.file_id).page_count == 1
    link = client.files.get_download_link(session.file_id)
    assert httpx.get(link.download_url).content == content
    reference = FileRef(id=session.file_id, filename="invoice.pdf", mime_type="application/pdf")
    for document in (MIMEData(filename="invoice.pdf", url=stored.url), reference):
        run = client.workflows.runs.create("wf_invoice", documents={"start-node-1": document})
        assert outputs(client, wait(client.workflows.runs.get, run.id, "completed")) == {"end-node-1": VALUES}
    inline = "data:application/pdf;base64," + base64.b64encode(content).decode()
    inlined = MIMEData(filename="invoice.pdf", url=inline)
    elsewhere = MIMEData(filename="invoice.pdf", url="https://example.com/invoice.pdf")
    refused(
        ValidationError, client.workflows.runs.create, "wf_invoice", documents={"start-node-1": elsewhere}
    )
    refused(ValidationError, client.workflows.runs.create, "wf_invoice", documents={"nowhere": inlined})


def evals(client):
    scope = {"type": "single", "eval_id": "wfnodetest_invoice_1"}
    run = client.workflows.evals.runs.create("wf_invoice", scope=scope)
    assert run.lifecycle.status == "pending"
    assert run.total_evals == 1
    done = wait(client.workflows.evals.runs.get, run.id, "completed")
    assert done.counts.outcome.passed == 1
    (result,) = client.workflows.evals.results.list(run.id)
    assert result.verdict == "passed"
    assert client.workflows.evals.results.get(result.id) == result
    assert [each.id for each in client.workflows.evals.runs.list(workflow_id="wf_invoice")] == [run.id]


def refused(kind, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind:
        return
    raise AssertionError(f"{call} was not refused with {kind.__name__}")


def main(url):
    client = Retab(api_key="rt_test_right", base_url=url, max_retries=0)
    done = create_get_steps(client)
    list_runs(client, done)
    cancel(client)
    fail(client)
    reviews(client)
    upload(client)
    evals(client)
    refused(NotFoundError, client.workflows.runs.get, "run_unknown")
    refused(NotFoundError, client.workflows.runs.create, "wf_unknown")
    refused(NotFoundError, client.workflows.runs.create, "wf_invoice", version="ver_unknown")
    stranger = Retab(api_key="rt_test_wrong", base_url=url, max_retries=0)
    refused(AuthenticationError, stranger.workflows.runs.get, done.id)
    client.workflows.runs.delete(done.id)
    refused(NotFoundError, client.workflows.runs.get, done.id)


if __name__ == "__main__":
    main(sys.argv[1])
