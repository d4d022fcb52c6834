"""A task that is stopped stops its run; a trigger that merely moves, or whose task was cleared, does not."""

import asyncio
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowTaskTimeout, TaskDeferred

from airflow_provider._cancelling.cancel import TRIGGERS_ARE_KILLED
from airflow_provider.operators import RetabRunWorkflowOperator
from airflow_provider.triggers import RetabRunTrigger
from dev.hosts.processes import wait_until
from tests.sweep.sockets import hurry

STATES = {
    "failed": "cancelled",
    "success": "cancelled",
    "skipped": "cancelled",
    "removed": "cancelled",
    "deferred": "running",  # by another triggerer, or again after a clear
    "scheduled": "running",  # a human has answered in Airflow, or the task was cleared
    "queued": "running",
    "running": "running",
    None: "running",
}
CANCEL = "POST /v1/workflows/runs/*/cancel"


@pytest.fixture
def run_id(client):
    return client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 3600}}).id


@pytest.fixture
def status(client, run_id):
    return lambda: client.get_run(run_id).status.value


@pytest.fixture
def instance(monkeypatch):
    """A task instance as a triggerer has it, in the state that the test says."""

    def build(state, map_index=-1):
        ti = SimpleNamespace(dag_id="dag", run_id="manual", task_id="run", map_index=map_index)
        if not TRIGGERS_ARE_KILLED:
            ti.current_state = lambda: state
            monkeypatch.setattr("airflow.utils.session.create_session", a_database_with_it)
            return ti
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        def task_states(*, dag_id, task_ids, run_ids, map_index):
            assert (dag_id, task_ids, run_ids) == ("dag", ["run"], ["manual"])
            return {"manual": {"run" if map_index < 0 else f"run_{map_index}": state}}

        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(task_states))
        return ti

    return build


@contextmanager
def a_database_with_it():
    """Airflow 2's session; whatever is asked for is there."""
    query = SimpleNamespace(filter_by=lambda **names: SimpleNamespace(first=lambda: names))
    yield SimpleNamespace(query=lambda column: query)


async def until(condition):
    await asyncio.to_thread(wait_until, condition, timeout=30, what="what has to come", interval=0.01)


@pytest.fixture
def asked(emulator):
    """Return how many requests there were."""
    return lambda: sum(emulator.stats()["requests"].values())


@pytest.fixture
def kill(asked):
    """Do to a trigger what a triggerer does when its task is not deferred any more; return what it waits for."""

    async def act(trigger):
        async def live():
            async for _ in trigger.run():
                pass

        before = asked()
        task = asyncio.ensure_future(live())
        await until(lambda: asked() > before)
        task.cancel()
        if TRIGGERS_ARE_KILLED:
            with suppress(asyncio.CancelledError):
                await task
            task = asyncio.ensure_future(trigger.on_kill())
        return task

    return act


@pytest.fixture
def kill_to_the_end(kill):
    def act(trigger):
        async def run():
            with suppress(asyncio.CancelledError):
                await (await kill(trigger))

        asyncio.run(run())

    return act


def triggered(run_id, ti, **settings):
    trigger = RetabRunTrigger(run_id, **{"cancel_on_kill": True, **settings})
    trigger.task_instance = ti
    return trigger


@pytest.mark.parametrize(("state", "becomes"), STATES.items(), ids=str)
def test_trigger_cancels_the_run_of_a_task_that_was_stopped(
    connect, kill_to_the_end, run_id, status, instance, state, becomes
):
    kill_to_the_end(triggered(run_id, instance(state)))

    assert status() == becomes


@pytest.mark.parametrize("state", ["failed", "deferred"])
def test_mapped_task_is_told_from_its_siblings(connect, kill_to_the_end, run_id, status, instance, state):
    kill_to_the_end(triggered(run_id, instance(state, map_index=3)))

    assert status() == STATES[state]


def test_slow_cancel_goes_on_although_the_trigger_is_cancelled_every_second(
    connect, emulator, run_id, status, instance, kill
):
    emulator.post_faults([{"match": CANCEL, "kind": "hold_before"}])

    async def killed():
        task = await kill(triggered(run_id, instance("failed")))
        await until(lambda: emulator.stats()["held"])
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task  # Airflow is not kept waiting
        assert emulator.stats()["held"]
        emulator.release()
        await until(lambda: status() == "cancelled")

    asyncio.run(killed())

    assert emulator.stats()["requests"]["POST /v1/workflows/runs/{run_id}/cancel"] == 1


def test_trigger_goes_on_asking_in_an_outage(connect, emulator, run_id, status, instance, monkeypatch):
    hurry(monkeypatch)
    emulator.post_faults([{"match": CANCEL, "kind": "http_503", "times": 20}])

    asyncio.run(triggered(run_id, instance("failed")).on_kill())

    assert status() == "cancelled"


def test_trigger_does_not_go_on_asking_once_the_task_was_cleared(
    connect, emulator, run_id, status, instance, monkeypatch
):
    hurry(monkeypatch)
    emulator.post_faults([{"match": CANCEL, "kind": "http_503", "times": 20}])
    ti, states = instance("failed"), iter(["failed", "failed", None])
    if TRIGGERS_ARE_KILLED:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        task_states = lambda **_: {"manual": {"run": next(states)}}  # noqa: E731
        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(task_states))
    else:
        ti.current_state = lambda: next(states)

    asyncio.run(triggered(run_id, ti).on_kill())

    assert next(states, "told to the end") == "told to the end"
    assert status() == "running"


def test_trigger_of_a_sensor_cancels_nothing(connect, kill_to_the_end, run_id, status, instance):
    kill_to_the_end(triggered(run_id, instance("failed"), cancel_on_kill=False))

    assert status() == "running"


def test_state_that_cannot_be_read_cancels_nothing(
    connect, kill_to_the_end, run_id, status, instance, monkeypatch
):
    hurry(monkeypatch)
    ti = instance("failed")
    if TRIGGERS_ARE_KILLED:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", None)
    else:
        ti.current_state = None

    kill_to_the_end(triggered(run_id, ti))

    assert status() == "running"


def test_trigger_without_a_task_cancels_nothing(connect, kill_to_the_end, run_id, status):
    kill_to_the_end(triggered(run_id, None))

    assert status() == "running"


def echo(**settings):
    json_inputs = {"json-node-1": {"seconds": 3600}}
    return RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", json_inputs=json_inputs, **settings)


def test_worker_that_is_told_to_end_while_it_waits_cancels_the_run_and_does_not_succeed(
    connect, context, ti, client, emulator, interrupt
):
    """Airflow 3 calls on_kill from its signal handler, and what it interrupted goes on."""
    task = echo(deferrable=False, poll_interval=0.5)
    interrupt(lambda: emulator.stats()["requests"].get("GET /v1/workflows/runs/{run_id}"), task.on_kill)

    with pytest.raises((AirflowException, Exception), match=r"cancelled|stopped"):
        task.execute(context)

    assert client.get_run(ti.xcoms["run_id"]).status.value == "cancelled"


def test_worker_that_is_told_to_end_while_it_creates_cancels_what_it_created(
    connect, context, client, emulator, interrupt
):
    emulator.post_faults([{"match": "POST /v1/workflows/runs", "kind": "hold_after"}])
    task = echo()
    told = threading.Event()

    def on_kill():
        task.on_kill()
        told.set()

    def release():
        told.wait(60)
        emulator.release()

    interrupt(lambda: emulator.stats()["held"], on_kill, release)

    with pytest.raises(AirflowException, match="stopped"):
        task.execute(context)

    [run] = client.iter_runs(workflow_id="wf_echo")
    assert run.status.value == "cancelled"


def test_worker_s_cancel_is_asked_for_again_while_there_is_time(connect, context, ti, client, emulator):
    task = echo()
    with pytest.raises(TaskDeferred):
        task.execute(context)
    emulator.post_faults([{"match": CANCEL, "kind": "http_503", "times": 2}])

    task.on_kill()

    assert client.get_run(ti.xcoms["run_id"]).status.value == "cancelled"


@pytest.mark.parametrize(("end", "times"), [("killed", 4), ("timed out", 12)])
def test_worker_s_cancel_is_asked_for_for_as_long_as_there_is_time(
    connect, context, ti, client, emulator, end, times
):
    task = echo()
    with pytest.raises(TaskDeferred):
        task.execute(context)
    emulator.post_faults([{"match": CANCEL, "kind": "http_503", "times": times}])

    task.on_kill() if end == "killed" else timed_out(task)

    assert client.get_run(ti.xcoms["run_id"]).status.value == "cancelled"


def test_worker_s_cancel_may_take_three_seconds(connect, context, ti, client, emulator):
    task = echo()
    with pytest.raises(TaskDeferred):
        task.execute(context)
    emulator.post_faults([{"match": CANCEL, "kind": "slow", "seconds": 3}])
    began = time.monotonic()

    task.on_kill()

    assert time.monotonic() - began < 5
    assert client.get_run(ti.xcoms["run_id"]).status.value == "cancelled"


def test_resumed_worker_cancels_the_run_too(connect, run_id, status, context):
    task = echo()
    task._run_id = None
    with pytest.raises(TaskDeferred):
        task.execute_complete(context, event={"run_id": run_id, "status": "completed"}, run_id=run_id)

    task.on_kill()

    assert status() == "cancelled"


def test_worker_that_is_told_to_end_after_it_has_seen_its_run_does_not_defer_again(
    connect, run_id, status, context, ti, monkeypatch
):
    """As at an eviction, where Airflow would take the deferral of a run that is cancelled."""
    task, push = echo(), ti.xcom_push

    def pushed_and_killed(key, value):
        push(key, value)
        if key == "run_url":
            task.on_kill()

    monkeypatch.setattr(ti, "xcom_push", pushed_and_killed)

    with pytest.raises(AirflowException, match="stopped"):
        task.execute_complete(context, event={"run_id": run_id, "status": "running"}, run_id=run_id)

    assert status() == "cancelled"


def test_kill_leaves_the_run_alone_if_told_to(connect, context, ti, client):
    task = echo(cancel_on_kill=False)
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)

    task.on_kill()

    assert client.get_run(ti.xcoms["run_id"]).status.value == "running"
    assert deferred.value.trigger.cancel_on_kill is False


def timed_out(task):
    """Do what Airflow does when `execution_timeout` ends what a worker does."""
    try:
        raise AirflowTaskTimeout  # noqa: TRY301
    except AirflowTaskTimeout:
        task.on_kill()


@pytest.mark.parametrize(
    ("settings", "becomes"),
    [
        ({"cancel_on_kill": False}, "cancelled"),
        ({"cancel_on_timeout": False}, "running"),
        ({"cancel_on_timeout": "always"}, "cancelled"),
    ],
)
def test_execution_timeout_on_the_worker_is_no_kill(connect, context, ti, client, settings, becomes):
    task = echo(**settings)
    with pytest.raises(TaskDeferred):
        task.execute(context)

    timed_out(task)

    assert client.get_run(ti.xcoms["run_id"]).status.value == becomes


def test_task_that_airflow_2_gives_up_before_it_resumes_cancels_its_run(connect, context, ti, run_id, status):
    ti.xcom_push("run_id", run_id)
    task = echo()
    task.pre_execute(context)

    timed_out(task)

    assert status() == "cancelled"


@pytest.mark.parametrize("on_review", ["return", "wait"])
def test_resumed_worker_that_is_told_to_end_before_it_knows_its_run_cancels_it(
    connect, context, ti, client, on_review
):
    """While templates are rendered, say: Airflow 3 goes on with what it does."""
    with pytest.raises(TaskDeferred) as deferred:
        echo(on_review=on_review, timeout=600).execute(context)
    run_id, task = ti.xcoms["run_id"], echo(on_review=on_review, timeout=600)
    event = {"run_id": run_id, "status": "waiting_for_human", "at": time.time()}

    task.on_kill()
    with pytest.raises(AirflowException, match="stopped"):
        task.execute_complete(context, event=event, **deferred.value.kwargs)

    assert client.get_run(run_id).status.value == "cancelled"


def test_worker_that_is_told_to_end_while_it_looks_for_its_run_starts_none(
    connect, context, ti, emulator, monkeypatch
):
    """The create would be sent in the seconds before Airflow kills the process, perhaps in the middle of it."""
    hurry(monkeypatch)
    ti.try_number, ti.max_tries = 2, 1  # where nothing is kept, the try before may have been cut off
    ti.start_date = datetime.now(UTC)
    task = echo(retries=1)
    looked = threading.Timer(0.2, task.on_kill)
    looked.start()

    with pytest.raises(AirflowException, match="stopped"):
        task.execute(context)
    looked.join()

    assert emulator.stats()["runs_created"] == 0


def test_resumed_worker_that_is_told_to_end_before_its_templates_are_rendered_cancels_its_run(
    connect, context, ti, client
):
    """The name of the connection may be one of them."""
    with pytest.raises(TaskDeferred) as deferred:
        echo(on_review="wait", timeout=600).execute(context)
    task = echo(on_review="wait", timeout=600, retab_conn_id="{{ params.connection }}")

    task.on_kill()
    task.retab_conn_id = "retab_default"
    event = {"run_id": ti.xcoms["run_id"], "status": "waiting_for_human", "at": time.time()}
    with pytest.raises(AirflowException, match="stopped"):
        task.execute_complete(context, event=event, **deferred.value.kwargs)

    assert client.get_run(ti.xcoms["run_id"]).status.value == "cancelled"
