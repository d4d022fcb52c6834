"""On a real Airflow: whatever ends a task ends its run, and what Airflow alone would not notice is noticed."""

import hashlib
import json
from pathlib import Path

import pytest

from dev.hosts.processes import wait_until

pytestmark = pytest.mark.system

NODE = "end-node-1"


@pytest.fixture(scope="module")
def limits(airflow, document, start, tmp_path_factory):
    return start("limits", {"document": document, "folder": str(tmp_path_factory.mktemp("outputs"))})


@pytest.fixture
def becomes(limits, retab):
    """Wait for what becomes of the run of a task."""

    def wait(task_id, status):
        run_id = limits.xcom(task_id, "run_id")
        what = f"the run of {task_id} to be {status}"
        wait_until(lambda: retab.get_run(run_id).status.value == status, timeout=60, what=what)

    return wait


def test_worker_that_is_stopped_cancels_its_run(limits, airflow, becomes):
    limits.wait_for("stopped_here", "running")
    wait_until(lambda: limits.has_xcom("stopped_here", "run_id"), timeout=120, what="its run")

    path = f"/dags/limits/dagRuns/{limits.run_id}/taskInstances/stopped_here"
    airflow.api.send("PATCH", path, {"new_state": "failed"})

    becomes("stopped_here", "cancelled")
    assert limits.tasks["stopped_here"] == ["failed"]


@pytest.mark.parametrize("task_id", ["late", "late_here"])
def test_execution_timeout_ends_the_run(limits, becomes, task_id):
    limits.wait_for(task_id, "failed")

    becomes(task_id, "cancelled")
    if task_id == "late":
        assert "(execution_timeout); it was cancelled" in limits.failure(task_id)


def test_execution_timeout_spares_a_run_that_waits_for_a_human(limits, becomes):
    limits.wait_for("late_in_review", "failed")

    becomes("late_in_review", "waiting_for_human")


def test_deferral_that_airflow_ends_ends_the_run(limits, becomes):
    limits.wait_for("given_up", "failed")

    becomes("given_up", "cancelled")


def test_outputs_are_written_and_the_run_is_restarted(limits):
    limits.wait_for("restarted", "success")

    manifest = limits.xcom("written")
    content = Path(manifest["uri"].removeprefix("file://")).read_bytes()
    assert manifest["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["run_id"] == limits.xcom("written", "run_id") != limits.xcom("restarted", "run_id")
    assert json.loads(content)[NODE]["json_data"] == limits.xcom("restarted")[NODE]["json_data"]


def test_run_of_another_task_is_cancelled(limits, becomes):
    limits.wait_for("cancelled", "success")

    becomes("endless", "cancelled")


def test_deferral_that_no_limit_ends_is_resumed_and_waits_on(limits, retab):
    """Airflow has dropped what the deferral kept; what the task had left as an XCom is all that it knows."""
    limits.wait_for("backstopped", "success")

    assert "its trigger has said nothing for long (backstop)" in limits.log("backstopped")
    run_id = limits.xcom("backstopped", "run_id")
    assert limits.xcom("backstopped", "retab_deferral")["run_id"] == run_id
    assert retab.get_run(run_id).status.value == "completed"
    assert limits.xcom("backstopped")[NODE]["json_data"]["json-node-1"] == {"seconds": 25}
