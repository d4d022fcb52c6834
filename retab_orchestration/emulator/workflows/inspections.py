"""What older servers say of a draft beside its blocks: schemas, snapshots, past configs, a diagnosis."""

import hashlib
from collections import Counter
from typing import Any

from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.serving.paging import page
from retab_orchestration.emulator.serving.routing import Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment
from retab_orchestration.emulator.state import ORGANIZATION_ID, State
from retab_orchestration.emulator.workflows.graph import CREATED_AT, block_bodies
from retab_orchestration.emulator.workflows.values import Node, Workflow
from retab_orchestration.emulator.workflows.versions import newest_first

__all__ = ["ROUTES"]


def get_schemas(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/resolved-schemas`: those of each block."""
    workflow = state.workflow(workflow_id)
    schemas = {node.id: _schemas(workflow, node) for node in workflow.nodes}
    return answer({"workflow_id": workflow_id, "draft_version": None, "schemas": schemas})


def get_block_schemas(state: State, _request: Request, workflow_id: str, block_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/blocks/{block_id}/resolved-schemas`."""
    workflow = state.workflow(workflow_id)
    schema = _schemas(workflow, _node(workflow, block_id))
    known = {"workflow_id": workflow_id, "block_id": block_id, "draft_version": None}
    return answer({**known, "schema": schema})


def list_snapshots(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/snapshots`: what was published, the newest first."""
    published = newest_first(state, workflow_id)
    rows = [
        {
            "id": each.workflow.version_id,
            "snapshot_id": each.workflow.version_id.replace("ver_", "snap_"),
            "workflow_id": workflow_id,
            "organization_id": ORGANIZATION_ID,
            "version": number,
            "description": each.description,
            "block_count": len(each.workflow.nodes),
            "edge_count": len(each.workflow.edges),
            "published_at": moment(each.at) or CREATED_AT,
        }
        for number, each in zip(range(len(published), 0, -1), published, strict=True)
    ]
    return answer(page(request, rows, lambda row: str(row["id"]), lambda row: row))


def list_configs(state: State, request: Request, workflow_id: str, block_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/blocks/{block_id}/config-history`: what it was in each version."""
    _node(state.workflow(workflow_id), block_id)
    published = newest_first(state, workflow_id)
    rows = [
        _config(body, moment(each.at) or CREATED_AT, number, is_current=each is published[0])
        for number, each in zip(range(len(published), 0, -1), published, strict=True)
        for body in block_bodies(each.workflow, state.shape("classic"))
        if body["id"] == block_id
    ]
    return answer(page(request, rows, lambda row: str(row["config_fingerprint"]), lambda row: row))


def diagnose(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `POST /v1/workflows/{workflow_id}/diagnose-graph` about the graph in the body."""
    state.workflow(workflow_id)
    body = request.json_object()
    blocks, edges = _objects(body, "blocks"), _objects(body, "edges")
    ids = {block.get("id") for block in blocks if isinstance(block.get("id"), str)}
    issues = [
        {
            "severity": "error",
            "code": "dangling_edge",
            "message": f"There is no block {edge.get(side)}",
            "block_id": None,
        }
        for edge in edges
        for side in ("source", "target")
        if not isinstance(edge.get(side), str) or edge[side] not in ids
    ]
    types = Counter(str(block.get("type")) for block in blocks)
    stats = {
        "total_blocks": len(blocks),
        "total_edges": len(edges),
        "block_types": dict(types),
        "start_blocks": sum(number for kind, number in types.items() if kind.startswith("start")),
    }
    return answer({"is_valid": not issues, "issues": issues, "suggestions": [], "stats": stats})


def _schemas(workflow: Workflow, node: Node) -> dict[str, Any]:
    """Return what a block takes and gives; of its fields only those of an extract block are known."""
    kinds = {name: {"type": "number" if field.is_number else "string"} for name, field in node.fields.items()}
    output = {"type": "object", "properties": kinds} if kinds else {}
    sources = [source for source in node.after if workflow.node(source)]
    return {
        "input_schemas": {f"input-json-{number}": {} for number, _ in enumerate(sources)},
        "output_schemas": {"output-json-0": output},
    }


def _config(body: dict[str, Any], at: str, number: int, *, is_current: bool) -> dict[str, Any]:
    content = f"{body['label']} {body['config']!r}"
    return {
        "config_fingerprint": hashlib.sha256(content.encode()).hexdigest(),
        "block_type": body["type"],
        "block_label": body["label"],
        "config_snapshot": body["config"],
        "first_seen_at": at,
        "last_seen_at": at,
        "snapshot_versions": [number],
        "run_count": 0,
        "is_current": is_current,
    }


def _node(workflow: Workflow, block_id: str) -> Node:
    node = workflow.node(block_id)
    if node is None:
        raise Refusal.structured(404, f"Block not found: {block_id}")
    return node


def _objects(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    values = body.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise Refusal.invalid(["body", name], "Input should be a valid list of objects", "list_type")
    return values


_BLOCK = "/v1/workflows/{workflow_id}/blocks/{block_id}"
_SERVERS = ("classic", *span("g2b", "g2c"))

ROUTES = (
    Route("GET", "/v1/workflows/{workflow_id}/resolved-schemas", get_schemas, _SERVERS),
    Route("GET", f"{_BLOCK}/resolved-schemas", get_block_schemas, _SERVERS),
    Route("GET", "/v1/workflows/{workflow_id}/snapshots", list_snapshots, _SERVERS),
    Route("GET", f"{_BLOCK}/config-history", list_configs, _SERVERS),
    Route("POST", "/v1/workflows/{workflow_id}/diagnose-graph", diagnose, ("classic", *span("g2a", "g2c"))),
)
