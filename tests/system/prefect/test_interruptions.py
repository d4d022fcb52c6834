"""A flow run that is suspended while it waits for its runs at Retab: they go on, and it does not."""

import pytest

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
