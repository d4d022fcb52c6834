"""One run for one DAG run, on every kind of server, with what each Airflow tells a task."""

from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from types import SimpleNamespace

import pendulum
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator
from dev.hosts.processes import wait_until
from retab_orchestration._operations import process_runs
from retab_orchestration.emulator import Emulator
from tests.airflow_provider.conftest import KEY
from tests.sweep.sockets import hurry

START = datetime(2026, 3, 4, 1, 30, 0, 250_000, tzinfo=UTC)


class Store(dict):
    """Airflow 3.3's, which goes with its DAG run."""

    set = dict.__setitem__

    def delete(self, key):
        self.pop(key, None)


def airflow_2(ti, dag_run, stores):
    """The rows of the database, with the DAG run's own id; what is kept goes to the audit log."""
    ti.current_state = lambda: "running"
    dag_run.start_date = pendulum.instance(dag_run.start_date)
    return {"ti": ti, "dag_run": dag_run}


def airflow_3(ti, dag_run, stores):
    """What the execution API tells, which is no id of the DAG run."""
    told = SimpleNamespace(start_date=dag_run.start_date, clear_number=dag_run.clear_number)
    return {"ti": ti, "dag_run": told}


def airflow_33(ti, dag_run, stores):
    return {
        **airflow_3(ti, dag_run, stores),
        "task_state_store": stores.setdefault(dag_run.id, Store()),
    }


IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
VERSIONS = {"3.0": airflow_3, "3.1": airflow_3, "3.2": airflow_3, "3.3": airflow_33}
VERSIONS |= {"2.11": airflow_2} if IS_AIRFLOW_2 else {}


# What a server makes of a key and of tags, and for how many seconds its list lags. Whoever looks for a run whose create
# may have been cut off looks for longer than that.
LAG = 0.4
SERVERS = [
    ("compared", "kept", 0.0),
    ("honoured", "kept", 0.0),
    ("ignored", "kept", 0.0),
    ("ignored", "unfiltered", 0.0),
    ("ignored", "kept", LAG),
    ("ignored", "unfiltered", LAG),
    ("compared", "unfiltered", LAG),
]


@pytest.fixture(scope="module", params=SERVERS, ids=lambda traits: " ".join(map(str, traits)))
def server(request):
    idempotency, metadata, list_lag = request.param
    traits = {"idempotency": idempotency, "metadata": metadata, "list_lag": list_lag}
    with Emulator(api_key=KEY, speed=20, **traits) as server:
        yield server


@pytest.fixture
def emulator(server, monkeypatch):
    """The emulator of `connect`, for each meaning of a key."""
    hurry(monkeypatch)
    server.reset()
    return server


@pytest.fixture(params=VERSIONS)
def attempt(request, connect, new_ti, airflow_database):
    """Execute one attempt; return the id of its run."""
    stores = {}

    def run(*, dag_run=1, try_number=1, max_tries=1, start=0, clear_number=0, **settings):
        ti = new_ti()
        ti.run_id = request.node.name  # the audit log of Airflow 2 is one for all tests
        ti.try_number, ti.max_tries, ti.start_date = try_number, max_tries, datetime.now(UTC)
        process_runs._own.clear()  # each attempt is a process of its own
        began = START + timedelta(seconds=start)
        row = SimpleNamespace(id=dag_run, start_date=began, clear_number=clear_number)
        task = RetabRunWorkflowOperator(
            task_id="run",
            workflow_id="wf_echo",
            json_inputs={"json-node-1": {"seconds": 600}},
            retries=1,
            **settings,
        )
        with pytest.raises(TaskDeferred):
            task.execute(VERSIONS[request.param](ti, row, stores))
        return ti.xcoms["run_id"]

    return run


@pytest.fixture
def shown(client):
    """Wait until the list shows a run: whoever clears a task does so later than a list lags."""

    def wait(run_id):
        listed = lambda: run_id in {run.id for run in client.iter_runs()}  # noqa: E731
        wait_until(listed, timeout=30, what="the run in the list", interval=0.5)
        return run_id

    return wait


def created(emulator):
    return emulator.stats()["runs_created"]


def test_a_retry_takes_the_run_up(attempt, emulator):
    first = attempt()

    assert attempt(try_number=2) == first
    assert created(emulator) == 1


def test_a_clear_starts_another_and_cancels_the_first(attempt, emulator, client, shown):
    first = shown(attempt())

    second = attempt(try_number=2, max_tries=2, start=60, clear_number=1)

    assert attempt(try_number=3, max_tries=2, start=60, clear_number=1) == second != first
    assert client.get_run(first).status.value == "cancelled"
    assert created(emulator) == 2


def test_a_clear_of_another_task_changes_nothing(attempt, emulator):
    first = attempt()

    assert attempt(try_number=2, clear_number=1) == first
    assert created(emulator) == 1


def test_a_clear_may_take_the_run_up_again(attempt, emulator, shown):
    first = shown(attempt())
    cleared = {"max_tries": 2, "start": 60, "clear_number": 1, "on_clear": "reattach"}

    assert attempt(try_number=2, **cleared) == first
    assert attempt(try_number=3, **cleared) == first
    assert created(emulator) == 1


def test_a_dag_run_that_is_deleted_and_made_again_has_a_run_of_its_own(attempt, emulator):
    first = attempt()

    second = attempt(dag_run=2, start=60)

    assert attempt(dag_run=2, start=60, try_number=2) == second != first
    assert created(emulator) == 2


@pytest.mark.parametrize("server", [("ignored", "dropped", 0.0)], indirect=True, ids=["dropped"])
def test_where_no_tags_are_kept_a_retry_takes_up_what_airflow_kept_and_else_starts_nothing(
    server, attempt, emulator, request
):
    first = attempt()

    if request.node.callspec.params["attempt"] in {"3.3", "2.11"}:
        assert attempt(try_number=2) == first
    else:
        with pytest.raises(AirflowFailException, match="nothing to find it by"):
            attempt(try_number=2)

    assert created(emulator) == 1
