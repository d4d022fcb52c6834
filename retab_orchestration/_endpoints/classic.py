"""The endpoints of the classic routes, which Retab's own pages describe."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from retab_orchestration._arguments import NewRun
from retab_orchestration._endpoints.bodies import Embedded, OnProgress, json_body
from retab_orchestration._endpoints.shared import TEST_RUNS_HINT, created_run
from retab_orchestration._http import Call, Request, path
from retab_orchestration.documents import FileReference, OpenedDocument
from retab_orchestration.errors import InvalidInputError
from retab_orchestration.models import (
    ReviewDecision,
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
    maps = {
        "documents": {node: _document(node, document) for node, document in new.documents.items()},
        "json_inputs": new.json_inputs,
        "text_inputs": new.text_inputs,
    }
    body = json_body({name: values for name, values in maps.items() if values}, on_progress)
    target = path("/v1/workflows/{workflow_id}/run", workflow_id=new.workflow_id)
    return Call(Request("POST", target, body=body), created_run, creates=new.workflow_id)


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
    )


def list_steps(run_id: str, after: str | None) -> Call[StepPage]:
    """Read the steps of a run. Source: GET /v1/workflows/runs/{run_id}/steps, an array (an envelope since 0.0.141)."""
    query = (("after", after),) if after else ()
    return Call(
        Request("GET", path("/v1/workflows/runs/{run_id}/steps", run_id=run_id), query),
        StepPage.model_validate,
        run_id=run_id,
    )


def list_edges(workflow_id: str, after: str | None) -> Call[EdgePage]:
    """Read the edges of a workflow's graph. Source: GET /v1/workflows/{workflow_id}/edges."""
    query = (("after", after),) if after else ()
    return Call(
        Request("GET", path("/v1/workflows/{workflow_id}/edges", workflow_id=workflow_id), query),
        EdgePage.read,
    )


def submit_decision(
    run_id: str, node_id: str, *, approved: bool, modified_data: Mapping[str, Any] | None, command_id: str
) -> Call[ReviewDecision]:
    """Decide a review; the same `command_id` decides once. Source: POST /v1/workflows/runs/{run_id}/hil-decisions."""
    target = path("/v1/workflows/runs/{run_id}/hil-decisions", run_id=run_id)
    return _decision(
        target,
        run_id,
        {"block_id": node_id},
        {"approved": approved, "modified_data": modified_data, "command_id": command_id},
    )


def submit_resume(
    run_id: str, node_id: str, *, approved: bool, modified_data: Mapping[str, Any] | None, command_id: str
) -> Call[ReviewDecision]:
    """Decide a review on an even older server. Source: POST /v1/workflows/runs/{run_id}/resume."""
    target = path("/v1/workflows/runs/{run_id}/resume", run_id=run_id)
    return _decision(
        target,
        run_id,
        {"node_id": node_id},
        {"approved": approved, "modified_data": modified_data, "command_id": command_id},
    )


def _decision(
    target: str, run_id: str, node: Mapping[str, str], decided: Mapping[str, Any]
) -> Call[ReviewDecision]:
    body = json_body({**node, **{name: value for name, value in decided.items() if value is not None}})
    (node_id,) = node.values()

    def read(answer: Any) -> ReviewDecision:
        receipt = ReviewDecision.model_validate(answer)
        return receipt.filled_in(run_id=run_id, node_id=node_id, approved=decided["approved"])

    return Call(Request("POST", target, body=body), read, run_id=run_id)


def create_test_run(
    workflow_id: str, *, test_id: str | None, block_id: str | None, n_consensus: int | None
) -> Call[WorkflowTestRun]:
    """Start a test run. Source: POST /v1/workflows/{workflow_id}/tests/runs."""
    fields = {
        "test_id": test_id,
        "target": block_id and {"type": "block", "block_id": block_id},
        "n_consensus": n_consensus,
    }
    body = json_body({name: value for name, value in fields.items() if value is not None})
    target = path("/v1/workflows/{workflow_id}/tests/runs", workflow_id=workflow_id)
    return Call(
        Request("POST", target, body=body),
        WorkflowTestRun.model_validate,
        creates=workflow_id,
        search_hint=TEST_RUNS_HINT,
    )


def get_test_run(test_run_id: str) -> Call[WorkflowTestRun]:
    """Read a test run. Source: GET /v1/workflows/tests/runs/{run_id}."""
    target = path("/v1/workflows/tests/runs/{run_id}", run_id=test_run_id)
    return Call(Request("GET", target), WorkflowTestRun.model_validate, run_id=test_run_id)


def list_test_results(test_run_id: str, after: str | None) -> Call[TestResultPage]:
    """Read the results of a test run. Source: GET /v1/workflows/tests/runs/{run_id}/results."""
    query = (("after", after),) if after else ()
    target = path("/v1/workflows/tests/runs/{run_id}/results", run_id=test_run_id)
    return Call(Request("GET", target, query), TestResultPage.model_validate, run_id=test_run_id)


def get_test_result(test_run_id: str, test_id: str) -> Call[WorkflowTestResult]:
    """Read the result of one test. Source: GET /v1/workflows/tests/runs/{run_id}/results/{test_id}."""
    target = path("/v1/workflows/tests/runs/{run_id}/results/{test_id}", run_id=test_run_id, test_id=test_id)
    return Call(Request("GET", target), WorkflowTestResult.model_validate, run_id=test_run_id)
