"""Serves flows that are killed, cancelled and suspended by the tests."""

import os
import sys
from pathlib import Path

from prefect import flow, runtime, serve, suspend_flow_run

from prefect_collection import (
    cancel_retab_runs,
    cancel_runs_of_flow_run,
    create_run,
    run_workflow,
    wait_for_run,
)

PLACE = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ["SERVED_PLACE"])
os.environ["SERVED_PLACE"] = str(PLACE)
HOOKS = {"on_cancellation": [cancel_retab_runs], "on_failure": [cancel_retab_runs]}


def started():
    (PLACE / f"{runtime.flow_run.id}.pid").write_text(str(os.getpid()))


def inputs(case, seconds):
    return {"json-node-1": {"case": case, "seconds": seconds}}


@flow(result_storage=PLACE / "results", **HOOKS)
def waits(case: str, seconds: float, account: str | None = None) -> dict:
    started()
    run_id = create_run("wf_echo", json_inputs=inputs(case, seconds), credentials=account)
    return wait_for_run(run_id, poll_interval_seconds=1, credentials=account).outputs


@flow(result_storage=PLACE / "results", **HOOKS)
async def awaits(case: str, seconds: float) -> dict:
    from prefect_collection import acreate_run, await_for_run

    started()
    run_id = await acreate_run("wf_echo", json_inputs=inputs(case, seconds))
    return (await await_for_run(run_id, poll_interval_seconds=1)).outputs


@flow
def calls(case: str, seconds: float) -> dict:
    started()
    return run_workflow("wf_echo", json_inputs=inputs(case, seconds), poll_interval_seconds=1)


@flow(**HOOKS)
def suspends(case: str, seconds: float) -> str:
    run_id = create_run("wf_echo", json_inputs=inputs(case, seconds))
    suspend_flow_run(timeout=None, key="asked")
    assert create_run("wf_echo", json_inputs=inputs(case, seconds)) == run_id
    return run_id


if __name__ == "__main__":
    flows = [waits, awaits, calls, suspends, cancel_runs_of_flow_run]
    serve(*(served.to_deployment("served") for served in flows), pause_on_shutdown=False)
