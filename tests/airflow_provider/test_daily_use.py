"""What users do to tasks every day, on every kind of server: a task owns one run, and none is lost or left behind."""

from contextlib import suppress
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider.operators import RetabRestartRunOperator, RetabRunWorkflowOperator
from dev.hosts.processes import wait_until
from retab_orchestration import RetabClient, RetabError
from retab_orchestration._operations import process_runs
from retab_orchestration.emulator import Emulator
from tests.sweep.sockets import fresh_key, hurry

START = datetime(2026, 9, 8, 7, 6, 5, 40, tzinfo=UTC)
LAG = 0.3
SERVERS = {
    "by the book": {"api": "current", "idempotency": "compared"},
    "keys are honoured, filters are not": {
        "api": "current",
        "idempotency": "honoured",
        "metadata": "unfiltered",
    },
    "keys are ignored, the list lags": {"api": "current", "idempotency": "ignored", "list_lag": LAG},
    "keys and filters are ignored, the list lags": {
        "api": "current",
        "idempotency": "ignored",
        "metadata": "unfiltered",
        "list_lag": LAG,
    },
    "keys are honoured, tags are dropped": {
        "api": "current",
        "idempotency": "honoured",
        "metadata": "dropped",
    },
    "keys are ignored, tags are dropped": {"api": "current", "idempotency": "ignored", "metadata": "dropped"},
    "classic": {"api": "classic", "idempotency": "ignored"},
}
CREATE = "POST /v1/workflows/*run*"


class Killed(BaseException):
    """The end of a worker."""


class Store(dict):
    """What Airflow 3.3 keeps for a task."""

    def set(self, key, value):
        self[key] = dict(value)

    def delete(self, key):
        self.pop(key, None)


class Day:
    """A task, its Retab, and what happened to both."""

    def __init__(self, traits, server, connect, new_ti, store):
        self.traits = traits
        self.server, self.connect, self._new_ti, self.store = server, connect, new_ti, store
        self.try_number, self.max_tries = 0, 2
        self.run_id = None
        self.connect(host=server.url, password=fresh_key())

    def attempt(self, *, dies=False, task=None, seconds=7200, map_index=-1):
        """Live through the next try, in a process of its own; return the deferral, the outputs or the error."""
        process_runs._own.clear()
        self.try_number += 1
        self.ti = self._new_ti()
        self.ti.try_number, self.ti.max_tries, self.ti.map_index = self.try_number, self.max_tries, map_index
        self.ti.start_date = datetime.now(UTC)
        self.context = {"ti": self.ti, "dag_run": SimpleNamespace(start_date=START, clear_number=0)}
        if self.store is not None:
            self.context["task_state_store"] = self.store
        if dies:
            self.ti.xcom_push = self._die
        self.task = task or RetabRunWorkflowOperator(
            task_id="run",
            workflow_id="wf_echo",
            json_inputs={"json-node-1": {"seconds": seconds}},
            retries=2,
        )
        try:
            outcome = self.task.execute(self.context)
        except (TaskDeferred, Killed, RetabError, AirflowException) as ended:
            outcome = ended
        self.run_id = self.ti.xcoms.get("run_id", self.run_id)
        return outcome

    def _die(self, key, value):
        raise Killed

    def clear(self):
        self.max_tries = self.try_number + 2

    def server_keeps_tags(self):
        return self.traits["api"] == "current" and self.traits.get("metadata") != "dropped"

    def states(self):
        with RetabClient(fresh_key(), self.server.url) as client:
            return {run_id: client.get_run(run_id).status.value for run_id in self.server.run_ids()}

    def living(self):
        return {run_id for run_id, state in self.states().items() if state not in {"cancelled", "error"}}

    def owns_one(self):
        """The task has a run, and there is no other one that goes on."""
        assert self.living() == {self.run_id}

    def refused_or_owns_one(self, outcome):
        """Where nobody can know, the task says so, and starts nothing."""
        if isinstance(outcome, Exception) and "cut off" in str(outcome):
            assert len(self.living()) == 1
        else:
            self.owns_one()


@pytest.fixture(params=SERVERS)
def day(request, connect, new_ti, monkeypatch, store):
    hurry(monkeypatch)
    with Emulator(speed=20, **SERVERS[request.param]) as server:
        yield Day(SERVERS[request.param], server, connect, new_ti, store)


@pytest.fixture(params=["kept", "nothing kept"])
def store(request):
    return Store() if request.param == "kept" else None


def test_a_worker_dies_between_its_create_and_the_first_xcom(day):
    assert isinstance(day.attempt(dies=True), Killed)

    outcome = day.attempt()

    day.refused_or_owns_one(outcome)


def test_two_workers_die_one_after_the_other(day):
    day.attempt(dies=True)
    day.attempt(dies=True)

    outcome = day.attempt()

    day.refused_or_owns_one(outcome)


def test_a_deferred_task_is_cleared(day):
    day.attempt()
    day.clear()

    day.attempt()

    if day.store is not None or day.server_keeps_tags():
        day.owns_one()
    else:
        assert day.run_id in day.living()


def test_a_task_is_cleared_twice_before_its_list_knows(day):
    for _ in range(3):
        day.attempt()
        day.clear()

    if day.store is not None or day.server_keeps_tags():
        day.owns_one()
    else:
        assert day.run_id in day.living()


def test_retab_is_away_while_the_task_starts(day):
    day.server.post_faults([{"match": "*", "kind": "http_503", "times": 7}])
    outcome = day.attempt()
    while isinstance(outcome, RetabError) and not isinstance(outcome, TaskDeferred) and day.try_number < 3:
        outcome = day.attempt()

    day.server.post_faults([])
    if day.run_id is not None:
        day.owns_one()
    else:
        assert len(day.living()) <= 1


def test_an_answer_is_lost_and_so_is_the_worker(day):
    day.server.post_faults([{"match": CREATE, "kind": "reset_after"}])
    with suppress(Killed):
        day.attempt(dies=True)

    outcome = day.attempt()

    if day.run_id is None:
        assert len(day.living()) == 1, outcome
    else:
        day.owns_one()


def test_the_key_is_rotated_between_two_tries(day):
    day.attempt()
    first = day.run_id
    day.connect(host=day.server.url, password=fresh_key())

    outcome = day.attempt()

    if isinstance(outcome, TaskDeferred):
        assert day.run_id == first
    assert day.living() == {first}


def test_a_run_that_a_colleague_cancelled_is_started_anew_by_a_retry(day):
    day.attempt()
    with RetabClient(fresh_key(), day.server.url) as client:
        client.cancel_run(day.run_id)

    outcome = day.attempt()

    if isinstance(outcome, TaskDeferred):
        day.owns_one()
    else:
        assert not day.living()


def test_mapped_tasks_share_nothing(day):
    runs = set()
    for map_index in range(3):
        day.try_number, day.store = 0, None if day.store is None else Store()
        day.attempt(map_index=map_index)
        runs.add(day.run_id)

    assert day.living() == runs
    assert len(runs) == 3


def test_a_restart_is_retried_after_its_worker_died(day):
    day.attempt(seconds=1)
    parent = day.run_id
    wait_until(
        lambda: day.states()[parent] == "completed", timeout=30, what="the run to restart", interval=0.2
    )
    day.try_number, day.store = 0, None if day.store is None else Store()

    def restart():
        return RetabRestartRunOperator(task_id="run", run_id=parent, retries=2)

    day.attempt(dies=True, task=restart())
    outcome = day.attempt(task=restart())

    children = day.living() - {parent}
    assert len(children) == 1, outcome
    if isinstance(outcome, TaskDeferred):
        assert children == {day.run_id}


def test_a_stopped_task_stops_its_run(day):
    day.attempt()

    day.task.on_kill()

    assert not day.living()


def test_a_stopped_retry_stops_the_run_that_it_took_up(day):
    day.attempt()
    outcome = day.attempt()

    day.task.on_kill()

    assert not day.living() or not isinstance(outcome, TaskDeferred)
