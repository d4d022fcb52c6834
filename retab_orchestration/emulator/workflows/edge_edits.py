"""Changing the edges of a workflow's draft, on the routes of both families."""

from collections.abc import Mapping
from typing import Any

from retab_orchestration.emulator.runs.creation import text_at
from retab_orchestration.emulator.serving.routing import CLASSIC, CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, read_json
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.workflows.editing import drop_edges, put_edge
from retab_orchestration.emulator.workflows.graph import edge_bodies
from retab_orchestration.emulator.workflows.values import Workflow

__all__ = ["ROUTES", "with_edge"]

Edge = tuple[str, str]
"""The ids of an edge's source and its target."""


def get_edge(state: State, request: Request, *ids: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/edges/{edge_id}` and `GET /v1/workflows/edges/{edge_id}`."""
    workflow, edge = _find(state, request, ids)
    return answer(_body(state, workflow, edge))


def create_edge(state: State, request: Request, workflow_id: str | None = None) -> Response:
    """Answer `POST …/edges`."""
    body = request.json_object()
    workflow = state.workflow(workflow_id or text_at(body, "workflow_id", ["body"]))
    workflow, edge = with_edge(workflow, body)
    state.workflows[workflow.id] = workflow
    return answer(_body(state, workflow, edge))


def create_edges(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `POST /v1/workflows/{workflow_id}/edges/batch`, whose body is a bare array."""
    workflow = state.workflow(workflow_id)
    bodies = read_json(request.body or b"[]", ["body"])
    if not isinstance(bodies, list) or not all(isinstance(body, dict) for body in bodies):
        raise Refusal.invalid(["body"], "Input should be a valid list of objects", "list_type")
    edges = []
    for body in bodies:
        workflow, edge = with_edge(workflow, body)
        edges.append(edge)
    state.workflows[workflow_id] = workflow
    return answer([_body(state, workflow, edge) for edge in edges])


def delete_edge(state: State, request: Request, *ids: str) -> Response:
    """Answer `DELETE …/edges/{edge_id}`."""
    workflow, edge = _find(state, request, ids)
    state.workflows[workflow.id] = drop_edges(workflow, [edge])
    return Response(204)


def delete_edges(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `DELETE /v1/workflows/{workflow_id}/edges`: all of them."""
    workflow = state.workflow(workflow_id)
    state.workflows[workflow_id] = drop_edges(workflow, workflow.edges)
    return Response(204)


def with_edge(workflow: Workflow, body: Mapping[str, Any]) -> tuple[Workflow, Edge]:
    """Return a workflow with the edge that a body describes, and the ends of that.

    Raises:
        Refusal: 422 for a body that is malformed, 404 for a block that there is not, 409 for a circle.
    """
    edge = text_at(body, "source_block", ["body"]), text_at(body, "target_block", ["body"])
    known = {node.id for node in workflow.nodes}  # loops keep the edges inside of them
    for end in edge:
        if end not in known:
            raise Refusal.structured(404, f"Block not found: {end}")
    names = ("id", "source_handle", "target_handle")
    facts = {name: text_at(body, name, ["body"]) for name in names if body.get(name) is not None}
    try:
        return put_edge(workflow, *edge, facts), edge
    except ValueError as error:
        raise Refusal.structured(409, f"The edge closes a circle: {error}") from error


def _find(state: State, request: Request, ids: tuple[str, ...]) -> tuple[Workflow, Edge]:
    """Return an edge and its workflow, which the path or the query may name.

    Raises:
        Refusal: 404 when there is none.
    """
    for workflow in state.workflows_named(ids[0] if len(ids) > 1 else request.param("workflow_id")):
        for edge in workflow.edges:
            if workflow.edge_id(*edge) == ids[-1]:
                return workflow, edge
    raise Refusal.structured(404, f"Edge not found: {ids[-1]}")


def _body(state: State, workflow: Workflow, edge: Edge) -> dict[str, Any]:
    edge_id = workflow.edge_id(*edge)
    body = next((each for each in edge_bodies(workflow, state.generation) if each["id"] == edge_id), None)
    if body is None:  # from a text input, which current routes do not show
        raise Refusal.structured(404, f"Edge not found: {edge_id}")
    return body


_CLASSIC, _CURRENT = "/v1/workflows/{workflow_id}/edges", "/v1/workflows/edges"

ROUTES = (
    Route("POST", _CLASSIC, create_edge, CLASSIC),
    Route("DELETE", _CLASSIC, delete_edges, CLASSIC),
    Route("POST", f"{_CLASSIC}/batch", create_edges, CLASSIC),
    Route("GET", _CLASSIC + "/{edge_id}", get_edge, CLASSIC),
    Route("DELETE", _CLASSIC + "/{edge_id}", delete_edge, CLASSIC),
    Route("POST", _CURRENT, create_edge, CURRENT),
    Route("GET", _CURRENT + "/{edge_id}", get_edge, CURRENT),
    Route("DELETE", _CURRENT + "/{edge_id}", delete_edge, CURRENT),
)
