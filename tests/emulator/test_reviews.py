"""Reviews on the current routes."""

import json
from dataclasses import replace

import pytest

from retab_orchestration.emulator import Request
from retab_orchestration.emulator.workflows.built_in import BUILT_IN
from tests.emulator.conftest import VALUES, Caller

REVIEWS = "/v1/workflows/reviews"
EDITED = {**VALUES, "total_amount": 1.0}


@pytest.fixture
def run(call, clock, invoice):
    run = call.start("wf_invoice_review", content=invoice, family="current")
    clock.tick(2)
    return f"/v1/workflows/runs/{run['id']}"


@pytest.fixture
def review(call, run):
    (review,) = call.get(REVIEWS, run_id=run.rpartition("/")[2])["data"]
    return review


@pytest.fixture
def seed(call, review):
    (seed,) = call.get(f"{REVIEWS}/versions", review_id=review["id"])["data"]
    return seed


@pytest.fixture
def resumed_not(call):
    """Send a request as a server does that posted the fault for it."""

    def send(method, path, body):
        call.post(
            "/_emulator/faults", [{"match": f"{method} */{path.rpartition('/')[2]}", "kind": "no_resume"}]
        )
        request = Request(method, path, headers={"api-key": "k"}, body=json.dumps(body).encode())
        assert call.service.faults.take(request).kind == "no_resume"
        return call.service.handle(request)

    return send


def edit(call, review, parent, snapshot, status=201, **more):
    body = {"review_id": review["id"], "parent_id": parent["id"], "snapshot": snapshot, **more}
    return call.post(f"{REVIEWS}/versions", body, status=status)


def approve(call, review, version, **more):
    return call("POST", f"{REVIEWS}/{review['id']}/approve", {"version_id": version["id"], **more})


def reject(call, review, version, reason="no"):
    return call("POST", f"{REVIEWS}/{review['id']}/reject", {"version_id": version["id"], "reason": reason})


def test_a_waiting_run_has_a_pending_review(call, run, review, seed):
    assert call.get(run)["lifecycle"] == {
        "status": "awaiting_review",
        "waiting_for_block_ids": ["hil-node-1"],
    }
    assert (review["block_id"], review["block_type"], review["decision"]) == ("hil-node-1", "extract", None)
    assert call.get(f"{REVIEWS}/{review['id']}") == review
    assert (seed["snapshot"], seed["parent_id"]) == (VALUES, None)
    assert seed["id"].startswith("rvr_")
    assert len(seed["id"]) == 30
    assert call.get(f"{REVIEWS}/versions/{seed['id']}") == seed


def test_an_approval_resumes_the_run(call, clock, run, review, seed):
    answer = approve(call, review, seed).json()
    clock.tick(1)

    assert (answer["submission_status"], answer["resume_status"]) == ("accepted", "resumed")
    assert answer["review"]["decision"]["verdict"] == "approved"
    assert call.get(run)["lifecycle"] == {"status": "completed"}


@pytest.mark.parametrize(
    ("verdict", "body", "decided"),
    [("approve", {}, "approved"), ("reject", {"reason": "no"}, "rejected")],
)
def test_a_decision_may_be_told_not_to_resume_its_run(
    call, clock, run, review, seed, verdict, body, decided, resumed_not
):
    path = f"{REVIEWS}/{review['id']}/{verdict}"
    answer = resumed_not("POST", path, {"version_id": seed["id"], **body}).json()
    clock.tick(86_400)

    assert (answer["submission_status"], answer["resume_status"]) == ("accepted", "pending")
    assert answer["resume_error"] == "workflow execution already completed"
    assert call.get(f"{REVIEWS}/{review['id']}")["decision"]["verdict"] == decided
    assert call.get(REVIEWS, run_id=run.rpartition("/")[2])["data"] == []
    assert call.get(run)["lifecycle"] == {
        "status": "awaiting_review",
        "waiting_for_block_ids": ["hil-node-1"],
    }
    again = call("POST", path, {"version_id": seed["id"], **body}).json()
    assert (again["submission_status"], again["resume_status"]) == ("already_applied", "skipped")
    assert call.get(run)["lifecycle"]["status"] == "awaiting_review"
    assert call.post(f"{run}/cancel")["cancellation_status"] == "cancelled"


def test_an_edit_is_a_version_that_is_then_approved(call, clock, run, review, seed):
    version = edit(call, review, seed, EDITED, note="typo")
    assert (version["parent_id"], version["note"]) == (seed["id"], "typo")
    assert approve(call, review, version).status == 200
    clock.tick(1)

    steps = call.get("/v1/workflows/steps", run_id=run.rpartition("/")[2])["data"]

    assert steps[-1]["handle_outputs"]["output-json-0"]["data"] == EDITED
    listed = call.get(f"{REVIEWS}/versions", review_id=review["id"])["data"]
    assert [each["id"] for each in listed] == [seed["id"], version["id"]]


def test_versions_are_named_by_their_content(call, review, seed):
    version = edit(call, review, seed, EDITED)

    assert edit(call, review, seed, dict(reversed(EDITED.items())), status=200) == version
    other = edit(call, review, version, {"a": 1})
    conflict = edit(call, review, other, EDITED, status=409)
    assert conflict["detail"]["code"] == "parent_conflict"


def test_newer_versions_have_to_be_acknowledged(call, review, seed):
    newer = edit(call, review, seed, EDITED)

    refused = approve(call, review, seed)
    branch = {"review_id": review["id"], "parent_id": seed["id"], "snapshot": {"a": 1}}

    assert refused.status == 409
    assert newer["id"] in refused.json()["detail"]["message"]
    assert call("POST", f"{REVIEWS}/versions", branch).status == 409
    edit(call, review, seed, {"a": 1}, acknowledged_superseded_version_ids=[newer["id"]])
    assert approve(call, review, newer).status == 409
    known = call.get(f"{REVIEWS}/versions", review_id=review["id"])["data"]
    acknowledged = [each["id"] for each in known]
    assert approve(call, review, seed, acknowledged_superseded_version_ids=acknowledged).status == 200


def test_a_decision_stands(call, review, seed):
    version = edit(call, review, seed, EDITED)
    approve(call, review, version)

    assert approve(call, review, version).json()["submission_status"] == "already_applied"
    for other in (approve(call, review, seed), reject(call, review, version)):
        assert other.status == 200
        assert (other.json()["submission_status"], other.json()["resume_status"]) == ("conflict", "skipped")
        assert other.json()["review"]["decision"]["verdict"] == "approved"
    late = {"review_id": review["id"], "parent_id": version["id"], "snapshot": {"a": 1}}
    assert call("POST", f"{REVIEWS}/versions", late).status == 409


def test_a_rejection_needs_a_reason_and_cancels_the_run(call, run, review, seed):
    assert reject(call, review, seed, "").status == 422
    assert reject(call, review, seed, "  ").status == 422
    assert reject(call, review, seed, "unreadable").json()["submission_status"] == "accepted"

    assert call.get(run)["lifecycle"] == {"status": "cancelled", "reason": "unreadable"}


def test_a_workflow_may_complete_although_rejected(clock, invoice):
    call = Caller(clock, workflows=[replace(BUILT_IN[1], id="wf_lenient", on_reject="completed")])
    run = call.start("wf_lenient", content=invoice)
    clock.tick(2)
    call.post(f"/v1/workflows/runs/{run['id']}/resume", {"node_id": "hil-node-1", "approved": False})

    ended = call.get(f"/v1/workflows/runs/{run['id']}")

    assert (ended["status"], ended["final_outputs"]) == ("completed", {})


def test_the_queue_is_filtered_by_what_was_decided(call, clock, run, review, seed):
    def queue(status):
        query = {"decision_status": status} if status else {}
        return [each["id"] for each in call.get(REVIEWS, **query)["data"]]

    other = call.start("wf_invoice_review", family="current")
    clock.tick(2)
    (second,) = [each for each in queue(None) if each != review["id"]]
    assert queue(None) == [review["id"], second]
    approve(call, review, seed)
    call.post(f"/v1/workflows/runs/{other['id']}/cancel")

    assert queue("pending") == []
    assert queue("approved") == queue("decided") == [review["id"]]
    assert queue("rejected") == []
    assert queue("cancelled") == [second]
    assert call.get(REVIEWS, decision_status="all", order="desc")["data"][0]["id"] == second
    assert call.get(f"{REVIEWS}/{second}")["cancelled_at"] is not None
    assert call("GET", REVIEWS, decision_status="odd").status == 422


@pytest.mark.parametrize("name", ["workflow_id", "run_id", "block_id", "step_id", "iteration_key"])
def test_the_queue_is_filtered_by_place(call, review, name):
    assert call.get(REVIEWS, **{name: "elsewhere"})["data"] == []
    if review[name] is not None:
        assert call.get(REVIEWS, **{name: review[name]})["data"] == [review]


def test_a_cancelled_review_takes_no_decision(call, run, review, seed):
    call.post(f"{run}/cancel")

    assert approve(call, review, seed).status == 409


def test_what_there_is_not_is_refused(call, review, seed):
    unknown = {"id": "rvr_unknown"}
    assert call("GET", f"{REVIEWS}/rev_unknown").json() == {"detail": "review overlay not found"}
    assert call("GET", f"{REVIEWS}/versions/rvr_unknown").status == 404
    assert call("GET", f"{REVIEWS}/versions").status == 422
    assert call("GET", f"{REVIEWS}/versions", review_id="rev_unknown").status == 404
    assert approve(call, review, unknown).status == 404
    assert call("POST", f"{REVIEWS}/{review['id']}/approve", {}).status == 422
    for body in ({"snapshot": []}, {"snapshot": {}, "note": 1}, {"parent_id": "rvr_unknown", "snapshot": {}}):
        sent = {"review_id": review["id"], "parent_id": seed["id"], **body}
        assert call("POST", f"{REVIEWS}/versions", sent).status in {404, 422}


def test_a_run_that_has_not_come_so_far_has_no_review(call, clock):
    run = call.start("wf_invoice_review", family="current")

    assert call.get(REVIEWS, run_id=run["id"])["data"] == []


def test_a_classic_decision_decides_the_review_too(call, run, review):
    call.post(f"{run}/resume", {"node_id": "hil-node-1", "approved": True, "modified_data": EDITED})

    decided = call.get(f"{REVIEWS}/{review['id']}")
    approved = call.get(f"{REVIEWS}/versions/{decided['decision']['version_id']}")

    assert approved["snapshot"] == EDITED
