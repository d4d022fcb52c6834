"""The endpoints of the current routes."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

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
from retab_orchestration.identity import FINGERPRINT, INPUTS, digest_of
from retab_orchestration.models import (
    Review,
    ReviewDecision,
    ReviewPage,
    ReviewVersion,
    ReviewVersionPage,
    StepPage,
    TestResultPage,
    TestRunPage,
    WorkflowRun,
    WorkflowTestRun,
)
from retab_orchestration.models.page import EdgePage, UsagePage

__all__ = [
    "TestsWord",
    "approve_review",
    "cancel_test_run",
    "check_run",
    "create_review_version",
    "create_run",
    "create_test_run",
    "file_by_id",
    "get_test_run",
    "list_edges",
    "list_review_versions",
    "list_reviews",
    "list_steps",
    "list_test_results",
    "list_test_runs",
    "list_usage",
    "probe",
    "reject_review",
]

# Steps per page; without it a server cuts a long run at its default of 20.
_STEPS_PER_PAGE = "200"

TestsWord = Literal["evals", "tests"]
"""A server's name for workflow tests: `evals` since June 2026, `tests` before."""


def probe() -> Call[Any]:
    """Read what only these routes have: the steps of the whole organisation. Source: GET /v1/workflows/steps."""
    return Call(Request("GET", "/v1/workflows/steps", (("limit", "1"),)), lambda body: body)


def _document(node: str, document: OpenedDocument | FileReference) -> dict[str, Any]:
    if isinstance(document, OpenedDocument):
        prefix = f"data:{document.mime_type};base64,"
        return {"filename": document.filename, "url": Embedded(node, document, prefix)}
    if document.url is None:
        raise InvalidInputError(f"documents[{node!r}]: file {document.id} has no url to send")
    return {"filename": document.filename, "url": document.url}


def check_run(new: NewRun) -> None:
    """Refuse what these routes do not take, before anything is sent.

    Raises:
        InvalidInputError: Text inputs were given.
    """
    if new.text_inputs:
        raise InvalidInputError(
            "current routes have no text_inputs; give the text in json_inputs or set api='classic'"
        )


def create_run(
    new: NewRun, fingerprint: str, failed: int = 0, on_progress: OnProgress | None = None
) -> Call[WorkflowRun]:
    """Start a run of inputs that `check_run` has checked, with the url of files that were given by id.

    Source: POST /v1/workflows/runs.

    The `Idempotency-Key` stands for everything in the create except the caller's own metadata and the addresses of
    uploads: another create under the same key would be the same run.

    Args:
        new: What the run starts from.
        fingerprint: The hash of its inputs.
        failed: How many runs of this identity are known to have ended badly, so that a server that honours the key does
            not answer with one of those.
        on_progress: Called while large documents are sent.
    """
    ours = {FINGERPRINT: fingerprint, INPUTS: "-".join(new.hashes.values())}
    payload = {
        "workflow_id": new.workflow_id,
        "documents": {node: _document(node, document) for node, document in new.documents.items()} or None,
        "json_inputs": new.json_inputs or None,
        "version": new.version or "production",
        "trigger_type": "restart" if new.parent_run_id else None,
        "parent_run_id": new.parent_run_id,
        "metadata": {**new.metadata, **new.identity.tags, **ours},
    }
    body = json_body(payload, on_progress)
    key = digest_of(new.identity.key, failed, new.parent_run_id, fingerprint)
    request = Request("POST", "/v1/workflows/runs", body=body, headers={"Idempotency-Key": key})
    read = partial(created_run, workflow=new.workflow_id, identity=new.identity.key)
    return Call(request, read, creates=new.workflow_id)


def list_usage(run_id: str, after: str | None) -> Call[UsagePage]:
    """Read one page of what the operations of a run have cost. Source: GET /v1/usage/primitives."""
    asked = query(run_id=run_id, limit="100", after=after)
    return Call(Request("GET", "/v1/usage/primitives", asked), UsagePage.model_validate, run_id=run_id)


def file_by_id(file_id: str) -> Call[FileReference]:
    """Read the reference of a stored file for a create. Source: GET /v1/files/{file_id}/download-link, `mime_data`."""

    def read(body: Mapping[str, Any]) -> FileReference:
        stored = body["mime_data"]
        if not stored["url"]:
            raise ValueError("It has no url")
        return FileReference(id=file_id, filename=stored["filename"], url=stored["url"])

    return Call(Request("GET", path("/v1/files/{file_id}/download-link", file_id=file_id)), read)


def list_steps(run_id: str, after: str | None) -> Call[StepPage]:
    """Read one page of a run's steps. Source: GET /v1/workflows/steps."""
    asked = query(run_id=run_id, limit=_STEPS_PER_PAGE, after=after)
    return Call(Request("GET", "/v1/workflows/steps", asked), StepPage.model_validate, run_id=run_id)


def list_edges(workflow_id: str, after: str | None) -> Call[EdgePage]:
    """Read the edges of a workflow's graph. Source: GET /v1/workflows/edges."""
    return Call(
        Request("GET", "/v1/workflows/edges", query(workflow_id=workflow_id, after=after)), EdgePage.read
    )


def list_reviews(run_id: str, node_id: str | None, after: str | None) -> Call[ReviewPage]:
    """Read one page of the reviews of a run, or of one node, decided ones too. Source: GET /v1/workflows/reviews."""
    asked = query(run_id=run_id, block_id=node_id, decision_status="all", after=after)
    return Call(Request("GET", "/v1/workflows/reviews", asked), ReviewPage.model_validate, run_id=run_id)


def list_review_versions(review_id: str, after: str | None) -> Call[ReviewVersionPage]:
    """Read one page of the versions of a review. Source: GET /v1/workflows/reviews/versions."""
    asked = query(review_id=review_id, after=after)
    return Call(Request("GET", "/v1/workflows/reviews/versions", asked), ReviewVersionPage.model_validate)


def create_review_version(
    review_id: str, parent_id: str, snapshot: Mapping[str, Any], note: str | None
) -> Call[ReviewVersion]:
    """Add an edited version; the same content is the same version. Source: POST /v1/workflows/reviews/versions."""
    body = json_body({"review_id": review_id, "parent_id": parent_id, "snapshot": snapshot, "note": note})
    return Call(Request("POST", "/v1/workflows/reviews/versions", body=body), ReviewVersion.model_validate)


def approve_review(review: Review, version_id: str) -> Call[ReviewDecision]:
    """Approve a version of a review. Source: POST /v1/workflows/reviews/{review_id}/approve."""
    return _decide(review, "approve", {"version_id": version_id})


def reject_review(review: Review, version_id: str, reason: str) -> Call[ReviewDecision]:
    """Reject a version of a review. Source: POST /v1/workflows/reviews/{review_id}/reject."""
    return _decide(review, "reject", {"version_id": version_id, "reason": reason})


def _decide(review: Review, verb: str, body: Mapping[str, str]) -> Call[ReviewDecision]:
    target = path("/v1/workflows/reviews/{review_id}/" + verb, review_id=review.id)
    return Call(
        Request("POST", target, body=json_body(body)),
        decision_on(run_id=review.run_id or "", node_id=review.node_id or "", approved=verb == "approve"),
        run_id=review.run_id,
    )


def create_test_run(
    workflow_id: str, *, test_id: str | None, block_id: str | None, n_consensus: int | None, word: TestsWord
) -> Call[WorkflowTestRun]:
    """Start a test run. Source: POST /v1/workflows/{evals,tests}/runs.

    Raises:
        InvalidInputError: A consensus was asked for, of which these routes know nothing.
    """
    if n_consensus is not None:
        raise InvalidInputError(
            "current routes have no n_consensus for test runs; leave it out, and set it on the nodes of the workflow"
        )
    scope: dict[str, str] | None = None
    if test_id:
        scope = {"type": "single", "eval_id" if word == "evals" else "test_id": test_id}
    elif block_id:
        scope = {"type": "block", "block_id": block_id}
    body = json_body({"workflow_id": workflow_id, "scope": scope})
    return Call(
        Request("POST", f"/v1/workflows/{word}/runs", body=body),
        partial(created_test_run, workflow=workflow_id),
        creates=workflow_id,
        search_hint=TEST_RUNS_HINT,
    )


def get_test_run(test_run_id: str, word: TestsWord) -> Call[WorkflowTestRun]:
    """Read a test run. Source: GET /v1/workflows/{evals,tests}/runs/{run_id}."""
    target = path(f"/v1/workflows/{word}/runs/{{run_id}}", run_id=test_run_id)
    return Call(Request("GET", target), WorkflowTestRun.model_validate, run_id=test_run_id)


def list_test_runs(workflow_id: str, after: str | None, word: TestsWord) -> Call[TestRunPage]:
    """Read one page of a workflow's test runs, newest first. Source: GET /v1/workflows/{evals,tests}/runs."""
    asked = query(workflow_id=workflow_id, limit="50", after=after)
    return Call(
        Request("GET", f"/v1/workflows/{word}/runs", asked), TestRunPage.model_validate, since=TEST_RUNS_SINCE
    )


def cancel_test_run(test_run_id: str, word: TestsWord) -> Call[WorkflowTestRun]:
    """Cancel a test run. Source: POST /v1/workflows/{evals,tests}/runs/{run_id}/cancel."""
    target = path(f"/v1/workflows/{word}/runs/{{run_id}}/cancel", run_id=test_run_id)
    request = Request("POST", target)
    return Call(request, WorkflowTestRun.model_validate, run_id=test_run_id, since=TEST_RUNS_SINCE)


def list_test_results(test_run_id: str, after: str | None, word: TestsWord) -> Call[TestResultPage]:
    """Read one page of results. Source: GET /v1/workflows/{evals,tests}/results."""
    asked = query(run_id=test_run_id, after=after)
    return Call(
        Request("GET", f"/v1/workflows/{word}/results", asked),
        TestResultPage.model_validate,
        run_id=test_run_id,
    )
