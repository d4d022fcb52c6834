"""Reading users' workflows from a YAML file; the package's docstring shows one."""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from retab_orchestration.emulator.workflows.built_in import BUILT_IN
from retab_orchestration.emulator.workflows.values import (
    LOOPS,
    NODE_TYPES,
    TRIGGERS,
    Field,
    Node,
    NodeTest,
    Workflow,
)

__all__ = ["read_workflows"]

_SECONDS = ("seconds", "pending_seconds", "queued_seconds", "cancel_seconds")
_KEYS = {
    *(
        "id",
        "like",
        "name",
        *_SECONDS,
        "published",
        "on_reject",
        "cancel_error",
        "trigger_type",
        "nodes",
        "tests",
    )
}
_NODE_KEYS = {"id", "type", "label", "after", "fields", "parts", "error", "retries", "body"}


def read_workflows(path: Path) -> tuple[Workflow, ...]:
    """Read the workflows of a YAML file.

    Raises:
        OSError: when the file cannot be read.
        ValueError: when it holds something else; the message says where and what to write instead.
    """
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from error
    entries = document.get("workflows") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path} has to begin with `workflows:` and a list")  # noqa: TRY004 - it is the file
    known = {workflow.id: workflow for workflow in BUILT_IN}
    read: list[Workflow] = []
    for number, entry in enumerate(entries, 1):
        try:
            workflow = _workflow(entry, known)
        except ValueError as error:
            raise ValueError(f"{path}, workflow {number}: {error}") from error
        known[workflow.id] = workflow
        read.append(workflow)
    return tuple(read)


def _workflow(entry: Any, known: Mapping[str, Workflow]) -> Workflow:
    _check_keys(entry, _KEYS)
    workflow_id = _text(entry, "id")
    if "like" in entry:
        if entry["like"] not in known:
            raise ValueError(f"like: {entry['like']!r} is no workflow above it; there are {', '.join(known)}")
        workflow = replace(known[entry["like"]], id=workflow_id)
    else:
        workflow = Workflow(workflow_id, workflow_id, _nodes(entry.get("nodes")))
    if "name" in entry:
        workflow = replace(workflow, name=_text(entry, "name"))
    if "cancel_error" in entry:
        workflow = replace(workflow, cancel_error=_text(entry, "cancel_error"))
    ids = Counter(node.id for node, _ in workflow.placed)
    if twice := [node_id for node_id, times in ids.items() if times > 1]:
        raise ValueError(f"node {', '.join(twice)} is there twice")
    tests = tuple(_test(test, workflow) for test in entry["tests"]) if "tests" in entry else workflow.tests
    seconds: dict[str, Any] = {name: _number(entry, name, getattr(workflow, name)) for name in _SECONDS}
    return replace(
        workflow,
        **seconds,
        trigger_type=_choice(entry, "trigger_type", workflow.trigger_type, TRIGGERS),
        on_reject=_choice(entry, "on_reject", workflow.on_reject, ("cancelled", "completed", "error")),
        published=bool(entry.get("published", workflow.published)),
        tests=tests,
    )


def _nodes(entries: Any) -> tuple[Node, ...]:
    if not isinstance(entries, list) or not entries:
        raise ValueError("nodes has to be a list of nodes, or write `like: wf_invoice` to copy a workflow")
    nodes: list[Node] = []
    for entry in entries:
        nodes.append(_node(entry, nodes))
    return tuple(nodes)


def _node(entry: Any, before: list[Node]) -> Node:
    _check_keys(entry, _NODE_KEYS)
    node_id, kind = _text(entry, "id"), _text(entry, "type")
    if kind not in NODE_TYPES:
        raise ValueError(f"node {node_id}: type has to be one of {', '.join(sorted(NODE_TYPES))}")
    after = entry.get("after", [] if kind.startswith("start") else _previous(before))
    if unknown := set(after) - {node.id for node in before}:
        raise ValueError(
            f"node {node_id}: {', '.join(sorted(unknown))} is not above it; write nodes in order"
        )
    fields = {name: _field(value) for name, value in (entry.get("fields") or {}).items()}
    parts = {name: _pages(value) for name, value in (entry.get("parts") or {}).items()}
    if kind in LOOPS:
        return Node.loop(node_id, kind, str(entry.get("label", node_id)), after, _body(entry, node_id))
    error = entry.get("error")
    if error is not None:
        error = {"message": "The workflow failed", "stage": "execution", "category": None, **error}
    retries = entry.get("retries", 0)
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise ValueError(f"node {node_id}: retries has to be a number, 0 or more")
    return Node(node_id, kind, str(entry.get("label", node_id)), tuple(after), fields, parts, error, retries)


def _body(entry: Any, node_id: str) -> tuple[Node, ...]:
    try:
        body = _nodes(entry.get("body"))
    except ValueError as error:
        raise ValueError(f"node {node_id}: body: {error}") from error
    if starts := [node.id for node in body if node.is_start]:
        raise ValueError(f"node {node_id}: {', '.join(starts)} may not be in a loop, which has no starts")
    return body


def _pages(value: Any) -> tuple[int, int | None]:
    pages = [value, value] if isinstance(value, int) else value
    is_list = isinstance(pages, list) and len(pages) in {1, 2}
    if not is_list or not all(isinstance(page, int) and page >= 1 for page in pages):
        raise ValueError(
            "parts: write `Name: 1` for a page, `Name: [2, 3]` for some, `Name: [2]` for all from there on"
        )
    return pages[0], pages[1] if len(pages) > 1 else None


def _previous(before: list[Node]) -> list[str]:
    if before and all(node.is_start for node in before):
        return [node.id for node in before]
    return [before[-1].id] if before else []


def _field(value: Any) -> Field:
    if isinstance(value, str):
        return Field(value)
    _check_keys(value, {"label", "type"})
    return Field(_text(value, "label"), is_number=value.get("type") == "number")


def _test(entry: Any, workflow: Workflow) -> NodeTest:
    _check_keys(entry, {"id", "node", "verdict"})
    test = NodeTest(_text(entry, "id"), _text(entry, "node"), entry.get("verdict", "passed"))
    if workflow.node(test.node_id) is None:
        raise ValueError(f"test {test.id}: the workflow has no node {test.node_id}")
    if test.verdict not in {"passed", "failed", "blocked"}:
        raise ValueError(f"test {test.id}: verdict has to be passed, failed or blocked")
    return test


def _check_keys(entry: Any, allowed: set[str]) -> None:
    if not isinstance(entry, Mapping):
        raise ValueError(f"{entry!r} has to be a mapping with the keys {', '.join(sorted(allowed))}")  # noqa: TRY004
    if unknown := {str(key) for key in entry} - allowed:
        raise ValueError(f"unknown key {', '.join(sorted(unknown))}; there are {', '.join(sorted(allowed))}")


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} has to be a text")
    return value


def _choice(entry: Mapping[str, Any], name: str, default: str, allowed: Collection[str]) -> str:
    value = entry.get(name, default)
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} has to be one of {', '.join(allowed)}")
    return value


def _number(entry: Mapping[str, Any], name: str, default: float) -> float:
    value = entry.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} has to be a number of seconds, 0 or more")
    return float(value)
