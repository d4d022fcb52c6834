"""Runs that have not started, on servers of every generation: waits, lists, cancels and deadlines."""

import asyncio

import pytest

from retab_orchestration import PollPolicy, RunCancelledError, RunStatus, WaitTimeoutError
from retab_orchestration.emulator.generations import GENERATIONS
from tests.retab_orchestration.test_watch import World

EVERY_SECOND = PollPolicy(first=1.0, shortest=1.0, interval=1.0, growth=1e9, jitter=0.0)
SLOWLY = {"pending_seconds": 20, "queued_seconds": 20, "seconds": 20}


@pytest.fixture(params=GENERATIONS)
def api(request):
    return request.param


@pytest.fixture
def client(connect, api):
    return connect(server=api)[0]


@pytest.fixture
def run(client):
    return client.create_run("wf_queued", json_inputs={"json-node-1": SLOWLY})


def until_started(api):
    return [RunStatus.PENDING, *([RunStatus.QUEUED] if api == "g1a" else [])]


def test_a_wait_tells_of_each_state_and_goes_on_to_the_end(client, run, api):
    told, phases = [], []

    def on_change(changed):
        told.append(changed.status)
        phases.append(changed.execution_phase)

    done = client.wait_for_run(run.id, poll=EVERY_SECOND, on_change=on_change)

    assert told == [*until_started(api), RunStatus.RUNNING, RunStatus.COMPLETED]
    assert phases == {
        "g1a": ["created", "dispatching", "started", None],
        "g1b": ["created", "started", None],
    }.get(api, [None] * 3)
    assert (done.timing.completed_at - done.timing.started_at).total_seconds() == pytest.approx(20, abs=0.01)
    assert done.timing.duration_ms == 20_000
    assert done.outputs == {"end-node-1": SLOWLY}


def test_a_wait_that_ends_early_names_the_state(client, run, api):
    with pytest.raises(WaitTimeoutError, match=until_started(api)[-1].value):
        client.wait_for_run(run.id, poll=EVERY_SECOND, timeout=30)

    assert client.wait_for_run(run.id, poll=EVERY_SECOND).status is RunStatus.COMPLETED


def test_a_run_that_has_not_started_is_found_by_its_state(client, run):
    listed = list(client.iter_runs(status="pending"))

    assert [(each.id, each.status) for each in listed] == [(run.id, RunStatus.PENDING)]
    assert list(client.iter_runs(exclude_status="pending")) == []
    assert list(client.iter_runs(status="queued")) == list(client.iter_runs(status="running")) == []


def test_a_run_that_has_not_started_is_cancelled(client, run):
    assert client.cancel_run(run.id).status is RunStatus.CANCELLED

    done = client.wait_for_run(run.id, poll=EVERY_SECOND)

    assert client.list_steps(run.id) == []
    with pytest.raises(RunCancelledError):
        done.raise_for_status()


@pytest.mark.parametrize("server", ["classic", "current"])
def test_waits_that_share_the_list_tell_of_each_state(clock, server):
    world = World(clock, server=server)
    runs = {}
    for number in range(40):
        created = world.client.create_run(
            "wf_queued", json_inputs={"json-node-1": {**SLOWLY, "number": number}}
        )
        runs[world.run(created).id] = []

    async def wait(run_id):
        await world.client.wait_for_run(
            run_id, poll=EVERY_SECOND, on_change=lambda run: runs[run_id].append(run.status)
        )

    async def all_of_them():
        await asyncio.gather(*map(wait, runs))

    world.run(all_of_them())

    assert [sent.method for sent in world.runtime.sent if dict(sent.query).get("exclude_status")]
    states = {tuple(told) for told in runs.values()}
    queued = [RunStatus.QUEUED] if server == "classic" else []
    assert states == {(RunStatus.PENDING, *queued, RunStatus.RUNNING, RunStatus.COMPLETED)}
