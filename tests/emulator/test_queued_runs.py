"""Runs that have not started: pending, then queued."""

import pytest

from retab_orchestration.emulator.generations import span
from tests.emulator.conftest import NEW, START, Server, status_of

FLAT = span("g1a", "g1b")


def started_at(run, api):
    return (run if api in FLAT else run["timing"])["started_at"]


def test_a_run_is_pending_and_queued_before_it_runs(server, clock):
    run = server.run("wf_queued")
    told = [run]
    for _ in range(3):
        clock.tick(0.5)
        told.append(server.read(run))

    # Later a run is pending until it starts.
    queued = "queued" if server.api == "g1a" else "pending"
    assert [status_of(body, server.api) for body in told] == ["pending", queued, "running", "completed"]


def test_a_run_says_how_far_its_execution_is_where_the_server_told(server, clock):
    run = server.run("wf_queued", json_input={"seconds": 3.0})
    phases = [run.get("execution_phase", "no key")]
    for seconds in (0.5, 0.5, 2.0, 1.0):
        clock.tick(seconds)
        phases.append(server.read(run).get("execution_phase", "no key"))

    assert phases == (
        ["created", "dispatching", "started", "running", None] if server.api in FLAT else ["no key"] * 5
    )


def test_a_run_that_has_not_started_has_no_steps_and_no_start(server, clock):
    run = server.run("wf_queued")
    clock.tick(0.7)
    queued = server.read(run)
    clock.tick(10)
    done = server.read(run)

    assert server.listed(run) != []
    created = "2026-03-01T12:00:00"
    assert (started_at(queued, server.api) or "")[:19] == (created if server.api in FLAT else "")
    assert started_at(done, server.api)[:19] == "2026-03-01T12:00:01"
    timing = done if server.api in FLAT else done["timing"]
    assert timing.get("duration_ms", 500) == 500  # from its start


def test_the_seconds_before_its_start_are_asked_for_in_a_json_input(server, clock):
    run = server.run("wf_queued", json_input={"pending_seconds": 60, "queued_seconds": 60, "seconds": 1})
    clock.tick(119)
    assert server.listed(run) == []
    assert status_of(server.read(run), server.api) == ("queued" if server.api == "g1a" else "pending")

    clock.tick(3)

    assert status_of(server.read(run), server.api) == "completed"


def test_runs_are_listed_by_the_states_that_they_say(server, clock):
    ids = {"pending": server.run("wf_queued", json_input={"pending_seconds": 60})["id"]}
    ids["queued"] = server.run("wf_queued", json_input={"pending_seconds": 0, "queued_seconds": 60})["id"]
    ids["running"] = server.run("wf_echo", json_input={"seconds": 60})["id"]

    found = {
        status: {row["id"] for row in server.get("/v1/workflows/runs", status=status)["data"]}
        for status in ids
    }

    if server.api == "g1a":
        assert found == {status: {run_id} for status, run_id in ids.items()}
    else:
        assert found == {
            "pending": {ids["pending"], ids["queued"]},
            "queued": set(),
            "running": {ids["running"]},
        }
    others = server.get("/v1/workflows/runs", exclude_status="pending")["data"]
    assert {row["id"] for row in others} == set(ids.values()) - found["pending"]


@pytest.mark.parametrize("seconds", [0.0, 0.7], ids=["pending", "queued"])
def test_a_run_that_has_not_started_is_cancelled(server, clock, seconds):
    run = server.run("wf_queued")
    clock.tick(seconds)

    answer = server.post(f"/v1/workflows/runs/{run['id']}/cancel")

    assert answer["cancellation_status"] == "cancelled"
    clock.tick(60)
    cancelled = server.read(run)
    assert status_of(cancelled, server.api) == "cancelled"
    assert server.listed(run) == []
    if server.api in NEW:
        assert cancelled["timing"]["started_at"] is None


def test_a_run_that_has_not_started_is_not_restarted(clock):
    server = Server(clock, "g1a")
    run = server.run("wf_queued")

    assert server("POST", f"/v1/workflows/runs/{run['id']}/restart").status == 409


def test_times_go_as_fast_as_the_emulator(clock):
    server = Server(clock, "g1a", speed=10.0)
    run = server.run("wf_queued")

    clock.tick(0.06)
    assert server.read(run)["status"] == "queued"
    clock.tick(0.05)
    assert server.read(run)["status"] == "running"
    assert server.read(run)["updated_at"] > server.read(run)["created_at"]
    assert clock.now > START
