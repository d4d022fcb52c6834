"""One fault at every request of a run's life in Prefect: the tasks `create_run` and `wait_for_run`, in both colours."""

import asyncio

import pytest
from pydantic import SecretStr

from prefect_collection import RetabCredentials, acreate_run, await_for_run, create_run, wait_for_run
from retab_orchestration import CreateOutcomeUnknownError, RetabError, RunStatus, WorkflowRun
from tests.sweep.sockets import (
    AMBIGUOUS,
    KINDS,
    REFUSED,
    fresh_key,
    hurry,
    patience,
    requests_of,
    servers,
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
def for_each(family):
    with servers(family) as for_each:
        yield for_each


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("life", [blocking, awaiting])
def test_one_fault_at_any_request(for_each, family, life, kind, count):
    def outcome(emulator, kind=None):
        block = RetabCredentials(
            api_key=SecretStr(fresh_key()), base_url=emulator.url, timeout_seconds=patience(kind)
        )
        try:
            return life(block)
        except RetabError as error:
            return error

    def clean(emulator, _):
        assert isinstance(outcome(emulator), WorkflowRun)
        return requests_of(emulator)

    def case(emulator, index):
        ended = under(emulator, kind, index, lambda: outcome(emulator, kind))
        check(ended, emulator.stats()["runs_created"], f"{kind} at request {index}: {ended!r}")

    def check(ended, created, at):
        assert created <= 1, at
        if isinstance(ended, Exception):
            assert kind in REFUSED or (family == "classic" and kind in AMBIGUOUS), at
            assert kind in REFUSED or isinstance(ended, CreateOutcomeUnknownError), at
        else:
            assert ended.status is RunStatus.COMPLETED, at
            assert ended.outputs["end-node-1"]["json-node-1"] == INPUTS["json-node-1"], at
            assert created == 1, at

    [requests] = for_each([0], clean)
    for_each(range(requests), case)
    count("Prefect", requests)
