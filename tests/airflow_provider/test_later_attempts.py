"""A zombie: an attempt that was given up while it started its run, and that goes on all the same."""

import threading
from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider._create_once.decide import Numbers
from airflow_provider._create_once.later_attempts import stays
from airflow_provider._state.attempts import Record
from airflow_provider.operators import RetabRunWorkflowOperator
from dev.hosts.processes import wait_until
from retab_orchestration import CreateOutcomeUnknownError, RetabClient, RunIdentity
from retab_orchestration._operations import process_runs
from retab_orchestration.emulator import Emulator
from tests.sweep.sockets import fresh_key, hurry

START = datetime(2026, 5, 6, 7, 8, 9, 10, tzinfo=UTC)
CREATES = {"current": "POST /v1/workflows/runs", "classic": "POST /v1/workflows/*/run"}


class Store(dict):
    """What Airflow 3.3 keeps for a task."""

    def set(self, key, value):
        self[key] = dict(value)

    def delete(self, key):
        self.pop(key, None)


class Attempts:
    """The attempts of one task instance."""

    def __init__(self, new_ti, store):
        self._new_ti, self._store = new_ti, store

    def prepare(self, try_number=1, max_tries=1, **settings):
        """Return a task and the context of one attempt of it."""
        ti = self._new_ti()
        ti.try_number, ti.max_tries, ti.start_date = try_number, max_tries, datetime.now(UTC)
        context = {"ti": ti, "dag_run": SimpleNamespace(start_date=START, clear_number=0)}
        if self._store is not None:
            context["task_state_store"] = self._store
        json_inputs = {"json-node-1": {"seconds": 7200}}
        task = RetabRunWorkflowOperator(
            task_id="run", workflow_id="wf_echo", json_inputs=json_inputs, retries=1, **settings
        )
        return task, context

    def run(self, *numbers, **settings):
        """Live through an attempt until it defers; return its run."""
        process_runs._own.clear()  # another process
        task, context = self.prepare(*numbers, **settings)
        with pytest.raises(TaskDeferred):
            task.execute(context)
        return context["ti"].xcoms["run_id"]


@pytest.fixture
def server_of(connect):
    """Start a server of some kind, and let the connection lead to it."""
    servers = []

    def start(**traits):
        servers.append(Emulator(**{"speed": 1, "idempotency": "ignored", **traits}))
        server = servers[-1].__enter__()
        connect(host=server.url, password=fresh_key())
        return server

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def faster(monkeypatch):
    """Whatever takes any time at all is late."""
    hurry(monkeypatch)
    monkeypatch.setattr("airflow_provider._create_once.later_attempts.SLOW", 0.0)


def may_execute_here():
    """Let this thread execute tasks, which Airflow 2 keeps to that which imported it."""
    with suppress(ImportError, AttributeError):
        from airflow.models.baseoperator import ExecutorSafeguard

        ExecutorSafeguard._sentinel.callers = {}


class Zombie:
    """An attempt whose create the server has not acted on yet."""

    def __init__(self, server, attempts, **settings):
        self.server = server
        self.task, self.context = attempts.prepare(**settings)
        family = server.kind
        server.post_faults([{"match": CREATES[family], "kind": "hold_before"}])
        self.error = None
        self._thread = threading.Thread(target=self._live)
        self._thread.start()
        wait_until(lambda: server.stats()["held"], timeout=30, what="the create of the zombie", interval=0.01)

    def _live(self):
        may_execute_here()
        try:
            self.task.execute(self.context)
        except TaskDeferred as deferred:
            self.error = deferred
        except Exception as error:  # noqa: BLE001
            self.error = error

    def wake(self):
        self.server.release()
        self._thread.join(60)
        return self.error


def states(server):
    with RetabClient(fresh_key(), server.url) as client:
        return {run_id: client.get_run(run_id).status.value for run_id in server.run_ids()}


@pytest.fixture(params=["3.3's store", "no store"])
def store(request):
    return Store() if request.param == "3.3's store" else None


@pytest.mark.parametrize("metadata", ["kept", "unfiltered"])
def test_the_late_run_of_a_zombie_gives_way_to_that_of_its_successor(
    server_of, new_ti, store, metadata, caplog
):
    server, attempts = server_of(metadata=metadata), Attempts(new_ti, store)
    server.kind = "current"
    zombie = Zombie(server, attempts)
    run_id = attempts.run(2)

    deferred = zombie.wake()

    [late] = set(states(server)) - {run_id}
    assert states(server) == {run_id: "running", late: "cancelled"}
    assert f"Run {late} was started late" in caplog.text
    assert isinstance(deferred, TaskDeferred)
    assert deferred.kwargs["run_id"] == zombie.context["ti"].xcoms["run_id"] == run_id
    assert attempts.run(2) == run_id


@pytest.mark.parametrize("family", ["current", "classic"])
def test_the_late_run_of_a_zombie_gives_way_to_that_of_a_cleared_task(server_of, new_ti, family):
    server, attempts = server_of(api=family), Attempts(new_ti, Store())
    server.kind = family
    zombie = Zombie(server, attempts)
    run_id = attempts.run(2, 2)

    zombie.wake()

    [late] = set(states(server)) - {run_id}
    assert states(server) == {run_id: "running", late: "cancelled"}


def test_a_zombie_whose_successor_has_started_nothing_keeps_its_run(server_of, new_ti):
    """On classic routes the successor can only refuse; whoever clears the task finds the run in the store."""
    server, store = server_of(api="classic"), Store()
    server.kind, attempts = "classic", Attempts(new_ti, store)
    zombie = Zombie(server, attempts)
    task, context = attempts.prepare(2)
    with pytest.raises(AirflowException, match="cut off") as refused:
        task.execute(context)
    assert isinstance(refused.value.__cause__, CreateOutcomeUnknownError)

    zombie.wake()

    [run_id] = server.run_ids()
    assert store["retab_run"]["run_id"] == run_id
    assert states(server) == {run_id: "running"}


def test_a_zombie_that_is_ended_spares_the_run_of_its_successor(server_of, new_ti):
    server, attempts = server_of(), Attempts(new_ti, Store())
    server.kind = "current"
    zombie = Zombie(server, attempts)
    run_id = attempts.run(2)
    zombie.wake()

    zombie.task.on_kill()

    assert states(server)[run_id] == "running"


def test_a_zombie_that_is_ended_while_it_creates_spares_the_run_of_its_successor(server_of, new_ti):
    server, attempts = server_of(), Attempts(new_ti, Store())
    server.kind = "current"
    server.post_faults([{"match": CREATES["current"], "kind": "hold_before"}])
    task, context = attempts.prepare()
    successor = []

    def be_killed(*args, **kwargs):
        successor.append(attempts.run(2))
        task.on_kill()
        raise AirflowException("Task received SIGTERM signal")

    server.post_faults([])
    task.start = be_killed
    with suppress(AirflowException):
        task.execute(context)

    assert states(server) == {successor[0]: "running"}


def test_a_zombie_that_has_not_sent_its_create_yet_sends_none(server_of, new_ti):
    """It stood still between the decision and the create, for long."""
    server, store = server_of(api="classic"), Store()
    attempts = Attempts(new_ti, store)
    task, context = attempts.prepare()
    successor = []

    class Sleeps(Store):
        asked = 0

        def get(self, key, default=None):
            found = store.get(key, default)
            if not self.asked:
                self.asked = 1
                successor.append(attempts.run(2, 2))
            return found

        def set(self, key, value):
            store.set(key, value)

    context["task_state_store"] = Sleeps()
    with pytest.raises(AirflowException, match="nothing was started"):
        task.execute(context)

    assert states(server) == {successor[0]: "running"}
    assert store["retab_run"]["run_id"] == successor[0]


NUMBERS = Numbers(1, 0, 1)
MINE = RunIdentity("mine", "family")
WRITTEN = {
    "nothing": None,
    "intent": Record("mine", "family", NUMBERS, "2026-05-06T07:08:09+00:00", None, None),
    "mine": Record("mine", "family", NUMBERS, None, None, "run_own"),
    "another": Record("mine", "family", NUMBERS, None, None, "run_other"),
    "cleared, intent": Record("next", "family", NUMBERS, "2026-05-06T07:08:09+00:00", None, None),
    "cleared": Record("next", "family", NUMBERS, None, None, "run_other"),
}
STAYS = {
    # what a successor has written, the oldest run that is found -> whether the own run stays
    ("nothing", None): True,
    ("nothing", "run_own"): True,
    ("nothing", "run_other"): False,
    ("intent", None): False,
    ("intent", "run_own"): True,
    ("intent", "run_other"): False,
    **{("mine", oldest): True for oldest in (None, "run_own", "run_other")},
    **{("another", oldest): False for oldest in (None, "run_own", "run_other")},
    **{("cleared, intent", oldest): False for oldest in (None, "run_own", "run_other")},
    **{("cleared", oldest): False for oldest in (None, "run_own", "run_other")},
}


@pytest.mark.parametrize(("written", "oldest"), STAYS)
def test_which_run_stays(written, oldest):
    assert stays("run_own", MINE, WRITTEN[written], oldest) is STAYS[written, oldest]
