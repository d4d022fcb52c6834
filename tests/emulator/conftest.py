"""A service under a clock that only tests move, and a caller that speaks HTTP to it without a socket."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from retab_orchestration.emulator import Request, Service

DOCUMENTS = Path(__file__).parents[1] / "samples" / "documents"
VALUES = {
    "invoice_number": "INV-2024-001",
    "invoice_date": "2024-01-15",
    "vendor_name": "Northwind Paper Works",
    "currency": "EUR",
    "total_amount": 1234.56,
}
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


def seen(body):
    """The part of a body that says where it stands, in any shape."""
    return body.get("status") or body["lifecycle"]["status"]
