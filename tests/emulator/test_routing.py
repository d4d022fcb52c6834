"""Which routes there are, who may call them, and what is counted."""

import pytest

from retab_orchestration.emulator import Request, Service
from tests.emulator.conftest import Caller


@pytest.mark.parametrize(
    ("method", "path", "classic", "current"),
    [
        ("POST", "/v1/workflows/runs", 405, 422),
        ("POST", "/v1/workflows/wf_echo/run", 200, 404),
        ("GET", "/v1/workflows/steps", 404, 200),
        ("GET", "/v1/workflows/reviews", 404, 200),
        ("GET", "/v1/workflows/edges", 404, 422),
        ("GET", "/v1/workflows/wf_echo/edges", 200, 404),
        ("GET", "/v1/workflows/runs/run_unknown/steps", 404, 404),
        ("POST", "/v1/workflows/runs/run_unknown/restart", 404, 404),
        ("POST", "/v1/workflows/wf_invoice/tests/runs", 200, 404),
        ("POST", "/v1/workflows/tests/runs", 404, 422),
        ("POST", "/v1/workflows/evals/runs", 404, 422),
        ("GET", "/v1/workflows/runs", 200, 200),
        ("PATCH", "/v1/workflows/runs", 405, 405),
        ("GET", "/v1/nowhere", 404, 404),
    ],
)
def test_each_age_has_its_own_routes(clock, method, path, classic, current):
    assert Caller(clock, api="classic")(method, path).status == classic
    assert Caller(clock, api="current")(method, path).status == current


def test_both_ages_at_once_have_all_routes(call):
    assert call("POST", "/v1/workflows/runs", {"workflow_id": "wf_echo"}).status == 202
    assert call("POST", "/v1/workflows/wf_echo/run").status == 200
    assert call("GET", "/v1/workflows/steps").status == 200


def test_an_unknown_route_is_told_from_an_unknown_id(clock):
    classic = Caller(clock, api="classic")

    assert classic("GET", "/v1/workflows/steps").json() == {"detail": "Not Found"}
    assert classic("POST", "/v1/workflows/runs").json() == {"detail": "Method Not Allowed"}
    assert classic("POST", "/v1/workflows/runs").headers["allow"] == "GET"
    assert classic("GET", "/v1/workflows/runs/run_1").json() == {"detail": "Workflow run not found"}
    unknown = classic("POST", "/v1/workflows/wf_unknown/run").json()["detail"]
    assert unknown["details"]["error"] == "Workflow not found: wf_unknown"


def test_a_slash_at_the_end_changes_nothing(call):
    run = call.start("wf_echo")

    assert call.get(f"/v1/workflows/runs/{run['id']}/") == call.get(f"/v1/workflows/runs/{run['id']}")
    assert call.get("/v1/workflows/runs/")["data"]


def test_ids_arrive_percent_encoded(call):
    refused = call("POST", "/v1/workflows/wf%2Fa%20b/run")

    assert refused.json()["detail"]["details"]["error"] == "Workflow not found: wf/a b"


def test_every_answer_has_a_request_id(call):
    ids = {
        call("GET", path).headers["x-request-id"]
        for path in ("/v1/workflows", "/v1/nowhere", "/_emulator/stats")
    }

    assert len(ids) == 3
    assert all(each.startswith("req_") for each in ids)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"api-key": ""}, 401),
        ({"api-key": "anything"}, 200),
        ({"authorization": "Bearer anything"}, 200),
        ({"authorization": "bearer anything"}, 200),
        ({"authorization": "Bearer "}, 401),
        ({"authorization": "Basic YTpi"}, 401),
    ],
)
def test_any_key_will_do_unless_one_was_set(call, headers, status):
    assert call("GET", "/v1/workflows/runs", headers=headers).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"api-key": "right"}, 200),
        ({"authorization": "Bearer right"}, 200),
        ({"api-key": "wrong"}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"api-key": "wrong", "authorization": "Bearer right"}, 200),
    ],
)
def test_the_right_key_is_asked_for(clock, headers, status):
    call = Caller(clock, api_key="right")

    assert call("GET", "/v1/workflows/runs", headers=headers).status == status


def test_a_key_may_be_replaced_while_it_runs(clock):
    call = Caller(clock, api_key="old")
    assert call("GET", "/v1/workflows/runs", headers={"api-key": "old"}).status == 200

    assert call.post("/_emulator/key", {"api_key": "new"}) == {"key": "set"}
    call.post("/_emulator/reset")

    assert call("GET", "/v1/workflows/runs", headers={"api-key": "old"}).status == 401
    assert call("GET", "/v1/workflows/runs", headers={"authorization": "Bearer new"}).status == 200


def test_any_key_will_do_only_until_one_is_set(call):
    call.post("/_emulator/key", {"api_key": "new"})

    assert call("GET", "/v1/workflows/runs", headers={"api-key": "anything"}).status == 401


@pytest.mark.parametrize("body", [{}, [], {"api_key": ""}, {"api_key": None}, {"api_key": "k", "more": 1}])
def test_a_key_that_is_none_is_refused_and_changes_nothing(clock, body):
    call = Caller(clock, api_key="old")

    assert call("POST", "/_emulator/key", body).status == 422
    assert call("GET", "/v1/workflows/runs", headers={"api-key": "old"}).status == 200


def test_a_server_may_take_one_header_only(clock):
    bearer, api_key = Caller(clock, auth="bearer"), Caller(clock, auth="api-key")

    assert bearer("GET", "/v1/workflows/runs", headers={"api-key": "k"}).status == 401
    assert api_key("GET", "/v1/workflows/runs", headers={"authorization": "Bearer k"}).status == 401
    assert api_key("GET", "/v1/workflows/runs", headers={"api-key": "k"}).status == 200


def test_the_key_is_checked_before_the_route(clock):
    call = Caller(clock, api_key="right", api="classic")

    assert call("GET", "/v1/nowhere", headers={}).json() == {"detail": "Not authenticated"}
    wrong = call("POST", "/v1/workflows/runs", headers={"api-key": "wrong"})
    assert wrong.json()["detail"]["details"]["error"] == "Invalid API Key."


def test_requests_are_counted_by_template_and_control_is_not(call):
    run = call.start("wf_echo")
    call.get(f"/v1/workflows/runs/{run['id']}")
    call("GET", "/v1/workflows/runs/run_unknown/")
    call("GET", "/v1/nowhere", headers={})
    call("GET", f"/runs/{run['id']}")

    assert call.get("/_emulator/stats") == {
        "requests": {
            "POST /v1/workflows/{workflow_id}/run": 1,
            "GET /v1/workflows/runs/{run_id}": 2,
            "GET (unknown)": 1,
        },
        "runs_created": 1,
        "held": 0,
    }


def test_a_reset_forgets_everything(call):
    run = call.start("wf_invoice", content=b"a")
    call.post("/v1/workflows/wf_invoice/tests/runs")
    call.post("/_emulator/faults", [{"match": "*", "kind": "http_500"}])

    assert call.post("/_emulator/reset") == {"reset": True}

    assert call.get("/_emulator/stats") == {"requests": {}, "runs_created": 0, "held": 0}
    assert call("GET", f"/v1/workflows/runs/{run['id']}").status == 404
    assert call.get("/v1/files")["data"] == []
    assert call.get("/v1/workflows/tests/runs")["data"] == []
    assert call.service.faults.take(Request("GET", "/v1/workflows")) is None


def test_control_that_makes_no_sense_is_refused(call):
    assert call("GET", "/_emulator/nowhere").status == 404
    assert call("POST", "/_emulator/faults", b"{").status == 422


def test_a_body_over_the_limit_is_refused_in_plain_text(call):
    refused = call("POST", "/v1/workflows/wf_echo/run", b"x" * (32 * 1024 * 1024 + 1))

    assert refused.status == 413
    assert refused.headers["content-type"] == "text/plain"
    assert call.get("/_emulator/stats")["requests"] == {"POST /v1/workflows/{workflow_id}/run": 1}


@pytest.mark.parametrize("settings", [{"api": "old"}, {"auth": "basic"}, {"speed": 0}, {"speed": -1}])
def test_settings_that_make_no_sense_are_refused_with_what_to_write(settings):
    with pytest.raises(ValueError, match=r"use "):
        Service(**settings)


def test_a_speed_makes_runs_faster(clock):
    call = Caller(clock, speed=10)
    run = call.start("wf_invoice")
    clock.tick(0.16)

    assert call.get(f"/v1/workflows/runs/{run['id']}")["duration_ms"] == 150


def test_a_request_does_not_show_its_key_or_its_body():
    shown = repr(Request("GET", "/", headers={"api-key": "secret"}, body=b"secret"))

    assert "secret" not in shown
