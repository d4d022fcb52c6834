"""Drives the official SDK 0.0.112, of the classic routes, against an emulator: `leg_0_0_112.py URL`.

Run by `test_sdk_legs.py` in a venv that holds the SDK; the emulator's key is `rt_test_right`.
"""

import sys
from pathlib import Path

from retab import Retab
from retab.exceptions import AuthenticationError, NotFoundError, ValidationError
from retab.types.workflows import WorkflowRunError

INVOICE = Path(__file__).parents[1] / "samples" / "documents" / "invoice.pdf"
VALUES = {
    "invoice_number": "INV-2024-001",
    "invoice_date": "2024-01-15",
    "vendor_name": "Northwind Paper Works",
    "currency": "EUR",
    "total_amount": 1234.56,
}


def wait(runs, run_id):
    return runs.wait_for_completion(run_id, poll_interval_seconds=0.1, timeout_seconds=20)


def create_get_steps_list(runs):
    created = runs.create("wf_invoice", documents={"start-node-1": INVOICE})
    assert created.status == "running"
    assert created.input_documents["start-node-1"].filename == "invoice.pdf"
    done = wait(runs, created.id)
    done.raise_for_status()
    assert done.status == "completed"
    assert done.final_outputs == {"end-node-1": {"label": "Output", "json_data": VALUES}}
    assert done.duration_ms > 0
    assert runs.get(created.id) == done
    assert {step.node_id: step.extracted_data for step in done.steps}["extract-node-1"] == VALUES

    steps = runs.steps.list(created.id)
    assert [step.node_id for step in steps] == ["start-node-1", "extract-node-1", "end-node-1"]
    assert steps[1].handle_outputs["output-json-0"].data == VALUES
    assert steps[1].handle_inputs["input-file-0"].document.filename == "invoice.pdf"
    assert runs.steps.get(created.id, "extract-node-1").extracted_data == VALUES
    assert runs.steps.get_all(done).outputs["end-node-1"].get_json_output() == VALUES

    listed = runs.list(workflow_id="wf_invoice", statuses=["completed", "error"], limit=1)
    assert [run.id for run in listed.data] == [created.id]
    assert listed.list_metadata.after is None
    return created.id


def page_through(runs):
    ids = [runs.create("wf_echo", json_inputs={"json-node-1": {"n": n, "seconds": 0}}).id for n in range(5)]
    seen, after = [], None
    while True:
        page = runs.list(workflow_id="wf_echo", order="asc", limit=2, after=after)
        seen += [run.id for run in page.data]
        after = page.list_metadata.after
        if after is None:
            break
    assert seen == ids
    assert runs.list(workflow_id="wf_echo").data[0].id == ids[-1]
    assert runs.get(ids[3]).final_outputs["end-node-1"]["json_data"]["json-node-1"]["n"] == 3


def cancel(runs):
    run = runs.create("wf_echo", json_inputs={"json-node-1": {"seconds": 600}})
    answer = runs.cancel(run.id, command_id="cmd_1")
    assert answer.cancellation_status == "cancelled"
    assert answer.run.status == "cancelled"
    assert runs.cancel(run.id, command_id="cmd_1").cancellation_status == "cancelled"
    try:
        runs.get(run.id).raise_for_status()
    except WorkflowRunError:
        return
    raise AssertionError("a cancelled run raised nothing")


def resume(runs):
    run = runs.create("wf_invoice_review", documents={"start-node-1": INVOICE})
    waiting = wait(runs, run.id)
    assert waiting.status == "waiting_for_human"
    assert waiting.waiting_for_node_ids == ["hil-node-1"]
    edited = {**VALUES, "total_amount": 1.0}
    asked = {"node_id": "hil-node-1", "approved": True, "modified_data": edited, "command_id": "cmd_2"}
    assert runs.resume(run.id, **asked).resume_status == "processing"
    done = wait(runs, run.id)
    assert done.final_outputs["end-node-1"]["json_data"] == edited
    assert runs.resume(run.id, **asked).resume_status == "already_processed"

    rejected = runs.create("wf_invoice_review", documents={"start-node-1": INVOICE})
    wait(runs, rejected.id)
    runs.resume(rejected.id, node_id="hil-node-1", approved=False)
    assert wait(runs, rejected.id).status == "cancelled"


def fail_restart_delete(runs, done_id):
    failed = wait(runs, runs.create("wf_fail", json_inputs={"json-node-1": {"message": "no luck"}}).id)
    assert failed.status == "error"
    assert failed.error == "no luck"
    again = runs.restart(done_id)
    assert again.id != done_id
    assert again.trigger_type == "restart"
    assert wait(runs, again.id).final_outputs == runs.get(done_id).final_outputs
    runs.delete(again.id)
    refused(NotFoundError, runs.get, again.id)


def refused(kind, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind:
        return
    raise AssertionError(f"{call} was not refused with {kind.__name__}")


def main(url):
    client = Retab(api_key="rt_test_right", base_url=f"{url}/v1", max_retries=0)
    runs = client.workflows.runs
    done_id = create_get_steps_list(runs)
    page_through(runs)
    cancel(runs)
    resume(runs)
    fail_restart_delete(runs, done_id)
    refused(NotFoundError, runs.get, "run_unknown")
    refused(NotFoundError, runs.create, "wf_unknown")
    refused(ValidationError, runs.create, "wf_invoice", documents={"start-node-9": INVOICE})
    stranger = Retab(api_key="rt_test_wrong", base_url=f"{url}/v1", max_retries=0)
    refused(AuthenticationError, stranger.workflows.runs.get, done_id)
    assert {edge.source_block for edge in client.workflows.edges.list("wf_invoice")} > {"extract-node-1"}


if __name__ == "__main__":
    main(sys.argv[1])
