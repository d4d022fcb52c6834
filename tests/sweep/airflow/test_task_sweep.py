"""One fault at every request of a task's life in Airflow: operator, deferred and not, and sensor."""

import functools
import json
import os

import pytest
from airflow.exceptions import AirflowException
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator
from airflow_provider.sensors import RetabRunSensor
from retab_orchestration import RetabClient, RetabError
from retab_orchestration._operations import process_runs
from tests.sweep.sockets import (
    AMBIGUOUS,
    KINDS,
    REFUSED,
    fresh_key,
    hurry,
    patience,
    requests_of,
    servers,
    under,
)

INPUT = {"seconds": 2}


class Ti:
    """A task instance, over its tries."""

    dag_id, run_id, task_id, map_index = "sweep", "manual__1", "run", -1
    max_tries, try_number = 1, 1

    def __init__(self):
        self.xcoms = {}

    def xcom_push(self, key, value):
        self.xcoms[key] = json.loads(json.dumps(value))

    def xcom_pull(self, *, task_ids=None, key="return_value", map_indexes=None, **_):
        return self.xcoms.get(key)


class Store(dict):
    """What Airflow 3.3 keeps for a task over its tries."""

    def set(self, key, value):
        self[key] = json.loads(json.dumps(value))

    def delete(self, key):
        self.pop(key, None)


@pytest.fixture(autouse=True)
def faster(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture(scope="module", params=["classic", "current"])
def family(request):
    return request.param


@pytest.fixture(scope="module")
def for_each(family):
    with servers(family) as for_each:
        yield for_each


@pytest.fixture(scope="module")
def for_each_classic():
    with servers("classic") as for_each:
        yield for_each


def operator(connection, **options):
    return RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_echo",
        json_inputs={"json-node-1": INPUT},
        retab_conn_id=connection,
        poll_interval=0.5,
        retries=1,
        **options,
    )


def sensor(connection, run_id, **options):
    return RetabRunSensor(
        task_id="run", run_id=run_id, retab_conn_id=connection, poke_interval=0.5, timeout=60, **options
    )


# How a task waits -> the task; the run is there already for a sensor.
WAYS = {
    "deferred": lambda connection, _: operator(connection),
    "on the worker": lambda connection, _: operator(connection, deferrable=False),
    "sensor": sensor,
    "sensor, deferred": lambda connection, run_id: sensor(connection, run_id, deferrable=True),
}


class Life:
    """The life of one task instance."""

    def __init__(self, way, emulator, fire, kind=None, *, is_remembered):
        self.patience = patience(kind)
        self.task, self.emulator, self.fire = WAYS[way], emulator, fire
        self.ti, self.run_id = Ti(), ""
        self.context = {"ti": self.ti, "task_state_store": Store() if is_remembered else None}
        if "sensor" in way:
            with RetabClient(fresh_key(), emulator.url) as client:
                self.run_id = client.create_run("wf_echo", json_inputs={"json-node-1": INPUT}).id
        self.before = requests_of(emulator)

    def attempt(self):
        """Try once, on a worker and in the triggerer, each a process of its own that knows nothing."""
        process_runs._own.clear()
        connection = self.connect()
        step = functools.partial(self.task(connection, self.run_id).execute, self.context)
        while True:
            try:
                return step()
            except TaskDeferred as deferred:
                [payload] = self.fire(deferred.trigger)
                resumed = getattr(self.task(connection, self.run_id), deferred.method_name)
                step = functools.partial(resumed, self.context, event=payload, **deferred.kwargs)

    def connect(self):
        """Write a connection with a key of its own, for which nothing was found out about the server before."""
        key = fresh_key()
        extra = {"timeout": self.patience}
        connection = {"conn_type": "retab", "password": key, "host": self.emulator.url, "extra": extra}
        os.environ[f"AIRFLOW_CONN_{key.upper()}"] = json.dumps(connection)
        return key

    def outcome(self):
        """Return the outputs, or the error of this attempt."""
        try:
            return self.attempt()
        except (RetabError, AirflowException) as error:
            return error

    @property
    def requests(self):
        return requests_of(self.emulator) - self.before

    @property
    def created(self):
        return self.emulator.stats()["runs_created"]


def is_done(outcome):
    return isinstance(outcome, dict) and outcome["end-node-1"]["json_data"]["json-node-1"] == INPUT


def check(life, family, kind, index):
    outcome = under(life.emulator, kind, index, life.outcome)

    at = f"{kind} at request {index}: {outcome!r}"
    assert is_done(outcome) or isinstance(outcome, Exception), at
    assert life.created <= 1, at
    if is_done(outcome):
        assert life.created == 1, at
        return
    assert kind in REFUSED or (family == "classic" and kind in AMBIGUOUS), at
    if isinstance(outcome, AirflowFailException):
        assert kind in REFUSED or "may have been created" in str(outcome), at
        return
    # Airflow tries again: the task has one run, whatever it met before.
    life.ti.try_number += 1
    assert is_done(life.attempt()), at
    assert life.created == 1, at


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", WAYS)
def test_one_fault_at_any_request(way, kind, family, for_each, fire, count):
    # Where runs have tags it does not matter whether Airflow remembers anything, as it does since 3.3.
    is_remembered = family == "classic" or way == "deferred"

    def begin(emulator, kind=None):
        return Life(way, emulator, fire, kind, is_remembered=is_remembered)

    def clean(emulator, _):
        life = begin(emulator)
        assert is_done(life.attempt())
        return life.requests

    [requests] = for_each([0], clean)
    for_each(range(requests), lambda emulator, index: check(begin(emulator, kind), family, kind, index))
    count("Airflow", requests)


def check_forgotten(life, kind, index):
    outcome = under(life.emulator, kind, index, life.outcome)

    at = f"{kind} at request {index}: {outcome!r}"
    assert is_done(outcome) or isinstance(outcome, Exception), at
    before = life.created
    life.ti.try_number += 1
    again = life.outcome()
    assert isinstance(again, AirflowFailException), f"{at}, then {again!r}"
    assert "may have been cut off" in str(again), at
    assert life.created == before <= 1, at


@pytest.mark.parametrize("kind", KINDS)
def test_classic_retry_that_knows_nothing_starts_nothing(kind, for_each_classic, fire, count):
    """As from Airflow 3.0 to 3.2: whatever the first attempt met, and even if it was killed at its very end."""

    def begin(emulator, kind=None):
        return Life("on the worker", emulator, fire, kind, is_remembered=False)

    def clean(emulator, _):
        life = begin(emulator)
        assert is_done(life.attempt())
        return life.requests

    [requests] = for_each_classic([0], clean)
    for_each_classic(
        range(requests), lambda emulator, index: check_forgotten(begin(emulator, kind), kind, index)
    )
    count("Airflow", requests)
