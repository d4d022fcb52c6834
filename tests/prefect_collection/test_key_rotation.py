"""The key of an account is changed: it is read anew, and the wait goes on; what asks once is asked once more."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

import prefect_collection
from dev.hosts.processes import wait_until
from prefect_collection import RetabCredentials, RetabRun, RetabWorkflow
from prefect_collection._account import await_with_account, wait_with_account
from retab_orchestration import AuthenticationError, RetabClient
from retab_orchestration.emulator import Emulator

LOOK = "GET /v1/workflows/runs/{run_id}"
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
    return server.stats()["requests"].get(LOOK, 0)


@contextmanager
def rotated(server, monkeypatch):
    """Change the key, there and here, while the run is looked at for the first time."""
    server.post_faults([{"match": "GET /v1/workflows/runs/run_*", "kind": "hold_before"}])

    def rotate():
        wait_until(lambda: server.stats()["held"], timeout=60, what="the first look")
        monkeypatch.setenv("RETAB_API_KEY", AFTER)
        server.set_key(AFTER)
        server.release()

    with ThreadPoolExecutor(1) as rotating:
        rotation = rotating.submit(rotate)
        yield
        rotation.result()
    assert looks(server) > 1


def test_a_wait_goes_on_with_the_new_key(server, run_id, call, monkeypatch):
    with rotated(server, monkeypatch):
        run = call("wait_for_run", run_id, poll_interval_seconds=0.5, timeout_seconds=60)

    assert run.status.value == "completed"


def test_the_wait_of_a_job_goes_on_with_the_new_key(server, run_id, monkeypatch):
    run = RetabRun(run_id, poll_interval_seconds=0.5, timeout_seconds=60)

    with rotated(server, monkeypatch):
        asyncio.run(run.await_for_completion())

    with RetabClient() as client:
        assert client.get_run(run_id).status.value == "completed"


@pytest.mark.parametrize("colour", ["blocking", "async", "job"])
def test_a_key_that_stays_wrong_fails_once_and_says_which(server, run_id, colour, monkeypatch):
    server.set_key(AFTER)
    slept, sleep = [], asyncio.sleep

    async def note(seconds, *rest):
        slept.append(seconds)
        await sleep(0 if seconds > 20 else seconds, *rest)

    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(asyncio, "sleep", note)
    run = RetabRun(run_id, poll_interval_seconds=0.5)
    wait = {
        "blocking": lambda: prefect_collection.wait_for_run.fn(run_id, poll_interval_seconds=0.5),
        "async": lambda: asyncio.run(prefect_collection.await_for_run.fn(run_id, poll_interval_seconds=0.5)),
        "job": lambda: asyncio.run(run.await_for_completion()),
    }[colour]

    with pytest.raises(AuthenticationError, match="RETAB_API_KEY") as refused:
        wait()

    assert BEFORE not in str(refused.value)
    assert refused.value.status == 401
    assert slept.count(25.0) == 2  # Prefect has pauses of its own, which are none of ours


class Suspended(BaseException):
    """What ends a wait although its run goes on."""


@pytest.mark.parametrize("colour", ["blocking", "async"])
def test_a_wait_that_tries_a_refused_key_again_hears_in_between_that_it_is_over(server, run_id, colour):
    server.set_key(AFTER)
    began, ticks = time.monotonic(), []

    def tick():
        ticks.append(time.monotonic() - began)
        if len(ticks) == 2:
            raise Suspended

    waits = {
        "blocking": lambda: wait_with_account(None, lambda client: client.get_run(run_id), tick),
        "async": lambda: asyncio.run(await_with_account(None, lambda client: client.get_run(run_id), tick)),
    }
    with pytest.raises(Suspended):
        waits[colour]()

    assert ticks[1] < 10  # it pauses for half a minute


@pytest.mark.parametrize("asked", ["create_run", "get_run", "cancel_run", "trigger", "fetch_result"])
def test_what_asks_once_with_a_key_that_stays_wrong_is_refused_once_and_says_which(
    server, run_id, asked, call
):
    server.set_key(AFTER)
    before = sum(server.stats()["requests"].values())
    workflow = RetabWorkflow(credentials=RetabCredentials(api_key=BEFORE), workflow_id="wf_echo")
    ask = {
        "create_run": lambda: call("create_run", "wf_echo"),
        "get_run": lambda: call("get_run", run_id),
        "cancel_run": lambda: call("cancel_run", run_id),
        "trigger": lambda: asyncio.run(workflow.atrigger()),
        "fetch_result": lambda: asyncio.run(RetabRun(run_id).afetch_result()),
    }[asked]

    with pytest.raises(
        AuthenticationError, match="put the key that is good now there, then try again"
    ) as refused:
        ask()

    assert ("the block" if asked == "trigger" else "RETAB_API_KEY") in str(refused.value)
    assert BEFORE not in str(refused.value)
    assert sum(server.stats()["requests"].values()) - before <= 2
