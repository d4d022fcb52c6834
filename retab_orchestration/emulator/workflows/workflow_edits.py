"""Creating, changing, publishing and deleting workflows, which stay as they are in runs that have begun."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.runs.creation import text_at
from retab_orchestration.emulator.serving.routing import CLASSIC, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, new_id
from retab_orchestration.emulator.state import Publication, State
from retab_orchestration.emulator.workflows.graph import workflow_body
from retab_orchestration.emulator.workflows.values import Workflow

__all__ = ["ROUTES", "add_workflow"]


def create_workflow(state: State, request: Request) -> Response:
    """Answer `POST /v1/workflows`: without blocks and unpublished."""
    body = request.json_object()
    workflow = Workflow(new_id("wf"), "Untitled Workflow", (), published=False)
    workflow = replace(workflow, **_changes(body))
    return answer(workflow_body(state, add_workflow(state, workflow)))


def update_workflow(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `PATCH /v1/workflows/{workflow_id}`."""
    workflow = replace(state.workflow(workflow_id), **_changes(request.json_object()))
    state.workflows[workflow_id] = workflow
    return answer(workflow_body(state, workflow))


def delete_workflow(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `DELETE /v1/workflows/{workflow_id}`; its runs stay."""
    del state.workflows[state.workflow(workflow_id).id]
    state.publications.pop(workflow_id, None)
    return Response(204)


def duplicate_workflow(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `POST /v1/workflows/{workflow_id}/duplicate`: the draft again, unpublished."""
    workflow = state.workflow(workflow_id)
    copy = replace(workflow, id=new_id("wf"), name=f"{workflow.name} (copy)", published=False, tests=())
    return answer(workflow_body(state, add_workflow(state, copy)))


def publish_workflow(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `POST /v1/workflows/{workflow_id}/publish`: the draft becomes a version, if it is another one."""
    workflow = replace(state.workflow(workflow_id), published=True)
    state.workflows[workflow_id] = workflow
    description = _changes(request.json_object()).get("description", "")
    published = state.publications.setdefault(workflow_id, [])
    if not published or published[-1].workflow.version_id != workflow.version_id:
        published.append(Publication(workflow, state.clock(), description))
    return answer(workflow_body(state, workflow))


def discard_draft(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `POST /v1/workflows/{workflow_id}/discard-draft`: back to what was published last."""
    draft, published = state.workflow(workflow_id), state.production(workflow_id)
    if published is None:
        raise Refusal.structured(409, f"Workflow {workflow_id} has no published version to go back to")
    state.workflows[workflow_id] = replace(draft, nodes=published.nodes, edge_facts=published.edge_facts)
    return answer(workflow_body(state, state.workflows[workflow_id]))


def add_workflow(state: State, workflow: Workflow) -> Workflow:
    """Add a workflow that nobody has published."""
    state.workflows[workflow.id] = workflow
    state.publications[workflow.id] = []
    return workflow


def _changes(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a body changes of the texts of a workflow.

    Raises:
        Refusal: 422 when one of them is no text.
    """
    return {name: text_at(body, name, ["body"]) for name in ("name", "description") if body.get(name)}


ROUTES = (
    Route("POST", "/v1/workflows", create_workflow),
    Route("PATCH", "/v1/workflows/{workflow_id}", update_workflow),
    Route("DELETE", "/v1/workflows/{workflow_id}", delete_workflow),
    Route("POST", "/v1/workflows/{workflow_id}/publish", publish_workflow),
    Route("POST", "/v1/workflows/{workflow_id}/duplicate", duplicate_workflow, CLASSIC),
    Route(
        "POST",
        "/v1/workflows/{workflow_id}/discard-draft",
        discard_draft,
        ("current", *span("g3b", "g3c")),
    ),
)
