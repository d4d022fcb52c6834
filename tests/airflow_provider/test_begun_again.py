"""A try that begins again: a worker that could not load the DAG when it resumed the task has Airflow start it anew.

Airflow does that from 3.1.7 on, without counting a retry, and forgets the deferral.
"""

import secrets
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator
from retab_orchestration import CreateOutcomeUnknownError
from retab_orchestration._operations import process_runs
from tests.airflow_provider.refusals import refused
from tests.sweep.sockets import hurry

CLASSIC, CURRENT = {"api": "classic", "auth": "api-key"}, {"api": "current"}
START = datetime(2026, 3, 4, 1, 30, 0, 250_000, tzinfo=UTC)


class Store(dict):
    """What `context["task_state_store"]` is on Airflow 3.3."""

    set = dict.__setitem__
    delete = dict.pop


@pytest.fixture
def begin(context, ti, monkeypatch):
    """Begin a try until it defers; return the id of its run."""
    hurry(monkeypatch)
    ti.run_id = secrets.token_hex(4)  # this process knows what it has started in another test
    context["dag_run"] = SimpleNamespace(id=7, clear_number=0, start_date=START)

    def act(times_before):
        ti.start_date = datetime.now(UTC)
        context["task_reschedule_count"] = times_before
        json_inputs = {"json-node-1": {"seconds": 3600}}
        with pytest.raises(TaskDeferred):
            RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", json_inputs=json_inputs).execute(
                context
            )
        return ti.xcoms["run_id"]

    return act


@pytest.mark.parametrize(("extra", "is_kept"), [(CURRENT, True), (CURRENT, False), (CLASSIC, True)])
@pytest.mark.parametrize(
    ("try_number", "max_tries"), [(1, 0), (3, 2)], ids=["the first try", "after a clear"]
)
def test_it_takes_up_the_run_that_it_has_started_before(
    connect, context, ti, emulator, begin, extra, is_kept, try_number, max_tries
):
    connect(extra=extra)
    ti.try_number, ti.max_tries = try_number, max_tries
    if is_kept:
        context["task_state_store"] = Store()
    first = begin(0)

    assert begin(1) == first
    assert emulator.stats()["runs_created"] == 1


def test_it_starts_none_where_nothing_tells_of_a_run(connect, emulator, begin):
    connect(extra=CLASSIC)
    begin(0)
    process_runs._own.clear()  # what a process has made itself it knows, and this one is another

    with refused(CreateOutcomeUnknownError, match="may have been cut off"):
        begin(1)

    assert emulator.stats()["runs_created"] == 1


def test_it_starts_a_run_where_it_has_not_come_so_far_before(connect, emulator, begin):
    connect(extra=CURRENT)

    assert begin(1)
    assert emulator.stats()["runs_created"] == 1
