"""On a real Airflow 2, a DAG run that is deleted and made again with the same id starts a run of its own."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from dev.hosts.processes import wait_until
from retab_orchestration import RetabClient
from retab_orchestration.emulator import Emulator
from tests.system.airflow_floor.conftest import KEY, Airflow, environment

pytestmark = pytest.mark.system

RUN_ID = "nightly"
DAG_ID = "remade"


@pytest.fixture(scope="module")
def server():
    """Keys are compared there and tags kept, so that both might answer with the run of the one that was deleted."""
    with Emulator(api="current", api_key=KEY) as server:
        yield server


@pytest.fixture(scope="module")
def host(server):
    """An Airflow with a scheduler of its own: the tasks of other tests are held, and one runs at a time."""
    home = Path(tempfile.mkdtemp(prefix="airflow-remade-"))
    running = []
    try:
        host = Airflow(
            home, environment(home, {"remade": server}, Path(__file__).with_name("remade"), api="auto")
        )
        migration = host.start("db", "migrate")
        running.append(migration)
        migration.wait(180)
        running.append(host.start("scheduler"))
        yield host
    finally:
        for process in running:
            process.kill()
        shutil.rmtree(home, ignore_errors=True)


def make(host):
    """Make the DAG run, and wait for its task."""
    host.python(
        f"from airflow.api.common.trigger_dag import trigger_dag\ntrigger_dag({DAG_ID!r}, run_id={RUN_ID!r})"
    )
    wait_until(lambda: state(host) in {"success", "failed"}, timeout=120, what="the end of the task")
    return state(host)


def delete(host):
    """Delete the DAG run, and with it what the database takes along."""
    host.python(
        "from airflow.models import DagRun\n"
        "from airflow.utils.session import create_session\n"
        "with create_session() as session:\n"
        f"    session.query(DagRun).filter(DagRun.run_id == {RUN_ID!r}).delete(synchronize_session=False)"
    )


def state(host):
    return host.task(DAG_ID)[0]


def is_known(host):
    with closing(sqlite3.connect(f"file:{host.home}/airflow.db?mode=ro", uri=True, timeout=30)) as database:
        asked = "SELECT dag_id FROM serialized_dag WHERE dag_id = ?"
        return database.execute(asked, [DAG_ID]).fetchone() is not None


def test_a_dag_run_that_is_made_again_starts_another_run(host, server):
    wait_until(lambda: is_known(host), timeout=90, what="the DAG")
    assert make(host) == "success"
    delete(host)
    assert state(host) is None
    assert make(host) == "success"

    first, second = server.run_ids()
    with RetabClient(KEY, server.url) as client:
        assert [client.get_run(each).status.value for each in (first, second)] == ["completed"] * 2
