"""The same faults on real sockets: what a reset, a silence or a late answer is to httpx."""

import asyncio
import gc

import pytest

from retab_orchestration import AsyncRetabClient, PollPolicy, RetabClient, RetabError, RetryPolicy, RunStatus
from retab_orchestration._operations import process_runs
from tests.sweep.core.world import IDENTITY
from tests.sweep.plan import AMBIGUOUS, HARMLESS, expected
from tests.sweep.sockets import fresh_key, hurry, patience, requests_of, servers, under

POLL = PollPolicy(first=0.5, shortest=0.5, interval=1.0)
RETRY = RetryPolicy(base=0.1)
INPUTS = {"json_inputs": {"json-node-1": {"seconds": 1}}, "identity": IDENTITY, "adopt": True}
ROLES = {
    "classic": ["probe", "second probe", "probe", "create", "look"],
    "current": ["probe", "find", "create", "look"],
}


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
    gc.collect()  # event loops that ended, which other tests look for


def forget(url):
    """Let the next life at a server be in a process of its own; others go on at other servers meanwhile."""
    process_runs._own.pop((url, IDENTITY.key), None)


def blocking(url, kind=None):
    forget(url)
    with RetabClient(fresh_key(), url, timeout=patience(kind), retry=RETRY) as client:
        return client.wait_for_run(client.create_run("wf_echo", **INPUTS).id, poll=POLL)


def awaiting(url, kind=None):
    forget(url)

    async def live():
        async with AsyncRetabClient(fresh_key(), url, timeout=patience(kind), retry=RETRY) as client:
            return await client.wait_for_run((await client.create_run("wf_echo", **INPUTS)).id, poll=POLL)

    return asyncio.run(live())


def ended(life, url, kind):
    try:
        return life(url, kind)
    except RetabError as error:
        return error


@pytest.mark.parametrize("life", [blocking, awaiting])
def test_a_life_without_a_fault_is_as_long_as_is_thought(for_each, family, life):
    def case(emulator, _):
        assert life(emulator.url).status is RunStatus.COMPLETED
        return requests_of(emulator)

    [requests] = for_each([0], case)
    assert requests >= len(ROLES[family])


@pytest.mark.parametrize("life", [blocking, awaiting])
@pytest.mark.parametrize("kind", [*AMBIGUOUS, *HARMLESS])
def test_one_fault_at_any_request(for_each, family, life, kind, count):
    def case(emulator, index):
        outcome = expected(kind, ROLES[family][index], family)

        end = under(emulator, kind, index, lambda: ended(life, emulator.url, kind))

        at = f"{kind} at request {index}: {end!r}"
        if outcome.error is None:
            assert not isinstance(end, Exception), at
            assert end.status is RunStatus.COMPLETED, at
        else:
            assert isinstance(end, outcome.error), at
        assert emulator.stats()["runs_created"] == outcome.created, at

    for_each(range(len(ROLES[family])), case)
    count("sockets", len(ROLES[family]))
