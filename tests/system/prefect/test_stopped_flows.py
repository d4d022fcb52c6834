"""What threads, and others, still do for a flow run that has ended or is being stopped, and what is noted of it."""

import asyncio
import contextvars
import socket
import threading
import time
from contextlib import contextmanager, suppress

import httpx
import pytest
from prefect import flow, runtime, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.filesystems import LocalFileSystem
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelling

from dev.hosts.processes import free_port, wait_until
from prefect_collection import (
    RetabCredentials,
    acreate_run,
    cancel_retab_runs,
    cancel_runs_of_flow_run,
    create_run,
)
from prefect_collection._create_once.claims import RENEWAL_INTERVAL
from prefect_collection.credentials import aload_credentials
from retab_orchestration import RetabClient, RunIdentity
from retab_orchestration.emulator import Emulator
from tests.prefect_collection.conftest import API_KEY
from tests.system.prefect.outcomes import created, safely, statuses

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("prefect_api")]

OWN = "something of the user's own"
LONG = {"json-node-1": {"seconds": 6000}}
CREATES = "POST /v1/workflows/*"


def take_long():
    for _ in range(100):  # Prefect stops a flow between two things that block
        time.sleep(0.1)


def labels_of(flow_run_id):
    with get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run_id).labels


def runs_noted(flow_run_id):
    return [text for label, text in labels_of(flow_run_id).items() if label.startswith("retab.run.")]


@pytest.fixture
def classic(monkeypatch):
    """A server that keeps no tags, by which a run could be found."""
    with Emulator(speed=20.0, api="classic") as emulator:
        monkeypatch.setenv("RETAB_API_KEY", API_KEY)
        monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
        yield emulator


@pytest.fixture
def writing_labels(monkeypatch):
    """Let a function see, hold up or refuse what is written to labels, before Prefect's client does it."""

    def through(before):
        write = SyncPrefectClient.update_flow_run_labels

        def update(client, flow_run_id, labels):
            before([text for label, text in labels.items() if label.startswith("retab.run.")])
            return write(client, flow_run_id, labels)

        monkeypatch.setattr(SyncPrefectClient, "update_flow_run_labels", update)

    return through


# ---- a flow run that starts nothing any more


def test_a_thread_of_a_flow_that_took_too_long_starts_nothing_when_its_runs_are_cancelled(emulator):
    over, told = threading.Event(), []

    @task
    def late():
        over.wait(60)
        told.append(safely(lambda: create_run("wf_echo", json_inputs=LONG)))

    def is_over(*_):
        over.set()

    @flow(timeout_seconds=3, on_failure=[cancel_retab_runs, is_over])
    def caller():
        create_run("wf_echo", json_inputs=LONG, dedupe_key="in time")
        late.submit()
        take_long()

    assert isinstance(safely(caller), TimeoutError)
    assert statuses(emulator) == ["cancelled"]
    [error] = told
    assert "is TimedOut, and starts nothing any more" in str(error)
    assert not error.retryable


@pytest.mark.parametrize("inner", [False, True], ids=["itself", "a flow in it"])
def test_a_flow_run_that_is_cancelled_starts_nothing_any_more(emulator, inner):
    @flow
    def starts():
        return create_run("wf_echo", json_inputs=LONG)

    @flow
    def caller():
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(runtime.flow_run.id, Cancelling(), force=True)
        return safely(starts if inner else lambda: create_run("wf_echo"))

    assert "is Cancelling, and starts nothing any more" in str(caller())
    assert created(emulator) == 0


def test_a_run_whose_answer_comes_while_its_flow_is_being_stopped_is_cancelled(classic):
    classic.post_faults([{"match": CREATES, "kind": "hold_after"}])

    def answer(*_):
        threading.Timer(1.0, classic.release).start()

    @flow(timeout_seconds=3, on_failure=[answer, cancel_retab_runs])
    def caller():
        create_run.submit("wf_echo", json_inputs=LONG)
        wait_until(lambda: classic.stats()["held"], timeout=60, what="the create")
        take_long()

    assert isinstance(safely(caller), TimeoutError)
    assert statuses(classic) == ["cancelled"]


# ---- what is noted


class FailsOnce(LocalFileSystem):
    """A result storage that is out of order once."""

    _block_type_slug = "fails-once"
    is_due: bool = True

    def write_path(self, *given, **named):
        """Fail, or write."""
        if self.is_due:
            self.is_due = False
            raise OSError("the storage is out of order")
        return super().write_path(*given, **named)

    async def awrite_path(self, *given, **named):
        """Fail, or write."""
        if self.is_due:
            self.is_due = False
            raise OSError("the storage is out of order")
        return await super().awrite_path(*given, **named)


def test_a_create_that_could_not_be_noted_was_not_begun(classic, tmp_path):
    storage = FailsOnce(basepath=str(tmp_path))
    storage.save("fails-once", overwrite=True)

    @flow(retries=1, result_storage=storage)
    def caller():
        return create_run("wf_echo")

    assert [caller()] == classic.run_ids()


def test_a_run_that_only_the_result_storage_knows_is_taken_up(classic, writing_labels, monkeypatch):
    tries, made, request = [], [], SyncPrefectClient.request

    def refuse(noted):
        if len(tries) == 1 and noted and noted[0].startswith("run_"):
            raise OSError("Prefect's server is out of order")

    def refuse_what_came_of_it(client, method, path, *given, json=None, **named):
        if len(tries) == 1 and path.endswith("/input") and json["key"].endswith("-left"):
            raise OSError("Prefect's server is out of order")
        return request(client, method, path, *given, json=json, **named)

    writing_labels(refuse)
    monkeypatch.setattr(SyncPrefectClient, "request", refuse_what_came_of_it)

    @flow(retries=1)
    def caller():
        tries.append(1)
        made.append(create_run("wf_echo"))
        if len(tries) == 1:
            raise RuntimeError(OWN)

    caller()

    assert made == classic.run_ids() * 2


def test_what_was_created_is_noted_however_often_its_task_is_stopped(classic, writing_labels):
    ids, writing = [], threading.Event()

    def linger(noted):
        if noted and noted[0].startswith("run_"):
            writing.set()
            time.sleep(1)

    writing_labels(linger)

    @flow
    async def caller():
        ids.append(runtime.flow_run.id)
        creating = asyncio.create_task(acreate_run("wf_echo", json_inputs=LONG))
        await asyncio.to_thread(writing.wait, 60)
        while not creating.done():
            creating.cancel()
            await asyncio.sleep(0.1)

    asyncio.run(caller())

    assert runs_noted(ids[0]) == classic.run_ids()
    assert asyncio.run(cancel_runs_of_flow_run(ids[0])) == classic.run_ids()


@pytest.mark.parametrize("api", ["classic", "current"])
def test_a_call_that_blocks_the_loop_of_an_equal_one_that_is_about_to_create_is_met_by_it(
    api, monkeypatch, writing_labels
):
    about_to, first = threading.Event(), []

    def linger(_):
        if threading.current_thread() is not threading.main_thread() and not first:
            first.append(1)
            about_to.set()
            time.sleep(1)

    writing_labels(linger)

    @flow
    async def caller():
        awaited = asyncio.create_task(acreate_run("wf_echo"))
        await asyncio.to_thread(about_to.wait, 60)
        return [create_run("wf_echo"), await awaited]

    with Emulator(speed=20.0, api=api, idempotency="ignored") as emulator:
        monkeypatch.setenv("RETAB_API_KEY", API_KEY)
        monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
        made = safely(lambda: asyncio.run(caller()))

        assert made == emulator.run_ids() * 2


def test_a_process_that_was_paused_in_its_create_keeps_the_run_of_the_one_that_took_its_place(emulator):
    emulator.post_faults([{"match": CREATES, "kind": "hold_before"}])

    def take_its_place(flow_run_id):
        """Do what another process does that has waited for the claim to run out."""
        wait_until(lambda: emulator.stats()["held"], timeout=60, what="the create")
        [content] = [
            label.removeprefix("retab.run.") for label in labels_of(flow_run_id) if "retab.run." in label
        ]
        with get_client(sync_client=True) as client:
            client.create_flow_run_input(flow_run_id, f"retab-claim-{content}-2", "another process")
        identity = RunIdentity.of(
            str(PREFECT_API_URL.value()), "prefect", str(flow_run_id), generation=content
        )
        with RetabClient() as client:
            client.create_run("wf_echo", json_inputs=LONG, identity=identity, adopt=False)
        time.sleep(RENEWAL_INTERVAL + 2)
        emulator.release()

    def share(flow_run_id):
        """Let each call have a claim of its own, as where two processes create."""
        with get_client(sync_client=True) as client:
            client.create_flow_run_input(flow_run_id, "retab-claim-all-1", "another process")
            client.create_flow_run_input(flow_run_id, "retab-claim-all-1-left", '{"shared": true}')

    @flow
    def caller():
        share(runtime.flow_run.id)
        context = contextvars.copy_context()
        other = threading.Thread(target=context.run, args=(take_its_place, runtime.flow_run.id))
        other.start()
        try:
            return create_run("wf_echo", json_inputs=LONG)
        finally:
            other.join()

    kept = caller()

    assert kept == emulator.run_ids()[0]
    assert statuses(emulator) == ["running", "cancelled"]


# ---- a server of Prefect that restarts


@contextmanager
def away_for(seconds, api_url):
    """Yield the address of a server of Prefect at which nobody listens for some seconds."""
    port, target = free_port(), httpx.URL(api_url)
    sockets = []

    def pipe(source, sink):
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def listen():
        time.sleep(seconds)
        sockets.append(socket.create_server(("127.0.0.1", port)))
        with suppress(OSError):
            while True:
                near, _ = sockets[0].accept()
                far = socket.create_connection((target.host, target.port))
                sockets.extend([near, far])
                for ends in [(near, far), (far, near)]:
                    threading.Thread(target=pipe, args=ends, daemon=True).start()

    listening = threading.Thread(target=listen)
    listening.start()
    try:
        yield str(target.copy_with(port=port))
    finally:
        wait_until(lambda: sockets, timeout=60, what="the listener")
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        listening.join()


def test_a_create_waits_for_a_server_of_prefect_that_restarts(emulator, prefect_host):
    @flow
    async def caller():
        with away_for(3, prefect_host.api_url) as url, temporary_settings({PREFECT_API_URL: url}):
            return await acreate_run("wf_echo")

    assert [asyncio.run(caller())] == emulator.run_ids()


def test_a_block_is_loaded_from_a_server_of_prefect_that_restarts(emulator, prefect_host):
    RetabCredentials(api_key=API_KEY, base_url=emulator.url).save("restarts", overwrite=True)

    @flow
    def caller():
        with away_for(3, prefect_host.api_url) as url, temporary_settings({PREFECT_API_URL: url}):
            return asyncio.run(aload_credentials("restarts")).base_url

    assert caller() == emulator.url
