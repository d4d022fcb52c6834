"""A task that is cleared and then stopped, before it has found the run from before the clear, leaves none going on."""

import secrets
import time
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout, TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator


class Store(dict):
    """What `context["task_state_store"]` is on Airflow 3.3."""

    set = dict.__setitem__
    delete = dict.pop


def echo(on_clear):
    return RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"seconds": 3600}},
        on_clear=on_clear,
    )


@pytest.fixture
def cleared(context, ti, connect):
    """Let a task wait for a run, and clear it."""

    def act(on_clear):
        with pytest.raises(TaskDeferred):
            echo(on_clear).execute(context)
        ti.try_number, ti.max_tries = 2, 1
        context["dag_run"].clear_number = 1

    ti.run_id = secrets.token_hex(4)  # this process knows what it has started in another test
    context["dag_run"] = SimpleNamespace(id=7, clear_number=0, start_date=datetime.now(UTC))
    return act


@pytest.mark.parametrize("on_clear", ["rerun", "reattach"])
@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "kept nowhere"])
@pytest.mark.parametrize("end", ["stopped, as Airflow 2 does it", "late"])
def test_the_run_from_before_the_clear_is_cancelled(
    context, cleared, client, emulator, interrupt, on_clear, is_kept, end
):
    if is_kept:
        context["task_state_store"] = Store()
    cleared(on_clear)
    task = echo(on_clear)
    emulator.post_faults([{"match": "GET /v1/workflows/runs*", "kind": "hold_before"}])

    def act():
        if end == "late":
            raise AirflowTaskTimeout
        task.on_kill()
        raise AirflowException("Task received SIGTERM signal")

    def release():
        time.sleep(0.2)
        emulator.release()

    interrupt(lambda: emulator.stats()["held"], act, release)

    with pytest.raises((AirflowTaskTimeout, AirflowException)):
        task.execute(context)

    assert [run.status.value for run in client.iter_runs()] == ["cancelled"]
