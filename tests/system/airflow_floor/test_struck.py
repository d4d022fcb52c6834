"""On a real Airflow 2 and classic routes, a task that is killed at the wrong moment never starts a second run."""

import os
import signal

import pytest

from dev.hosts.processes import wait_until
from tests.system.airflow_floor.conftest import HELD

pytestmark = pytest.mark.system

PATIENCE = 240.0


@pytest.fixture(scope="session")
def struck(airflow, emulators):
    """DAG -> the end of its task, which was killed while its request was held."""
    left = set(HELD)

    def strike(dag_id):
        state, try_number, pid = airflow.task(dag_id)
        assert (state, try_number) == ("running", 1)
        os.kill(pid, signal.SIGKILL)
        emulators[dag_id].release()
        left.remove(dag_id)

    def have_ended():
        # One task runs at a time, in whatever order.
        for dag_id in sorted(left):
            if emulators[dag_id].stats()["held"]:
                strike(dag_id)
        return all(airflow.task(dag_id)[0] in {"success", "failed"} for dag_id in HELD)

    wait_until(have_ended, timeout=PATIENCE, what="the ends of the tasks", interval=0.5)
    assert not left
    return {dag_id: airflow.task(dag_id)[:2] for dag_id in HELD}


@pytest.mark.parametrize("dag_id", ["before", "after"])
def test_create_that_was_cut_off_is_not_sent_again(struck, airflow, emulators, dag_id):
    assert struck[dag_id] == ("failed", 2)  # of three tries

    assert emulators[dag_id].stats()["runs_created"] == 1
    assert emulators[dag_id].stats()["requests"]["POST /v1/workflows/{workflow_id}/run"] == 1
    assert "list_runs(workflow_id='wf_echo', from_date=" in airflow.logs(dag_id)


def test_run_that_was_created_is_taken_up(struck, emulators):
    assert struck["look"] == ("success", 2)

    assert emulators["look"].stats()["runs_created"] == 1
