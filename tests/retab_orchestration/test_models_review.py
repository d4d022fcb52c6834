"""What came of a human decision, in the words of each generation."""

import pytest
from pydantic import ValidationError

from retab_orchestration.models import Review, ReviewDecision, ReviewVersion

STANDING = {"verdict": "rejected", "version_id": "rvr_1", "reason": "wrong total"}


@pytest.mark.parametrize(
    ("body", "outcome", "applied"),
    [
        ({"run": {"id": "run_1"}, "resume_status": "processing"}, "accepted", None),
        ({"run": {"id": "run_1"}, "resume_status": "queued", "queue_position": 2}, "accepted", None),
        ({"run": {"id": "run_1"}, "resume_status": "already_processed"}, "already_applied", True),
        (
            {"submission_status": "accepted", "decision": {"run_id": "run_1", "decision_applied": False}},
            "accepted",
            False,
        ),
        (
            {"submission_status": "already_received", "decision": {"run_id": "run_1"}},
            "already_received",
            None,
        ),
        ({"submission_status": "already_applied", "overlay": {"run_id": "run_1"}}, "already_applied", True),
        (
            {"submission_status": "accepted", "review": {"run_id": "run_1"}, "resume_status": "resumed"},
            "accepted",
            True,
        ),
        (
            {"submission_status": "accepted", "review": {"run_id": "run_1"}, "resume_status": "pending"},
            "accepted",
            False,
        ),
        (
            {"submission_status": "accepted", "review": {"run_id": "run_1"}, "resume_status": "failed"},
            "accepted",
            False,
        ),
        (
            {"submission_status": "accepted", "review": {"run_id": "run_1"}, "resume_status": "skipped"},
            "accepted",
            None,
        ),
        ({"submission_status": "conflict", "review": {"workflow_run_id": "run_1"}}, "conflict", False),
        (
            {"run_id": "run_1", "decision_received": True, "decision_applied": False},
            "already_received",
            False,
        ),
        ({"run_id": "run_1", "decision_received": True, "decision_applied": True}, "already_applied", True),
        ({"run_id": "run_1", "decision_received": False, "approved": None}, None, None),
        ({"submission_status": "brand_new", "decision": {"run_id": "run_1"}}, "brand_new", None),
    ],
)
def test_answer_to_a_decision_is_read_in_every_shape(body, outcome, applied):
    decision = ReviewDecision.model_validate(body)

    assert (decision.outcome, decision.applied) == (outcome, applied)
    assert ReviewDecision.model_validate(decision.model_dump()).model_dump() == decision.model_dump()


def test_conflict_tells_the_decision_that_stands():
    review = {"id": "rev_1", "run_id": "run_1", "block_id": "n1", "decision": STANDING}
    decision = ReviewDecision.model_validate({"submission_status": "conflict", "review": review})

    assert (decision.run_id, decision.node_id, decision.approved) == ("run_1", "n1", False)
    assert (decision.review_id, decision.version_id) == ("rev_1", "rvr_1")


def test_decision_is_filled_in_only_where_the_answer_says_nothing():
    silent = ReviewDecision.model_validate({"run": {"id": "run_1"}, "resume_status": "queued"})
    filled = silent.filled_in(run_id="run_2", node_id="n1", approved=True)

    assert (filled.run_id, filled.node_id, filled.approved) == ("run_1", "n1", True)


@pytest.mark.parametrize(
    ("fields", "is_open"),
    [
        ({}, True),
        ({"decision": {}}, True),
        ({"decision": STANDING}, False),
        ({"cancelled_at": "2026-01-01"}, False),
    ],
)
def test_review_is_open_until_it_is_decided_or_cancelled(fields, is_open):
    assert Review.model_validate({"id": "rev_1", **fields}).is_open is is_open


def test_time_of_a_verdict_is_found_under_both_names():
    for name in ("created_at", "decided_at"):
        review = Review.model_validate(
            {"id": "rev_1", "decision": {**STANDING, name: "2026-01-01T00:00:00Z"}}
        )

        assert review.decision.created_at.year == 2026


@pytest.mark.parametrize("reader", [Review, ReviewVersion])
def test_body_without_id_is_refused_by_name(reader):
    with pytest.raises(ValidationError, match="it has no `id`"):
        reader.model_validate({"run_id": "run_1"})


@pytest.mark.parametrize("snapshot", [{"output": {"total": 1}}, {"category": "a"}, [], None])
def test_snapshot_of_a_version_may_be_any_json(snapshot):
    assert ReviewVersion.model_validate({"id": "rvr_1", "snapshot": snapshot}).snapshot == snapshot


@pytest.mark.parametrize(
    ("status", "error", "will"),
    [
        ("resumed", None, True),
        ("skipped", None, True),
        (None, None, True),
        ("pending", None, True),
        ("pending", "Temporal signal queued for retry", True),
        ("pending", "The execution has ended", False),
        ("pending", "workflow execution already completed", False),
        ("pending", "Execution finished before the decision", False),
        ("failed", None, False),
        ("failed", "anything", False),
    ],
)
def test_a_receipt_says_whether_its_run_goes_on(status, error, will):
    receipt = ReviewDecision.model_validate(
        {"submission_status": "accepted", "resume_status": status, "resume_error": error}
    )

    assert receipt.will_resume is will
