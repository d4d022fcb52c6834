"""On a real Airflow 2, each clear and each DAG run that is made again under the same id starts a run of its own."""

import pytest

from hosts.processes import wait_until
from tests.system.airflow_floor.conftest import KEYS

pytestmark = pytest.mark.system

RUN_ID = "nightly"
# As the button in its UI does, which has no command.
DELETE = """
from airflow.models import DagRun
from airflow.utils.session import create_session
with create_session() as session:
    session.delete(session.query(DagRun).filter(DagRun.dag_id == {dag_id!r}, DagRun.run_id == {run_id!r}).one())
"""


@pytest.mark.parametrize("key", KEYS)
def test_a_clear_and_a_dag_run_that_is_made_again_start_another_run(airflow, emulators, key):
    dag_id, retab = f"remade_{key}", emulators[f"remade_{key}"]

    def runs_once_more(before):
        def has_run():
            return len(retab.run_ids()) > len(before) and airflow.task(dag_id)[0] in {"success", "failed"}

        wait_until(has_run, timeout=120, what=f"the end of the task of {dag_id}", interval=0.5)
        assert airflow.task(dag_id)[0] == "success"
        return retab.run_ids()

    airflow.do("dags", "trigger", dag_id, "--run-id", RUN_ID)
    first = runs_once_more([])
    airflow.do("tasks", "clear", dag_id, "--yes")
    cleared = runs_once_more(first)
    airflow.python(DELETE.format(dag_id=dag_id, run_id=RUN_ID))
    airflow.do("dags", "trigger", dag_id, "--run-id", RUN_ID)
    again = runs_once_more(cleared)

    assert [len(first), len(cleared), len(again)] == [1, 2, 3]
    assert retab.stats()["runs_created"] == 3
