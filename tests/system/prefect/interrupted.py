"""Flows that are suspended or stopped while they wait for runs at Retab."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.states import Suspended

from dev.hosts.processes import wait_until
from prefect_collection import await_for_run, wait_for_run

POLL = "GET /v1/workflows/runs/{run_id}"
WAIT = {"timeout_seconds": 25, "cancel_on_timeout": False}
"""A wait that nothing interrupts ends as well, and fails the test."""


@flow
def waits_directly(run_ids: list[str]):
    wait_for_run(run_ids[0], **WAIT)


@flow
def waits_in_threads(run_ids: list[str]):
    wait_for_run.map(run_ids, **WAIT).result()


@flow
async def awaits(run_ids: list[str]):
    await asyncio.gather(*(await_for_run(run_id, **WAIT) for run_id in run_ids))


def polls(emulator):
    return emulator.stats()["requests"].get(POLL, 0)


def run(flow_function, **given):
    ended = run_flow(flow_function, **given)
    return asyncio.run(ended) if flow_function.isasync else ended


def seconds_to_notice(flow_function, emulator, run_ids, meanwhile=lambda: None):
    """Suspend a flow run while it waits, as the UI does, do something else, and return how long it went on."""
    deployment = flow_function.to_deployment("interrupted").apply()
    with get_client(sync_client=True) as prefect, ThreadPoolExecutor(1) as other:
        flow_run = prefect.create_flow_run_from_deployment(deployment, parameters={"run_ids": run_ids})
        before = polls(emulator)

        def suspend():
            wait_until(lambda: polls(emulator) > before, timeout=60, what="the first poll")
            prefect.set_flow_run_state(flow_run.id, Suspended(timeout_seconds=600))
            at = time.monotonic()
            meanwhile()
            return at

        suspending = other.submit(copy_context().run, suspend)
        with pytest.raises(Pause):
            run(flow_function, flow_run=flow_run, parameters={"run_ids": run_ids})
        ended = time.monotonic()
        assert prefect.read_flow_run(flow_run.id).state.name == "Suspended"
        return ended - suspending.result()


def seconds_to_stop(emulator, run_ids):
    """Stop a flow in its main thread, as a signal does, while its threads wait; return how long they go on."""
    stopped = []

    @flow
    def stops():
        before = polls(emulator)
        wait_for_run.map(run_ids, **WAIT)
        wait_until(lambda: polls(emulator) > before, timeout=60, what="the first poll")
        stopped.append(time.monotonic())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stops()
    return time.monotonic() - stopped[0]
