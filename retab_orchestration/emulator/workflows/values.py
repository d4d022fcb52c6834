"""Workflows of the emulator; values only, no time and no runs."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

__all__ = ["CURRENT_TYPES", "LOOPS", "NODE_TYPES", "TRIGGERS", "Field", "Node", "NodeTest", "Workflow"]

LOOPS = frozenset({"for_each", "while_loop"})
"""The types of nodes that repeat others: `for_each` all at once, `while_loop` one after another."""

_SENTINELS = {f"{loop}_sentinel_{end}": 0 for loop in sorted(LOOPS) for end in ("start", "end")}
_WEIGHTS = {"start": 1, "start_json": 1, "start_text": 1, "end": 1, "hil": 0, **_SENTINELS}
"""The shares of a run's time by type of node; a working node counts 8, so starts and ends are short."""

NODE_TYPES = frozenset(
    {"start", "start_json", "start_text", "extract", "split", "edit", "hil", "functions", "end", *LOOPS}
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


TRIGGERS: Mapping[str, Mapping[str, str | None]] = {
    "api": {"api_key_id": None},
    "manual": {"user_id": "user_emulator"},
    "schedule": {"schedule_id": "schedule_emulator"},
    "webhook": {"webhook_id": "webhook_emulator"},
    "email": {"sender": "invoices@example.com", "subject": "Invoice"},
}
"""The types of triggers of new runs, and what each says of itself."""


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
    retries: int = 0
    """How many times the server tries again before it says how the node ended."""
    body: tuple["Node", ...] = ()
    """What a loop repeats: a sentinel that gives what a pass takes, nodes, and a sentinel that takes what it gives."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    """What its block says that a run takes no notice of: its place, its size, its config."""

    @classmethod
    def loop(cls, node_id: str, kind: str, label: str, after: Sequence[str], body: Sequence["Node"]) -> Self:
        """Build a loop around nodes; those that come after none take what a pass takes."""
        start, end = f"{node_id}-start", f"{node_id}-end"
        inner = [replace(node, after=node.after or (start,)) for node in body]
        taken = {source for node in inner for source in node.after}
        last = tuple(node.id for node in inner if node.id not in taken)
        sentinels = (
            cls(start, f"{kind}_sentinel_start", f"{label}: start of a pass"),
            cls(end, f"{kind}_sentinel_end", f"{label}: end of a pass", last or (start,)),
        )
        return cls(node_id, kind, label, tuple(after), body=(sentinels[0], *inner, sentinels[1]))

    @cached_property
    def shares(self) -> dict[str, float]:
        """The share of a pass that each node in a loop takes."""
        return _shares(self.body)

    @property
    def is_loop(self) -> bool:
        """Whether it repeats other nodes; one that was created as a block has none."""
        return self.type in LOOPS and bool(self.body)

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
    name: str | None = None
    source: Mapping[str, Any] | None = None
    """Where its inputs come from, as it was written; None for the tests that come with a workflow."""
    assertion: Mapping[str, Any] | None = None

    @property
    def shown_source(self) -> Mapping[str, Any]:
        """The source to show in answers."""
        return self.source or {"type": "manual", "handle_inputs": {}}

    @property
    def shown_assertion(self) -> Mapping[str, Any]:
        """The assertion to show in answers."""
        target = {"output_handle_id": "output-json-0", "path": ""}
        return {
            "id": f"{self.id}_assertion",
            "target": target,
            "condition": {"kind": "exists"},
            **(self.assertion or {}),
        }


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
    cancel_error: str | None = None
    """Why the engine refuses every cancellation; None where it does not."""
    trigger_type: str = "api"
    """What started its runs, as they say."""
    on_reject: str = "cancelled"
    """The status of a run whose review was rejected: `cancelled`, `completed` or `error`."""
    tests: tuple[NodeTest, ...] = ()
    description: str = ""
    edge_facts: Mapping[tuple[str, str], Mapping[str, Any]] = field(default_factory=dict)
    """The ids and the handles of edges, by source and target node id, where they were given."""

    @cached_property
    def version_id(self) -> str:
        """The id of its one published version, a hash of its content."""
        content = repr((self.id, self.nodes, sorted(self.edge_facts.items())))
        return "ver_" + hashlib.sha256(content.encode()).hexdigest()[:32]

    @cached_property
    def placed(self) -> tuple[tuple[Node, str | None], ...]:
        """Every node, also those in loops, with the id of the loop around it."""
        return tuple(_placed(self.nodes, None))

    @cached_property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Pairs of source and target node ids."""
        return tuple((source, node.id) for node, _ in self.placed for source in node.after)

    def edge_id(self, source: str, target: str) -> str:
        """Return the id of an edge."""
        return str(self.edge_facts.get((source, target), {}).get("id", f"edge-{source}-{target}"))

    @cached_property
    def sinks(self) -> tuple[Node, ...]:
        """The nodes that are no start and have no outgoing edge; their outputs are the run's."""
        sources = {source for source, _ in self.edges}
        return tuple(node for node in self.nodes if node.id not in sources and not node.is_start)

    @cached_property
    def shares(self) -> dict[str, float]:
        """The share of a run's seconds that each node takes; the longest path adds up to 1."""
        return _shares(self.nodes)

    def node(self, node_id: str) -> Node | None:
        """Return a node by its id, None when there is none."""
        return next((node for node, _ in self.placed if node.id == node_id), None)

    def starts(self, kind: str) -> list[str]:
        """Return the ids of the start nodes of one type."""
        return [node.id for node in self.nodes if node.type == kind]


def _placed(nodes: Iterable[Node], loop_id: str | None) -> Iterable[tuple[Node, str | None]]:
    for node in nodes:
        yield node, loop_id
        yield from _placed(node.body, node.id)


def _shares(nodes: Sequence[Node]) -> dict[str, float]:
    reach: dict[str, int] = {}
    weights = {node.id: _WEIGHTS.get(node.type, 8) for node in nodes}
    for node in nodes:
        reach[node.id] = weights[node.id] + max((reach[source] for source in node.after), default=0)
    total = max(reach.values(), default=0) or 1
    return {node_id: weight / total for node_id, weight in weights.items()}
