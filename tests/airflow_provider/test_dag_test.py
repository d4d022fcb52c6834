"""Whole DAGs through this Airflow's own `dag.test()`, deferrals included."""

import asyncio
import importlib.util
import json
import os
import signal
import threading
from contextlib import suppress
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException, BaseHook

from airflow_provider.hooks import aget_connection
from dev.hosts.processes import wait_until

DAGS = Path(__file__).with_name("dags") / "waits.py"
KEYS = ("return_value", "run_id", "status", "run_url", "waiting_for_node_ids")


@pytest.fixture(scope="module")
def dags():
    spec = importlib.util.spec_from_file_location("waits", DAGS)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def short_deferrals(monkeypatch):
    """Only a real Airflow needs the time."""
    monkeypatch.setattr("airflow_provider.triggers.SHORTEST_DEFERRAL", 1.0)


@pytest.fixture
def run(dags, airflow_database, connect):
    """Run a DAG; return its tasks' states and their XComs, both by task id and map index."""

    def test(dag_id, **conf):
        found = getattr(dags, dag_id).test(run_conf=conf)
        tis = found.get_task_instances()
        xcoms = {
            (ti.task_id, ti.map_index): {
                key: ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index) for key in KEYS
            }
            for ti in tis
        }
        return {(ti.task_id, ti.map_index): str(ti.state) for ti in tis}, xcoms

    return test


def output(xcoms, node="end-node-1"):
    return xcoms["return_value"][node]["json_data"]


def test_operator_and_sensor_wait_in_every_way(run, client, emulator, invoice):
    other = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 150}})

    states, xcoms = run("every_way", document=str(invoice), other_run_id=other.id)

    assert set(states.values()) == {"success"}
    assert output(xcoms["run", -1])["json-node-1"] == {"seconds": 60, "dag": "every_way"}
    assert xcoms["poked", -1]["return_value"] == xcoms["run", -1]["return_value"]
    assert output(xcoms["there", -1])["json-node-1"] == {"seconds": 150}
    assert xcoms["read", -1]["return_value"] == "Northwind"
    for task_id in ("run", "here", "there", "poked"):
        found = xcoms[task_id, -1]
        assert found["status"] == "completed"
        assert found["waiting_for_node_ids"] == []
        assert found["run_url"] == f"{emulator.url}/v1/workflows/runs/{found['run_id']}"
    assert emulator.stats()["runs_created"] == 3


@pytest.mark.parametrize(("dag_id", "count"), [("mapped", 3), ("mapped_and_deferred", 1)])
def test_mapped_operator_runs_once_per_input(run, emulator, dag_id, count):
    states, xcoms = run(dag_id)

    assert states == {("run", index): "success" for index in range(count)}
    inputs = [output(xcoms["run", index])["json-node-1"] for index in range(count)]
    assert [given.get("number", 0) for given in inputs] == list(range(count))
    assert len({found["run_id"] for found in xcoms.values()}) == count
    assert emulator.stats()["runs_created"] == count


@pytest.fixture
def in_database(airflow_database, connect):
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    given = json.loads(os.environ["AIRFLOW_CONN_RETAB_DEFAULT"])
    with create_session() as session:
        session.add(Connection(conn_id="of_the_database", **{**given, "extra": None}))
    yield
    with create_session() as session:
        session.query(Connection).filter_by(conn_id="of_the_database").delete()


def test_a_connection_that_only_the_database_has_does_for_a_task_that_defers(
    run, in_database, emulator, monkeypatch
):
    monkeypatch.setattr("airflow_provider.hooks._ASKED", 1)

    states, xcoms = run("connected_by_database")

    assert states == {("run", -1): "success"}
    assert output(xcoms["run", -1])["json-node-1"] == {"seconds": 60}
    assert emulator.stats()["runs_created"] == 1


@pytest.mark.skipif(not hasattr(BaseHook, "aget_connection"), reason="Airflow 2 has no supervisor")
@pytest.mark.parametrize("supervisor", [SimpleNamespace(asend=None), SimpleNamespace(), None], ids=repr)
def test_only_there_is_a_connection_read_in_a_thread(monkeypatch, supervisor):
    """A triggerer's supervisor is asked by awaiting; a call that blocks could hold up all of its triggers."""
    from airflow.sdk.execution_time import task_runner

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(lambda conn_id: conn_id))
    is_dags_test = supervisor is not None and not hasattr(supervisor, "asend")

    if is_dags_test:
        assert asyncio.run(aget_connection("nowhere")) == "nowhere"
    else:
        with pytest.raises(AirflowNotFoundException):
            asyncio.run(aget_connection("nowhere"))


def test_lost_create_is_sent_once_although_the_task_has_retries(run, connect, emulator):
    connect(extra={"api": "classic", "auth": "api-key"})
    emulator.post_faults([{"match": "POST /v1/workflows/*", "kind": "reset_after"}])

    states, _ = run("lost")

    assert states == {("run", -1): "failed"}
    assert emulator.stats()["requests"]["POST /v1/workflows/{workflow_id}/run"] == 1


def test_a_rescheduled_sensor_whose_run_is_not_found_is_told_by_airflow_when_it_poked_first(
    run, emulator, monkeypatch
):
    """So that its second poke, half a second later, polls until it is sure."""
    monkeypatch.setattr("retab_orchestration.policies._BETWEEN_MISSING", 0.1)

    states, _ = run("missing")

    assert states == {("run", -1): "failed"}
    assert emulator.stats()["requests"]["GET /v1/workflows/runs/{run_id}"] == 1 + 3


def test_skipped_and_failed_tasks_keep_their_xcoms(run, invoice):
    states, xcoms = run("bad_ends", document=str(invoice))

    assert states == {("skips", -1): "skipped", ("fails", -1): "failed"}
    assert xcoms["skips", -1]["status"] == "waiting_for_human"
    assert xcoms["skips", -1]["waiting_for_node_ids"] == ["hil-node-1"]
    assert xcoms["fails", -1]["status"] == "error"
    assert xcoms["fails", -1]["waiting_for_node_ids"] == []


def test_database_holds_no_document_and_no_key(run, invoice):
    from airflow.utils.session import create_session
    from sqlalchemy import text

    run("bad_ends", document=str(invoice))

    kept = ""
    with create_session() as session:
        for table in ("rendered_task_instance_fields", "xcom", "serialized_dag", "task_instance", "log"):
            rows = session.execute(text(f"SELECT * FROM {table}"))  # noqa: S608
            kept += repr(rows.fetchall())
    assert invoice.name in kept
    for secret in (json.loads(os.environ["AIRFLOW_CONN_RETAB_DEFAULT"])["password"], "PDF-1.4", "JVBERi"):
        assert secret not in kept


@pytest.mark.parametrize("extra", [{}, {"api": "classic", "auth": "api-key"}], ids=["current", "classic"])
def test_retry_takes_the_run_up(run, dags, connect, emulator, extra):
    """Here the outputs cannot be fetched at first, so that `execute_complete` fails and the task is tried again."""
    connect(extra=extra)
    emulator.post_faults(
        [{"match": "GET /v1/workflows/runs/run_*", "nth": 2, "times": 6, "kind": "http_503"}]
    )

    states, _ = run("tries")

    assert states == {("run", -1): "success"}
    assert emulator.stats()["runs_created"] == 1


@pytest.fixture
def heeds_ctrl_c():
    """Whoever runs the tests in the background may have told them to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize("dag_id", ["endless", "endless_here"])
def test_ctrl_c_cancels_the_run(run, client, emulator, dag_id):
    """Airflow calls no `on_kill` then, neither the operator's nor the trigger's."""

    def interrupt():
        polls = "GET /v1/workflows/runs/{run_id}"
        wait_until(lambda: emulator.stats()["requests"].get(polls), timeout=60, what="a poll of the run")
        os.kill(os.getpid(), signal.SIGINT)

    user = threading.Thread(target=interrupt)
    user.start()
    with suppress(KeyboardInterrupt):  # which Airflow 3 keeps to itself where the task waits here
        run(dag_id)
    user.join()

    assert [run.status.value for run in client.iter_runs()] == ["cancelled"]


def test_clear_changes_the_number_of_tries_and_a_retry_does_not(run, dags):
    from airflow.models.taskinstance import TaskInstance, clear_task_instances
    from airflow.utils.session import create_session

    run("tries")
    with create_session() as session:
        [*_, ti] = session.query(TaskInstance).filter_by(dag_id="tries").order_by(TaskInstance.start_date)
        before, ti.try_number = ti.max_tries, 1  # which `dag.test` of 2.11 does not count
        given = {"dag": dags.tries} if "dag" in signature(clear_task_instances).parameters else {}  # 2.11
        clear_task_instances([ti], session, **given)
        session.flush()

        assert before == 2
        assert ti.max_tries > before
