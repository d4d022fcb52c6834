"""Servers of one age differ: in what a key means, in what becomes of metadata, in how far lists lag behind."""

import pytest

from retab_orchestration.emulator import Emulator
from tests.emulator.conftest import Caller

KEY = {"api-key": "k", "idempotency-key": "once"}
RUNS = "/v1/workflows/runs"


def create(call, headers=None, **more):
    return call("POST", RUNS, {"workflow_id": "wf_echo", **more}, headers=headers or {"api-key": "k"})


def ids(call, **query):
    return [row["id"] for row in call.get(RUNS, **query)["data"]]


@pytest.mark.parametrize(
    ("idempotency", "status", "created"), [("compared", 409, 1), ("honoured", 202, 1), ("ignored", 202, 2)]
)
def test_a_key_that_came_before_with_another_request(clock, idempotency, status, created):
    call = Caller(clock, idempotency=idempotency)
    first = create(call, KEY).json()

    second = create(call, KEY, json_inputs={"json-node-1": {}})

    assert second.status == status
    assert call.get("/_emulator/stats")["runs_created"] == created
    if idempotency == "honoured":
        assert second.json()["id"] == first["id"]


@pytest.mark.parametrize(
    ("metadata", "has_key", "filters"),
    [("kept", True, True), ("unfiltered", True, False), ("dropped", False, False)],
)
def test_what_becomes_of_metadata(clock, metadata, has_key, filters):
    call = Caller(clock, metadata=metadata)
    tagged = create(call, metadata={"a": "1"}).json()["id"]
    other = create(call).json()["id"]

    assert ("metadata" in call.get(f"{RUNS}/{tagged}")) is has_key
    assert all(("metadata" in row) is has_key for row in call.get(RUNS)["data"])
    assert ids(call, metadata='{"a": "1"}') == ([tagged] if filters else [other, tagged])


def test_a_list_that_lags_shows_a_run_later_than_its_id_does(clock):
    call = Caller(clock, list_lag=10.0)
    run_id = create(call).json()["id"]

    assert call.get(f"{RUNS}/{run_id}")["id"] == run_id
    assert ids(call) == []
    clock.tick(10)
    assert ids(call) == [run_id]


@pytest.mark.parametrize("wrong", [{"idempotency": True}, {"metadata": "lost"}, {"list_lag": -1.0}])
def test_what_no_server_is_like_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Emulator(**wrong)
