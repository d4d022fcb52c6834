"""Creating a run from a request: the checks that both route families have in common."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from retab_orchestration.emulator.documents import File
from retab_orchestration.emulator.engine import Run
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.wire import Refusal, Request, new_id
from retab_orchestration.emulator.workflows import Workflow

__all__ = ["NewRun", "object_at", "read_inputs", "start_once", "start_run", "text_at"]

DocumentReader = Callable[[State, dict[str, Any], list[str]], tuple[File, bytes | None]]
"""Turns one document of a request body into a file, with its bytes if they are in the body.

The list is the path of the document in the body.
"""


@dataclass(frozen=True)
class NewRun:
    """A run whose inputs are checked and read, and that has not started."""

    run: Run
    contents: tuple[tuple[File, bytes], ...]
    """The documents that came with it, with their bytes."""


def read_inputs(
    state: State, workflow: Workflow, family: str, body: Mapping[str, Any], read: DocumentReader
) -> NewRun:
    """Check the inputs of a create.

    Raises:
        Refusal: 422 for an input that is malformed or meant for no start node.
    """
    documents = _inputs(workflow, body, "documents", "start")
    json_inputs = _inputs(workflow, body, "json_inputs", "start_json")
    text_inputs = _inputs(workflow, body, "text_inputs", "start_text") if family == "classic" else {}
    for node_id, text in text_inputs.items():
        if not isinstance(text, str):
            raise Refusal.invalid(
                ["body", "text_inputs", node_id], "Input should be a valid string", "string_type"
            )
    given = {node_id: _read(state, document, node_id, read) for node_id, document in documents.items()}
    files = {node_id: file for node_id, (file, _) in given.items()}
    contents = tuple((file, content) for file, content in given.values() if content is not None)
    return NewRun(Run("", workflow, family, 0.0, 0.0, 0, files, json_inputs, text_inputs), contents)


def start_run(state: State, run: Run) -> Run:
    """Start a run that has its inputs, giving it an id and its times."""
    run.id = new_id("run")
    run.created_at = state.clock()
    run.seconds = _seconds(run) / state.speed
    return state.add_run(run)


def start_once(state: State, request: Request, new: NewRun) -> Run:
    """Start a run, or return the one that was started with the same `Idempotency-Key`.

    Raises:
        Refusal: 409 when the key was sent before with another request.
    """
    key = None if state.traits.idempotency == "ignored" else request.headers.get("idempotency-key")
    digest = hashlib.sha256(f"{request.method} {request.path}\n".encode() + request.body).hexdigest()
    with state.lock:
        known = state.runs.get(state.recall(key, digest) or "")
        if known is not None:
            return known
        for file, content in new.contents:
            state.file_store.add(file, content)
        run = start_run(state, new.run)
        if key is not None:
            state.commands[key] = (digest, run.id)
        return run


def object_at(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object of the body, an empty one when it is absent or null.

    Raises:
        Refusal: 422 when it is anything else.
    """
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal.invalid(["body", name], "Input should be a valid dictionary", "dict_type")
    return value


def text_at(body: Mapping[str, Any], name: str, loc: list[str]) -> str:
    """Return a required string of the body, which must not be empty.

    Raises:
        Refusal: 422 otherwise.
    """
    value = body.get(name)
    if value is None:
        raise Refusal.invalid([*loc, name], "Field required", "missing")
    if not isinstance(value, str) or not value:
        raise Refusal.invalid([*loc, name], "Input should be a non-empty string", "string_type")
    return value


def _inputs(workflow: Workflow, body: Mapping[str, Any], name: str, kind: str) -> dict[str, Any]:
    inputs = object_at(body, name)
    starts = workflow.starts(kind)
    for node_id in inputs:
        if node_id not in starts:
            known = ", ".join(starts) or "none"
            message = f"'{node_id}' is no {kind} node of workflow {workflow.id}; it has: {known}"
            raise Refusal.invalid(["body", name, node_id], message)
    return inputs


def _read(state: State, document: Any, node_id: str, read: DocumentReader) -> tuple[File, bytes | None]:
    loc = ["body", "documents", node_id]
    if not isinstance(document, dict):
        raise Refusal.invalid(loc, "Input should be a valid dictionary or object", "dict_type")
    return read(state, document, loc)


def _seconds(run: Run) -> float:
    for value in run.json_inputs.values():
        asked = value.get("seconds") if isinstance(value, dict) else None
        if isinstance(asked, int | float) and not isinstance(asked, bool) and math.isfinite(asked):
            return max(0.0, float(asked))
    return run.workflow.seconds
