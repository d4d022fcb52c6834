"""Workflows as YAML: the spec of one, and what applying another one would change."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.runs.creation import text_at
from retab_orchestration.emulator.serving.routing import CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, new_id, read_json
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.workflows.block_edits import node_of_body
from retab_orchestration.emulator.workflows.edge_edits import with_edge
from retab_orchestration.emulator.workflows.editing import put_node
from retab_orchestration.emulator.workflows.graph import block_bodies, edge_bodies
from retab_orchestration.emulator.workflows.values import Workflow
from retab_orchestration.emulator.workflows.workflow_edits import add_workflow

__all__ = ["ROUTES"]

_BLOCK = ("id", "type", "label", "config")
_EDGE = ("id", "source_block", "target_block", "source_handle", "target_handle")
_LIMIT = 200_000
"""Characters that a spec may have."""

Spec = dict[str, Any]
"""`workflow_id`, `name`, `blocks`, `edges`."""


def get_spec(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `GET /v1/workflows/{workflow_id}/spec`, or `…/spec/{workflow_id}`."""
    text = yaml.safe_dump(_spec(state, state.workflow(workflow_id)), sort_keys=False)
    return answer({"workflow_id": workflow_id, "yaml_definition": text})


def validate_spec(state: State, request: Request) -> Response:
    """Answer `POST /v1/workflows/spec/validate`."""
    workflow = _read(state, request.json_object())
    return answer({**_sizes(workflow), "is_valid": True, "diagnostics": {}})


def plan_spec(state: State, request: Request) -> Response:
    """Answer `POST /v1/workflows/spec/plan`: what applying it would change."""
    return answer(_plan(state, _read(state, request.json_object())))


def apply_spec(state: State, request: Request) -> Response:
    """Answer `POST /v1/workflows/spec/apply`: the draft becomes what it says."""
    workflow = _read(state, request.json_object())
    plan = _plan(state, workflow)
    created = workflow.id not in state.workflows
    if created:
        add_workflow(state, workflow)
    elif plan["action"] == "update":
        state.workflows[workflow.id] = workflow
    return answer({**plan, "created": created})


def _spec(state: State, workflow: Workflow) -> Spec:
    shape = state.generation
    blocks, edges = block_bodies(workflow, shape), edge_bodies(workflow, shape)
    return {
        "workflow_id": workflow.id,
        "name": workflow.name,
        "blocks": [{name: block[name] for name in _BLOCK if block[name] is not None} for block in blocks],
        "edges": [{name: edge[name] for name in _EDGE if edge[name] is not None} for edge in edges],
    }


def _read(state: State, body: Mapping[str, Any]) -> Workflow:
    """Return the workflow that a request describes, whose known blocks do what they did.

    Raises:
        Refusal: 400 for what is no spec.
    """
    spec = _parsed(text_at(body, "yaml_definition", ["body"]))
    workflow_id = spec.get("workflow_id") or body.get("workflow_id") or new_id("wf")
    if not isinstance(workflow_id, str):
        raise Refusal(400, {"code": "invalid_spec", "message": "workflow_id has to be a text", "errors": []})
    known = state.workflows.get(workflow_id)
    workflow = (
        replace(known, edge_facts={}) if known else Workflow(workflow_id, workflow_id, (), published=False)
    )
    name = spec.get("name", workflow.name)
    workflow = replace(workflow, nodes=(), name=name if isinstance(name, str) else workflow.name)
    try:
        for block in _objects(spec, "blocks"):
            node = node_of_body(block)
            old = known.node(node.id) if known else None
            workflow = put_node(
                workflow,
                replace(old, after=(), label=node.label, facts={**old.facts, **node.facts}) if old else node,
            )
        for edge in _objects(spec, "edges"):
            workflow, _ = with_edge(workflow, edge)
    except Refusal as refusal:
        message = f"The spec is not valid: {refusal.detail}"
        raise Refusal(400, {"code": "invalid_spec", "message": message, "errors": []}) from refusal
    return workflow


def _parsed(text: str) -> dict[str, Any]:
    """Read the YAML of a spec, which is JSON in another notation: without aliases, dates and sets.

    Raises:
        Refusal: 400 for anything else.
    """
    try:
        has_aliases = any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text[: _LIMIT + 1]))
        is_taken = len(text) <= _LIMIT and not has_aliases
        spec = read_json(json.dumps(yaml.safe_load(text)), ["yaml_definition"]) if is_taken else None
    except (yaml.YAMLError, RecursionError, TypeError, ValueError) as error:
        message = f"The spec is not YAML: {type(error).__name__}"
        raise Refusal(400, {"code": "invalid_yaml", "message": message, "errors": []}) from error
    if not isinstance(spec, dict):
        raise Refusal(400, {"code": "invalid_spec", "message": "The spec has to be a mapping", "errors": []})
    return spec


def _objects(spec: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    values = spec.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise Refusal.invalid([name], "Input should be a list of mappings", "list_type")
    return values


def _sizes(workflow: Workflow) -> dict[str, Any]:
    return {
        "workflow_id": workflow.id,
        "block_count": len(workflow.nodes),
        "edge_count": len(workflow.edges),
    }


def _plan(state: State, workflow: Workflow) -> dict[str, Any]:
    known = state.workflows.get(workflow.id)
    new, old = _rows(state, workflow), _rows(state, known) if known else {}
    actions = {
        "create": [each for each in new if each not in old],
        "update": [each for each in new if each in old and new[each] != old[each]],
        "delete": [each for each in old if each not in new],
    }
    changes = [_change(action, key, old, new) for action, keys in actions.items() for key in keys]
    kind = "update" if changes or (known and known.name != workflow.name) else "noop"
    add, change, destroy = (len(keys) for keys in actions.values())
    same = len(new) - add - change
    return {
        **_sizes(workflow),
        "action": kind if known else "create",
        "diagnostics": {},
        "format_version": "workflows-plan/v1",
        "summary": {
            "add": add,
            "change": change,
            "destroy": destroy,
            "replace": 0,
            "noop": same,
            "total": add + change + destroy,
            "has_changes": kind == "update" or known is None,
        },
        "resource_changes": changes,
        "rendered_plan": f"{add} to add, {change} to change, {destroy} to destroy.",
    }


def _rows(state: State, workflow: Workflow) -> dict[tuple[str, str], dict[str, Any]]:
    """Return the blocks and the edges of a spec, by kind and id."""
    spec = _spec(state, workflow)
    kinds = {"block": spec["blocks"], "edge": spec["edges"]}
    return {(kind, row["id"]): row for kind, rows in kinds.items() for row in rows}


def _change(
    action: str, key: tuple[str, str], old: Mapping[Any, Any], new: Mapping[Any, Any]
) -> dict[str, Any]:
    kind, own_id = key
    row = new.get(key) or old[key]
    return {
        "address": f"{kind}.{own_id}",
        "target": kind,
        "target_id": own_id,
        "name": row.get("label", own_id),
        "type": row.get("type", "edge"),
        "actions": [action],
        "summary": f"{action} {kind} {own_id}",
        "change": {"before": old.get(key), "after": new.get(key), "field_changes": []},
    }


_SPEC = "/v1/workflows/spec"
_SERVERS = ("classic", *span("g2a", "g2c"), *CURRENT)

ROUTES = (
    Route("GET", "/v1/workflows/{workflow_id}/spec", get_spec, ("current", *span("g3b", "g3c"))),
    Route("GET", _SPEC + "/{workflow_id}", get_spec, ("classic", *span("g2a", "g3a"))),
    Route("POST", f"{_SPEC}/validate", validate_spec, _SERVERS),
    Route("POST", f"{_SPEC}/plan", plan_spec, _SERVERS),
    Route("POST", f"{_SPEC}/apply", apply_spec, _SERVERS),
)
