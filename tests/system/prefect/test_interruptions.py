"""A flow run that is suspended, or stopped, while it waits for its runs at Retab: they go on, and it does not."""

import pytest
from prefect import flow, task

from prefect_collection import wait_for_run
from retab_orchestration import RetabClient
from tests.system.prefect import interrupted

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("prefect_api")]

# Seconds. Prefect takes a moment to hear of a suspension itself.
SOON = 8.0


def started(seconds):
    with RetabClient() as client:
        return [
            client.create_run(
                "wf_echo", json_inputs={"json-node-1": {"seconds": seconds, "number": number}}
            ).id
            for number in range(2)
        ]


def statuses(run_ids):
    with RetabClient() as client:
        return {client.get_run(run_id).status_name for run_id in run_ids}


@pytest.mark.parametrize(
    "waits",
    [interrupted.waits_directly, interrupted.waits_in_threads, interrupted.awaits],
    ids=lambda waits: waits.name,
)
def test_a_suspension_from_outside_ends_the_wait_between_its_polls(emulator, waits):
    run_ids = started(6000)

    assert interrupted.seconds_to_notice(waits, emulator, run_ids) < SOON
    assert statuses(run_ids) == {"running"}


def test_waits_in_threads_end_with_their_flow_when_that_is_stopped(emulator):
    run_ids = started(6000)

    assert interrupted.seconds_to_stop(emulator, run_ids) < SOON
    assert statuses(run_ids) == {"running"}


@pytest.mark.parametrize("fails", [False, True], ids=["returns", "fails"])
def test_waits_in_threads_go_on_when_their_flow_only_does_not_wait_for_them(emulator, fails):
    run_ids, seen = started(40), []

    @task
    def waits(run_id):
        seen.append(wait_for_run(run_id).status_name)

    @flow
    def leaves():
        waits.map(run_ids)
        if fails:
            raise LookupError

    leaves(return_state=True)

    assert seen == ["completed"] * 2
