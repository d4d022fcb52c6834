"""One Airflow of four processes and one Retab for all tests here; every DAG is started at once, then looked at."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from dev.hosts.airflow_host import AirflowHost
from dev.hosts.processes import wait_until
from retab_orchestration import RetabClient
from tests.real_airflow import KEY

DOCUMENTS = Path(__file__).parents[2] / "samples" / "documents"
TIMEOUT = 600.0


@pytest.fixture(scope="session")
def emulator(real_airflow):
    return real_airflow.emulator


@pytest.fixture(scope="session")
def retab(emulator):
    with RetabClient(KEY, emulator.url) as client:
        yield client


@pytest.fixture(scope="session")
def airflow(real_airflow):
    return real_airflow.host


@dataclass
class DagRun:
    """A DAG run on the real Airflow."""

    host: AirflowHost
    dag_id: str
    run_id: str

    @cached_property
    def state(self):
        """How it ended; waits for that."""
        return self.host.api.wait_for_dag_run(self.dag_id, self.run_id, timeout=TIMEOUT)

    @property
    def tasks(self):
        """Task id -> the states of its instances."""
        return self.host.api.task_states(self.dag_id, self.run_id)

    def instance(self, task_id):
        tasks = self.host.api.task_instances(self.dag_id, self.run_id)
        return next(task for task in tasks if task["task_id"] == task_id)

    def wait_for(self, task_id, state):
        """Wait until a task that is not mapped is in a state; one that ends in another one never will be."""

        def is_there():
            [found] = self.tasks.get(task_id, ["none"])
            assert found == state or found not in {"success", "failed", "skipped", "upstream_failed"}, (
                self.failure(task_id)
            )
            return found == state

        wait_until(is_there, timeout=TIMEOUT, what=f"{task_id} to be {state}", interval=1.0)

    def xcom(self, task_id, key="return_value", map_index=-1):
        return self.host.api.xcom(self.dag_id, self.run_id, task_id, key, map_index)

    def has_xcom(self, task_id, key):
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/xcomEntries"
        return key in {entry["key"] for entry in self.host.api.get(path)["xcom_entries"]}

    def xcoms(self, task_id, map_index=-1):
        keys = ("run_id", "status", "waiting_for_node_ids", "run_url")
        return {key: self.xcom(task_id, key, map_index) for key in keys}

    def log(self, task_id, try_number=1, map_index=-1):
        return self.host.api.log(
            self.dag_id, self.run_id, task_id, try_number=try_number, map_index=map_index
        )

    def failure(self, task_id):
        """The log of a task that failed, with what it raised."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/logs/1"
        return json.dumps(self.host.api.get(path)["content"])

    def link(self, task_id):
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{task_id}/links"
        return self.host.api.get(path)["extra_links"]["View run"]


@pytest.fixture(scope="session")
def document():
    return str(DOCUMENTS / "invoice.pdf")


@pytest.fixture(scope="session")
def start(airflow):
    return lambda dag_id, conf: DagRun(airflow, dag_id, airflow.api.trigger(dag_id, conf))


@pytest.fixture(scope="session")
def dag_runs(airflow, emulator, document):
    """Every DAG, started at once."""
    emulator.post_faults([{"match": "POST /v1/workflows/wf_echo/run", "times": 9, "kind": "reset_after"}])
    one = {"document": document}
    both = [str(path) for path in sorted(DOCUMENTS.glob("invoice*.pdf"))]
    started = {
        "reviews": ("reviews", one),
        "review_branch": ("review_branch", one),
        "no_review": ("review_branch", {**one, "workflow_id": "wf_invoice"}),
        "run_workflow": ("run_workflow", one),
        "start_run": ("start_run", one),
        "sensors": ("sensors", {}),
        "ends": ("ends", {}),
        "mapped_documents": ("mapped_documents", {"documents": [*both, *both]}),
        "sixty": ("sixty", {}),
        "readme": ("invoices", one),
    }
    trigger = airflow.api.trigger
    return {name: DagRun(airflow, dag_id, trigger(dag_id, conf)) for name, (dag_id, conf) in started.items()}
