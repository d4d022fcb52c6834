"""The flows to be killed, served with all accounts: `python served.py accounts.json`."""

import json
import sys
from pathlib import Path

from prefect import flow, serve, suspend_flow_run
from prefect.deployments.runner import EntrypointType

from prefect_collection import (
    RetabCredentials,
    arun_workflow,
    cancel_retab_runs,
    cancel_runs_of_flow_run,
    cancellation_automation,
    create_run,
    run_workflow,
    wait_for_run,
)


@flow(name="parent")
def parent(account: str, json_inputs: dict, output_path: str):
    """Call the ready-made flow; nothing here cancels anything."""
    return run_workflow(
        "wf_echo",
        json_inputs=json_inputs,
        credentials=account,
        output_path=output_path,
        poll_interval_seconds=1,
    )


@flow(name="suspends", on_cancellation=[cancel_retab_runs])
def suspends(account: str):
    """Suspend while a human is asked; the process ends then. Resumed it starts at the top, in a process of its own."""
    run_id = create_run("wf_invoice_review", json_inputs={"json-node-1": {"seconds": 1}}, credentials=account)
    run = wait_for_run(run_id, on_review="return", poll_interval_seconds=1, credentials=account)
    suspend_flow_run(timeout=3600, key="asked")
    assert run.is_terminal, "nobody has decided"


def main(accounts):
    for name, (key, url) in json.loads(Path(accounts).read_text()).items():
        RetabCredentials(api_key=key, base_url=url, api="current", auth="bearer").save(name, overwrite=True)
    module = EntrypointType.MODULE_PATH
    cleanup = cancel_runs_of_flow_run.to_deployment("crash-cleanup", entrypoint_type=module)
    suspending = suspends.to_deployment("suspends")
    cancellation_automation(deployments=[suspending.apply()], cleanup=cleanup.apply()).create()
    # Nobody serves these two: their flow runs are started by hand, each in a process of its own.
    run_workflow.to_deployment("plain", entrypoint_type=module).apply()
    arun_workflow.to_deployment("plain-async", entrypoint_type=module).apply()
    ready = run_workflow.to_deployment("ready", entrypoint_type=module)
    ready_async = arun_workflow.to_deployment("ready-async", entrypoint_type=module)
    calling = parent.to_deployment("parent")
    serve(ready, ready_async, calling, suspending, cleanup, limit=50, pause_on_shutdown=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
