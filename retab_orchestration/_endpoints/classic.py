"""The endpoints of the classic routes, which Retab's own pages describe."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from retab_orchestration._arguments import NewRun
from retab_orchestration._endpoints.bodies import Embedded, OnProgress, json_body
from retab_orchestration._endpoints.shared import (
    TEST_RUNS_HINT,
    TEST_RUNS_SINCE,
    created_run,
    created_test_run,
    decision_on,
    query,
)
from retab_orchestration._http import Call, Request, path
from retab_orchestration.documents import FileReference, OpenedDocument
from retab_orchestration.errors import InvalidInputError
from retab_orchestration.models import (
    ReviewDecision,
    ReviewOverlay,
    StepPage,
    TestResultPage,
    WorkflowRun,
    WorkflowTestResult,
    WorkflowTestRun,
)
from retab_orchestration.models.page import EdgePage

__all__ = [
    "create_run",
    "create_test_run",
    "decide_overlay",
    "get_overlay",
    "get_test_result",
    "get_test_run",
    "list_edges",
    "list_steps",
    "list_test_results",
    "restart_run",
    "submit_decision",
    "submit_resume",
]


def _document(node: str, document: OpenedDocument | FileReference) -> dict[str, Any]:
    if isinstance(document, OpenedDocument):
        return {
            "filename": document.filename,
            "content": Embedded(node, document),
            "mime_type": document.mime_type,
        }
    if document.id is None:
        raise InvalidInputError(
            f"documents[{node!r}]: classic routes take no file by url; give its id or the document"
        )
    return {"id": document.id, "filename": document.filename, "mime_type": document.mime_type}


def create_run(new: NewRun, on_progress: OnProgress | None = None) -> Call[WorkflowRun]:
    """Start a run. Source: POST /v1/workflows/{workflow_id}/run.

    Args:
        new: What the run starts from.
        on_progress: Called while large documents are sent.

    Raises:
        InvalidInputError: A version, metadata or a file url was given, which these routes do not take.
    """
    if new.version is not None or new.metadata:
        raise InvalidInputError(
            "classic routes have no version and no metadata for a run; leave them out or set api='current'"
        )
    payload = {
        "documents": {node: _document(node, document) for node, document in new.documents.items()} or None,
        "json_inputs": new.json_inputs or None,
        "text_inputs": new.text_inputs or None,
    }
    body = json_body(payload, on_progress)
    target = path("/v1/workflows/{workflow_id}/run", workflow_id=new.workflow_id)
    read = partial(created_run, workflow=new.workflow_id)
    return Call(Request("POST", target, body=body), read, creates=new.workflow_id)


def restart_run(run_id: str, command_id: str, *, is_remembered: bool) -> Call[WorkflowRun]:
    """Run a finished run's inputs again; the same `command_id` does so once.

    Source: POST /v1/workflows/runs/{run_id}/restart.

    Args:
        run_id: The run to repeat.
        command_id: The server's key for this command.
        is_remembered: Whether the caller sends the same one in a retry; if not, a lost answer leaves open whether there
            is a new run.
    """
    target = path("/v1/workflows/runs/{run_id}/restart", run_id=run_id)
    body = json_body({"command_id": command_id})
    return Call(
        Request("POST", target, body=body),
        partial(created_run, repeats=run_id),
        creates=None if is_remembered else f"the workflow of {run_id}",
        is_command=True,
        search_hint=(
            f"list_runs(trigger_type='restart', from_date={{day!r}}), or on the page of the workflow of {run_id}"
        ),
        run_id=run_id,
        since="0.0.100",
    )


def list_steps(run_id: str, after: str | None) -> Call[StepPage]:
    """Read the steps of a run. Source: GET /v1/workflows/runs/{run_id}/steps, an array (an envelope since 0.0.141)."""
    return Call(
        Request("GET", path("/v1/workflows/runs/{run_id}/steps", run_id=run_id), query(after=after)),
        StepPage.model_validate,
        run_id=run_id,
    )


def list_edges(workflow_id: str, after: str | None) -> Call[EdgePage]:
    """Read the edges of a workflow's graph. Source: GET /v1/workflows/{workflow_id}/edges."""
    return Call(
        Request(
            "GET", path("/v1/workflows/{workflow_id}/edges", workflow_id=workflow_id), query(after=after)
        ),
        EdgePage.read,
    )


def submit_decision(
    run_id: str, node_id: str, *, approved: bool, modified_data: Mapping[str, Any] | None, command_id: str
) -> Call[ReviewDecision]:
    """Decide a review; the same `command_id` decides once. Source: POST /v1/workflows/runs/{run_id}/hil-decisions."""
    target = path("/v1/workflows/runs/{run_id}/hil-decisions", run_id=run_id)
    asked = {"block_id": node_id, "modified_data": modified_data, "command_id": command_id}
    return _decision(target, asked, run_id=run_id, node_id=node_id, approved=approved)


def submit_resume(
    run_id: str, node_id: str, *, approved: bool, modified_data: Mapping[str, Any] | None, command_id: str
) -> Call[ReviewDecision]:
    """Decide a review on an even older server. Source: POST /v1/workflows/runs/{run_id}/resume."""
    target = path("/v1/workflows/runs/{run_id}/resume", run_id=run_id)
    asked = {"node_id": node_id, "modified_data": modified_data, "command_id": command_id}
    return _decision(target, asked, run_id=run_id, node_id=node_id, approved=approved)


def get_overlay(run_id: str, node_id: str) -> Call[ReviewOverlay]:
    """Read the review of a run's node, which has no id yet. Source: GET /v1/workflows/reviews/{run_id}/{block_id}."""
    return Call(Request("GET", _overlay(run_id, node_id)), ReviewOverlay.model_validate, run_id=run_id)


def decide_overlay(
    overlay: ReviewOverlay,
    run_id: str,
    node_id: str,
    *,
    approved: bool,
    modified_data: Mapping[str, Any] | None,
    reason: str | None,
    command_id: str,
) -> Call[ReviewDecision]:
    """Decide a review as it was read. Source: POST /v1/workflows/reviews/{run_id}/{block_id}/decision.

    Args:
        overlay: What was read; the server refuses a decision on anything older than what it has.
        run_id: The run.
        node_id: The node.
        approved: Whether the run goes on.
        modified_data: The values that replace those under review.
        reason: Why; a rejection needs one.
        command_id: The same one decides once.
    """
    body = json_body(
        {
            "verdict": "approved" if approved else "rejected",
            "version_stamp": overlay.revision,
            "edited_output": modified_data,
            "on_seq": overlay.newest,
            "effective_seq": None if modified_data is not None else overlay.newest,
            "reason": reason,
            "command_id": command_id,
        }
    )
    return Call(
        Request("POST", _overlay(run_id, node_id) + "/decision", body=body),
        decision_on(run_id=run_id, node_id=node_id, approved=approved),
        run_id=run_id,
    )


def _overlay(run_id: str, node_id: str) -> str:
    return path("/v1/workflows/reviews/{run_id}/{node_id}", run_id=run_id, node_id=node_id)


def _decision(
    target: str, asked: Mapping[str, Any], *, run_id: str, node_id: str, approved: bool
) -> Call[ReviewDecision]:
    return Call(
        Request("POST", target, body=json_body({**asked, "approved": approved})),
        decision_on(run_id=run_id, node_id=node_id, approved=approved),
        run_id=run_id,
    )


def create_test_run(
    workflow_id: str, *, test_id: str | None, block_id: str | None, n_consensus: int | None
) -> Call[WorkflowTestRun]:
    """Start a test run. Source: POST /v1/workflows/{workflow_id}/tests/runs."""
    target = {"type": "block", "block_id": block_id} if block_id else None
    body = json_body({"test_id": test_id, "target": target, "n_consensus": n_consensus})
    return Call(
        Request("POST", path("/v1/workflows/{workflow_id}/tests/runs", workflow_id=workflow_id), body=body),
        partial(created_test_run, workflow=workflow_id),
        creates=workflow_id,
        search_hint=TEST_RUNS_HINT,
        since=TEST_RUNS_SINCE,
    )


def get_test_run(test_run_id: str) -> Call[WorkflowTestRun]:
    """Read a test run. Source: GET /v1/workflows/tests/runs/{run_id}."""
    target = path("/v1/workflows/tests/runs/{run_id}", run_id=test_run_id)
    request = Request("GET", target)
    return Call(request, WorkflowTestRun.model_validate, run_id=test_run_id, since=TEST_RUNS_SINCE)


def list_test_results(test_run_id: str, after: str | None) -> Call[TestResultPage]:
    """Read the results of a test run. Source: GET /v1/workflows/tests/runs/{run_id}/results."""
    target = path("/v1/workflows/tests/runs/{run_id}/results", run_id=test_run_id)
    request = Request("GET", target, query(after=after))
    return Call(request, TestResultPage.model_validate, run_id=test_run_id, since=TEST_RUNS_SINCE)


def get_test_result(test_run_id: str, test_id: str) -> Call[WorkflowTestResult]:
    """Read the result of one test. Source: GET /v1/workflows/tests/runs/{run_id}/results/{test_id}."""
    target = path("/v1/workflows/tests/runs/{run_id}/results/{test_id}", run_id=test_run_id, test_id=test_id)
    request = Request("GET", target)
    return Call(request, WorkflowTestResult.model_validate, run_id=test_run_id, since=TEST_RUNS_SINCE)
