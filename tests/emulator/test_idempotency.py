"""`Idempotency-Key`: the emulator's own extension."""

import pytest

from tests.emulator.conftest import Caller

KEY = {"api-key": "k", "idempotency-key": "once"}


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/workflows/wf_echo/run", {}), ("/v1/workflows/runs", {"workflow_id": "wf_echo"})],
)
def test_the_same_key_and_body_make_one_run(call, path, body):
    first, second = (call("POST", path, body, headers=KEY) for _ in range(2))

    assert first.json()["id"] == second.json()["id"]
    assert first.status == second.status
    assert call.get("/_emulator/stats")["runs_created"] == 1


def test_the_same_key_with_another_body_is_a_conflict(call):
    call("POST", "/v1/workflows/wf_echo/run", {}, headers=KEY)

    refused = call("POST", "/v1/workflows/wf_echo/run", {"json_inputs": {}}, headers=KEY)

    assert refused.status == 409


def test_it_can_be_switched_off_because_the_real_api_promises_nothing(clock):
    call = Caller(clock, idempotency="ignored")
    for _ in range(2):
        call("POST", "/v1/workflows/wf_echo/run", {}, headers=KEY)

    assert call.get("/_emulator/stats")["runs_created"] == 2
