"""What the emulator sends and takes when the client is driven through the operations of docs/api.md."""

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from retab_orchestration.emulator import Node, NodeTest, Service, Workflow
from tests.retab_orchestration.api_tables import DOCUMENTED
from tests.retab_orchestration.conftest import make_client
from tests.retab_orchestration.fake_runtime import Clock, FakeRuntime

INVOICE = (Path(__file__).parents[1] / "samples" / "documents" / "invoice.pdf").read_bytes()

TEMPLATES = {
    **{page: facts["operation"] for page, facts in DOCUMENTED.items()},
    "get_test_run": "GET /v1/workflows/tests/runs/{run_id}",
}
# Operations that answer with the same object as that of a page.
SAME_OBJECT = {"create_run": "get_run", "get_test_run": "create_test_run"}

NODES = (
    Node("start-node-1", "start", "Document"),
    Node("json-node-1", "start_json", "Options"),
    Node("text-node-1", "start_text", "Text"),
    Node("extract-node-1", "extract", "Extract", ("start-node-1",)),
)
WORKFLOWS = (
    Workflow("wf_slow_cancel", "Slow to Cancel", NODES, seconds=60, cancel_seconds=5),
    Workflow("wf_by_schedule", "By Schedule", NODES, trigger_type="schedule"),
    Workflow("wf_by_webhook", "By Webhook", NODES, trigger_type="webhook"),
    Workflow(
        "wf_skip",
        "Skip the Rest",
        (
            *NODES,
            Node("hil-node-1", "hil", "Review", ("extract-node-1",)),
            Node("end-node-1", "end", "Output", ("hil-node-1",)),
        ),
        on_reject="completed",
    ),
    Workflow(
        "wf_all_inputs",
        "All Inputs, and Tests of All Verdicts",
        NODES,
        tests=tuple(
            NodeTest(f"wfnodetest_{verdict}", "extract-node-1", verdict)
            for verdict in ("passed", "failed", "blocked")
        ),
    ),
)


@dataclass(frozen=True)
class Exchange:
    """A request as the emulator took it, and what it answered."""

    page: str
    path: tuple[str, ...]
    request: Any
    body: Any

    def taken(self, place: str) -> Any:
        """Return what the request has in a place, by name."""
        if place == "query":
            return dict(self.request.query)
        if place == "header":
            return self.request.headers
        return json.loads(self.request.body or b"{}")


class Recorder(FakeRuntime):
    """Keeps what the emulator took and answered on the pages' endpoints."""

    exchanges: list[Exchange]

    def _answered(self, wire):
        response = self.service.handle(wire)
        for page, template in TEMPLATES.items():
            method, path = template.split()
            found = re.fullmatch(re.sub(r"\{\w+\}", "([^/]+)", path), wire.path)
            if found and method == wire.method and response.status < 300:
                self.exchanges.append(Exchange(page, found.groups(), wire, response.json()))
        return self._read(response)


class Driven:
    """A client on an emulator of one age, with all that the two have said to each other."""

    def __init__(self, age: str) -> None:
        self.clock = Clock()
        self.runtime = Recorder(Service(api=age, clock=self.clock, workflows=WORKFLOWS), self.clock)
        self.runtime.exchanges = []
        api = "current" if age.startswith("g3") else "classic"
        self.client = make_client("blocking", self.runtime, api=api, auth="api-key")
        self.pairs: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        """Page -> bodies as they were sent, each with what the client made of it."""

    def call(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        before = len(self.runtime.exchanges)
        read = getattr(self.client, operation)(*args, **kwargs)
        read = read if hasattr(read, "raw") or hasattr(read, "data") else list(read)
        for exchange in self.runtime.exchanges[before:]:
            if exchange.page == operation:
                pairs = (
                    zip(exchange.body, read, strict=True)
                    if operation == "list_steps"
                    else [(exchange.body, read)]
                )
                self.pairs[SAME_OBJECT.get(operation, operation)] += pairs
        return read

    def follow(self, run_id: str, seconds: float, polls: int = 5) -> None:
        """Read a run and its steps while time passes."""
        for _ in range(polls):
            self.call("get_run", run_id)
            if self.runtime.service.state.generation.is_flat:
                self.call("list_steps", run_id)
            self.clock.time += seconds / polls

    def start(self, workflow_id: str, json_input: Any = None, **inputs: Any) -> str:
        given = {"json_inputs": {"json-node-1": json_input}} if json_input is not None else {}
        return self.call("create_run", workflow_id, **given, **inputs).id


def drive_classic() -> Driven:
    """Have runs of every kind that there are."""
    driven = Driven("g1a")
    document = {"documents": {"start-node-1": ("invoice.pdf", INVOICE)}}
    for workflow_id in ("wf_invoice", "wf_split", "wf_edit"):
        driven.follow(driven.start(workflow_id, {"seconds": 5}, **document), 7)
    driven.follow(driven.start("wf_echo", {"k": 1}, text_inputs={"text-node-1": "hello"}), 1)
    driven.follow(driven.start("wf_for_each", **document), 2)
    driven.follow(driven.start("wf_while", {"passes": 2}), 2)
    driven.follow(driven.start("wf_nested_loops", {"items": [{"passes": 2}, {"passes": 1}]}), 2)
    driven.follow(driven.start("wf_queued", {"seconds": 5}), 8, polls=40)
    for stage in DOCUMENTED["list_steps"]["values"]["answer"]["error_stage"]:
        for category in DOCUMENTED["list_steps"]["values"]["answer"]["error_category"]:
            driven.follow(driven.start("wf_fail", {"stage": stage, "category": category}), 2, polls=2)
    for workflow_id in ("wf_by_email", "wf_by_hand", "wf_by_schedule", "wf_by_webhook"):
        driven.follow(driven.start(workflow_id, {"k": 1}), 2, polls=2)
    for workflow_id, approved in (
        ("wf_invoice_review", True),
        ("wf_invoice_review", False),
        ("wf_skip", False),
    ):
        run_id = driven.start(workflow_id, **document)
        driven.follow(run_id, 10)
        driven.client.decide_review(run_id, "hil-node-1", approved=approved)
        driven.follow(run_id, 10)
    run_id = driven.start("wf_for_each_review", {"items": [1, 2]})
    driven.follow(run_id, 10)
    driven.client.decide_review(run_id, "hil-node-1", approved=True)
    driven.follow(run_id, 10)
    run_id = driven.start("wf_uncancellable", {"k": 1})
    driven.client.cancel_run(run_id)
    driven.follow(run_id, 2)
    run_id = driven.start("wf_slow_cancel", **document)
    driven.follow(run_id, 1, polls=2)
    driven.client.cancel_run(run_id)
    driven.follow(run_id, 10)
    driven.follow(driven.client.restart_run(run_id).id, 5)
    return driven


def drive_test_runs() -> Driven:
    """Have test runs of every target and verdict."""
    driven = Driven("g2c")
    for target in ({}, {"test_id": "wfnodetest_failed"}, {"block_id": "extract-node-1"}):
        test_run = driven.call("create_test_run", "wf_all_inputs", **target)
        for _ in range(12):
            driven.clock.time += 0.25
            driven.call("get_test_run", test_run.id)
    test_run = driven.call("create_test_run", "wf_all_inputs")
    driven.client.cancel_test_run(test_run.id)
    driven.call("get_test_run", test_run.id)
    return driven


def drive_list(age: str) -> Driven:
    """Have lists of runs in every state."""
    driven = Driven(age)
    driven.start("wf_invoice", {"k": 1}, documents={"start-node-1": ("invoice.pdf", INVOICE)})
    driven.start("wf_fail", {"category": "transient"})
    driven.clock.time += 5
    driven.start("wf_invoice")
    driven.call("list_runs")
    page = driven.call("list_runs", limit=1)
    page = driven.call("list_runs", limit=1, after=page.after)
    driven.call("list_runs", limit=1, after=page.after)
    return driven


def drive() -> dict[str, list[Driven]]:
    """Return who was driven, by page; the first of each answers in the shape that the page has."""
    classic, test_runs = drive_classic(), drive_test_runs()
    lists = [drive_list("g3a"), drive_list("g3b")]
    return {
        "create_run": [classic],
        "get_run": [classic],
        "create_test_run": [test_runs],
        "list_runs": [*lists, classic],
        "list_steps": [classic],
    }


TODAY = datetime(2026, 3, 1, tzinfo=UTC).date()
"""The day at which the clock of every emulator here begins."""


def example(driven: Driven, parameter: str | None) -> Any:
    """Return a value to give to a parameter, None where there is none."""
    runs = list(driven.runtime.service.state.runs)
    examples = {
        "workflow_id": "wf_all_inputs",
        "run_id": runs[0] if runs else None,
        "documents": {"start-node-1": ("invoice.pdf", INVOICE)},
        "source": INVOICE,
        "filename": "other.pdf",
        "mime_type": "application/x-pdf",
        "json_inputs": {"json-node-1": {"k": 1}},
        "text_inputs": {"text-node-1": "hello"},
        "test_id": "wfnodetest_passed",
        "block_id": "extract-node-1",
        "n_consensus": 5,
        "status": "running",
        "exclude_status": "running",
        "trigger_type": "api",
        "from_date": TODAY - timedelta(days=7),
        "to_date": TODAY,
        "min_duration_ms": 10,
        "max_duration_ms": 99,
        "search": "run_ab",
        "before": runs[-1] if runs else None,
        "after": runs[-1] if runs else None,
        "limit": 55,
        "order": "asc",
        "sort_by": "timing.started_at",
        "api_key": "key-1",
    }
    return examples[parameter] if parameter else None
