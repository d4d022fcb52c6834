"""The key of an account is changed while a run is waited for: it is read anew, and the wait goes on."""

import threading
import time

import pytest

from retab_orchestration import AuthenticationError, RetabClient
from retab_orchestration.emulator import Emulator

BEFORE, AFTER = "sk_before_1", "sk_after_2"


@pytest.fixture
def server(monkeypatch):
    with Emulator(api_key=BEFORE, speed=20) as emulator:
        monkeypatch.setenv("RETAB_API_KEY", BEFORE)
        monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
        yield emulator


@pytest.fixture
def run_id(server):
    with RetabClient() as client:
        return client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 60}}).id


def looks(server):
    return server.stats()["requests"].get("GET /v1/workflows/runs/{run_id}", 0)


def test_a_wait_goes_on_with_the_new_key(server, run_id, call, monkeypatch):
    def rotate():
        until = time.monotonic() + 30
        while not looks(server):
            if time.monotonic() > until:
                return
            time.sleep(0.02)
        monkeypatch.setenv("RETAB_API_KEY", AFTER)
        server.set_key(AFTER)

    rotating = threading.Thread(target=rotate)
    rotating.start()

    run = call("wait_for_run", run_id, poll_interval_seconds=0.5, timeout_seconds=60)

    rotating.join(40)
    assert looks(server) > 1
    assert run.status.value == "completed"


def test_a_key_that_stays_wrong_fails_once_and_says_which(server, run_id, call, monkeypatch):
    server.set_key(AFTER)
    slept = []

    async def note(seconds):
        slept.append(seconds)

    from prefect_collection.tasks import waits

    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(waits, "sleep", note)

    with pytest.raises(AuthenticationError, match="RETAB_API_KEY") as refused:
        call("wait_for_run", run_id, poll_interval_seconds=0.5)

    assert BEFORE not in str(refused.value)
    assert len([pause for pause in slept if pause > 20]) == 2
