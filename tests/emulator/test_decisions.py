"""Human decisions on the classic routes."""

import pytest

from tests.emulator.conftest import VALUES

EDITED = {**VALUES, "total_amount": 1.0}


@pytest.fixture
def waiting(call, clock, invoice):
    run = call.start("wf_invoice_review", content=invoice)
    clock.tick(2)
    return f"/v1/workflows/runs/{run['id']}"


def data(run):
    return run["final_outputs"]["end-node-1"]["json_data"]


def test_a_run_waits_and_says_for_whom(call, clock, waiting):
    clock.tick(60)

    run = call.get(waiting)

    assert run["status"] == "waiting_for_human"
    assert run["waiting_for_node_ids"] == ["hil-node-1"]
    assert run["human_waiting_started_at"] is not None
    assert run["run_resume_status"] == "waiting_for_human"
    assert run["final_outputs"] is None
    assert run["steps"][-1]["requires_human_review"] is True


def test_an_approval_lets_the_run_go_on_and_its_time_is_counted_apart(call, clock, waiting):
    clock.tick(100 - 0.65)  # it has waited 0.65 s already: of its 1.5 s, 0.15 s come after the gate
    body = {"node_id": "hil-node-1", "approved": True, "command_id": "cmd_1"}

    answer = call.post(f"{waiting}/resume", body)

    assert answer["resume_status"] == "processing"
    assert answer["queue_item_id"]
    assert answer["run"]["status"] == "running"
    clock.tick(1)
    run = call.get(waiting)
    assert data(run) == VALUES
    assert run["human_waiting_duration_ms"] == pytest.approx(100_000, abs=1)
    assert run["run_resume_status"] == "fully_resumed"
    assert call.post(f"{waiting}/resume", body)["resume_status"] == "already_processed"


def test_an_approval_with_changes_changes_the_output(call, clock, waiting):
    call.post(f"{waiting}/resume", {"node_id": "hil-node-1", "approved": True, "modified_data": EDITED})
    clock.tick(1)

    assert data(call.get(waiting)) == EDITED


def test_a_rejection_cancels_the_run(call, clock, waiting):
    answer = call.post(f"{waiting}/hil-decisions", {"block_id": "hil-node-1", "approved": False})
    clock.tick(1)

    run = call.get(waiting)

    assert answer["submission_status"] == "accepted"
    assert run["status"] == "cancelled"
    assert run["final_outputs"] is None
    assert run["steps"][-1]["human_review_approved"] is False


def test_a_decision_leaves_a_receipt(call, waiting):
    nothing_yet = call.get(f"{waiting}/hil-decisions/hil-node-1")
    body = {"block_id": "hil-node-1", "approved": True, "modified_data": EDITED, "command_id": "cmd_1"}

    answer = call.post(f"{waiting}/hil-decisions", body)

    assert (nothing_yet["decision_received"], nothing_yet["approved"]) == (False, None)
    assert nothing_yet["block_status"] == "waiting_for_hil"
    assert answer["submission_status"] == "accepted"
    receipt = answer["decision"]
    assert (receipt["block_id"], receipt["approved"], receipt["modified_data"]) == (
        "hil-node-1",
        True,
        EDITED,
    )
    assert call.get(f"{waiting}/hil-decisions/hil-node-1") == receipt
    assert call.post(f"{waiting}/hil-decisions", body)["submission_status"] == "already_applied"


def test_node_names_are_answered_with_node_names(call, waiting):
    answer = call.post(f"{waiting}/hil-decisions", {"node_id": "hil-node-1", "approved": True})

    assert answer["decision"]["node_id"] == "hil-node-1"


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ({"approved": True}, {"approved": True}, 200),
        ({"approved": True}, {"approved": True, "modified_data": VALUES}, 200),
        ({"approved": True, "modified_data": VALUES}, {"approved": True, "modified_data": VALUES}, 200),
        ({"approved": True}, {"approved": False}, 409),
        ({"approved": False}, {"approved": True}, 409),
        ({"approved": False}, {"approved": False, "modified_data": EDITED}, 200),
        ({"approved": True}, {"approved": True, "modified_data": EDITED}, 409),
    ],
)
def test_a_second_decision_stands_only_if_it_is_the_same(call, waiting, first, second, status):
    call.post(f"{waiting}/resume", {"node_id": "hil-node-1", **first})

    for route in ("resume", "hil-decisions"):
        assert call("POST", f"{waiting}/{route}", {"node_id": "hil-node-1", **second}).status == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"approved": True}, 422),
        ({"node_id": "hil-node-1"}, 422),
        ({"node_id": "hil-node-1", "approved": "yes"}, 422),
        ({"node_id": "hil-node-1", "approved": True, "modified_data": []}, 422),
        ({"node_id": "nowhere", "approved": True}, 404),
        ({"node_id": "end-node-1", "approved": True}, 404),
    ],
)
def test_a_decision_is_checked(call, waiting, body, status):
    assert call("POST", f"{waiting}/resume", body).status == status


def test_resume_knows_no_blocks(call, waiting):
    assert call("POST", f"{waiting}/resume", {"block_id": "hil-node-1", "approved": True}).status == 422


def test_a_run_that_is_not_waiting_takes_no_decision(call, clock, invoice, waiting):
    early = call.start("wf_invoice_review", content=invoice)
    decision = {"node_id": "hil-node-1", "approved": True}
    call.post(f"{waiting}/cancel")

    assert call("POST", f"/v1/workflows/runs/{early['id']}/resume", decision).status == 409
    assert call("POST", f"{waiting}/resume", decision).status == 409
    assert call("POST", "/v1/workflows/runs/run_unknown/resume", decision).status == 404
    assert call.get(f"/v1/workflows/runs/{early['id']}/hil-decisions/hil-node-1")["block_status"] is None
