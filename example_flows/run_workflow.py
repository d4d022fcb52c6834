"""Send one document through a workflow and use a value of its outputs in the next task.

Run it with `python example_flows/run_workflow.py invoice.pdf`; RETAB_API_KEY holds the key.
"""

import json
import sys
from typing import Any

from prefect import flow, get_run_logger, task

from prefect_collection import run_workflow


@task
def book(invoice_number: str, total_amount: float) -> None:
    """Hand the invoice on to where it is needed."""
    get_run_logger().info("Booked invoice %s over %s", invoice_number, total_amount)


@flow
def book_invoice(
    document: str, workflow_id: str = "wf_invoice", timeout_seconds: float = 900.0
) -> dict[str, Any]:
    """Read an invoice at Retab, book it, and return what was read."""
    outputs = run_workflow(
        workflow_id, documents={"start-node-1": document}, on_review="wait", timeout_seconds=timeout_seconds
    )
    invoice = outputs["end-node-1"]["json_data"]
    book(invoice["invoice_number"], invoice["total_amount"])
    return outputs


if __name__ == "__main__":
    print(json.dumps(book_invoice(sys.argv[1])))
