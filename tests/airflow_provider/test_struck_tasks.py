"""Tasks that lose something at a bad moment: a worker, a key, a connection, a document, the DAG run itself."""

import asyncio
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseHook,
    TaskDeferred,
    XCom,
)

from airflow_provider._cancelling.cancel import TRIGGERS_ARE_KILLED
from airflow_provider.hooks import RetabHook
from airflow_provider.operators import RetabRunWorkflowOperator
from airflow_provider.triggers import RetabRunTrigger
from dev.hosts.processes import wait_until
from retab_orchestration import RetabClient, WaitTimeoutError
from retab_orchestration._operations import process_runs
from retab_orchestration.emulator import Emulator
from tests.sweep.sockets import fresh_key, hurry

IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
START = datetime(2026, 3, 4, 1, 30, 0, 250_000, tzinfo=UTC)
LAG = 0.4
"""Seconds for which a list lags; a create that may have been lost is looked for for longer, in hurry too."""
GONE = "gone"
"""No state of a task: there is no such task instance any more."""


class Killed(BaseException):
    """The end of a worker."""


class Store(dict):
    """Airflow 3.3's, of a worker that may die before one of its writes."""

    dies_at = None
    writes = 0

    def set(self, key, value):
        self.writes += 1
        if self.writes == self.dies_at:
            raise Killed
        self[key] = value

    def delete(self, key):
        self.pop(key, None)


@pytest.fixture(params=["3.3's store", "no store"])
def store(request):
    return Store() if request.param == "3.3's store" else None


@pytest.fixture
def faster(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture
def attempt(connect, new_ti, faster):
    """Execute one attempt of a task until it defers; return the id of its run."""

    def run(store=None, *, try_number=1, max_tries=1, ti=None, task=None):
        ti = ti or new_ti()
        ti.try_number, ti.max_tries, ti.start_date = try_number, max_tries, datetime.now(UTC)
        context = {"ti": ti, "dag_run": SimpleNamespace(start_date=START, clear_number=0)}
        if store is not None:
            context["task_state_store"] = store
        with pytest.raises(TaskDeferred):
            (task or echo(retries=1)).execute(context)
        return ti.xcoms["run_id"]

    return run


@pytest.fixture
def serve(connect):
    """Start a server of another kind, and let `retab_default` lead to it."""
    servers = []

    def start(**traits):
        servers.append(Emulator(**{"speed": 20, "idempotency": "ignored", **traits}))
        server = servers[-1].__enter__()
        connect(host=server.url, password=traits.get("api_key") or fresh_key())
        return server

    yield start
    for server in servers:
        server.__exit__(None, None, None)


if IS_AIRFLOW_2:

    @pytest.fixture
    def instance(airflow_database):
        """A row of the database, in the state that the test says, or one that was deleted."""
        from airflow.models import DagRun, TaskInstance
        from airflow.utils.session import create_session

        def build(state):
            ti = TaskInstance(echo(), run_id="struck", state=None if state == GONE else state)
            dag_run = DagRun(dag_id=ti.dag_id, run_id=ti.run_id, run_type="manual", execution_date=START)
            with create_session() as session:
                session.add(dag_run)
                session.flush()
                session.add(ti)
            if state == GONE:
                forget()
            return ti

        def forget():
            with create_session() as session:
                for row in session.query(DagRun).filter_by(run_id="struck"):
                    session.delete(row)

        yield build
        forget()

else:

    @pytest.fixture
    def instance(monkeypatch):
        """A task instance as a triggerer has it, in the state that the test says, or one that was deleted."""
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

        def build(state):
            told = {} if state == GONE else {"manual": {"run": state}}
            monkeypatch.setattr(RuntimeTaskInstance, "get_task_states", staticmethod(lambda **asked: told))
            return SimpleNamespace(dag_id="dag", run_id="manual", task_id="run", map_index=-1)

        return build


def echo(**settings):
    json_inputs = {"json-node-1": {"seconds": 3600}}
    return RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", json_inputs=json_inputs, **settings)


def create(client, seconds=3600):
    return client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": seconds}}).id


def status(client, run_id):
    return client.get_run(run_id).status.value


def kill(trigger, ti):
    """Do to a trigger that has begun what a triggerer does when its task is not deferred any more."""
    trigger.task_instance = ti

    async def run():
        task = asyncio.ensure_future(anext(trigger.run()))
        await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        if TRIGGERS_ARE_KILLED:
            await trigger.on_kill()

    asyncio.run(run())


if IS_AIRFLOW_2:  # Airflow 3 calls it itself

    def test_the_author_s_own_pre_execute_is_called(context):
        """Airflow 2 leaves it to the operator's `pre_execute`."""
        given = []

        def skip(context):
            given.append(context)
            raise AirflowSkipException

        with pytest.raises(AirflowSkipException):
            echo(pre_execute=skip).pre_execute(context)

        assert given == [context]


@pytest.fixture
def slow_secrets(monkeypatch):
    """Let Airflow give up reading a connection for a trigger, until this is undone."""

    def give_up(conn_id):
        raise TimeoutError("the secrets backend did not answer")

    async def give_up_later(conn_id):
        give_up(conn_id)

    with monkeypatch.context() as patch:
        if hasattr(BaseHook, "aget_connection"):
            patch.setattr(BaseHook, "aget_connection", give_up_later)
        else:
            patch.setattr(BaseHook, "get_connection", give_up)
        yield patch


@pytest.mark.parametrize("seconds", [None, 3600], ids=["no limit", "a limit far off"])
def test_a_connection_that_is_not_read_in_time_is_no_time_limit(
    connect, client, context, fire, slow_secrets, seconds
):
    """The wait failed, another try may go on with the run, and nothing was cancelled."""
    run_id = create(client)
    strict = seconds and time.time() + seconds

    [event] = fire(RetabRunTrigger(run_id, cancel_on_kill=True, strict_deadline=strict))
    slow_secrets.undo()
    with pytest.raises(AirflowException, match="'retab_default' was not read in time") as failed:
        echo().execute_complete(context, event=event, run_id=run_id)

    assert "did not answer" not in str(failed.value)  # what a secrets backend says may be a secret
    assert (event["status"], event["is_final"]) == ("wait_failed", False)
    assert not isinstance(failed.value, AirflowFailException)
    assert status(client, run_id) == "running"


def test_a_retry_whose_document_is_gone_takes_its_run_up(attempt, emulator, store, invoice, caplog):
    """What it was started from cannot be compared any more, which a warning says."""

    def task():
        documents, json_inputs = {"start-node-1": str(invoice)}, {"json-node-1": {"seconds": 600}}
        return RetabRunWorkflowOperator(
            task_id="run", workflow_id="wf_invoice", documents=documents, json_inputs=json_inputs, retries=1
        )

    first = attempt(store, task=task())
    invoice.unlink()
    caplog.clear()

    assert attempt(store, try_number=2, task=task()) == first
    assert emulator.stats()["runs_created"] == 1
    [warning] = [record for record in caplog.records if "not compared" in record.getMessage()]
    assert warning.levelname == "WARNING"
    assert first in warning.getMessage()


@pytest.mark.parametrize(
    ("on_review", "state", "becomes"),
    [
        ("return", "success", "waiting_for_human"),
        ("fail", "failed", "waiting_for_human"),
        ("skip", "skipped", "waiting_for_human"),
        ("wait", "failed", "cancelled"),
    ],
)
def test_a_stale_copy_of_a_trigger_spares_a_run_that_waits_for_a_human(
    connect, client, settle, invoice, instance, on_review, state, becomes
):
    """Another triggerer's copy has ended the task, unless the task waits through reviews and so was stopped."""
    run = client.create_run("wf_invoice_review", documents={"start-node-1": invoice})
    assert settle(run.id).status.value == "waiting_for_human"
    has_not_looked = RetabRunTrigger(
        run.id, cancel_on_kill=True, on_review=on_review, not_before=time.time() + 10
    )

    kill(has_not_looked, instance(state))

    assert status(client, run.id) == becomes


@pytest.mark.parametrize(
    ("left", "on_review", "becomes"),
    [
        ("waiting_for_human", "return", "running"),
        ("running", "return", "cancelled"),
        (None, "return", "cancelled"),
        ("waiting_for_human", "wait", "cancelled"),
    ],
)
def test_a_stale_copy_of_a_trigger_spares_a_run_that_goes_on_since_a_human_has_decided(
    connect, client, instance, monkeypatch, left, on_review, becomes
):
    """The task has ended at the review, which its XCom tells; one that was stopped has left another state."""
    run_id, asked = create(client), []

    def get_one(**names):
        asked.append(names)
        return left

    monkeypatch.setattr(XCom, "get_one", staticmethod(get_one))
    trigger = RetabRunTrigger(run_id, cancel_on_kill=True, on_review=on_review, not_before=time.time() + 10)
    ti = instance("success")

    kill(trigger, ti)

    assert status(client, run_id) == becomes
    names = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id, "map_index": ti.map_index}
    assert asked == ([] if on_review == "wait" else [{"key": "status", **names}])


def test_a_deleted_task_spares_no_run_that_waits_for_a_human(connect, client, settle, invoice, instance):
    """No task has ended by itself here."""
    run = client.create_run("wf_invoice_review", documents={"start-node-1": invoice})
    assert settle(run.id).status.value == "waiting_for_human"

    kill(RetabRunTrigger(run.id, cancel_on_kill=True, not_before=time.time() + 10), instance(GONE))

    assert status(client, run.id) == "cancelled"


def test_what_an_unreadable_connection_says_is_not_logged(connect, monkeypatch, caplog):
    """It may be the connection itself, with the key."""
    hook = RetabHook()
    hook.get_conn().close()

    def unreadable(conn_id):
        raise ValueError("retab://:rt_secret@api.retab.com")

    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(unreadable))

    assert hook.has_another_key() is False
    assert "ValueError" in caplog.text
    assert "rt_secret" not in caplog.text


@pytest.mark.parametrize(
    ("state", "becomes"), [(GONE, "cancelled"), (None, "running")], ids=["deleted", "cleared"]
)
def test_a_dag_run_that_is_deleted_while_its_task_is_deferred_cancels_the_run(
    connect, client, instance, state, becomes
):
    """A task that was cleared has no state either, and keeps its run."""
    run_id = create(client)

    kill(RetabRunTrigger(run_id, cancel_on_kill=True), instance(state))

    assert status(client, run_id) == becomes


def test_a_prompt_retry_after_a_worker_that_died_with_its_create_finds_the_run_on_a_slow_list(
    serve, connect, attempt, new_ti
):
    """Without a store nothing tells that there may be one; the retry is another process, which never saw it."""
    server = serve(list_lag=LAG)

    class Dies(new_ti):
        def xcom_push(self, key, value):
            raise Killed

    with pytest.raises(Killed):
        attempt(ti=Dies())
    process_runs._own.clear()  # what a process has made itself it knows, and this one is another

    attempt(try_number=2)

    assert server.stats()["runs_created"] == 1


def test_a_clear_after_a_create_that_was_cut_off_cancels_its_run_on_a_slow_list(serve, attempt):
    """The one that the list did not show at first is cancelled, and the one that the clear starts goes on."""
    server, store = serve(list_lag=LAG), Store()
    store.dies_at = 2  # the intent is written, the id is not
    with pytest.raises(Killed):
        attempt(store)

    second = attempt(store, try_number=2, max_tries=2)

    with RetabClient(fresh_key(), server.url) as client:
        wait_until(lambda: len(list(client.iter_runs())) == 2, timeout=10, what="both runs", interval=1)
        [first] = {run.id for run in client.iter_runs()} - {second}
        assert (status(client, first), status(client, second)) == ("cancelled", "running")
    assert server.stats()["runs_created"] == 2


def test_a_worker_that_is_killed_after_its_key_was_changed_cancels_with_the_new_one(
    serve, connect, context, ti
):
    """It reads the connection again where the key that it knows is refused."""
    before, after = fresh_key(), fresh_key()
    server, task = serve(api_key=before), echo()
    with pytest.raises(TaskDeferred):
        task.execute(context)
    server.set_key(after)
    connect(host=server.url, password=after)

    task.on_kill()

    with RetabClient(after, server.url) as client:
        assert status(client, ti.xcoms["run_id"]) == "cancelled"


def test_a_wait_goes_on_when_its_connection_is_deleted_and_added_with_another_key(
    serve, connect, fire, monkeypatch, faster
):
    """For a moment there is none, while the key that the trigger knows is refused."""
    before, after = fresh_key(), fresh_key()
    server = serve(api_key=before)
    with RetabClient(before, server.url) as client:
        run_id = create(client, seconds=40)

    def looked():
        return server.stats()["requests"].get("GET /v1/workflows/runs/{run_id}", 0)

    def change_the_key():
        wait_until(looked, timeout=10, what="the wait to begin", interval=0.1)
        monkeypatch.delenv("AIRFLOW_CONN_RETAB_DEFAULT")
        server.set_key(after)
        seen = looked()
        # Between two looks that are refused, the trigger has looked for its connection.
        wait_until(lambda: looked() > seen + 1, timeout=10, what="looks that are refused", interval=0.1)
        connect(host=server.url, password=after)

    changing = threading.Thread(target=change_the_key)
    changing.start()
    try:
        [event] = fire(RetabRunTrigger(run_id, poll_interval=0.5))
    finally:
        changing.join(60)

    assert event["status"] == "completed"


# ---- tasks that end while they start their run, or look for it

CREATE = "POST /v1/workflows/runs"
LIST = "GET /v1/workflows/runs"


def strike(task, context, error):
    """Execute a task that Airflow ends with an error, wherever it is by then."""
    with pytest.raises(type(error)):
        task.execute(context)
    with suppress(type(error)):
        try:
            raise error
        except AirflowTaskTimeout:
            task.on_kill()  # as Airflow does then


def raising(task, error):
    """Return what a signal's handler does: Airflow 2 tells a task that it is killed before it ends it."""

    def act():
        if isinstance(error, AirflowException) and not isinstance(error, AirflowTaskTimeout):
            task.on_kill()
        raise error

    return act


LATE, STOPPED = AirflowTaskTimeout("too late"), AirflowException("Task received SIGTERM signal")


@pytest.mark.parametrize("lag", [0.0, LAG])
@pytest.mark.parametrize(
    ("settings", "error", "becomes"),
    [
        ({}, LATE, "cancelled"),
        ({"cancel_on_timeout": "always"}, LATE, "cancelled"),
        ({"cancel_on_timeout": False}, LATE, "running"),
        ({}, STOPPED, "cancelled"),
        ({"cancel_on_kill": False}, STOPPED, "running"),
        ({}, KeyboardInterrupt(), "cancelled"),
    ],
)
def test_a_task_that_ends_while_it_creates_cancels_what_it_created(
    serve, context, store, faster, interrupt, settings, error, becomes, lag
):
    server = serve(list_lag=lag)
    server.post_faults([{"match": CREATE, "kind": "hold_after"}])
    task = echo(**settings)
    interrupt(lambda: server.stats()["held"], raising(task, error))

    strike(task, {**context, "task_state_store": store} if store is not None else context, error)
    server.release()

    [run_id] = server.run_ids()
    with RetabClient(fresh_key(), server.url) as client:
        assert status(client, run_id) == becomes


def test_a_retry_that_is_late_while_it_looks_cancels_the_run_of_the_attempt_before(
    serve, attempt, context, new_ti, interrupt
):
    server, store, ti = serve(), Store(), new_ti()
    run_id = attempt(store, ti=ti)
    server.post_faults([{"match": LIST, "kind": "hold_before"}])
    task = echo(retries=1)
    interrupt(lambda: server.stats()["held"], raising(task, LATE))
    ti.try_number, ti.xcoms = 2, {}
    dag_run = SimpleNamespace(start_date=START, clear_number=0)

    strike(task, {"ti": ti, "dag_run": dag_run, "task_state_store": store}, LATE)
    server.release()

    with RetabClient(fresh_key(), server.url) as client:
        assert status(client, run_id) == "cancelled"
    assert server.stats()["runs_created"] == 1


def test_a_create_that_nothing_finds_is_told_where_its_task_was_late(
    serve, context, faster, interrupt, caplog
):
    server = serve(api="classic")
    server.post_faults([{"match": "POST /v1/workflows/*/run", "kind": "hold_after"}])
    task = echo()
    interrupt(lambda: server.stats()["held"], raising(task, LATE))

    strike(task, context, LATE)
    server.release()

    assert "look in Retab for what was started since" in caplog.text


@pytest.mark.parametrize("limit", ["timeout", "execution_timeout"])
def test_a_deferred_task_that_is_late_in_an_outage_cancels_its_run_when_that_is_over(
    serve, execute, ti, faster, limit
):
    server = serve()
    server.post_faults([{"match": "POST */cancel", "kind": "http_503", "times": 12}])
    seconds = {"timeout": 1, "execution_timeout": timedelta(seconds=1)}[limit]

    with pytest.raises(WaitTimeoutError, match="it was cancelled"):
        execute(echo(**{limit: seconds}))

    with RetabClient(fresh_key(), server.url) as client:
        assert status(client, ti.xcoms["run_id"]) == "cancelled"


def test_a_clear_where_nothing_is_kept_finds_on_a_slow_list_what_to_cancel(serve, connect, attempt, new_ti):
    server = serve(list_lag=LAG)
    first = attempt()
    process_runs._own.clear()  # another process

    second = attempt(try_number=2, max_tries=2)

    with RetabClient(fresh_key(), server.url) as client:
        assert (status(client, first), status(client, second)) == ("cancelled", "running")
