"""One run for one intent, struck from aside: a rejected review, blocked loops, signals, lost creates."""

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from prefect import flow, runtime, suspend_flow_run, task
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow

from dev.hosts.processes import wait_until
from prefect_collection import (
    acreate_run,
    cancel_runs_of_flow_run,
    create_run,
    run_workflow,
    wait_for_run,
)
from retab_orchestration import CreateOutcomeUnknownError, RetabClient, RetabError
from retab_orchestration.emulator import Emulator
from tests.prefect_collection.conftest import API_KEY
from tests.system.prefect.outcomes import created, safely, statuses

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("prefect_api")]

OWN = "something of the user's own"
FAILING = {
    "json_inputs": {"json-node-1": {"message": "The scanner was on fire"}},
    "poll_interval_seconds": 0.5,
}
LONG = {"json-node-1": {"seconds": 6000}}
CREATES = "POST /v1/workflows/*"


def until(condition, what):
    wait_until(condition, timeout=60, what=what)


@pytest.fixture
def server(monkeypatch):
    """Start an emulator of a kind, and make it everybody's."""
    running = []

    def start(**traits):
        running.append(Emulator(speed=20.0, **traits).__enter__())
        monkeypatch.setenv("RETAB_API_KEY", API_KEY)
        monkeypatch.setenv("RETAB_API_BASE_URL", running[-1].url)
        return running[-1]

    yield start
    for emulator in running:
        emulator.__exit__(None, None, None)


# ---- equal calls


def test_equal_ready_flows_in_a_task_are_one_run_also_where_it_fails(emulator):
    @task
    def twice():
        return [safely(lambda: run_workflow("wf_fail", **FAILING)) for _ in range(2)]

    @flow
    def caller():
        return [*twice(), *twice()]

    assert all(isinstance(error, RetabError) for error in caller())
    assert created(emulator) == 1


def test_a_ready_flow_that_failed_starts_another_run_when_the_task_or_the_flow_is_retried(emulator):
    starts = []

    @task(retries=1, retry_delay_seconds=0)
    def tries():
        starts.append(1)
        run_workflow("wf_fail", **FAILING)

    @flow(retries=1)
    def caller():
        tries()

    assert isinstance(safely(caller), RetabError)
    assert created(emulator) == len(starts) == 4


# ---- a review that is rejected while the flow run is suspended


def in_a_flow(document):
    return safely(lambda: run_workflow("wf_invoice_review", documents={"start-node-1": document}))


@task
def in_a_task(document):
    return in_a_flow(document)


def by_itself(document):
    run_id = create_run("wf_invoice_review", documents={"start-node-1": document})
    return safely(lambda: wait_for_run(run_id))


@pytest.mark.parametrize("calls", [in_a_flow, in_a_task, by_itself])
def test_a_review_that_was_rejected_during_a_suspension_is_not_paid_for_again(emulator, invoice, calls):
    @flow
    def suspends(document: str):
        calls(document)
        suspend_flow_run(timeout=600, key="asked")

    deployment = suspends.to_deployment("struck").apply()
    with get_client(sync_client=True) as prefect:
        flow_run = prefect.create_flow_run_from_deployment(deployment, parameters={"document": str(invoice)})
        with suppress(Pause):
            run_flow(suspends, flow_run=flow_run)
        assert prefect.read_flow_run(flow_run.id).state.is_paused()
        with RetabClient() as retab:
            [run] = [retab.get_run(run_id) for run_id in emulator.run_ids()]
            retab.decide_review(run.id, "hil-node-1", approved=False, reason="not ours")
            until(lambda: retab.get_run(run.id).is_terminal, "the end of the run")
        prefect.resume_flow_run(flow_run.id)
        safely(lambda: run_flow(suspends, flow_run=prefect.read_flow_run(flow_run.id)))

    assert created(emulator) == 1


# ---- who waits for whom


def test_equal_calls_that_block_all_threads_of_a_loop_end_as_one_run(server):
    emulator = server(idempotency="ignored")
    emulator.post_faults([{"match": CREATES, "kind": "hold_after"}])
    threads, calling = ThreadPoolExecutor()._max_workers, []

    def equal_call():
        calling.append(1)
        return create_run("wf_echo")

    def let_go():
        until(lambda: len(calling) >= threads, "all threads of the loop to be taken")
        emulator.release()

    @flow
    async def caller():
        first = asyncio.create_task(acreate_run("wf_echo"))
        await asyncio.to_thread(until, lambda: emulator.stats()["held"], "the create")
        # The loop has no thread left to do it in.
        threading.Thread(target=let_go).start()
        return await asyncio.gather(first, *(asyncio.to_thread(equal_call) for _ in range(40)))

    assert set(asyncio.run(caller())) == {*emulator.run_ids()}
    assert created(emulator) == 1


@pytest.mark.parametrize("api", ["classic", "current"])
def test_an_error_of_somebody_else_during_a_create_does_not_mean_that_nothing_was_created(server, api):
    emulator = server(api=api, idempotency="ignored")
    emulator.post_faults([{"match": CREATES, "kind": "hold_before"}])

    class TooSlowError(Exception):
        pass

    def interrupt(number, frame):
        raise TooSlowError

    tries = []

    def stop_soon():
        until(lambda: emulator.stats()["held"], "the create")
        os.kill(os.getpid(), signal.SIGUSR1)
        until(lambda: len(tries) == 2, "the second try")
        emulator.release()

    @task(retries=1, retry_delay_seconds=0)
    def starts():
        tries.append(1)
        if len(tries) == 1:
            threading.Thread(target=stop_soon).start()
        return create_run.fn("wf_echo", json_inputs=LONG)

    @flow
    def caller():
        return starts()

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        ended = safely(caller)
    finally:
        signal.signal(signal.SIGUSR1, before)

    until(lambda: created(emulator), "the run")
    assert len(tries) == 2
    assert created(emulator) == 1
    assert isinstance(ended, CreateOutcomeUnknownError) if api == "classic" else ended in emulator.run_ids()


# ---- cancelling what was started


def cut_off(emulator):
    """Cancel a flow while its create is on its way; return the flow run's id."""
    emulator.post_faults([{"match": CREATES, "kind": "hold_after"}])
    ids = []

    @flow
    async def starts():
        ids.append(runtime.flow_run.id)
        creating = asyncio.create_task(acreate_run("wf_echo", json_inputs=LONG))
        await asyncio.to_thread(until, lambda: emulator.stats()["held"], "the create")
        creating.cancel()
        await asyncio.wait([creating])
        raise RuntimeError(OWN)

    safely(lambda: asyncio.run(starts()))
    emulator.release()
    return ids[0]


def test_a_run_whose_create_was_cut_off_is_cancelled_when_the_list_shows_it(server):
    emulator = server(api="current", list_lag=8.0)
    flow_run_id = cut_off(emulator)

    assert asyncio.run(cancel_runs_of_flow_run(flow_run_id)) == emulator.run_ids()
    assert statuses(emulator) == ["cancelled"]


def test_a_run_of_a_flow_in_a_flow_is_cancelled_although_its_create_was_cut_off(server):
    emulator = server(api="current")
    # Long enough for a busy machine to get as far as the create.
    inner = run_workflow.with_options(timeout_seconds=10)

    @flow
    def parent():
        create_run("wf_echo", json_inputs=LONG, dedupe_key="the parent's own")
        inner("wf_echo", json_inputs=LONG)

    emulator.post_faults([{"match": CREATES, "kind": "hold_after", "nth": 2}])
    threading.Thread(target=release_when_late, args=(emulator,)).start()
    ended = safely(parent)

    assert isinstance(ended, TimeoutError)
    until(lambda: "cancelled" in statuses(emulator), "the cancel")
    assert statuses(emulator) == ["running", "cancelled"]


def release_when_late(emulator):
    """Answer the create when the flow's time is over, which began before: Prefect stops nothing that blocks."""
    until(lambda: emulator.stats()["held"], "the create")
    time.sleep(11)
    emulator.release()


@pytest.mark.parametrize("traits", [{"api": "classic"}, {"api": "current", "metadata": "dropped"}], ids=str)
def test_a_run_whose_create_was_cut_off_is_told_where_nothing_finds_it(server, traits):
    emulator = server(**traits)
    flow_run_id = cut_off(emulator)

    with pytest.raises(RetabError, match=r"a create was cut off at .*list_runs\(from_date="):
        asyncio.run(cancel_runs_of_flow_run(flow_run_id))


def starting(count):
    """Start runs in a flow; return the flow run's id."""

    @flow
    def starts():
        for number in range(count):
            create_run("wf_echo", json_inputs=LONG, dedupe_key=str(number))
        return runtime.flow_run.id

    return starts()


def test_an_outage_while_runs_are_cancelled_is_waited_through_and_one_that_is_not_found_is_asked_for_again(
    server,
):
    emulator = server(api="current")
    flow_run_id = starting(2)
    late = emulator.run_ids()[1]
    emulator.post_faults(
        [
            {"match": f"GET /v1/workflows/runs/{late}", "kind": "http_404", "times": 1},
            # More than the client itself would send again.
            {"match": "GET /v1/workflows/runs*", "kind": "http_503", "times": 8},
        ]
    )

    assert sorted(asyncio.run(cancel_runs_of_flow_run(flow_run_id))) == sorted(emulator.run_ids())
    assert statuses(emulator) == ["cancelled", "cancelled"]


def test_a_recorded_run_is_cancelled_where_the_list_is_refused(server):
    emulator = server(api="current")
    flow_run_id = starting(1)
    emulator.post_faults([{"match": "GET /v1/workflows/runs", "kind": "http_403", "times": 1000}])

    with pytest.raises(RetabError, match=r"what else it has started: .*403"):
        asyncio.run(cancel_runs_of_flow_run(flow_run_id))
    assert statuses(emulator) == ["cancelled"]
