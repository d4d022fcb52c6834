"""Which header and routes are used, what is sent again, and what never is."""

import pytest

from retab_orchestration import (
    ApiConnectionError,
    ApiTimeoutError,
    AuthenticationError,
    CreateOutcomeUnknownError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    RetryPolicy,
    ServerError,
    UnreadableAnswerError,
    UnsupportedRouteError,
)
from retab_orchestration._http import Response
from tests.retab_orchestration.conftest import ok, refused

RUN = {"id": "run_1", "status": "running"}
PROBE = "GET /v1/workflows/steps"
LIST = "GET /v1/workflows/runs"


def headers(runtime, index=-1):
    return {
        name: value
        for name, value in runtime.sent[index].headers.items()
        if name in {"Api-Key", "Authorization"}
    }


# ---- the key's header


def test_bearer(script):
    client, runtime = script(ok(RUN), auth="bearer")
    client.get_run("run_1")
    assert headers(runtime) == {"Authorization": "Bearer key-1"}


def test_api_key(script):
    client, runtime = script(ok(RUN), auth="api-key")
    client.get_run("run_1")
    assert headers(runtime) == {"Api-Key": "key-1"}


# ---- finding out


@pytest.mark.parametrize("server", ["both", "current"])
def test_auto_takes_current_routes_where_there_are_any(connect, server):
    client, runtime = connect(server=server)

    client.create_run("wf_echo")

    assert runtime.requests == [PROBE, "POST /v1/workflows/runs"]


def test_auto_takes_classic_routes_where_there_are_no_others(connect):
    client, runtime = connect(server="classic")

    client.create_run("wf_echo")

    assert runtime.requests == [PROBE, LIST, PROBE, "POST /v1/workflows/wf_echo/run"]


@pytest.mark.parametrize("status", [404, 405, 422])
def test_every_answer_of_an_older_server_to_the_probe_means_classic(script, status):
    unknown = refused(status, {"detail": "x"})
    client, runtime = script(unknown, ok({"data": []}), unknown, ok(RUN), api="auto", auth="auto")

    client.create_run("wf_1")

    assert runtime.requests[-1] == "POST /v1/workflows/wf_1/run"


@pytest.mark.parametrize("status", [404, 405, 422])
def test_a_gateway_that_does_not_know_a_route_for_a_moment_makes_no_classic_server(script, status):
    unknown = refused(status, {"detail": "x"})
    client, runtime = script(unknown, ok({"data": []}), ok([]), ok(RUN), api="auto", auth="auto")

    client.create_run("wf_1")

    assert runtime.requests == [PROBE, LIST, PROBE, "POST /v1/workflows/runs"]


def test_a_key_that_may_not_read_steps_is_still_a_current_servers_key(script):
    client, runtime = script(refused(403, {"detail": "no"}), ok(RUN), api="auto", auth="auto")

    client.create_run("wf_1")

    assert runtime.requests[-1] == "POST /v1/workflows/runs"
    assert headers(runtime) == {"Authorization": "Bearer key-1"}


@pytest.mark.parametrize("server", ["classic", "current"])
@pytest.mark.parametrize("auth", ["api-key", "bearer"])
def test_auto_finds_the_header_that_the_server_takes(connect, server, auth):
    client, runtime = connect(server=server, server_auth=auth)

    client.create_run("wf_echo")

    assert list(headers(runtime)) == [{"api-key": "Api-Key", "bearer": "Authorization"}[auth]]


@pytest.mark.parametrize("api", ["classic", "current"])
def test_the_header_is_found_out_where_the_routes_are_given(connect, api):
    client, runtime = connect(server=api, server_auth="api-key", api=api)

    client.get_run(client.create_run("wf_echo").id, outputs=False)

    assert headers(runtime) == {"Api-Key": "key-1"}
    assert len(runtime.sent) == 4


def test_the_routes_are_found_out_where_the_header_is_given(connect):
    client, runtime = connect(server="classic", server_auth="api-key", auth="api-key")

    client.create_run("wf_echo")

    assert all("Authorization" not in request.headers for request in runtime.sent)
    assert runtime.requests[-1] == "POST /v1/workflows/wf_echo/run"


def test_a_key_that_neither_header_gets_in_is_wrong(script):
    client, runtime = script(refused(401), refused(401), api="auto", auth="auto")

    with pytest.raises(AuthenticationError, match="Check the API key"):
        client.create_run("wf_1")

    assert runtime.requests == [PROBE, PROBE]


def test_a_given_header_that_is_refused_is_not_replaced_by_the_other(script):
    client, runtime = script(refused(401), api="auto", auth="bearer")

    with pytest.raises(AuthenticationError):
        client.create_run("wf_1")

    assert len(runtime.sent) == 1


def test_it_is_asked_once_per_server_and_key(connect):
    client, runtime = connect()
    client.create_run("wf_echo")
    client.create_run("wf_echo")

    assert runtime.requests.count(PROBE) == 1


def test_nothing_is_asked_where_everything_is_given(connect):
    client, runtime = connect(api="classic", auth="bearer")

    client.create_run("wf_echo")

    assert runtime.requests == ["POST /v1/workflows/wf_echo/run"]


def test_a_probe_is_a_read_and_is_repeated_as_one(script):
    client, runtime = script(refused(503), ok({"data": []}), ok(RUN), api="auto", auth="auto")

    client.create_run("wf_1")

    assert runtime.requests == [PROBE, PROBE, "POST /v1/workflows/runs"]


def test_a_server_that_changed_its_routes_is_asked_anew_and_the_create_sent_once_more(script):
    no_such_route, unknown = (
        refused(405, {"detail": "Method Not Allowed"}),
        refused(404, {"detail": "Not Found"}),
    )
    client, runtime = script(
        *(ok([]), no_such_route),
        *(unknown, ok({"data": []}), unknown),
        ok(RUN),
        api="auto",
        auth="auto",
    )

    assert client.create_run("wf_1").id == "run_1"
    assert [name for name in runtime.requests if name.startswith("POST")] == [
        "POST /v1/workflows/runs",
        "POST /v1/workflows/wf_1/run",
    ]


def test_a_server_without_the_routes_that_were_asked_for_says_so(connect):
    client, runtime = connect(server="classic", api="current", auth="bearer")

    with pytest.raises(UnsupportedRouteError, match="set api="):
        client.create_run("wf_echo")

    assert runtime.service.stats()["runs_created"] == 0


def test_an_unknown_workflow_is_no_unknown_route(connect, family):
    client, runtime = connect(server=family)

    with pytest.raises(NotFoundError) as missing:
        client.create_run("wf_unheard_of")

    assert not isinstance(missing.value, UnsupportedRouteError)
    assert sum(name.startswith("POST") for name in runtime.requests) == 1


# ---- repeating reads


@pytest.mark.parametrize(
    "failure",
    [
        refused(500),
        refused(503),
        refused(429),
        ApiConnectionError("refused", sent=False),
        ApiConnectionError("reset"),
        ApiTimeoutError("late"),
        Response(200, b"<html>"),
    ],
)
def test_a_read_is_repeated_after_what_may_pass(script, failure):
    client, runtime = script(failure, failure, ok(RUN))

    assert client.get_run("run_1").id == "run_1"
    assert len(runtime.sent) == 3


def test_the_pauses_are_full_jitter_and_no_longer_than_the_cap(script):
    client, runtime = script(*[refused(500)] * 6, retry=RetryPolicy(attempts=6, base=1.0, cap=4.0))

    with pytest.raises(ServerError):
        client.get_run("run_1")

    assert len(runtime.slept) == 5
    assert all(0 <= slept <= longest for slept, longest in zip(runtime.slept, [1, 2, 4, 4, 4], strict=True))


def test_the_server_says_how_long_to_wait(script):
    client, runtime = script(refused(429, None, **{"retry-after": "47"}), ok(RUN))

    client.get_run("run_1")

    assert runtime.slept == [47.0]


@pytest.mark.parametrize(
    ("status", "kind"), [(400, RequestRejectedError), (403, PermissionDeniedError), (404, NotFoundError)]
)
def test_what_will_not_pass_is_not_repeated(script, status, kind):
    client, runtime = script(refused(status, {"detail": "because"}))

    with pytest.raises(kind, match="because"):
        client.get_run("run_1")

    assert len(runtime.sent) == 1


def test_an_answer_that_is_no_run_says_so_without_repeating_it(script):
    client, _ = script(*[ok({"secret": "value"})] * 4)

    with pytest.raises(UnreadableAnswerError) as unreadable:
        client.get_run("run_1")

    assert "it has no" in str(unreadable.value)
    assert "value" not in str(unreadable.value)
    assert unreadable.value.run_id == "run_1"


# ---- creating once


@pytest.mark.parametrize(
    "lost",
    [
        ApiConnectionError("reset"),
        ApiTimeoutError("late"),
        refused(500),
        refused(502),
        refused(503, None, **{"retry-after": "1"}),
        refused(408),
        Response(200, b"<html>"),
        Response(200, b""),
        ok({"no": "id"}),
        Response(200, b"[" * 200_000),
    ],
)
def test_a_lost_create_is_never_sent_again_where_it_cannot_be_looked_for(script, lost):
    client, runtime = script(lost, api="classic")

    with pytest.raises(CreateOutcomeUnknownError) as unknown:
        client.create_run("wf_1", json_inputs={"json-node-1": {}})

    assert len(runtime.sent) == 1
    assert unknown.value.workflow_id == "wf_1"
    assert unknown.value.since <= unknown.value.until
    assert "list_runs(workflow_id='wf_1', from_date='2026-03-01')" in str(unknown.value)


@pytest.mark.parametrize("nothing_created", [refused(429), ApiConnectionError("refused", sent=False)])
def test_a_create_is_sent_again_after_an_answer_that_proves_that_nothing_was_created(script, nothing_created):
    client, runtime = script(nothing_created, ok(RUN))

    assert client.create_run("wf_1", documents={"start-node-1": ("a.pdf", b"x")}).id == "run_1"
    assert runtime.bodies[0] == runtime.bodies[1] != b""


def test_a_create_that_never_left_fails_as_that(script):
    client, runtime = script(*[ApiConnectionError("refused", sent=False)] * 4)

    with pytest.raises(ApiConnectionError):
        client.create_run("wf_1")

    assert len(runtime.sent) == 4


def test_a_create_that_is_turned_away_every_time_fails_as_that(script):
    client, runtime = script(*[refused(429)] * 4)

    with pytest.raises(RateLimitedError):
        client.create_run("wf_1")

    assert len(runtime.sent) == 4


def test_a_create_is_sent_on_a_connection_of_its_own(script):
    client, runtime = script(ok(RUN), ok(RUN))

    client.create_run("wf_1")
    client.get_run("run_1")

    assert [request.new_connection for request in runtime.sent] == [True, False]


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "timeout_after", "http_500", "garbage"])
def test_on_classic_routes_one_lost_answer_is_one_request(connect, kind):
    client, runtime = connect(server="classic", api="classic", auth="bearer")
    runtime.service.faults.post([{"match": "POST /v1/workflows/*", "kind": kind}])

    with pytest.raises(CreateOutcomeUnknownError):
        client.create_run("wf_echo")

    assert len(runtime.sent) == 1
    assert runtime.service.stats()["runs_created"] == (1 if kind in {"reset_after", "timeout_after"} else 0)


def test_a_test_run_is_created_as_carefully(script):
    client, runtime = script(refused(500))

    with pytest.raises(CreateOutcomeUnknownError):
        client.create_test_run("wf_1")

    assert len(runtime.sent) == 1


def test_a_create_that_is_answered_with_an_id_alone_is_created(script):
    client, _ = script(ok({"id": "run_1"}, 202))

    assert client.create_run("wf_1").id == "run_1"


def test_a_number_too_large_for_a_clock_does_not_lose_a_run(script):
    client, _ = script(Response(200, b'{"id":"run_1","status":"running","duration_ms":' + b"9" * 400 + b"}"))

    assert client.create_run("wf_1").id == "run_1"


def test_an_unknown_outcome_carries_what_the_server_said(script):
    client, _ = script(refused(502, {"code": "bad_gateway", "message": "x"}, **{"x-request-id": "req_3"}))

    with pytest.raises(CreateOutcomeUnknownError) as unknown:
        client.create_run("wf_1")

    assert (unknown.value.status, unknown.value.code, unknown.value.request_id) == (
        502,
        "bad_gateway",
        "req_3",
    )


def test_a_lost_run_of_tests_is_looked_for_where_such_runs_are(script):
    client, _ = script(refused(500))

    with pytest.raises(CreateOutcomeUnknownError, match="test runs of 'wf_1'"):
        client.create_test_run("wf_1")


def test_a_server_that_takes_another_header_by_now_is_asked_anew(script):
    client, runtime = script(ok([]), refused(401), refused(401), ok([]), ok(RUN), api="auto", auth="auto")
    with pytest.raises(AuthenticationError):
        client.get_run("run_1")

    client.get_run("run_1", outputs=False)

    assert headers(runtime) == {"Api-Key": "key-1"}


def test_a_large_body_is_read_off_the_loop(script):
    client, runtime = script(ok(RUN), ok({**RUN, "padding": "x" * 40_000}))

    client.get_run("run_1")
    assert runtime.off_loop_calls == 0
    client.get_run("run_1")
    assert runtime.off_loop_calls == 1


@pytest.mark.parametrize("path", ["wf_1%2Fx", "wf_1%"])
def test_ids_are_percent_encoded_into_paths(script, path):
    client, runtime = script(ok({**RUN, "id": path}))

    client.get_run(path)

    assert runtime.requests == [f"GET /v1/workflows/runs/{path.replace('%', '%25')}"]
