"""Send whatever lies in a folder through a workflow, every hour.

Run it with `python example_flows/scheduled.py inbox/`, and it serves until it is stopped; RETAB_API_KEY holds the key.
A second argument is another interval, in seconds.
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from prefect import flow, task

from prefect_collection import run_workflow


@task
def read(document: Path, workflow_id: str) -> dict[str, Any]:
    """Return what is in a document. In a task a run is known by its document, not by how many came before it."""
    return run_workflow(workflow_id, documents={"start-node-1": document}, on_review="wait")


@flow
def read_inbox(folder: str, workflow_id: str = "wf_invoice") -> list[str]:
    """Run each PDF of the folder, put its outputs beside it, and move both to `done`, where no later run finds them."""
    done = Path(folder, "done")
    done.mkdir(exist_ok=True)
    names = []
    for document in sorted(Path(folder).glob("*.pdf")):
        outputs = read(document, workflow_id)
        Path(done, f"{document.stem}.json").write_text(json.dumps(outputs))
        document.rename(done / document.name)
        names.append(document.name)
    return names


if __name__ == "__main__":
    folder, seconds = sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 3600.0
    # One at a time: a run that is still busy when the next is due would otherwise meet it over the same files.
    read_inbox.serve(
        "every-hour",
        interval=timedelta(seconds=seconds),
        parameters={"folder": str(Path(folder).resolve())},
        limit=1,
    )
