"""Changes of a workflow's graph, each of which makes another workflow; values only."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from retab_orchestration.emulator.workflows.values import Node, Workflow

__all__ = ["drop_edges", "drop_node", "put_edge", "put_node"]


def put_node(workflow: Workflow, node: Node) -> Workflow:
    """Add a node, or replace the one with its id."""
    if workflow.node(node.id) is None:
        return replace(workflow, nodes=(*workflow.nodes, node))
    return replace(workflow, nodes=_replaced(workflow.nodes, node))


def drop_node(workflow: Workflow, node_id: str) -> Workflow:
    """Remove a node, with its edges; one in a loop stays there."""
    ends = [edge for edge in workflow.edges if node_id in edge]
    workflow = drop_edges(workflow, ends)
    return replace(workflow, nodes=tuple(node for node in workflow.nodes if node.id != node_id))


def put_edge(workflow: Workflow, source: str, target: str, facts: Mapping[str, Any]) -> Workflow:
    """Add an edge, or replace the one between the same nodes.

    Raises:
        ValueError: when it closes a circle.
    """
    nodes = tuple(
        replace(node, after=(*node.after, source)) if node.id == target and source not in node.after else node
        for node in workflow.nodes
    )
    return _ordered(
        replace(workflow, nodes=nodes, edge_facts={**workflow.edge_facts, (source, target): facts})
    )


def drop_edges(workflow: Workflow, edges: Collection[tuple[str, str]]) -> Workflow:
    """Remove edges, given by their source and their target."""
    nodes = tuple(
        replace(node, after=tuple(source for source in node.after if (source, node.id) not in edges))
        for node in workflow.nodes
    )
    facts = {ends: value for ends, value in workflow.edge_facts.items() if ends not in edges}
    return replace(workflow, nodes=nodes, edge_facts=facts)


def _replaced(nodes: tuple[Node, ...], new: Node) -> tuple[Node, ...]:
    return tuple(
        new if node.id == new.id else replace(node, body=_replaced(node.body, new)) if node.body else node
        for node in nodes
    )


def _ordered(workflow: Workflow) -> Workflow:
    """Put the nodes into topological order, which else stays as it is."""
    left, ordered = list(workflow.nodes), list[Node]()
    while left:
        known = {node.id for node in ordered}
        ready = next((node for node in left if known.issuperset(node.after)), None)
        if ready is None:
            raise ValueError(f"{left[0].id} would come after itself")
        ordered.append(ready)
        left.remove(ready)
    return replace(workflow, nodes=tuple(ordered))
