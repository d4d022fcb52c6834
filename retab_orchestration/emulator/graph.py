"""Workflows and their graphs: blocks and edges, from which a client finds a run's end nodes."""

from typing import Any

from retab_orchestration.emulator.generations import Generation
from retab_orchestration.emulator.handles import node_type
from retab_orchestration.emulator.paging import page
from retab_orchestration.emulator.routing import CLASSIC, CURRENT, Route
from retab_orchestration.emulator.state import ORGANIZATION_ID, State
from retab_orchestration.emulator.wire import Refusal, Request, Response, answer
from retab_orchestration.emulator.workflows import Node, Workflow

__all__ = ["ROUTES"]

_CREATED_AT = "2026-01-01T00:00:00Z"
"""When every workflow here was created and last changed."""


def list_workflows(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows`."""
    workflows = list(state.workflows.values())
    return answer(
        page(request, workflows, lambda workflow: workflow.id, _workflow, default=10, strict=state.is_strict)
    )


def get_workflow(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}`."""
    return answer(_workflow(state.workflow(workflow_id)))


def get_entities(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/entities`."""
    workflow = state.workflow(workflow_id)
    entities = {
        "workflow": _workflow(workflow),
        "blocks": _blocks(workflow, state.shape("classic")),
        "edges": _edges(workflow, state.shape("classic")),
    }
    return answer({**entities, "subflows": []})


def list_workflow_blocks(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/blocks`: a bare array."""
    return answer(_blocks(state.workflow(workflow_id), state.shape("classic")))


def list_workflow_edges(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/edges`: a bare array."""
    return answer(_chosen(_edges(state.workflow(workflow_id), state.shape("classic")), request))


def list_blocks(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/blocks?workflow_id=`."""
    return answer(_page(state, request, _blocks(_workflow_of(state, request), state.shape("current"))))


def list_edges(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/edges?workflow_id=`."""
    edges = _edges(_workflow_of(state, request), state.shape("current"))
    return answer(_page(state, request, _chosen(edges, request)))


def _page(state: State, request: Request, rows: list[dict[str, Any]]) -> dict[str, Any]:
    key, strict = (lambda row: str(row["id"])), state.is_strict
    return page(request, rows, key, lambda row: row, default=100, largest=1000, strict=strict)


def _workflow_of(state: State, request: Request) -> Workflow:
    workflow_id = request.param("workflow_id")
    if workflow_id is None:
        raise Refusal.invalid(["query", "workflow_id"], "Field required", "missing")
    return state.workflow(workflow_id)


def _chosen(edges: list[dict[str, Any]], request: Request) -> list[dict[str, Any]]:
    for name in ("source_block", "target_block"):
        if wanted := request.param(name):
            edges = [edge for edge in edges if edge[name] == wanted]
    return edges


def _workflow(workflow: Workflow) -> dict[str, Any]:
    published = {"version_id": workflow.version_id, "published_at": _CREATED_AT, "description": ""}
    return {
        "id": workflow.id,
        "name": workflow.name,
        "description": "",
        "organization_id": ORGANIZATION_ID,
        "is_published": workflow.published,
        "published_snapshot_id": workflow.version_id.replace("ver_", "snap_") if workflow.published else None,
        "published": published if workflow.published else None,
        "created_at": _CREATED_AT,
        "updated_at": _CREATED_AT,
    }


def _blocks(workflow: Workflow, shape: Generation) -> list[dict[str, Any]]:
    placed = [each for each in workflow.placed if shape.has_texts or each[0].type != "start_text"]
    return [_block(workflow, node, loop_id, shape) for node, loop_id in placed]


def _block(workflow: Workflow, node: Node, loop_id: str | None, shape: Generation) -> dict[str, Any]:
    return {
        "id": node.id,
        "workflow_id": workflow.id,
        **({"organization_id": ORGANIZATION_ID} if shape.has_owner else {}),
        "type": node_type(shape, node),
        "label": node.label,
        "position_x": 0,
        "position_y": 0,
        "config": None,
        "parent_id": loop_id,
        "updated_at": _CREATED_AT,
    }


def _edges(workflow: Workflow, shape: Generation) -> list[dict[str, Any]]:
    texts = () if shape.has_texts else workflow.starts("start_text")
    return [
        {
            "id": f"edge-{source}-{target}",
            "workflow_id": workflow.id,
            "source_block": source,
            "target_block": target,
            "source_handle": None,
            "target_handle": None,
            "updated_at": _CREATED_AT,
        }
        for source, target in workflow.edges
        if source not in texts
    ]


ROUTES = (
    Route("GET", "/v1/workflows", list_workflows),
    Route("GET", "/v1/workflows/{workflow_id}", get_workflow),
    Route("GET", "/v1/workflows/{workflow_id}/entities", get_entities, CLASSIC),
    Route("GET", "/v1/workflows/{workflow_id}/blocks", list_workflow_blocks, CLASSIC),
    Route("GET", "/v1/workflows/{workflow_id}/edges", list_workflow_edges, CLASSIC),
    Route("GET", "/v1/workflows/blocks", list_blocks, CURRENT),
    Route("GET", "/v1/workflows/edges", list_edges, CURRENT),
)
