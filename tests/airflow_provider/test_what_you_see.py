"""The lines on the page for users are the lines of the log: each is brought about, then looked up on the page."""

import logging
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider.operators import RetabRunWorkflowOperator
from retab_orchestration._operations import process_runs
from tests.pages import is_shown


@pytest.fixture
def lines(caplog):
    """Return what was logged at a level by this package."""
    caplog.set_level(logging.INFO)

    def logged(level):
        ours = (record for record in caplog.records if record.name.startswith("airflow_provider"))
        return [record.getMessage() for record in ours if record.levelname == level]

    return logged


def echo(seconds=600, **settings):
    inputs = {"json-node-1": {"seconds": seconds}}
    return RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", json_inputs=inputs, **settings)


def are_shown(found):
    assert found
    assert [line for line in found if not is_shown(line, "airflow.md")] == []


def test_a_review(connect, context, invoice, lines):
    connect(extra={"dashboard_url": "https://retab.example/runs/{run_id}"})
    documents = {"start-node-1": str(invoice)}

    RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_invoice_review",
        documents=documents,
        deferrable=False,
        poll_interval=0.1,
    ).execute(context)

    are_shown(lines("WARNING"))


def broken(what, connect, emulator, monkeypatch):
    if what == "a wrong key":
        connect(password="rt_other")  # of which no routes are known, so that they are asked for
        emulator.post_faults([{"match": "*", "times": 99, "kind": "http_401"}])
    elif what == "no connection":
        monkeypatch.delenv("AIRFLOW_CONN_RETAB_DEFAULT")
    else:
        connect(host=emulator.url.removeprefix("http://"))


@pytest.mark.parametrize("what", ["a wrong key", "no connection", "no TLS"])
def test_a_connection_that_is_wrong(connect, context, emulator, monkeypatch, lines, what):
    broken(what, connect, emulator, monkeypatch)

    with pytest.raises(AirflowFailException):
        echo().execute(context)

    assert len(lines("ERROR")) == 1
    are_shown(lines("ERROR"))


def test_no_triggerer(connect, context, lines):
    with pytest.raises(TaskDeferred):
        echo().execute(context)

    are_shown(lines("INFO")[-1:])


def test_an_outage(connect, context, emulator, lines):
    task = echo(seconds=20, deferrable=False, poll_interval=0.1)
    start = task.start

    def then_away(*given):
        run = start(*given)
        emulator.post_faults([{"match": "GET *", "times": 1, "kind": "http_503"}])
        return run

    task.start = then_away
    task.execute(context)

    assert len(lines("WARNING")) == 2
    are_shown(lines("WARNING"))


def test_a_changed_input(connect, context, ti, lines):
    context["dag_run"] = SimpleNamespace(start_date=datetime(2026, 3, 4, tzinfo=UTC), clear_number=0)
    ti.max_tries = 1
    with pytest.raises(TaskDeferred):
        echo(seconds=600, retries=1).execute(context)
    process_runs._own.clear()  # each attempt is a process of its own
    ti.try_number = 2

    with pytest.raises(AirflowFailException):
        echo(seconds=601, retries=1).execute(context)

    are_shown(lines("ERROR"))
