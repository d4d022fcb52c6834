"""Drives the official SDK 0.0.95, the oldest of the classic routes, against an emulator: `leg_0_0_95.py URL`.

Run by `test_sdk_legs.py` in a venv that holds the SDK; the emulator's key is `rt_test_right`. That SDK creates and gets
runs, nothing else, and takes node types and statuses from closed lists.
"""

import sys
import time
from pathlib import Path

from retab import Retab

INVOICE = Path(__file__).parents[1] / "samples" / "documents" / "invoice_other.pdf"


def wait(runs, run_id, *statuses):
    deadline = time.monotonic() + 20
    while (run := runs.get(run_id)).status not in statuses:
        assert time.monotonic() < deadline, f"{run_id} is still {run.status}"
        time.sleep(0.1)
    return run


def main(url):
    runs = Retab(api_key="rt_test_right", base_url=url, max_retries=0).workflows.runs
    created = runs.create("wf_invoice", documents={"start-node-1": INVOICE})
    assert created.status == "running"
    assert created.final_outputs is None
    done = wait(runs, created.id, "completed")
    assert done.final_outputs["end-node-1"]["json_data"]["vendor_name"] == "Harbour Lane Catering"
    assert done.input_documents["start-node-1"].file_id.startswith("file_")
    outputs = {step.node_id: step.output for step in done.steps}
    assert outputs["extract-node-1"]["total_amount"] == 488.9

    waiting = runs.create("wf_invoice_review", documents={"start-node-1": INVOICE})
    waiting = wait(runs, waiting.id, "waiting_for_human")
    assert waiting.waiting_for_node_ids == ["hil-node-1"]
    assert waiting.steps[-1].requires_human_review is True

    stranger = Retab(api_key="rt_test_wrong", base_url=url, max_retries=0)
    assert "401" in complaint(stranger.workflows.runs.get, created.id)


def complaint(call, *args):
    try:
        call(*args)
    except RuntimeError as error:
        return str(error)
    raise AssertionError("a wrong key was accepted")


if __name__ == "__main__":
    main(sys.argv[1])
