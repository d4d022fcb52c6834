"""Cancelling and deleting runs."""

from dataclasses import replace

import pytest

from retab_orchestration.emulator.workflows.built_in import BUILT_IN
from tests.emulator.conftest import Caller, seen


@pytest.mark.parametrize("family", ["classic", "current"])
@pytest.mark.parametrize("body", [None, {}, {"command_id": "cmd_1"}])
def test_an_active_run_is_cancelled_at_once(call, clock, family, body):
    run = call.start("wf_invoice", family=family)
    clock.tick(0.5)

    answer = call.post(f"/v1/workflows/runs/{run['id']}/cancel", body)

    assert answer["cancellation_status"] == "cancelled"
    assert seen(answer["run"]) == "cancelled"
    assert ("redis_available" in answer) == (family == "current")
    steps = call.get("/v1/workflows/steps", run_id=run["id"])["data"]
    assert [seen(step) for step in steps] == ["cancelled"]
    clock.tick(10)
    assert call.get(f"/v1/workflows/runs/{run['id']}") == answer["run"]


@pytest.mark.parametrize("family", ["classic", "current"])
def test_a_waiting_run_is_cancelled(call, clock, family):
    run = call.start("wf_invoice_review", family=family)
    clock.tick(5)

    answer = call.post(f"/v1/workflows/runs/{run['id']}/cancel")

    assert seen(answer["run"]) == "cancelled"


def test_a_run_that_has_ended_keeps_its_state(call, clock):
    run = call.start("wf_echo")
    clock.tick(5)

    answer = call.post(f"/v1/workflows/runs/{run['id']}/cancel")

    assert (answer["cancellation_status"], answer["run"]["status"]) == ("cancellation_failed", "completed")


def test_a_cancellation_can_take_its_time(clock):
    slow = replace(BUILT_IN[0], id="wf_slow", seconds=60, cancel_seconds=2)
    call = Caller(clock, workflows=[slow])
    run = call.start("wf_slow")
    path = f"/v1/workflows/runs/{run['id']}/cancel"

    first = call.post(path, {"command_id": "cmd_1"})
    clock.tick(1)
    again = call.post(path)

    assert first["cancellation_status"] == again["cancellation_status"] == "cancellation_requested"
    assert first["run"]["status"] == "running"
    assert first["run"]["cancel_confirmation_pending"] is True
    clock.tick(1)
    assert call.get(f"/v1/workflows/runs/{run['id']}")["status"] == "cancelled"
    assert call.post(path, {"command_id": "cmd_1"})["cancellation_status"] == "cancellation_requested"
    assert call.post(path)["cancellation_status"] == "cancelled"


def test_a_run_may_end_before_its_cancellation_takes_effect(clock):
    call = Caller(clock, workflows=[replace(BUILT_IN[0], id="wf_slow", cancel_seconds=10)])
    run = call.start("wf_slow")
    call.post(f"/v1/workflows/runs/{run['id']}/cancel")
    clock.tick(20)

    assert call.get(f"/v1/workflows/runs/{run['id']}")["status"] == "completed"


def test_a_cancel_is_checked(call):
    run = call.start("wf_echo")

    assert call("POST", "/v1/workflows/runs/run_unknown/cancel").status == 404
    assert call("POST", f"/v1/workflows/runs/{run['id']}/cancel", {"command_id": 1}).status == 422


def test_a_deleted_run_is_gone(call):
    run = call.start("wf_echo")
    path = f"/v1/workflows/runs/{run['id']}"

    deleted = call("DELETE", path)

    assert (deleted.status, deleted.body) == (204, b"")
    assert call("GET", path).json() == {"detail": "Workflow run not found"}
    assert call("DELETE", path).status == 404
