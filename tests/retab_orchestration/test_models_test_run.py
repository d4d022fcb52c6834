"""Runs of tests, and what their counts say."""

import pytest
from pydantic import ValidationError

from retab_orchestration.models import RunStatus, WorkflowTestResult, WorkflowTestRun


def run_with(**fields):
    return WorkflowTestRun.model_validate(
        {"id": "wftestrun_1", "lifecycle": {"status": "completed"}, **fields}
    )


@pytest.mark.parametrize(
    ("counts", "read"),
    [
        ({"queued": 1, "passed": 2, "error": 3}, {"queued": 1, "passed": 2, "error": 3}),
        (
            {
                "lifecycle_counts": {"pending": 1, "queued": 2, "error": 3},
                "outcome": {"passed": 4, "blocked": 5},
            },
            {"queued": 3, "error": 3, "passed": 4, "blocked": 5},
        ),
        ({"lifecycle_counts": None, "outcome": {}}, {}),
        ({"passed": 2.0, "failed": "many"}, {"passed": 2}),
    ],
)
def test_counts_are_read_flat_and_nested(counts, read):
    run = run_with(counts=counts)

    assert {name: count for name, count in run.counts.model_dump().items() if count} == read
    assert WorkflowTestRun.model_validate(run.model_dump()).model_dump() == run.model_dump()


@pytest.mark.parametrize(
    ("state", "counts", "passed"),
    [
        ("pending", {"queued": 1}, None),
        ("running", {"passed": 3}, None),
        ("something_new", {"passed": 3}, None),
        ("completed", None, None),
        ("completed", {}, None),
        ("completed", {"passed": 3}, True),
        ("completed", {"passed": 3, "failed": 0, "blocked": 0, "error": 0}, True),
        ("completed", {"passed": 3, "failed": 1}, False),
        ("completed", {"passed": 3, "blocked": 1}, False),
        ("completed", {"passed": 3, "error": 1}, False),
        ("completed", {"lifecycle_counts": {"completed": 3}, "outcome": {"passed": 3}}, True),
        ("completed", {"lifecycle_counts": {"completed": 2, "error": 1}, "outcome": {"passed": 2}}, False),
        ("completed", {"lifecycle_counts": {"completed": 3}, "outcome": {"passed": 2, "failed": 1}}, False),
        ("completed", {"passed": 2, "cancelled": 1}, False),
        ("completed", {"passed": 2, "queued": 1}, None),
        ("completed", {"passed": 2, "running": 1}, None),
        ("completed", {"lifecycle_counts": {"pending": 1}, "outcome": {"passed": 2}}, None),
        ("completed", {"passed": 2}, None),
        ("error", {"passed": 3}, False),
        ("cancelled", None, False),
    ],
)
def test_completed_does_not_mean_passed(state, counts, passed):
    run = run_with(lifecycle={"status": state}, counts=counts, total_tests=3)

    assert run.passed is passed
    assert WorkflowTestRun.model_validate(run.model_dump()).passed is passed


def test_evals_are_read_as_tests():
    run = run_with(
        eval_id="wfnodeeval_1", total_evals=4, freshness={"status": "stale"}, workflow_version_id="draft_1"
    )

    assert (run.test_id, run.total_tests, run.version_id) == ("wfnodeeval_1", 4, "draft_1")
    assert run.freshness == {"status": "stale"}


def test_failure_of_the_run_itself_is_its_error():
    run = run_with(lifecycle={"status": "error", "message": "no draft", "details": {"error_code": "E1"}})

    assert (run.error.message, run.error.details) == ("no draft", {"error_code": "E1"})


@pytest.mark.parametrize(("body", "missing"), [({"status": "pending"}, "no id"), ({"id": "t1"}, "no state")])
def test_body_without_id_or_state_is_refused_by_name(body, missing):
    with pytest.raises(ValidationError, match=missing):
        WorkflowTestRun.model_validate(body)


@pytest.mark.parametrize(
    ("body", "status", "verdict", "passed"),
    [
        ({"lifecycle": {"status": "completed"}, "verdict": "passed"}, RunStatus.COMPLETED, "passed", True),
        (
            {"lifecycle": {"status": "completed"}, "verdict": {"status": "failed"}},
            RunStatus.COMPLETED,
            "failed",
            False,
        ),
        ({"lifecycle": {"status": "running"}, "verdict": None}, RunStatus.RUNNING, None, None),
        ({"lifecycle": {"status": "error", "message": "boom"}}, RunStatus.ERROR, None, None),
        ({"status": "passed"}, RunStatus.COMPLETED, "passed", True),
        ({"status": "blocked"}, RunStatus.COMPLETED, "blocked", False),
        ({"status": "failed"}, RunStatus.COMPLETED, "failed", False),
    ],
)
def test_result_is_read_in_every_shape(body, status, verdict, passed):
    result = WorkflowTestResult.model_validate({"id": "wfresult_1", **body})

    assert (result.status, result.verdict, result.passed) == (status, verdict, passed)
    assert WorkflowTestResult.model_validate(result.model_dump()).model_dump() == result.model_dump()


@pytest.mark.parametrize("name", ["workflow_test_run_id", "workflow_eval_run_id", "run_id"])
def test_result_names_its_run_under_every_name(name):
    assert WorkflowTestResult.model_validate({"id": "r1", name: "wftestrun_1"}).test_run_id == "wftestrun_1"


@pytest.mark.parametrize("outcome", ["outcome", "status"])
@pytest.mark.parametrize("outputs", ["outputs", "handle_outputs"])
def test_result_has_its_assertion_and_its_handles(outcome, outputs):
    assertion = {
        "assertion_id": "a1",
        "condition_kind": "equals",
        "actual_value": [1],
        "expected_value": None,
        "score": 1,
        "threshold": 0.5,
        "failure": {"code": "type_error", "message": "no"},
    }
    result = WorkflowTestResult.model_validate(
        {
            "id": "r1",
            "assertion_result": {**assertion, outcome: "blocked"},
            outputs: {"output-json-0": {"type": "json", "data": 4}},
        }
    )

    assert result.assertion.model_dump() == {**assertion, "outcome": "blocked"}
    assert result.handle_outputs["output-json-0"].data == 4
