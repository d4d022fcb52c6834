"""Creating a run from a request, on the classic routes and on the current ones."""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from retab_orchestration.emulator.files.created import create_files
from retab_orchestration.emulator.files.documents import File, decode_base64, decode_data_uri, read_file
from retab_orchestration.emulator.runs.bodies import run_body
from retab_orchestration.emulator.runs.engine import Run
from retab_orchestration.emulator.serving.routing import CLASSIC, CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, new_id
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.workflows.values import Workflow

__all__ = ["ROUTES", "object_at", "start_run", "text_at"]

_DocumentReader = Callable[[State, dict[str, Any], list[str]], tuple[File, bytes | None]]
"""Turns one document of a request body into a file, with its bytes if they are in the body.

The list is the path of the document in the body.
"""


@dataclass(frozen=True)
class _NewRun:
    """A run whose inputs are checked and read, and that has not started."""

    run: Run
    contents: tuple[tuple[File, bytes], ...]
    """The documents that came with it, with their bytes."""


def _read_inputs(
    state: State, workflow: Workflow, routes: str, body: Mapping[str, Any], read: _DocumentReader
) -> _NewRun:
    """Check the inputs of a create.

    Raises:
        Refusal: 422 for an input that is malformed or meant for no start node.
    """
    if not workflow.nodes:
        raise Refusal.structured(422, f"Workflow {workflow.id} has no blocks to run")
    documents = _inputs(workflow, body, "documents", "start")
    json_inputs = _inputs(workflow, body, "json_inputs", "start_json")
    shape = state.shape(routes)
    text_inputs = _inputs(workflow, body, "text_inputs", "start_text") if shape.has_texts else {}
    for node_id, text in text_inputs.items():
        if not isinstance(text, str):
            raise Refusal.invalid(
                ["body", "text_inputs", node_id], "Input should be a valid string", "string_type"
            )
    given = {node_id: _read(state, document, node_id, read) for node_id, document in documents.items()}
    files = {node_id: file for node_id, (file, _) in given.items()}
    contents = tuple((file, content) for file, content in given.values() if content is not None)
    run = Run("", workflow, shape, documents=files, json_inputs=json_inputs, text_inputs=text_inputs)
    run.trigger_type = workflow.trigger_type
    run.has_metadata = shape.has_metadata and state.traits.metadata != "dropped"
    return _NewRun(run, contents)


def start_run(state: State, run: Run) -> Run:
    """Start a run that has its inputs, giving it an id and its times."""
    run.id = new_id("run")
    run.created_at = state.clock()
    workflow, speed = run.workflow, state.speed
    run.seconds = _seconds(run, "seconds", workflow.seconds) / speed
    run.pending = _seconds(run, "pending_seconds", workflow.pending_seconds) / speed
    run.queued = _seconds(run, "queued_seconds", workflow.queued_seconds) / speed
    create_files(state, run)
    return state.add_run(run)


def _start_once(state: State, request: Request, new: _NewRun) -> Run:
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


def _referred(state: State, document: Mapping[str, Any]) -> File:
    """Return the file that a document of a create refers to.

    Raises:
        Refusal: 404 when there is none.
    """
    file_id = str(document.get("id") or document.get("file_id"))
    if file_id not in state.file_store.files:
        raise Refusal.structured(404, f"File not found: {file_id}")
    return state.file_store.files[file_id]


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


def _read(state: State, document: Any, node_id: str, read: _DocumentReader) -> tuple[File, bytes | None]:
    loc = ["body", "documents", node_id]
    if not isinstance(document, dict):
        raise Refusal.invalid(loc, "Input should be a valid dictionary or object", "dict_type")
    return read(state, document, loc)


def _seconds(run: Run, name: str, usual: float) -> float:
    """Return for how long a JSON input asks under a name, else the usual seconds of the workflow."""
    for value in run.json_inputs.values():
        asked = value.get(name) if isinstance(value, dict) else None
        if isinstance(asked, int | float) and not isinstance(asked, bool) and math.isfinite(asked):
            return max(0.0, float(asked))
    return usual


def create_classic_run(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `POST /v1/workflows/{workflow_id}/run`."""
    workflow, body = state.workflow(workflow_id), request.json_object()
    if state.shape("classic").has_versions:
        workflow = _version(state, workflow, body.get("version", "production"))
    else:
        workflow = state.production(workflow_id) or workflow
    new = _read_inputs(state, workflow, "classic", body, _read_content)
    run = _start_once(state, request, new)
    return answer(run_body(state, run))


def _read_content(state: State, document: dict[str, Any], loc: list[str]) -> tuple[File, bytes | None]:
    is_reference = "content" not in document and ("id" in document or "file_id" in document)
    if is_reference and "reference" in state.shape("classic").documents:
        return _referred(state, document), None
    filename, mime_type = text_at(document, "filename", loc), text_at(document, "mime_type", loc)
    try:
        content = decode_base64(text_at(document, "content", loc))
    except ValueError as error:
        raise Refusal.invalid([*loc, "content"], "Input should be base64 without a data: prefix") from error
    return read_file(content, filename, mime_type, state.clock()), content


def create_current_run(state: State, request: Request) -> Response:
    """Answer `POST /v1/workflows/runs`."""
    body = request.json_object()
    workflow = state.workflow(text_at(body, "workflow_id", ["body"]))
    workflow = _version(state, workflow, body.get("version", "production"))
    new = _read_inputs(state, workflow, "current", body, _read_url)
    new.run.metadata = _metadata(body)
    if body.get("trigger_type") == "restart":
        new.run.trigger_type = "restart"
    run = _start_once(state, request, new)
    return answer(run_body(state, run), new.run.shape.created)


def _version(state: State, workflow: Workflow, version: Any) -> Workflow:
    """Return the version of a workflow that a create asks for.

    Raises:
        Refusal: 404, 409 or 422 when the workflow has no such version.
    """
    if not isinstance(version, str):
        raise Refusal.invalid(["body", "version"], "Input should be a valid string", "string_type")
    published = [publication.workflow for publication in state.publications.get(workflow.id, [])]
    known = {each.version_id: each for each in (*published, workflow)}
    if version == "production" and not published:
        message = f"Workflow {workflow.id} has no published version. Publish it, or pass version='draft'."
        raise Refusal.structured(409, {"code": "production_required_but_unpublished", "message": message})
    if version == "production":
        return published[-1]
    if version not in {"draft", *known}:
        raise Refusal.structured(404, f"Workflow version not found: {version}")
    return known.get(version, workflow)


def _metadata(body: dict[str, Any]) -> dict[str, str] | None:
    if body.get("metadata") is None:
        return None
    metadata = object_at(body, "metadata")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise Refusal.invalid(["body", "metadata", key], "Input should be a valid string", "string_type")
    return metadata


def _read_url(state: State, document: dict[str, Any], loc: list[str]) -> tuple[File, bytes | None]:
    if "url" not in document and "id" in document and "reference" in state.shape("current").documents:
        return _referred(state, document), None
    url = text_at(document, "url", loc)
    filename = text_at(document, "filename", loc)
    if not url.startswith("data:"):
        return _stored(state, url, loc), None
    try:
        content, mime_type = decode_data_uri(url)
    except ValueError as error:
        raise Refusal.invalid([*loc, "url"], "Input should be a data URI with base64 content") from error
    if not content:
        raise Refusal.invalid([*loc, "url"], "The document is empty")
    return read_file(content, filename, mime_type, state.clock()), content


def _stored(state: State, url: str, loc: list[str]) -> File:
    file = state.file_store.find(url)
    if file is not None:
        return file
    if url.startswith("https://storage.retab.com/"):
        raise Refusal.structured(404, "File not found for the storage URL")
    raise Refusal.invalid(
        [*loc, "url"], "External URLs are not fetched: inline the document or upload it first"
    )


ROUTES = (
    Route("POST", "/v1/workflows/{workflow_id}/run", create_classic_run, CLASSIC),
    Route("POST", "/v1/workflows/runs", create_current_run, CURRENT),
)
