"""Send many documents through a workflow at once: a run each, four waits at a time.

Run it with `python example_flows/mapped_documents.py *.pdf`; RETAB_API_KEY holds the key.
"""

import json
import sys
from typing import Any

from prefect import flow, task
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from prefect_collection import create_run, wait_for_run
from retab_orchestration import WorkflowRun

four_at_a_time: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=4)


@task
def total_of(run: WorkflowRun) -> float:
    """Return the total amount of the invoice that a run has read."""
    total: float = run.outputs["end-node-1"]["total_amount"]
    return total


@flow(task_runner=four_at_a_time)
def add_up_invoices(documents: list[str], workflow_id: str = "wf_invoice") -> float:
    """Return the sum of all invoices. The runs go on side by side at Retab, however many are waited for here."""
    run_ids = create_run.map(workflow_id, documents=[{"start-node-1": document} for document in documents])
    runs = wait_for_run.map(run_ids, on_review="wait")
    return sum(total_of.map(runs).result())


if __name__ == "__main__":
    print(json.dumps({"total": add_up_invoices(sys.argv[1:])}))
