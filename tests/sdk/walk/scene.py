"""What a call needs to be there before it: runs, reviews, workflows of its own, files."""

import base64
import itertools
import time
from pathlib import Path

import httpx
from calls import Call, find_calls, rows
from retab import Retab

INVOICE = Path(__file__).parents[2] / "samples" / "documents" / "invoice.pdf"
VALUES = {
    "invoice_number": "INV-2024-001",
    "invoice_date": "2024-01-15",
    "vendor_name": "Northwind Paper Works",
    "currency": "EUR",
    "total_amount": 1234.56,
}
START, EXTRACT, GATE, END = "start-node-1", "extract-node-1", "hil-node-1", "end-node-1"
MANUAL = {"type": "manual", "handle_inputs": {"input-json-0": {"type": "json", "data": {"total": 1}}}}
EXISTS = {
    "target": {"output_handle_id": "output-json-0", "path": "total_amount"},
    "condition": {"kind": "exists"},
}
PROJECT = "proj_emulator"


class Scene:
    """A server, and the SDK's client for it."""

    def __init__(self, url):
        self.client = Retab(api_key="rt_test_right", base_url=f"{url}{_suffix(url)}", max_retries=0)
        self.calls = find_calls(self.client)
        self._numbers = itertools.count(1)

    def make(self, name, /, **arguments):
        """Make a call that another one needs, with the arguments that its release has."""
        return Call(self.calls[name])(**arguments)

    def has(self, name):
        """Return whether the release has a call."""
        return name in self.calls

    def name(self, prefix):
        """Return a name that nothing has yet."""
        return f"{prefix}-{next(self._numbers)}"

    def run(self, **json_input):
        """Create a run that only waits."""
        return self.make(
            "workflows.runs.create", workflow_id="wf_echo", json_inputs={"json-node-1": json_input}
        )

    def done(self, workflow_id="wf_invoice"):
        """Create a run of a document, and wait for its end."""
        run = self.make("workflows.runs.create", workflow_id=workflow_id, documents={START: INVOICE})
        return self.wait(run.id, "completed")

    def waiting(self):
        """Create a run of a document, and wait until it waits for a human."""
        run = self.make("workflows.runs.create", workflow_id="wf_invoice_review", documents={START: INVOICE})
        return self.wait(run.id, "waiting_for_human", "awaiting_review")

    def wait(self, run_id, *statuses):
        """Wait until a run has one of these statuses."""
        return wait_until(lambda: self.make("workflows.runs.get", run_id=run_id), *statuses)

    def workflow(self):
        """Create a workflow with two blocks and the edge between them; return it and the ids of the three."""
        workflow = self.make("workflows.create", name=self.name("walk"), project_id=PROJECT)
        first, second, edge = self.name("start"), self.name("extract"), self.name("edge")
        start = "start_json"
        self.make("workflows.blocks.create", workflow_id=workflow.id, id=first, type=start, label="In")
        self.make("workflows.blocks.create", workflow_id=workflow.id, id=second, type="extract", label="Read")
        self.make(
            "workflows.edges.create",
            workflow_id=workflow.id,
            id=edge,
            source_block=first,
            target_block=second,
        )
        return workflow, first, second, edge

    def published(self):
        """Create a workflow with two published versions, between which one block changed its label."""
        workflow, first, second, edge = self.workflow()
        self.make("workflows.publish", workflow_id=workflow.id, description="one")
        self.make("workflows.blocks.update", workflow_id=workflow.id, block_id=second, label="Read more")
        self.make("workflows.publish", workflow_id=workflow.id, description="two")
        return workflow, first, second, edge

    def file_id(self):
        """Return the id of a file, the document of a run."""
        run = self.done()
        documents = run.inputs.documents if hasattr(run, "inputs") else run.input_documents
        return documents[START].id

    def uploaded(self):
        """Begin an upload and send its bytes; return its session."""
        content = INVOICE.read_bytes()
        session = self.make("files.create_upload", filename="invoice.pdf", size_bytes=len(content))
        sent = httpx.request(
            session.upload_method, session.upload_url, content=content, headers=session.upload_headers
        )
        if sent.status_code != 200:
            raise AssertionError(f"the upload was answered with {sent.status_code}")
        return session

    def gone(self, name, /, **arguments):
        """Check that a call is answered with 404."""
        try:
            self.make(name, **arguments)
        except Exception as error:
            if "404" in f"{getattr(error, 'status_code', '')} {error}":
                return
            raise
        raise AssertionError(f"{name} still finds {arguments}")

    def ids(self, name, /, **arguments):
        """Return the ids of the rows that a call lists."""
        return [row.id for row in rows(self.make(name, **arguments))]


def _suffix(url):
    """Return what the release's base URL ends with, which its paths may have themselves."""
    request = Retab(api_key="none", base_url=url).workflows.runs.prepare_get("run_none")
    return "" if request.url.startswith("/v1") else "/v1"


def status_of(run):
    """Return the status of a run, or of anything else that has one, in any shape."""
    lifecycle = getattr(run, "lifecycle", None)
    if lifecycle is None:
        return plain(run.status)
    return plain(lifecycle.status if hasattr(lifecycle, "status") else lifecycle.kind)


def plain(value):
    """Return the value of a member of an enum, or the value itself."""
    return getattr(value, "value", value)


def wait_until(get, *statuses):
    """Get something until it has one of these statuses."""
    deadline = time.monotonic() + 20
    while status_of(found := get()) not in statuses:
        if time.monotonic() > deadline:
            raise AssertionError(f"{found.id} is still {status_of(found)}")
        time.sleep(0.02)
    return found


def data_uri():
    """Return the invoice as a data URI."""
    return "data:application/pdf;base64," + base64.b64encode(INVOICE.read_bytes()).decode()
