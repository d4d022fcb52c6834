"""One fault at every request of a run's life in Prefect: the tasks `create_run` and `wait_for_run`, in both colours."""

import asyncio

import pytest
from pydantic import SecretStr

from prefect_collection import RetabCredentials, acreate_run, await_for_run, create_run, wait_for_run
from retab_orchestration import CreateOutcomeUnknownError, RetabError, RunStatus, WorkflowRun
from retab_orchestration.emulator import Emulator
from tests.sweep.sockets import (
    AMBIGUOUS,
    KINDS,
    REFUSED,
    SPEED,
    TIMEOUT,
    fresh_key,
    hurry,
    requests_of,
    under,
)

INPUTS = {"json-node-1": {"seconds": 2}}


def blocking(credentials):
    run_id = create_run.fn("wf_echo", json_inputs=INPUTS, credentials=credentials)
    return wait_for_run.fn(run_id, poll_interval_seconds=0.5, credentials=credentials)


def awaiting(credentials):
    async def live():
        run_id = await acreate_run.fn("wf_echo", json_inputs=INPUTS, credentials=credentials)
        return await await_for_run.fn(run_id, poll_interval_seconds=0.5, credentials=credentials)

    return asyncio.run(live())


@pytest.fixture(autouse=True)
def faster(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture(scope="module", params=["classic", "current"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def emulator(family):
    with Emulator(api=family, idempotency=False, speed=SPEED) as emulator:
        yield emulator


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("life", [blocking, awaiting])
def test_one_fault_at_any_request(emulator, family, life, kind, count):
    def outcome():
        block = RetabCredentials(
            api_key=SecretStr(fresh_key()), base_url=emulator.url, timeout_seconds=TIMEOUT
        )
        try:
            return life(block)
        except RetabError as error:
            return error

    emulator.reset()
    assert isinstance(outcome(), WorkflowRun)
    for index in range(requests_of(emulator)):
        emulator.reset()

        ended = under(emulator, kind, index, outcome)

        at = f"{kind} at request {index}: {ended!r}"
        created = emulator.stats()["runs_created"]
        assert created <= 1, at
        if isinstance(ended, Exception):
            assert kind in REFUSED or (family == "classic" and kind in AMBIGUOUS), at
            assert kind in REFUSED or isinstance(ended, CreateOutcomeUnknownError), at
        else:
            assert ended.status is RunStatus.COMPLETED, at
            assert ended.outputs["end-node-1"]["json-node-1"] == INPUTS["json-node-1"], at
            assert created == 1, at
        count("Prefect")
