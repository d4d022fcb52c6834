"""One of two processes of one flow run: `python doubled.py <flow run id> <which> <folder> <account>...`."""

import json
import sys
from pathlib import Path
from uuid import UUID

from prefect import flow, task
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow

from dev.hosts.processes import wait_until
from prefect_collection import create_run
from retab_orchestration import RetabError

CREATES = 5
SLOW = {"two-busy"}


@flow
def doubled(which: str, folder: str, accounts: list[str]):
    """Start the same runs as the other process, each at the same moment as it does."""
    made = {}
    meet(Path(folder), which, "begin")
    in_time = {account: starting.submit(account) for account in SLOW & {*accounts}}
    for account in [account for account in accounts if account not in SLOW]:
        made[account] = []
        for number in range(CREATES):
            meet(Path(folder), which, f"{account}-{number}")
            made[account].append(safely(account, {"json-node-1": {account: number}}))
    return made | {account: [future.result()] for account, future in in_time.items()}


@task
def starting(account):
    return safely(account, {"json-node-1": {account: 0}})


def safely(account, inputs):
    try:
        return create_run("wf_echo", json_inputs=inputs, credentials=account)
    except RetabError as error:
        return repr(error)  # the other goes on as well, and is met again


def meet(folder, which, moment):
    """Wait until the other one is here as well."""
    (folder / f"{moment}-{which}").touch()
    wait_until(lambda: len([*folder.glob(f"{moment}-*")]) == 2, timeout=120, what=moment, interval=0.01)


if __name__ == "__main__":
    flow_run_id, which, folder, *accounts = sys.argv[1:]
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(UUID(flow_run_id))
    given = {"which": which, "folder": folder, "accounts": accounts}
    print(json.dumps(run_flow(doubled, flow_run=flow_run, parameters=given)), flush=True)  # noqa: T201
