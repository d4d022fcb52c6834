"""A DAG run that is deleted and made again under the same id starts runs of its own, on every kind of server."""

import pytest

from tests.crash.account import SERVERS

pytestmark = pytest.mark.system

DAG_ID, RUN_ID = "defers", "nightly"


@pytest.mark.parametrize("server", SERVERS)
def test_a_dag_run_that_is_made_again_starts_another_run(real_airflow, server):
    account = next(each for each in real_airflow.accounts if each.server == server)
    api = real_airflow.host.api
    run_id = f"{RUN_ID}-{account.name}"
    conf = {"connection": account.name, "seconds": 1, "token": "the same"}
    account.emulator.reset()

    def made():
        assert api.trigger(DAG_ID, conf, run_id=run_id) == run_id
        assert api.wait_for_dag_run(DAG_ID, run_id) == "success"
        return api.xcom(DAG_ID, run_id, "run", "run_id")

    first = made()
    api.send("DELETE", f"/dags/{DAG_ID}/dagRuns/{run_id}")
    second = made()

    assert [first, second] == account.emulator.run_ids()
    assert [account.retab.get_run(each).status.value for each in (first, second)] == [
        "completed",
        "completed",
    ]
