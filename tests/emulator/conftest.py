"""A service under a clock that only tests move, and a caller that speaks HTTP to it without a socket."""

import base64
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pypdf
import pytest

from retab_orchestration.emulator import Request, Service
from retab_orchestration.emulator.generations import GENERATIONS, span
from retab_orchestration.emulator.workflows.definitions import read_workflows

DOCUMENTS = Path(__file__).parents[1] / "samples" / "documents"
VALUES = {
    "invoice_number": "INV-2024-001",
    "invoice_date": "2024-01-15",
    "vendor_name": "Northwind Paper Works",
    "currency": "EUR",
    "total_amount": 1234.56,
}
OLD, NEW = span("g1a", "g2c"), span("g3a", "g3c")
START = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()


class Clock:
    """Seconds since 1970, moved by hand."""

    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def tick(self, seconds):
        self.now += seconds


class Caller:
    """Sends requests to a service, with a key unless told otherwise."""

    def __init__(self, clock, **settings):
        self.clock = clock
        self.service = Service(clock=clock, **settings)

    def __call__(self, method, path, body=None, *, headers=None, **query):
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        sent = {"api-key": "rt_test_right", "host": "retab.test"} if headers is None else headers
        return self.service.handle(Request(method, path, list(query.items()), sent, content))

    def get(self, path, **query):
        answer = self("GET", path, **query)
        assert answer.status == 200, answer.body
        return answer.json()

    def post(self, path, body=None, *, status=200):
        answer = self("POST", path, body)
        assert answer.status == status, answer.body
        return answer.json()

    def start(self, workflow_id, *, content=None, json_input=None, family="classic", **more):
        """Create a run, the way of one family, and return its body."""
        name, encoded = "invoice.pdf", base64.b64encode(content or b"").decode()
        document = (
            {"content": encoded} if family == "classic" else {"url": f"data:application/pdf;base64,{encoded}"}
        )
        body = {"json_inputs": {"json-node-1": json_input}} if json_input is not None else {}
        if content is not None:
            document = {"filename": name, "mime_type": "application/pdf", **document}
            body["documents"] = {"start-node-1": document}
        if family == "classic":
            return self.post(f"/v1/workflows/{workflow_id}/run", {**body, **more})
        return self.post("/v1/workflows/runs", {"workflow_id": workflow_id, **body, **more}, status=202)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def call(clock):
    return Caller(clock)


@pytest.fixture
def invoice():
    return (DOCUMENTS / "invoice.pdf").read_bytes()


def pages(count):
    """A PDF that has the invoice on each of its pages."""
    writer = pypdf.PdfWriter()
    for _ in range(count):
        writer.append(str(DOCUMENTS / "invoice.pdf"))
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


class Server(Caller):
    """A server of one generation, and how its clients start a run."""

    def __init__(self, clock, api, **settings):
        super().__init__(clock, api=api, **settings)
        self.api = api

    def __call__(self, method, path, body=None, **query):
        headers = {"authorization": "Bearer k"} if self.api == "g3c" else {"api-key": "k"}
        return super().__call__(method, path, body, headers={"host": "retab.test", **headers}, **query)

    def run(self, workflow_id, **more):
        return self.start(workflow_id, family="classic" if self.api in OLD else "current", **more)

    def read(self, run):
        return self.get(f"/v1/workflows/runs/{run['id']}")

    def steps(self, run):
        if self.api in OLD:
            return self.get(f"/v1/workflows/runs/{run['id']}/steps")
        return self.get("/v1/workflows/steps", run_id=run["id"])

    def listed(self, run):
        """The steps of a run, in either form of their list."""
        answer = self.steps(run)
        return answer if isinstance(answer, list) else answer["data"]


@pytest.fixture(params=GENERATIONS)
def server(request, clock):
    return Server(clock, request.param)


def status_of(body, api):
    if api in span("g1a", "g1b") or (api == "g2a" and "lifecycle" not in body):  # as its steps
        return body["status"]
    return body["lifecycle"]["kind" if api == "g2a" else "status"]


def seen(body):
    """The part of a body that says where it stands, in any shape."""
    return body.get("status") or body["lifecycle"]["status"]


@pytest.fixture
def read(tmp_path):
    """Read workflows from the text of a user's file."""

    def read(text):
        path = tmp_path / "workflows.yaml"
        path.write_text(text)
        return read_workflows(path)

    return read
