"""A user's program whose tasks run in processes: `python pooled.py <which>`; it prints the runs that it has."""

import asyncio
import json
import os
import sys
from uuid import UUID

from prefect import flow, runtime
from prefect.task_runners import ProcessPoolTaskRunner

from prefect_collection import RetabCredentials, cancel_runs_of_flow_run, create_run, wait_for_run

MADE = []
POOL = ProcessPoolTaskRunner(max_workers=1)


@flow(task_runner=POOL)
def beside():
    MADE.extend([create_run.submit("wf_echo").result(), create_run("wf_echo")])


@flow(retries=1, task_runner=POOL)
def inner():
    MADE.append(create_run.submit("wf_fail").result())
    wait_for_run(MADE[-1])


@flow
def retried():
    inner(return_state=True)


@flow(task_runner=POOL)
def handed():
    account = RetabCredentials(api_key=os.environ["RETAB_API_KEY"])
    account.save("pooled", overwrite=True)
    MADE.append(create_run.submit("wf_echo", credentials=account).result())


@flow(task_runner=ProcessPoolTaskRunner(max_workers=4))
def crowded():
    long = {"json-node-1": {"seconds": 60_000}}
    started = [create_run.submit("wf_echo", json_inputs=long, dedupe_key=str(number)) for number in range(40)]
    MADE.extend([runtime.flow_run.id, *(run.result() for run in started)])


def cancelled(flow_run_id):
    MADE.extend(asyncio.run(cancel_runs_of_flow_run(UUID(flow_run_id))))


if __name__ == "__main__":
    does = {
        "beside": beside,
        "retried": retried,
        "handed": handed,
        "crowded": crowded,
        "cancelled": cancelled,
    }
    does[sys.argv[1]](*sys.argv[2:])
    print(json.dumps(MADE), flush=True)  # noqa: T201
