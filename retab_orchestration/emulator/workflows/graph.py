"""Workflows and their graphs: blocks and edges, from which a client finds a run's end nodes."""

from functools import partial
from typing import Any

from retab_orchestration.emulator.generations import Generation
from retab_orchestration.emulator.runs.handles import node_type
from retab_orchestration.emulator.serving.paging import page
from retab_orchestration.emulator.serving.routing import CLASSIC, CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment
from retab_orchestration.emulator.state import ORGANIZATION_ID, State
from retab_orchestration.emulator.workflows.values import Node, Workflow

__all__ = ["CREATED_AT", "ROUTES", "bare_or_page", "block_bodies", "edge_bodies", "workflow_body"]

CREATED_AT = "2026-01-01T00:00:00Z"
"""When every workflow here was created and last changed, the users' own as well."""


def list_workflows(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows`."""
    workflows, write = list(state.workflows.values()), partial(workflow_body, state)
    return answer(
        page(request, workflows, lambda workflow: workflow.id, write, default=10, strict=state.is_strict)
    )


def get_workflow(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}`."""
    return answer(workflow_body(state, state.workflow(workflow_id)))


def get_entities(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/entities`."""
    workflow = state.workflow(workflow_id)
    entities = {
        "workflow": workflow_body(state, workflow),
        "blocks": block_bodies(workflow, state.shape("classic")),
        "edges": edge_bodies(workflow, state.shape("classic")),
    }
    return answer({**entities, "subflows": []})


def list_workflow_blocks(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/blocks`: a bare array, or a page."""
    return bare_or_page(state, request, block_bodies(state.workflow(workflow_id), state.shape("classic")))


def list_workflow_edges(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/edges`: a bare array, or a page."""
    edges = edge_bodies(state.workflow(workflow_id), state.shape("classic"))
    return bare_or_page(state, request, _chosen(edges, request))


def list_blocks(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/blocks?workflow_id=`."""
    return answer(_page(state, request, block_bodies(_workflow_of(state, request), state.shape("current"))))


def list_edges(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/edges?workflow_id=`."""
    edges = edge_bodies(_workflow_of(state, request), state.shape("current"))
    return answer(_page(state, request, _chosen(edges, request)))


def bare_or_page(state: State, request: Request, rows: list[dict[str, Any]]) -> Response:
    """Answer with a list on the classic routes: a bare array, or a page where the generation has pages."""
    return answer(_page(state, request, rows) if state.shape("classic").has_pages else rows)


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


def workflow_body(state: State, workflow: Workflow) -> dict[str, Any]:
    """Return the body of a workflow, which says what was published of it last."""
    published, snapshot_id = None, None
    if publications := state.publications.get(workflow.id):
        last = publications[-1]
        version_id = last.workflow.version_id
        snapshot_id = version_id.replace("ver_", "snap_")
        published = {
            "version_id": version_id,
            "snapshot_id": snapshot_id,
            "published_at": moment(last.at) or CREATED_AT,
            "description": last.description,
        }
    return {
        "id": workflow.id,
        "name": workflow.name,
        "description": workflow.description,
        "organization_id": ORGANIZATION_ID,
        "is_published": published is not None,
        "published_snapshot_id": snapshot_id,
        "published": published,
        "created_at": CREATED_AT,
        "updated_at": CREATED_AT,
    }


def block_bodies(workflow: Workflow, shape: Generation) -> list[dict[str, Any]]:
    """Return the bodies of a workflow's blocks, also of those in loops."""
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
        "updated_at": CREATED_AT,
        **node.facts,
    }


def edge_bodies(workflow: Workflow, shape: Generation) -> list[dict[str, Any]]:
    """Return the bodies of a workflow's edges."""
    texts = () if shape.has_texts else workflow.starts("start_text")
    return [
        {
            "id": f"edge-{source}-{target}",
            "workflow_id": workflow.id,
            **({"organization_id": ORGANIZATION_ID} if shape.has_owner else {}),
            "source_block": source,
            "target_block": target,
            "source_handle": None,
            "target_handle": None,
            "updated_at": CREATED_AT,
            **workflow.edge_facts.get((source, target), {}),
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
