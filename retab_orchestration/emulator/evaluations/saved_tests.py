"""Saved tests of a workflow's draft: `block-tests` or `tests` on classic routes, `tests` or `evals` on current ones."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.runs.creation import object_at, text_at
from retab_orchestration.emulator.serving.paging import order, page
from retab_orchestration.emulator.serving.routing import Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, new_id
from retab_orchestration.emulator.state import ORGANIZATION_ID, State
from retab_orchestration.emulator.workflows.graph import CREATED_AT
from retab_orchestration.emulator.workflows.values import NodeTest, Workflow

__all__ = ["ROUTES", "find_test"]

Found = tuple[Workflow, NodeTest]


def create_test(state: State, request: Request, workflow_id: str | None = None) -> Response:
    """Answer `POST …/tests`; a test without another verdict passes."""
    body = request.json_object()
    workflow = state.workflow(workflow_id or text_at(body, "workflow_id", ["body"]))
    node_id = text_at(object_at(body, "target"), "block_id", ["body", "target"])
    if workflow.node(node_id) is None:
        raise Refusal.structured(404, f"Block not found: {node_id}")
    for name in ("source", "assertion"):
        if not object_at(body, name):
            raise Refusal.invalid(["body", name], "Field required", "missing")
    test = NodeTest(new_id("wfnodetest"), node_id, **_changes(body))
    _keep(state, workflow, (*workflow.tests, test))
    return answer(_body(state, workflow, test))


def get_test(state: State, _request: Request, *ids: str) -> Response:
    """Answer `GET …/tests/{test_id}`."""
    return answer(_body(state, *find_test(state, *ids)))


def update_test(state: State, request: Request, *ids: str) -> Response:
    """Answer `PATCH …/tests/{test_id}`: what is in the body changes, the rest stays."""
    workflow, test = find_test(state, *ids)
    changed = replace(test, **_changes(request.json_object()))
    _keep(state, workflow, tuple(changed if each.id == test.id else each for each in workflow.tests))
    return answer(_body(state, workflow, changed))


def delete_test(state: State, _request: Request, *ids: str) -> Response:
    """Answer `DELETE …/tests/{test_id}`."""
    workflow, test = find_test(state, *ids)
    _keep(state, workflow, tuple(each for each in workflow.tests if each.id != test.id))
    return Response(204)


def list_tests(state: State, request: Request, workflow_id: str | None = None) -> Response:
    """Answer `GET …/tests`: a page, or `{"tests": [...]}` from the servers that have no pages."""
    asked = workflow_id or request.param("workflow_id")
    if asked is None:
        raise Refusal.invalid(["query", "workflow_id"], "Field required", "missing")
    workflow, block_id = state.workflow(asked), request.param("target_block_id")
    rows = [_body(state, workflow, test) for test in workflow.tests if block_id in {None, test.node_id}]
    if order(request, "desc"):
        rows.reverse()
    if workflow_id is not None and not state.shape("classic").has_pages:
        return answer({"tests": rows})
    return answer(
        page(request, rows, lambda row: str(row["id"]), lambda row: row, default=50, strict=state.is_strict)
    )


def find_test(state: State, *ids: str) -> Found:
    """Return a test by its id, which that of its workflow may precede.

    Raises:
        Refusal: 404 when there is none.
    """
    known = [state.workflow(ids[0])] if len(ids) > 1 else list(state.workflows.values())
    for workflow in known:
        for test in workflow.tests:
            if test.id == ids[-1]:
                return workflow, test
    raise Refusal.structured(404, f"Workflow test not found: {ids[-1]}")


def _keep(state: State, workflow: Workflow, tests: tuple[NodeTest, ...]) -> None:
    state.workflows[workflow.id] = replace(workflow, tests=tests)


def _changes(body: Mapping[str, Any]) -> dict[str, Any]:
    changes: dict[str, Any] = {
        name: object_at(body, name) for name in ("source", "assertion") if body.get(name) is not None
    }
    if body.get("name") is not None:
        changes["name"] = text_at(body, "name", ["body"])
    return changes


def _body(state: State, workflow: Workflow, test: NodeTest) -> dict[str, Any]:
    return {
        "id": test.id,
        "workflow_id": workflow.id,
        **({"organization_id": ORGANIZATION_ID} if state.generation.has_owner else {}),
        "target": {"type": "block", "block_id": test.node_id},
        "source": test.shown_source,
        "name": test.name,
        "assertion": test.shown_assertion,
        "assertion_schema_dep": None,
        "assertion_drift_status": None,
        "schema_drift": "unknown",
        "schema_drift_detail": None,
        "validation_status": "valid",
        "validation_issues": [],
        "latest_run_summary": None,
        "latest_passing_run_summary": None,
        "latest_failing_run_summary": None,
        "created_at": CREATED_AT,
        "updated_at": CREATED_AT,
    }


def _routes(base: str, servers: tuple[str, ...]) -> tuple[Route, ...]:
    handlers: dict[str, Callable[..., Response]] = {
        "GET": get_test,
        "PATCH": update_test,
        "DELETE": delete_test,
    }
    return (
        Route("POST", base, create_test, servers),
        Route("GET", base, list_tests, servers),
        *(Route(method, base + "/{test_id}", handler, servers) for method, handler in handlers.items()),
    )


ROUTES = (
    *_routes("/v1/workflows/{workflow_id}/block-tests", ("classic", *span("g1b", "g2b"))),
    *_routes("/v1/workflows/{workflow_id}/tests", ("classic", "g2c")),
    *_routes("/v1/workflows/tests", ("current", *span("g3a", "g3b"))),
    *_routes("/v1/workflows/evals", ("current", "g3c")),
)
