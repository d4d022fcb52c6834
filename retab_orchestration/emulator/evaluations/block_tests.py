"""Running saved tests where that is a job: `block-tests/execute`, the job, and a record of each test."""

from collections import Counter
from typing import Any

from retab_orchestration.emulator.evaluations.node_tests import Outcome, TestRun
from retab_orchestration.emulator.evaluations.saved_tests import find_test
from retab_orchestration.emulator.evaluations.test_runs import check_consensus, start_test_run
from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.runs.creation import object_at, text_at
from retab_orchestration.emulator.serving.paging import page
from retab_orchestration.emulator.serving.routing import Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment
from retab_orchestration.emulator.state import ORGANIZATION_ID, State

__all__ = ["ROUTES"]

_JOB_SECONDS = 86_400
_JOB_STATUSES = {"pending": "queued", "running": "in_progress"}
_STATUSES = {"pending": "queued"}


def execute_tests(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `POST /v1/workflows/{workflow_id}/block-tests/execute`: of one test, of a block's, or of all."""
    workflow, body = state.workflow(workflow_id), request.json_object()
    test_id = text_at(body, "test_id", ["body"]) if body.get("test_id") is not None else None
    target = object_at(body, "target")
    block_id = text_at(target, "block_id", ["body", "target"]) if target else None
    check_consensus(body)
    shape = state.shape("classic")
    test_run = start_test_run(state, workflow, "test", shape, test_id=test_id, block_id=block_id)
    batch = {
        "batch_id": _named("btbatch", test_run),
        "job_id": _named("job", test_run),
        "status": "queued",
        "workflow_id": workflow_id,
        "target": {"type": "block", "block_id": block_id} if block_id else None,
        "test_id": test_id,
        "total_tests": len(test_run.tests),
    }
    return answer(batch)


def get_job(state: State, _request: Request, job_id: str) -> Response:
    """Answer `GET /v1/jobs/{job_id}`, for the jobs that run tests."""
    for test_run in list(state.test_runs.values()):
        if _named("job", test_run) == job_id:
            return answer(_job(state, test_run))
    raise Refusal.structured(404, f"Job not found: {job_id}")


def list_records(state: State, request: Request, workflow_id: str, test_id: str) -> Response:
    """Answer `GET …/block-tests/{test_id}/runs`: the newest first; a page, or `{"runs": [...]}`."""
    rows = _records(state, workflow_id, test_id)
    if not state.shape("classic").has_pages:
        return answer({"runs": rows})
    return answer(page(request, rows, lambda row: str(row["id"]), lambda row: row))


def get_record(state: State, _request: Request, workflow_id: str, test_id: str, record_id: str) -> Response:
    """Answer `GET …/block-tests/{test_id}/runs/{run_id}`."""
    for record in _records(state, workflow_id, test_id):
        if record["id"] == record_id:
            return answer(record)
    raise Refusal.structured(404, f"Test run not found: {record_id}")


def _records(state: State, workflow_id: str, test_id: str) -> list[dict[str, Any]]:
    find_test(state, workflow_id, test_id)
    now = state.clock()
    return [
        _record(test_run, outcome, number)
        for test_run in reversed(list(state.test_runs.values()))
        for number, outcome in enumerate(test_run.outcomes(now), 1)
        if outcome.test.id == test_id
    ]


def _record(test_run: TestRun, outcome: Outcome, number: int) -> dict[str, Any]:
    begun = outcome.started_at if outcome.started_at is not None else test_run.created_at
    end, is_done = outcome.completed_at, outcome.status == "completed"
    return {
        "id": f"{_named('wfnodetestrun', test_run)}_{number}",
        "test_id": outcome.test.id,
        "status": _status(outcome),
        "workflow_id": test_run.workflow.id,
        "organization_id": ORGANIZATION_ID,
        "target": {"type": "block", "block_id": outcome.test.node_id},
        "source": outcome.test.shown_source,
        "started_at": moment(begun),
        "completed_at": moment(end),
        "duration_ms": None if end is None else round((end - begun) * 1000),
        "outputs": {"output-json-0": {"type": "json", "data": {}}} if is_done else None,
        "warnings": [],
        "error": None,
        "skipped": False,
    }


def _job(state: State, test_run: TestRun) -> dict[str, Any]:
    now = state.clock()
    status = test_run.status(now)
    begun, end = test_run.started_at(now), test_run.completed_at(now)
    outcomes = test_run.outcomes(now)
    items = [_record(test_run, outcome, number) for number, outcome in enumerate(outcomes, 1)]
    body = {
        "workflow_id": test_run.workflow.id,
        "target": {"type": "block", "block_id": test_run.block_id} if test_run.block_id else None,
        "counts": dict(Counter(_status(outcome) for outcome in outcomes)),
        "results": [
            {
                "run_record_id": item["id"],
                **{
                    name: item[name] for name in ("test_id", "status", "workflow_id", "target", "duration_ms")
                },
            }
            for item in items
        ],
    }
    return {
        "id": _named("job", test_run),
        "object": "job",
        "status": _JOB_STATUSES.get(status, status),
        "endpoint": "/v1/workflows/block-tests/execute",
        "response": {"status_code": 200, "body": body} if status == "completed" else None,
        "created_at": int(test_run.created_at),
        "started_at": None if begun is None else int(begun),
        "completed_at": None if end is None else int(end),
        "expires_at": int(test_run.created_at) + _JOB_SECONDS,
        "organization_id": ORGANIZATION_ID,
    }


def _status(outcome: Outcome) -> str:
    return (
        outcome.test.verdict
        if outcome.status == "completed"
        else _STATUSES.get(outcome.status, outcome.status)
    )


def _named(prefix: str, test_run: TestRun) -> str:
    """Return an id of something that belongs to a test run, by whose id it is found again."""
    return f"{prefix}_{test_run.id.partition('_')[2]}"


_TESTS = "/v1/workflows/{workflow_id}/block-tests"
_SERVERS = ("classic", *span("g1b", "g2b"))

ROUTES = (
    Route("POST", f"{_TESTS}/execute", execute_tests, _SERVERS),
    Route("GET", _TESTS + "/{test_id}/runs", list_records, _SERVERS),
    Route("GET", _TESTS + "/{test_id}/runs/{run_id}", get_record, _SERVERS),
    Route("GET", "/v1/jobs/{job_id}", get_job, _SERVERS),
)
