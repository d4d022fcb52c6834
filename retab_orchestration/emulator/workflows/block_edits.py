"""Changing the blocks of a workflow's draft, on the routes of both families."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.runs.creation import object_at, text_at
from retab_orchestration.emulator.serving.routing import CLASSIC, CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, new_id, read_json
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.workflows.editing import drop_node, put_node
from retab_orchestration.emulator.workflows.graph import block_bodies
from retab_orchestration.emulator.workflows.values import Node, Workflow

__all__ = ["ROUTES", "node_of_body"]

_FACTS = ("position_x", "position_y", "width", "height", "config", "parent_id")
_OLDEST_NAMES = {"function": "functions", "start_document": "start", "review": "hil"}


def get_block(state: State, request: Request, *ids: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/blocks/{block_id}` and `GET /v1/workflows/blocks/{block_id}`."""
    workflow, node = _find(state, request, ids)
    return answer(_body(state, workflow, node.id))


def create_block(state: State, request: Request, workflow_id: str | None = None) -> Response:
    """Answer `POST …/blocks`."""
    body = request.json_object()
    workflow = state.workflow(workflow_id or text_at(body, "workflow_id", ["body"]))
    node = _new_node(workflow, body)
    state.workflows[workflow.id] = put_node(workflow, node)
    return answer(_body(state, state.workflows[workflow.id], node.id))


def create_blocks(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `POST /v1/workflows/{workflow_id}/blocks/batch`, whose body is a bare array."""
    workflow = state.workflow(workflow_id)
    bodies = read_json(request.body or b"[]", ["body"])
    if not isinstance(bodies, list) or not all(isinstance(body, dict) for body in bodies):
        raise Refusal.invalid(["body"], "Input should be a valid list of objects", "list_type")
    nodes = []
    for body in bodies:
        nodes.append(_new_node(workflow, body))
        workflow = put_node(workflow, nodes[-1])
    state.workflows[workflow_id] = workflow
    return answer([_body(state, workflow, node.id) for node in nodes])


def update_block(state: State, request: Request, *ids: str) -> Response:
    """Answer `PATCH …/blocks/{block_id}`: what is in the body changes, the rest stays."""
    workflow, node = _find(state, request, ids)
    body = request.json_object()
    label = text_at(body, "label", ["body"]) if body.get("label") is not None else node.label
    changed = replace(node, label=label, facts={**node.facts, **_facts(body)})
    state.workflows[workflow.id] = put_node(workflow, changed)
    return answer(_body(state, state.workflows[workflow.id], node.id))


def delete_block(state: State, request: Request, *ids: str) -> Response:
    """Answer `DELETE …/blocks/{block_id}`: its edges go with it."""
    workflow, node = _find(state, request, ids)
    state.workflows[workflow.id] = drop_node(workflow, node.id)
    return Response(204)


def validate_config(state: State, request: Request, block_id: str) -> Response:
    """Answer `POST /v1/workflows/blocks/{block_id}/validate-config`; any object is a valid config here."""
    workflow, node = _find(state, request, (block_id,))
    config = object_at(request.json_object(), "config")
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()
    kind = _body(state, workflow, node.id)["type"]
    known = {"workflow_id": workflow.id, "block_id": node.id, "block_type": kind}
    return answer({"ok": True, **known, "config_hash": digest})


def node_of_body(body: Mapping[str, Any], after: tuple[str, ...] = ()) -> Node:
    """Return the node that the body of a block describes.

    Raises:
        Refusal: 422 for a body that is malformed.
    """
    kind = text_at(body, "type", ["body"])
    block_id = text_at(body, "id", ["body"]) if body.get("id") is not None else new_id("block")
    label = text_at(body, "label", ["body"]) if body.get("label") else block_id
    return Node(block_id, _OLDEST_NAMES.get(kind, kind), label, after, facts=_facts(body))


def _new_node(workflow: Workflow, body: Mapping[str, Any]) -> Node:
    node = node_of_body(body)
    if workflow.node(node.id) is not None:
        raise Refusal.structured(409, f"Workflow {workflow.id} has a block {node.id} already")
    return node


def _facts(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a body says of a block's place, size and config.

    Raises:
        Refusal: 422 for a number or a config that is none.
    """
    facts = {name: body[name] for name in _FACTS if body.get(name) is not None}
    for name, value in facts.items():
        kinds = {"config": dict, "parent_id": str}.get(name, (int, float))
        if isinstance(value, bool) or not isinstance(value, kinds):
            raise Refusal.invalid(["body", name], "Input should be of another type", "type_error")
    return facts


def _find(state: State, request: Request, ids: tuple[str, ...]) -> tuple[Workflow, Node]:
    """Return a node and its workflow, which the path or the query may name.

    Raises:
        Refusal: 404 when there is none.
    """
    for workflow in state.workflows_named(ids[0] if len(ids) > 1 else request.param("workflow_id")):
        if (node := workflow.node(ids[-1])) is not None:
            return workflow, node
    raise Refusal.structured(404, f"Block not found: {ids[-1]}")


def _body(state: State, workflow: Workflow, node_id: str) -> dict[str, Any]:
    bodies = block_bodies(workflow, state.generation)
    body = next((body for body in bodies if body["id"] == node_id), None)
    if body is None:  # a text input, which current routes do not show
        raise Refusal.structured(404, f"Block not found: {node_id}")
    return body


_CLASSIC, _CURRENT = "/v1/workflows/{workflow_id}/blocks", "/v1/workflows/blocks"

ROUTES = (
    Route("POST", _CLASSIC, create_block, CLASSIC),
    Route("POST", f"{_CLASSIC}/batch", create_blocks, CLASSIC),
    Route("GET", _CLASSIC + "/{block_id}", get_block, CLASSIC),
    Route("PATCH", _CLASSIC + "/{block_id}", update_block, CLASSIC),
    Route("DELETE", _CLASSIC + "/{block_id}", delete_block, CLASSIC),
    Route("POST", _CURRENT, create_block, CURRENT),
    Route("GET", _CURRENT + "/{block_id}", get_block, CURRENT),
    Route("PATCH", _CURRENT + "/{block_id}", update_block, CURRENT),
    Route("DELETE", _CURRENT + "/{block_id}", delete_block, CURRENT),
    Route(
        "POST",
        _CURRENT + "/{block_id}/validate-config",
        validate_config,
        ("current", *span("g3b", "g3c")),
    ),
)
