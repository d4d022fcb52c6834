"""Two processes of one flow run, as when a worker is thought lost and its flow run is started again elsewhere."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

from prefect_collection import RetabCredentials
from retab_orchestration.emulator import Emulator
from tests.prefect_collection.conftest import API_KEY

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("prefect_api")]

DOUBLED = Path(__file__).with_name("doubled.py")
# What nobody but Prefect can tell the two by: without tags, or with such as are seen too late.
SERVERS = {
    "classic": {"api": "classic"},
    "dropped": {"api": "current", "metadata": "dropped"},
    "lagging": {"api": "current", "list_lag": 60.0},
    "busy": {"api": "classic"},
}
SLOW = {"match": "POST /v1/workflows/*", "kind": "slow", "seconds": 0.5, "times": 1000}
# The create takes longer than a process that says nothing is waited for.
BUSY = {"match": "POST /v1/workflows/*", "kind": "http_429", "times": 3, "retry_after": 12}


@pytest.fixture
def servers(prefect_api):
    with ExitStack() as stack:
        opened = {}
        for name, traits in SERVERS.items():
            emulator = stack.enter_context(Emulator(speed=20.0, idempotency="ignored", **traits))
            emulator.post_faults([BUSY if name == "busy" else SLOW])
            RetabCredentials(api_key=API_KEY, base_url=emulator.url).save(f"two-{name}", overwrite=True)
            opened[f"two-{name}"] = emulator
        yield opened


def test_two_processes_of_one_flow_run_own_one_run_for_each_create(prefect_host, servers, tmp_path):
    @flow
    def doubled():
        pass

    with get_client(sync_client=True) as client:
        flow_run = client.create_flow_run(doubled)
    processes = [
        prefect_host.start_script(DOUBLED, str(flow_run.id), which, str(tmp_path), *servers)
        for which in ("one", "other")
    ]
    for process in processes:
        process.wait(timeout=300)
    one, other = (json.loads(process.output.read_text().splitlines()[-1]) for process in processes)

    assert one == other == {name: emulator.run_ids() for name, emulator in servers.items()}
    assert {name: len(made) for name, made in one.items()} == dict.fromkeys(servers, 5) | {"two-busy": 1}
