"""Workflows of the emulator, and the built-in ones; values only, no time and no runs."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

__all__ = ["BUILT_IN", "CURRENT_TYPES", "NODE_TYPES", "Field", "Node", "NodeTest", "Workflow"]

_WEIGHTS = {"start": 1, "start_json": 1, "start_text": 1, "end": 1, "hil": 0}
"""The shares of a run's time by type of node; a working node counts 8, so starts and ends are short."""

NODE_TYPES = frozenset(
    {"start", "start_json", "start_text", "extract", "split", "edit", "hil", "functions", "end"}
)
"""The types of nodes, by their classic names."""

CURRENT_TYPES = {
    "start": "start_document",
    "start_json": "start_json",
    "start_text": "start_json",
    "extract": "extract",
    "split": "split",
    "edit": "edit",
    "hil": "extract",
    "functions": "function",
    "end": "function",
}
"""Their current names; current routes have no end and no text input, and reviews on extract blocks."""


@dataclass(frozen=True)
class Field:
    """One value that an extract node reads from a line `Label: value` of its document."""

    label: str
    is_number: bool = False


@dataclass(frozen=True)
class Node:
    """One node of a workflow's graph."""

    id: str
    type: str
    label: str
    after: tuple[str, ...] = ()
    """Ids of the nodes whose outputs are its inputs."""
    fields: Mapping[str, Field] = field(default_factory=dict)
    """What an extract node reads: output key -> field."""
    parts: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    """What a split node makes of a PDF: name -> its first and its last page, counted from 1; None for the last one."""
    error: Mapping[str, Any] | None = None
    """For a node that always fails: `message`, `stage`, `category`; a JSON input may override each."""

    @property
    def is_start(self) -> bool:
        """Whether the caller gives the value of this node."""
        return self.type.startswith("start")

    @property
    def is_gate(self) -> bool:
        """Whether a run stops here until a human decides."""
        return self.type == "hil"


@dataclass(frozen=True)
class NodeTest:
    """A saved test of one node, and its verdict, which is always the same."""

    id: str
    node_id: str
    verdict: str = "passed"


@dataclass(frozen=True)
class Workflow:
    """A workflow: its graph in topological order, and how long a run of it takes."""

    id: str
    name: str
    nodes: tuple[Node, ...]
    seconds: float = 1.5
    """From the start of a run to its end, without the time humans take."""
    pending_seconds: float = 0.0
    """From the creation of a run until it is queued."""
    queued_seconds: float = 0.0
    """From there to its start."""
    published: bool = True
    cancel_seconds: float = 0.0
    """How long a cancellation stays `cancellation_requested` before it takes effect."""
    on_reject: str = "cancelled"
    """The status of a run whose review was rejected: `cancelled` or `completed`."""
    tests: tuple[NodeTest, ...] = ()

    @cached_property
    def version_id(self) -> str:
        """The id of its one published version, a hash of its content."""
        return "ver_" + hashlib.sha256(repr((self.id, self.nodes)).encode()).hexdigest()[:32]

    @cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Pairs of source and target node ids."""
        return tuple((source, node.id) for node in self.nodes for source in node.after)

    @cached_property
    def sinks(self) -> tuple[Node, ...]:
        """The nodes without an outgoing edge; their outputs are the run's."""
        sources = {source for source, _ in self.edges}
        return tuple(node for node in self.nodes if node.id not in sources)

    @cached_property
    def shares(self) -> dict[str, float]:
        """The share of a run's seconds that each node takes; the longest path adds up to 1."""
        reach: dict[str, int] = {}
        for node in self.nodes:
            before = max((reach[source] for source in node.after), default=0)
            reach[node.id] = before + _WEIGHTS.get(node.type, 8)
        total = max(reach.values(), default=0) or 1
        return {node.id: _WEIGHTS.get(node.type, 8) / total for node in self.nodes}

    def node(self, node_id: str) -> Node | None:
        """Return a node by its id, None when there is none."""
        return next((node for node in self.nodes if node.id == node_id), None)

    def starts(self, kind: str) -> list[str]:
        """Return the ids of the start nodes of one type."""
        return [node.id for node in self.nodes if node.type == kind]


_INVOICE = {
    "invoice_number": Field("Invoice number"),
    "invoice_date": Field("Invoice date"),
    "vendor_name": Field("Vendor"),
    "currency": Field("Currency"),
    "total_amount": Field("Total amount", is_number=True),
}
_INVOICE_STARTS = (
    Node("start-node-1", "start", "Invoice Input"),
    Node("json-node-1", "start_json", "Options"),
)
_EXTRACT = Node("extract-node-1", "extract", "Extract Data", ("start-node-1", "json-node-1"), _INVOICE)
_REVIEW = Node("hil-node-1", "hil", "Human Review", ("extract-node-1",))


def _tests(prefix: str, verdicts: Sequence[str], node_id: str = "extract-node-1") -> tuple[NodeTest, ...]:
    return tuple(
        NodeTest(f"wfnodetest_{prefix}_{n}", node_id, verdict) for n, verdict in enumerate(verdicts, 1)
    )


BUILT_IN: tuple[Workflow, ...] = (
    Workflow(
        "wf_invoice",
        "Invoice Processing",
        (*_INVOICE_STARTS, _EXTRACT, Node("end-node-1", "end", "Output", ("extract-node-1",))),
        tests=_tests("invoice", ["passed", "passed"]),
    ),
    Workflow(
        "wf_invoice_review",
        "Invoice Processing with Review",
        (*_INVOICE_STARTS, _EXTRACT, _REVIEW, Node("end-node-1", "end", "Output", ("hil-node-1",))),
        tests=_tests("review", ["passed"]),
    ),
    Workflow(
        "wf_split",
        "Split a PDF",
        (
            *_INVOICE_STARTS,
            Node(
                "split-node-1",
                "split",
                "Split",
                ("start-node-1",),
                parts={"Invoice": (1, 1), "Attachments": (2, None)},
            ),
            Node("end-node-1", "end", "Output", ("split-node-1",)),
        ),
        seconds=0.5,
    ),
    Workflow(
        "wf_edit",
        "Edit a PDF",
        (
            *_INVOICE_STARTS,
            Node("edit-node-1", "edit", "Edit", ("start-node-1",)),
            Node("end-node-1", "end", "Output", ("edit-node-1",)),
        ),
        seconds=0.5,
    ),
    Workflow(
        "wf_echo",
        "Echo",
        (
            Node("json-node-1", "start_json", "JSON Input"),
            Node("text-node-1", "start_text", "Text Input"),
            Node("end-node-1", "end", "Output", ("json-node-1", "text-node-1")),
        ),
        seconds=0.5,
    ),
    Workflow(
        "wf_fail",
        "Always Fails",
        (
            Node("json-node-1", "start_json", "Error to fail with"),
            Node(
                "fail-node-1",
                "functions",
                "Fail",
                ("json-node-1",),
                error={
                    "message": "The workflow failed as it was asked to",
                    "stage": "execution",
                    "category": "permanent",
                },
            ),
            Node("end-node-1", "end", "Output", ("fail-node-1",)),
        ),
        seconds=0.5,
        tests=_tests("fail", ["failed"], "fail-node-1"),
    ),
    Workflow(
        "wf_queued",
        "Queued before it runs",
        (
            Node("json-node-1", "start_json", "JSON Input"),
            Node("end-node-1", "end", "Output", ("json-node-1",)),
        ),
        seconds=0.5,
        pending_seconds=0.5,
        queued_seconds=0.5,
    ),
)
"""The workflows that every emulator has; `docs/emulator.md` says what each shows."""
