"""Which request meets which fault; what a fault does to a connection is in `test_server`."""

import pytest

from retab_orchestration.emulator import Request

CREATE = Request("POST", "/v1/workflows/wf_echo/run", headers={"api-key": "k"})


@pytest.fixture
def take(call):
    def take(*faults, method="GET", path="/v1/workflows/runs"):
        if faults:
            call.post("/_emulator/faults", list(faults))
        fault = call.service.faults.take(Request(method, path))
        return fault.kind if fault else None

    return take


def test_a_fault_is_met_once_unless_it_says_more(take):
    assert take({"match": "GET *", "kind": "http_500"}) == "http_500"
    assert take() is None


def test_nth_and_times_count_from_the_posting(take):
    assert take({"match": "GET *", "kind": "garbage", "nth": 2, "times": 2}) is None
    assert [take() for _ in range(3)] == ["garbage", "garbage", None]


@pytest.mark.parametrize(
    ("match", "is_met"),
    [
        ("GET /v1/workflows/runs", True),
        ("GET /v1/*", True),
        ("* /v1/workflows/runs", True),
        ("GET */runs", True),
        ("POST /v1/*", False),
        ("get /v1/*", False),
        ("GET /v1/workflows", False),
    ],
)
def test_a_match_is_a_pattern_on_method_and_path(take, match, is_met):
    assert (take({"match": match, "kind": "slow"}) is not None) == is_met
    assert (take({"match": match, "kind": "slow"}, path="/v1/workflows/runs/") is not None) == is_met


def test_the_first_of_several_wins_and_all_of_them_count(take):
    first, second = {"match": "GET *", "kind": "http_429"}, {"match": "GET *", "kind": "http_503", "nth": 2}

    assert take(first, second) == "http_429"
    assert take() == "http_503"


def test_a_new_list_replaces_the_old_one(take):
    take({"match": "POST *", "kind": "http_500"})

    assert take({"match": "GET *", "kind": "slow"}) == "slow"
    assert take(method="POST") is None


@pytest.mark.parametrize(
    ("kind", "acts", "is_silent"),
    [
        ("http_500", False, False),
        ("garbage", False, False),
        ("reset_before", False, True),
        ("reset_after", True, True),
        ("hold_before", True, False),
        ("hold_after", True, False),
        ("timeout_after", True, True),
        ("slow", True, False),
        ("no_resume", True, False),
    ],
)
def test_what_each_kind_means(call, kind, acts, is_silent):
    call.service.faults.post([{"match": "*", "kind": kind}])
    fault = call.service.faults.take(Request("GET", "/v1/workflows/runs"))

    assert (fault.acts, fault.is_silent) == (acts, is_silent)
    assert (fault.response() is not None) == (kind in {"http_500", "garbage"})


def test_the_answers_that_take_the_place_of_the_real_one(call):
    def instead(**fault):
        call.service.faults.post([{"match": "*", **fault}])
        return call.service.faults.take(Request("GET", "/v1/workflows/runs")).response()

    limited = instead(kind="http_429", retry_after=2.5)
    assert (limited.status, limited.headers["retry-after"]) == (429, "2.5")
    assert instead(kind="http_503", retry_after=1).headers["retry-after"] == "1"
    assert instead(kind="http_502").headers["content-type"] == "text/plain"
    assert instead(kind="http_500").json() == {"error": "something unexpected"}
    assert instead(kind="http_418").json() == {"detail": "Fault 418"}
    garbage = instead(kind="garbage")
    assert garbage.status == 200
    with pytest.raises(ValueError, match="Expecting value"):
        garbage.json()


def test_times_have_sensible_defaults(call):
    def taken(**fault):
        call.service.faults.post([{"match": "*", **fault}])
        return call.service.faults.take(Request("GET", "/v1/workflows/runs"))

    assert taken(kind="slow").seconds == 1
    assert taken(kind="timeout_after").seconds == 60
    assert taken(kind="timeout_after", seconds=0.5).seconds == 0.5


@pytest.mark.parametrize(
    "faults",
    [
        {},
        ["http_500"],
        [{"kind": "http_500"}],
        [{"match": "*"}],
        [{"match": "*", "kind": "explode"}],
        [{"match": "*", "kind": "http_200"}],
        [{"match": "*", "kind": "http_5000"}],
        [{"match": "*", "kind": "slow", "seconds": -1}],
        [{"match": "*", "kind": "slow", "nth": "first"}],
        [{"match": "*", "kind": "slow", "often": True}],
    ],
)
def test_faults_that_make_no_sense_are_refused_and_change_nothing(call, faults):
    call.post("/_emulator/faults", [{"match": "*", "kind": "slow"}])

    assert call("POST", "/_emulator/faults", faults).status == 422
    assert call.service.faults.take(Request("GET", "/")).kind == "slow"


@pytest.mark.parametrize(
    "kind", ["http_500", "reset_before", "garbage", "reset_after", "hold_before", "no_resume"]
)
def test_every_request_is_counted_once_whether_it_is_acted_on_or_not(call, kind):
    call.service.faults.post([{"match": "POST *", "kind": kind}])
    request = Request("POST", "/v1/workflows/wf_echo/run", headers={"api-key": "k"})

    fault = call.service.faults.take(request)
    if fault.acts:
        call.service.handle(request)

    stats = call.get("/_emulator/stats")
    assert stats["requests"] == {"POST /v1/workflows/{workflow_id}/run": 1}
    assert stats["runs_created"] == int(fault.acts)


def test_held_requests_go_on_together(call):
    resumed = []
    for name in ("a", "b"):
        call.service.faults.hold(lambda name=name: resumed.append(name))
    assert call.get("/_emulator/stats")["held"] == 2

    assert call.post("/_emulator/release") == {"released": 2}

    assert resumed == ["a", "b"]
    assert call.post("/_emulator/release") == {"released": 0}
