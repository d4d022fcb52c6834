import asyncio
import json
import sys
import threading
import time
from importlib import import_module

import pytest

from airflow_provider._arguments import LONGEST
from airflow_provider.triggers import RetabRunTrigger
from dev.hosts.processes import wait_until
from retab_orchestration import AsyncRetabClient, RetabClient
from tests.sweep.sockets import hurry

KEY = "rt_test_3b1c9f"


@pytest.fixture
def start(client):
    def create(seconds):
        return client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": seconds}}).id

    return create


@pytest.fixture
def start_review(client, invoice, settle):
    run = client.create_run("wf_invoice_review", documents={"start-node-1": invoice})
    settle(run.id)
    return run.id


def rebuilt(path, kwargs):
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)(**kwargs)


def stored(trigger):
    """Take a trigger through Airflow's database, as this Airflow does."""
    from airflow.models.trigger import Trigger

    path, kwargs = trigger.serialize()
    if not hasattr(Trigger, "encrypt_kwargs"):  # 2.11
        return rebuilt(path, Trigger._decrypt_kwargs(Trigger._encrypt_kwargs(kwargs)))
    from airflow.sdk.serde import serialize
    from airflow.serialization.decoders import smart_decode_trigger_kwargs

    found = Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(serialize(kwargs)))
    return rebuilt(path, {name: smart_decode_trigger_kwargs(value) for name, value in found.items()})


def test_trigger_survives_airflow_s_database():
    trigger = RetabRunTrigger(
        "run_1", deadline=1e9 + 0.25, not_before=7.5, on_review="wait", cancel_on_kill=True
    )

    again = stored(trigger)

    assert again.serialize() == trigger.serialize()
    assert json.loads(json.dumps(trigger.serialize()[1])) == trigger.serialize()[1]


def test_trigger_is_rebuilt_from_what_the_first_release_wrote():
    trigger = rebuilt("airflow_provider.triggers.RetabRunTrigger", {"run_id": "run_1"})

    assert trigger.serialize()[1] == {
        "run_id": "run_1",
        "retab_conn_id": "retab_default",
        "deadline": None,
        "strict_deadline": None,
        "not_before": 0.0,
        "poll_interval": 30.0,
        "on_review": "return",
        "watch": None,
        "cancel_on_kill": False,
        "nodes": None,
        "not_found_until": None,
    }


def test_next_kwargs_and_event_survive_airflow_s_database():
    kwargs = {"run_id": "run_1", "deadline": 1e9 + 0.25, "event": {"run_id": "run_1", "status": "completed"}}

    try:
        from airflow.sdk.serde import deserialize, serialize
    except ImportError:  # 2.11
        from airflow.serialization.serialized_objects import BaseSerialization

        deserialize, serialize = BaseSerialization.deserialize, BaseSerialization.serialize

    assert deserialize(json.loads(json.dumps(serialize(kwargs)))) == kwargs


def test_completed_run_fires_one_event_of_ids_and_states(connect, start, fire):
    run_id = start(1)

    [event] = fire(RetabRunTrigger(run_id))

    assert time.time() - event.pop("at") < 60
    event.pop("since", None)
    assert event == {"run_id": run_id, "status": "completed", "waiting_for_node_ids": []}


def test_outputs_are_never_fetched(connect, start, fire, emulator, settle):
    run_id = start(0)
    settle(run_id)
    before = emulator.stats()["requests"].get("GET /v1/workflows/steps", 0)

    fire(RetabRunTrigger(run_id))

    assert emulator.stats()["requests"].get("GET /v1/workflows/steps", 0) == before


def test_review_fires(connect, start_review, fire):
    expected = {"run_id": start_review, "status": "waiting_for_human", "waiting_for_node_ids": ["hil-node-1"]}

    [event] = fire(RetabRunTrigger(start_review))

    assert event.pop("at") <= time.time()
    event.pop("since", None)
    assert event == expected


def test_review_is_waited_out_if_told_to(connect, start_review, client, fire):
    client.decide_review(start_review, "hil-node-1", approved=True)

    [event] = fire(RetabRunTrigger(start_review, on_review="wait"))

    assert event["status"] == "completed"


def test_failed_run_fires_its_status(connect, client, fire):
    run = client.create_run("wf_fail")

    [event] = fire(RetabRunTrigger(run.id))

    assert event.pop("at") <= time.time()
    event.pop("since", None)
    assert event == {"run_id": run.id, "status": "error", "waiting_for_node_ids": []}


def test_deadline_fires_a_timeout(connect, start, fire):
    run_id = start(600)

    [event] = fire(RetabRunTrigger(run_id, deadline=time.time() + 1))

    assert (event["run_id"], event["status"]) == (run_id, "timeout")


def test_deadline_that_has_passed_still_sees_a_run_that_has_ended(connect, start, fire, settle):
    run_id = start(0)
    settle(run_id)

    [event] = fire(RetabRunTrigger(run_id, deadline=time.time() - 60))

    assert event["status"] == "completed"


def test_time_in_review_counts_for_a_triggerer_that_starts_later(connect, emulator, invoice):
    """Where the run tells how long it waited for a human: on classic routes."""
    with RetabClient(KEY, emulator.url, api="classic") as client:
        run = client.create_run("wf_invoice_review", documents={"start-node-1": invoice})
        client.wait_for_run(run.id)
    time.sleep(0.5)
    trigger = RetabRunTrigger(run.id, on_review="wait", deadline=time.time() - 0.2)

    async def look():
        async with AsyncRetabClient(KEY, emulator.url) as client:
            return await trigger._seconds_left(client)

    assert 0.2 < asyncio.run(look()) < 5


def test_strict_deadline_passes_in_review_too(connect, start_review, monkeypatch, fire):
    monkeypatch.setattr("airflow_provider.triggers._GRACE", 0.5)

    [event] = fire(RetabRunTrigger(start_review, on_review="wait", strict_deadline=time.time() + 0.5))

    assert (event["run_id"], event["status"]) == (start_review, "out_of_time")


def test_longest_poll_interval_is_one(connect, start, fire):
    """Twice as long is for reviews, and is no time any more."""
    run_id = start(0)

    [event] = fire(RetabRunTrigger(run_id, poll_interval=LONGEST))

    assert event["status"] == "completed"


def test_unknown_run_fires_a_failure(connect, fire):
    [event] = fire(RetabRunTrigger("run_nowhere", poll_interval=0.5))

    assert event["status"] == "wait_failed"
    assert "404" in event["message"]


@pytest.mark.parametrize("parts", [{"password": ""}, {"extra": {"api": "modern"}}])
def test_broken_connection_fires_a_failure(connect, fire, parts):
    connect(**parts)

    [event] = fire(RetabRunTrigger("run_1"))

    assert event["status"] == "wait_failed"
    assert "retab_default" in event["message"]


def test_passing_failures_are_waited_out(connect, start, fire, emulator):
    run_id = start(1)
    emulator.post_faults([{"match": "GET /v1/workflows/runs/*", "times": 2, "kind": "http_503"}])

    [event] = fire(RetabRunTrigger(run_id))

    assert event["status"] == "completed"


def test_no_event_fires_too_soon_after_the_deferral(connect, start):
    run_id = start(0)
    not_before = time.time() + 1.5

    async def collect():
        return [time.time() async for _ in RetabRunTrigger(run_id, not_before=not_before).run()]

    [fired] = asyncio.run(collect())

    assert fired >= not_before


def test_no_event_fires_too_soon_because_others_poll_the_same_account(connect, start):
    """One page of the list shows the runs of all."""
    mine, others = start(10), [start(600) for _ in range(4)]
    not_before = time.time() + 4

    async def collect():
        polling = [
            asyncio.ensure_future(anext(RetabRunTrigger(run_id, poll_interval=0.2).run()))
            for run_id in others
        ]
        fired = [time.time() async for _ in RetabRunTrigger(mine, not_before=not_before).run()]
        for each in polling:
            each.cancel()
        await asyncio.gather(*polling, return_exceptions=True)
        return fired

    [fired] = asyncio.run(collect())

    assert fired >= not_before


def test_no_failure_fires_too_soon_after_the_deferral(connect):
    connect(extra={"api": "nothing"})
    not_before = time.time() + 1.5

    async def collect():
        trigger = RetabRunTrigger("run_1", not_before=not_before)
        return [(event.payload["status"], time.time()) async for event in trigger.run()]

    [(status, fired)] = asyncio.run(collect())

    assert status == "wait_failed"
    assert fired >= not_before


def test_clock_that_is_far_off_does_not_hold_the_event_back(connect, start, monkeypatch):
    monkeypatch.setattr("airflow_provider.triggers.SHORTEST_DEFERRAL", 0.5)
    run_id = start(0)
    began = time.monotonic()

    async def collect():
        return [event async for event in RetabRunTrigger(run_id, not_before=time.time() + 3600).run()]

    asyncio.run(collect())

    assert time.monotonic() - began < 10


class Log:
    def __init__(self):
        self.lines = []

    def info(self, text, *values):
        self.lines.append(text % values)


def test_changes_of_state_are_logged_and_nothing_else(connect, start, fire, monkeypatch):
    log = Log()
    monkeypatch.setattr(RetabRunTrigger, "logger", lambda _: log)
    run_id = start(40)

    fire(RetabRunTrigger(run_id, poll_interval=0.1))

    assert log.lines == [f"Run {run_id} is running", f"Run {run_id} is completed"]


def test_short_deadline_does_not_fire_too_soon_after_the_deferral(connect, start):
    run_id = start(600)
    not_before = time.time() + 1.5

    async def collect():
        trigger = RetabRunTrigger(run_id, not_before=not_before, deadline=time.time() + 0.2)
        return [(event.payload["status"], time.time()) async for event in trigger.run()]

    [(status, fired)] = asyncio.run(collect())

    assert status == "timeout"
    assert fired >= not_before


def test_cancelled_trigger_closes_its_connections(connect, start):
    run_id = start(600)

    async def cancel():
        task = asyncio.ensure_future(anext(RetabRunTrigger(run_id).run()))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel(), debug=True)


@pytest.fixture
def steps(monkeypatch):
    """How many functions each callback of this thread's loops has called, in C as well: no load of a machine adds any.

    One that blocks calls few, so what blocks counts as very many.
    """
    found, run, here = [], asyncio.Handle._run, threading.get_ident()

    def counted(handle):
        if threading.get_ident() != here:
            return run(handle)
        calls = []

        def count(_, event, function):
            if event in {"call", "c_call"}:
                calls.append(1_000_000 if function is time.sleep else 1)

        sys.setprofile(count)
        try:
            return run(handle)
        finally:
            sys.setprofile(None)
            found.append(sum(calls))

    monkeypatch.setattr(asyncio.Handle, "_run", counted)
    return found


def test_fifty_triggers_share_one_loop_without_blocking_it(connect, start, steps):
    """No callback does more than to read a page of the list, which has all of their runs."""
    run_ids = [start(20) for _ in range(50)]

    async def collect(run_id):
        return [event.payload["status"] async for event in RetabRunTrigger(run_id).run()]

    async def everything():
        return await asyncio.gather(*map(collect, run_ids))

    asyncio.run(collect(start(0)))  # what Airflow imports is not ours
    steps.clear()
    assert asyncio.run(everything()) == [["completed"]] * 50
    assert max(steps) < 50_000


def test_an_outage_ends_none_of_fifty_triggers(connect, start, emulator, monkeypatch):
    """Of more failed looks in a row than a wait ever forgave by their number."""
    warned = []
    monkeypatch.setattr(RetabRunTrigger, "logger", lambda _: Warnings(warned))
    run_ids = [start(60) for _ in range(50)]

    async def collect(run_id):
        trigger = RetabRunTrigger(run_id, poll_interval=0.5)
        return [event.payload["status"] async for event in trigger.run()]

    async def everything():
        waits = asyncio.gather(*map(collect, run_ids))
        await asyncio.sleep(1.5)
        down = {"match": "GET /v1/workflows/runs*", "kind": "http_503", "times": 100_000}
        await asyncio.to_thread(emulator.post_faults, [down])
        await asyncio.sleep(6)
        everybody = lambda: len(warned) >= len(run_ids)  # noqa: E731
        await asyncio.to_thread(wait_until, everybody, timeout=60, what="a look in vain at each run")
        await asyncio.to_thread(emulator.post_faults, [])
        return await asyncio.wait_for(waits, 60)

    assert asyncio.run(everything()) == [["completed"]] * 50
    assert sorted(warned) == sorted(
        line
        for run_id in run_ids
        for line in (f"Run {run_id} can be polled again", f"Run {run_id} cannot be polled")
    )


class Warnings:
    def __init__(self, lines):
        self._lines = lines

    def info(self, *_):
        pass

    def warning(self, text, *values):
        self._lines.append((text % values).partition(",")[0])


def test_trigger_holds_no_key(connect, start):
    path, kwargs = RetabRunTrigger(start(0)).serialize()

    assert KEY not in json.dumps([path, kwargs])


def test_an_outage_does_not_end_a_trigger_that_was_deferred_before_the_clock_was_ours(
    connect, start, emulator, fire, monkeypatch
):
    """It asks its run for how long a human was asked before it waits."""
    hurry(monkeypatch)
    run_id = start(60)
    old = {"run_id": run_id, "on_review": "wait", "deadline": time.time() + 600}
    emulator.post_faults([{"match": "GET /v1/workflows/runs/*", "kind": "http_503", "times": 12}])

    [event] = fire(RetabRunTrigger(**old))

    assert event["status"] == "completed"
