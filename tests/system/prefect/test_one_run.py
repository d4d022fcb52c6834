"""One run for one intent inside Prefect's own engine: flows in tasks, documents that change or go, calls at once."""

import asyncio
import contextvars
import io
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import fsspec
import pytest
from anyio import CancelScope
from fsspec.implementations.memory import MemoryFileSystem
from prefect import flow, runtime, task
from prefect.client.orchestration import get_client
from prefect.futures import wait

from dev.hosts.processes import wait_until
from prefect_collection import (
    RetabCredentials,
    RetabWorkflow,
    acreate_run,
    arun_workflow,
    create_run,
    restart_run,
    run_workflow,
)
from retab_orchestration import (
    CreateOutcomeUnknownError,
    InvalidInputError,
    RetabClient,
    RetabError,
)
from retab_orchestration.emulator import Emulator
from tests.invoices import large_invoice
from tests.prefect_collection.conftest import API_KEY

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("prefect_api")]

MIB = 1024 * 1024
OWN = "something of the user's own"
QUICK = {"poll_interval_seconds": 0.5}


def write(path, vendor):
    path.write_text(f"Vendor: {vendor}")
    return str(path)


def given(path):
    return {"start-node-1": str(path)}


def created(emulator):
    return emulator.stats()["runs_created"]


def file_of(run_id):
    """Return the vendor that a run was started with: what it reads from its document."""
    with RetabClient() as client:
        return client.wait_for_run(run_id, timeout=60).final_outputs["end-node-1"]["json_data"]["vendor_name"]


def held(emulator, count=1):
    wait_until(lambda: emulator.stats()["held"] == count, timeout=60.0, what="the create")


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture(params=["compared", "honoured", "ignored"])
def any_keys(request, monkeypatch):
    """Servers that mean different things by an `Idempotency-Key`."""
    with Emulator(speed=20.0, idempotency=request.param) as emulator:
        monkeypatch.setenv("RETAB_API_KEY", API_KEY)
        monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
        yield emulator


# Flows in tasks


@pytest.mark.parametrize("retried", ["task", "flow"])
def test_a_ready_flow_in_a_task_meets_its_run_when_the_task_or_the_flow_is_retried(any_keys, folder, retried):
    documents = [write(folder / f"{name}.txt", name) for name in "ab"]
    tries = []

    @task(retries=1 if retried == "task" else 0, retry_delay_seconds=0)
    def process(document):
        run_workflow("wf_invoice", documents=given(document), **QUICK)
        tries.append(document)
        if tries.count(document) == 1:
            raise RuntimeError(OWN)

    @flow(retries=1 if retried == "flow" else 0)
    def caller():
        futures = [process.submit(document) for document in documents]
        wait(futures)  # or the attempt ends with the first that fails, before the other had its own
        for future in futures:
            future.result()

    caller()

    assert sorted(tries) == sorted(documents * 2)
    assert created(any_keys) == 2


def test_an_async_ready_flow_in_a_task_meets_its_run_when_the_task_is_retried(emulator):
    tries = []

    @task(retries=1, retry_delay_seconds=0)
    async def process():
        await arun_workflow("wf_echo", **QUICK)
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError(OWN)

    @flow
    async def caller():
        await process()

    asyncio.run(caller())

    assert len(tries) == 2
    assert created(emulator) == 1


def test_a_flow_in_a_task_outside_of_flows_meets_its_run_when_the_task_is_retried(emulator):
    tries = []

    @task(retries=1, retry_delay_seconds=0)
    def alone():
        run_workflow("wf_echo", **QUICK)
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError(OWN)

    alone()

    assert len(tries) == 2
    assert created(emulator) == 1


def test_a_task_that_yields_and_is_left_is_no_task_around_the_calls_of_the_next_attempt(emulator):
    tries = []

    @task
    def pages():
        yield from "abc"

    @flow(retries=1)
    def caller():
        tries.append(pages())  # kept, as by the traceback of an error
        next(tries[-1])
        create_run("wf_echo")
        if len(tries) == 1:
            raise RuntimeError(OWN)

    # In a context of its own: what Prefect leaves would be around every test after this one.
    contextvars.copy_context().run(caller)

    assert created(emulator) == 1


def test_equal_calls_in_a_task_are_one_run_and_in_another_task_another(emulator):
    @task
    def one():
        run_workflow("wf_echo", **QUICK)
        run_workflow("wf_echo", **QUICK)

    @task
    def other():
        run_workflow("wf_echo", **QUICK)

    @flow
    def caller():
        one()
        one()
        other()

    caller()

    assert created(emulator) == 2


def test_a_task_is_known_by_its_own_name_whatever_its_runs_are_called(emulator):
    made = []

    @task(task_run_name=lambda: f"run-{uuid4()}", retries=1, retry_delay_seconds=0)
    def named():
        made.append(create_run("wf_echo"))
        if len(made) % 2:
            raise RuntimeError(OWN)

    @flow(retries=1)
    def caller():
        named()
        if len(made) == 2:
            raise RuntimeError(OWN)

    caller()

    assert len(made) == 4
    assert len(set(made)) == created(emulator) == 1


def test_a_task_of_what_is_callable_and_has_no_name_is_a_task_as_any_other(emulator):
    reading = task(partial(create_run, "wf_echo"), name="reading")

    @flow
    def caller():
        return [reading(), reading()]

    assert [*set(caller())] == emulator.run_ids()


def test_a_ready_flow_called_twice_at_once_in_a_flow_is_two_runs_in_every_attempt(emulator):
    attempts = []

    @flow(retries=1)
    async def caller():
        await asyncio.gather(*(arun_workflow("wf_echo", **QUICK) for _ in range(2)))
        attempts.append(created(emulator))
        if len(attempts) == 1:
            raise RuntimeError(OWN)

    asyncio.run(caller())

    assert attempts == [2, 2]


# Documents that change, or go


def test_a_path_that_is_overwritten_between_two_calls_is_a_run_each(any_keys, folder):
    path, started = folder / "invoice.txt", []

    @flow
    def caller():
        for vendor in ("One", "Two", "One"):
            write(path, vendor)
            started.append(create_run("wf_invoice", documents=given(path)))

    caller()

    assert [file_of(run_id) for run_id in started] == ["One", "Two", "One"]
    assert started[0] == started[2] != started[1]
    assert created(any_keys) == 2


def test_a_run_whose_document_is_moved_is_met_in_a_retry(emulator, folder):
    inbox, done = folder / "inbox", folder / "done"
    inbox.mkdir()
    done.mkdir()
    for name in "ab":
        write(inbox / f"{name}.txt", name)
    started = []

    @flow(retries=1)
    def caller():
        first = not started
        for name in "ab":
            started.append(create_run("wf_invoice", documents=given(inbox / f"{name}.txt")))
            if first and name == "a":
                (inbox / "a.txt").rename(done / "a.txt")
        if first:
            raise RuntimeError(OWN)

    caller()

    assert started[:2] == started[2:]
    assert created(emulator) == 2


def test_a_folder_whose_documents_are_moved_when_they_are_done_goes_on_where_it_was_cut_off(emulator, folder):
    done, tries = folder / "done", []
    done.mkdir()
    for name in "ab":
        write(folder / f"{name}.txt", name)

    @task
    def read(document):
        return run_workflow("wf_invoice", documents=given(document), **QUICK)

    @flow(retries=1)
    def caller():
        for document in sorted(folder.glob("*.txt")):
            read(document)
            tries.append(document.name)
            if tries == ["a.txt", "b.txt"]:
                raise RuntimeError(OWN)
            document.rename(done / document.name)

    caller()

    assert tries == ["a.txt", "b.txt", "b.txt"]
    assert created(emulator) == 2


def test_a_document_that_was_touched_or_copied_elsewhere_is_the_same_document(emulator, folder):
    started = []

    @flow(retries=1)
    def caller():
        path = folder / f"place-{len(started)}" / "invoice.txt"
        path.parent.mkdir()
        write(path, "One")
        started.append(create_run("wf_invoice", documents=given(path)))
        write(path, "One")
        started.append(create_run("wf_invoice", documents=given(path)))
        if len(started) == 2:
            raise RuntimeError(OWN)

    caller()

    assert len(started) == 4
    assert len(set(started)) == created(emulator) == 1


def test_which_run_was_meant_is_asked_where_a_path_had_several_contents_and_is_gone(emulator, folder):
    path, started = folder / "invoice.txt", []

    @flow
    def caller():
        for vendor in ("One", "Two"):
            write(path, vendor)
            started.append(create_run("wf_invoice", documents=given(path)))
        path.unlink()
        create_run("wf_invoice", documents=given(path))

    with pytest.raises(InvalidInputError, match="several runs") as error:
        caller()

    assert all(run_id in str(error.value) for run_id in started)
    assert created(emulator) == 2


def test_a_run_that_ended_badly_is_not_started_again_without_its_document(emulator, folder):
    path, started = folder / "invoice.txt", []

    @flow(retries=1)
    def caller():
        if not started:
            write(path, "One")
        # It waits for a human until it is cancelled.
        started.append(create_run("wf_invoice_review", documents=given(path)))
        with RetabClient() as client:
            client.cancel_run(started[0])
        path.unlink()
        raise RuntimeError(OWN)

    with pytest.raises(InvalidInputError, match="ended badly: put it back"):
        caller()

    assert created(emulator) == 1


class Counting(MemoryFileSystem):
    """Counts how often something is opened, and raises what no library documents at one of these times."""

    protocol = "counting"
    cachable = False
    opened = 0
    raises_at = 0

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("counting://", "memory://"))

    def _open(self, *args, **kwargs):
        Counting.opened += 1
        if Counting.opened == Counting.raises_at:
            raise OddError("what no library documents")
        return super()._open(*args, **kwargs)


class OddError(Exception):
    pass


class Tallied(io.BytesIO):
    """Counts the bytes that are read of all of its kind."""

    read_in_all = 0

    def read(self, size=-1):
        piece = super().read(size)
        Tallied.read_in_all += len(piece)
        return piece


class TalliedFileSystem(Counting):
    protocol = "tallied"

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("tallied://", "memory://"))

    def _open(self, *args, **kwargs):
        with super()._open(*args, **kwargs) as file:
            return Tallied(file.getvalue())


@pytest.mark.parametrize("size", [2 * MIB, 6 * MIB])
def test_a_document_is_read_twice_in_all_however_large_it_is(emulator, size):
    fsspec.register_implementation("tallied", TalliedFileSystem, clobber=True)
    Tallied.read_in_all = 0
    document = large_invoice(size)
    fsspec.filesystem("memory").pipe("/large.pdf", document)

    @flow
    def caller():
        return create_run("wf_invoice", documents={"start-node-1": "tallied://large.pdf"})

    caller()

    assert Tallied.read_in_all <= 2 * len(document)
    assert created(emulator) == 1


@pytest.fixture
def counting():
    fsspec.register_implementation("counting", Counting, clobber=True)
    Counting.opened = Counting.raises_at = 0
    fsspec.filesystem("memory").pipe("/inbox/a.txt", b"Vendor: One")
    yield Counting
    fsspec.filesystem("memory").rm("/inbox", recursive=True)


def test_a_document_that_is_there_is_read_in_the_start_that_sends_it_and_unread_in_a_later_one(
    emulator, counting
):
    opened = []

    @flow(retries=1)
    def caller():
        before = counting.opened
        create_run("wf_invoice", documents={"start-node-1": "counting://inbox/a.txt"})
        sent = counting.opened
        create_run("wf_invoice", documents={"start-node-1": "counting://inbox/a.txt"})
        opened.append((sent - before, counting.opened - sent))
        if len(opened) == 1:
            raise RuntimeError(OWN)

    caller()

    (sending, again), later = opened
    assert sending > again > 0
    assert later == (0, 0)
    assert created(emulator) == 1


def test_the_function_of_a_task_called_twice_in_a_users_task_is_a_run_for_each_input(any_keys, folder):
    @task
    def both():
        paths = [write(folder / f"{name}.txt", name) for name in ("One", "Two")]
        return [create_run.fn("wf_invoice", documents=given(path)) for path in [*paths, paths[0]]]

    @flow
    def caller():
        return both()

    first, second, again = caller()

    assert [file_of(first), file_of(second)] == ["One", "Two"]
    assert again == first != second
    assert created(any_keys) == 2


# At once


def test_equal_calls_that_are_submitted_at_once_are_one_run(emulator, invoice):
    @flow
    def caller():
        futures = [create_run.submit("wf_invoice", documents=given(invoice)) for _ in range(4)]
        return [future.result() for future in futures]

    assert len(set(caller())) == created(emulator) == 1


def test_equal_calls_that_are_gathered_are_one_run(emulator, invoice):
    @flow
    async def caller():
        return await asyncio.gather(*(acreate_run("wf_invoice", documents=given(invoice)) for _ in range(4)))

    assert len(set(asyncio.run(caller()))) == created(emulator) == 1


def test_equal_calls_in_threads_and_on_a_loop_are_one_run(emulator):
    @flow
    async def caller():
        with ThreadPoolExecutor(2):
            futures = [create_run.submit("wf_echo") for _ in range(2)]
            awaited = await asyncio.gather(acreate_run("wf_echo"), acreate_run("wf_echo"))
            return [*awaited, *(await asyncio.to_thread(lambda: [future.result() for future in futures]))]

    assert len(set(asyncio.run(caller()))) == created(emulator) == 1


def test_a_call_of_those_at_once_that_is_stopped_leaves_the_others_their_run(emulator):
    emulator.post_faults([{"match": "POST /v1/workflows/*", "kind": "hold_after"}])

    @flow
    async def caller():
        calls = [asyncio.ensure_future(acreate_run("wf_echo")) for _ in range(3)]
        await asyncio.to_thread(held, emulator)
        calls[1].cancel()
        emulator.release()
        return await asyncio.gather(*calls, return_exceptions=True)

    ended = asyncio.run(caller())

    assert len({each for each in ended if isinstance(each, str)}) == created(emulator) == 1


def test_many_creates_that_are_stopped_together_are_taken_up_by_the_next_calls(emulator):
    many, at_once = 24, 16  # those that are sent at once, and more than there are threads for what they note
    emulator.post_faults([{"match": "POST /v1/workflows/*", "kind": "hold_after", "times": at_once}])

    def calls():
        return [acreate_run("wf_echo", json_inputs={"json-node-1": number}) for number in range(many)]

    @flow
    async def caller():
        with CancelScope() as scope:  # as a time-out of Prefect's
            making = asyncio.gather(*calls())
            await asyncio.to_thread(held, emulator, at_once)
            scope.cancel()
            await making
        emulator.release()
        return await asyncio.wait_for(asyncio.gather(*calls()), 100)

    assert sorted(asyncio.run(caller())) == sorted(emulator.run_ids())
    assert created(emulator) == many


def test_a_create_that_was_stopped_a_moment_ago_is_looked_for_as_long_as_the_list_may_lag(monkeypatch):
    with Emulator(api="current", idempotency="ignored", list_lag=4.0) as server:
        monkeypatch.setenv("RETAB_API_KEY", API_KEY)
        monkeypatch.setenv("RETAB_API_BASE_URL", server.url)
        server.post_faults([{"match": "POST /v1/workflows/runs", "kind": "hold_after"}])

        @flow
        async def caller():
            call = asyncio.ensure_future(acreate_run("wf_echo"))
            await asyncio.to_thread(held, server)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            server.release()
            return await acreate_run("wf_echo")

        run_id = asyncio.run(asyncio.wait_for(caller(), 120))

        assert created(server) == 1
        with RetabClient() as client:
            assert client.get_run(run_id).id == run_id


def test_the_first_create_of_a_flow_run_asks_for_nothing(monkeypatch):
    with Emulator(api="current", speed=20.0) as server:
        monkeypatch.setenv("RETAB_API_KEY", API_KEY)
        monkeypatch.setenv("RETAB_API_BASE_URL", server.url)

        @flow
        def caller():
            return create_run("wf_echo")

        caller()

        probe, create = "GET /v1/workflows/steps", "POST /v1/workflows/runs"
        assert server.stats()["requests"] == {probe: 1, create: 1}


def test_where_the_first_of_equal_calls_is_refused_the_next_one_creates(emulator):
    emulator.post_faults([{"match": "POST /v1/workflows/*", "kind": "http_403"}])

    @flow
    async def caller():
        return await asyncio.gather(*(acreate_run("wf_echo") for _ in range(4)), return_exceptions=True)

    ended = asyncio.run(caller())

    assert sum(isinstance(each, RetabError) for each in ended) == 1
    assert len({each for each in ended if isinstance(each, str)}) == created(emulator) == 1


# Classic routes


@pytest.fixture
def classic(emulator):
    return RetabCredentials(api_key=API_KEY, base_url=emulator.url, api="classic", auth="api-key")


# Where it is looked at, where it is hashed, where the client looks at it, and where it is sent from.
@pytest.mark.parametrize("opening", [1, 2, 3, 4])
def test_a_filesystem_that_raises_what_it_likes_leaves_nothing_unknown(emulator, classic, counting, opening):
    tries = []
    counting.raises_at = opening

    @flow(retries=1)
    def caller():
        tries.append(1)
        return create_run(
            "wf_invoice", documents={"start-node-1": "counting://inbox/a.txt"}, credentials=classic
        )

    assert caller().startswith("run_")
    assert len(tries) == 2
    assert created(emulator) == 1


def test_a_restart_all_of_whose_answers_are_lost_may_be_tried_again_as_the_same_command(emulator, classic):
    restarted = []

    @flow
    def caller():
        run_id = create_run("wf_echo", credentials=classic)
        with classic.get_client() as client:
            client.wait_for_run(run_id, timeout=60)
        emulator.post_faults([{"match": "POST */restart", "kind": "reset_after", "times": 4}])
        trying = restart_run.with_options(retries=2, retry_delay_seconds=0)
        restarted.append(trying(run_id, credentials=classic))

    caller()

    assert created(emulator) == 2


def test_a_restart_that_ended_badly_is_followed_by_another(emulator, classic):
    restarted = []

    @flow(retries=1)
    def caller():
        run_id = create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 600}}, credentials=classic)
        with classic.get_client() as client:
            client.cancel_run(run_id)
            restarted.append(restart_run(run_id, credentials=classic, dedupe_key="1"))
            client.cancel_run(restarted[-1])
        if len(restarted) == 1:
            raise RuntimeError(OWN)

    caller()

    assert len(set(restarted)) == 2


# Blocks as jobs


def test_a_workflow_that_is_triggered_in_a_flow_meets_its_run_in_a_retry(any_keys, invoice):
    workflow = RetabWorkflow(
        credentials=RetabCredentials(api_key=API_KEY, base_url=any_keys.url),
        workflow_id="wf_invoice",
        documents={"start-node-1": invoice},
    )
    started = []

    @flow(retries=1)
    async def caller():
        keys = ("0", "0", "1")
        started.append([(await workflow.trigger(dedupe_key=key)).run_id for key in keys])
        if len(started) == 1:
            raise RuntimeError(OWN)

    asyncio.run(caller())

    assert started[0] == started[1]
    assert started[0][0] == started[0][1] != started[0][2]
    assert created(any_keys) == 2


def test_a_workflow_that_is_triggered_outside_of_flows_starts_a_run_each_time(emulator):
    workflow = RetabWorkflow(
        credentials=RetabCredentials(api_key=API_KEY, base_url=emulator.url), workflow_id="wf_echo"
    )

    async def outside():
        return [(await workflow.trigger()).run_id for _ in range(2)]

    assert len(set(asyncio.run(outside()))) == created(emulator) == 2


# Servers


@pytest.mark.parametrize("keys", ["compared", "honoured", "ignored"])
@pytest.mark.parametrize("metadata", ["kept", "unfiltered", "dropped"])
def test_a_flow_makes_its_runs_once_on_every_kind_of_server(monkeypatch, folder, keys, metadata):
    attempts = []

    @task(retries=1, retry_delay_seconds=0)
    def restarted(run_id):
        return restart_run(run_id)

    @flow(retries=2)
    async def caller():
        paths = [write(folder / f"{name}.txt", name) for name in "ab"]
        run_ids = await asyncio.gather(*(acreate_run("wf_invoice", documents=given(path)) for path in paths))
        await asyncio.to_thread(file_of, run_ids[0])
        attempts.append([*run_ids, await asyncio.to_thread(restarted, run_ids[0])])
        if len(attempts) < 3:
            raise RuntimeError(OWN)

    with Emulator(api="current", speed=20.0, idempotency=keys, metadata=metadata) as emulator:
        monkeypatch.setenv("RETAB_API_KEY", API_KEY)
        monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
        asyncio.run(caller())

        assert attempts[0] == attempts[1] == attempts[2]
        assert len(set(attempts[0])) == created(emulator) == 3


@pytest.mark.parametrize("keys", ["compared", "honoured", "ignored"])
@pytest.mark.parametrize("metadata", ["kept", "unfiltered", "dropped"])
def test_a_lost_create_is_one_run_or_said_to_be_unknown_on_every_kind_of_server(
    monkeypatch, invoice, keys, metadata
):
    @flow(retries=1)
    async def caller():
        return await acreate_run("wf_invoice", documents=given(invoice))

    with Emulator(api="current", speed=20.0, idempotency=keys, metadata=metadata) as emulator:
        monkeypatch.setenv("RETAB_API_KEY", API_KEY)
        monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)
        emulator.post_faults([{"match": "POST /v1/workflows/*", "kind": "reset_after"}])
        if metadata == "dropped":
            with pytest.raises(CreateOutcomeUnknownError):
                asyncio.run(caller())
        else:
            assert asyncio.run(caller()).startswith("run_")

        assert created(emulator) == 1


# What is left of the memory


def test_what_another_version_has_noted_is_read_as_nothing(emulator, invoice):
    @flow
    def caller():
        with get_client(sync_client=True) as client:
            labels = {"retab.run.0123456789abcdef0123": "run_of_old", "retab.account.0": "nobody"}
            client.update_flow_run_labels(runtime.flow_run.id, labels)
        return create_run("wf_invoice", documents=given(invoice))

    assert caller() != "run_of_old"
    assert created(emulator) == 1
