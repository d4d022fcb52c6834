"""A user's program whose tasks run in processes: `python pooled.py <which>`; it prints the runs that it has."""

import json
import os
import sys

from prefect import flow
from prefect.task_runners import ProcessPoolTaskRunner

from prefect_collection import RetabCredentials, create_run, wait_for_run

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


if __name__ == "__main__":
    {"beside": beside, "retried": retried, "handed": handed}[sys.argv[1]]()
    print(json.dumps(MADE), flush=True)  # noqa: T201
