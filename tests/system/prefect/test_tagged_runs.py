"""Calls that their runs remember, on servers whose list filters by tags, when nothing else remembers them."""

import asyncio
import contextvars
import os
import threading
import time
from uuid import UUID

import pytest
from prefect import flow, runtime, task
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL

from dev.hosts.processes import wait_until
from prefect_collection import (
    RetabCredentials,
    RetabWorkflow,
    acreate_run,
    arun_workflow,
    cancel_retab_runs,
    cancel_runs_of_flow_run,
    create_run,
)
from prefect_collection._create_once import flow_run_claim
from prefect_collection._create_once.announcements import read_announced
from prefect_collection._create_once.claims import RENEWAL_INTERVAL
from prefect_collection._identity import Owner
from prefect_collection._state import Given
from prefect_collection._tags import _families
from retab_orchestration import InvalidInputError, RetabClient, RunIdentity
from retab_orchestration.emulator import Emulator
from tests.prefect_collection.conftest import API_KEY
from tests.system.prefect.outcomes import created, statuses

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("prefect_api")]

OWN = "something of the user's own"
LONG = {"json-node-1": {"seconds": 6000}}
CREATES = "POST /v1/workflows/*"


@pytest.fixture
def server(monkeypatch):
    """Start an emulator of current routes, of which this process knows already that its list filters by tags."""
    running = []

    def start(**traits):
        emulator = Emulator(
            **{"speed": 20.0, "api": "current", "idempotency": "ignored", **traits}
        ).__enter__()
        running.append(emulator)
        monkeypatch.setenv("RETAB_API_KEY", API_KEY)
        monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url)

        @flow
        def knowing():
            for number in range(2):
                create_run("wf_echo", dedupe_key=str(number))

        knowing()
        emulator.reset()
        return emulator

    yield start
    for emulator in running:
        emulator.__exit__(None, None, None)


@pytest.fixture
def filtered(server):
    return server()


def ours(flow_run_id):
    with get_client(sync_client=True) as client:
        labels = client.read_flow_run(flow_run_id).labels
    return sorted(label for label in labels if label.startswith("retab."))


def forget(flow_run_id):
    """Leave of the memory what the next process of a flow run finds on another machine, and not even the labels."""
    for claim in [*flow_run_claim._claims.values()]:
        claim.tick(is_exit=True)
    flow_run_claim._claims.clear()
    _families.clear()
    with get_client(sync_client=True) as client:
        client.update_flow_run_labels(flow_run_id, dict.fromkeys(ours(flow_run_id), ""))


def attempts(body, *, count=2):
    """Run a flow whose attempts know nothing of each other; return what each has returned, and the flow run's id."""
    returned = []

    @flow(retries=count - 1)
    def caller():
        if returned:
            forget(runtime.flow_run.id)
        returned.append(body(len(returned)))
        if len(returned) < count:
            raise RuntimeError(OWN)
        return runtime.flow_run.id

    return returned, caller()


def write(path, vendor):
    path.write_text(f"Vendor: {vendor}")
    return {"start-node-1": str(path)}


# ---- what is written down


def test_many_creates_leave_one_input_beside_the_claim_and_no_labels_or_results(filtered, tmp_path):
    @flow(result_storage=None)
    async def caller():
        starts = [write(tmp_path / f"{number}.txt", number) for number in range(30)]
        run_ids = await asyncio.gather(*(acreate_run("wf_invoice", documents=start) for start in starts))
        return len(set(run_ids)), runtime.flow_run.id

    count, flow_run_id = asyncio.run(caller())

    assert count == created(filtered) == 30
    assert ours(flow_run_id) == []
    assert read_announced(flow_run_id) == {None: {(flow_run_id, UUID(flow_run_id))}}


def test_creates_at_once_ask_prefect_a_few_times_in_all(filtered, monkeypatch):
    asked, request = [], SyncPrefectClient.request

    def count(client, method, path, **given):
        asked.append(path)
        return request(client, method, path, **given)

    monkeypatch.setattr(SyncPrefectClient, "request", count)

    @flow
    async def caller():
        return await asyncio.gather(*(acreate_run("wf_echo", dedupe_key=str(number)) for number in range(60)))

    assert len(set(asyncio.run(caller()))) == 60
    # Besides, it is asked once a second who waits.
    # How many calls come while one is answered depends on the machine.
    assert asked.count("/flow_runs/{id}") <= 20
    assert asked.count("/flow_runs/{id}/input") <= 5


@pytest.mark.parametrize(
    "traits", [{"api": "classic"}, {"metadata": "dropped"}, {"metadata": "unfiltered"}], ids=str
)
def test_where_runs_cannot_be_found_by_their_tags_each_call_has_its_label(server, traits):
    emulator = server(**traits)

    @flow
    async def caller():
        return await asyncio.gather(
            *(acreate_run("wf_echo", dedupe_key=str(number)) for number in range(20))
        ), ours(runtime.flow_run.id)

    run_ids, labels = asyncio.run(caller())

    assert len(set(run_ids)) == created(emulator) == 20
    assert len([label for label in labels if label.startswith("retab.run.")]) == 20


# ---- what the next attempt finds by one listing


def test_the_runs_of_an_earlier_process_are_found_by_one_list(filtered):
    before = []

    def body(attempt):
        before.append(dict(filtered.stats()["requests"]))
        return [create_run("wf_echo", dedupe_key=str(number)) for number in range(5)]

    (first, second), _ = attempts(body)

    lists = "GET /v1/workflows/runs"
    assert first == second
    assert created(filtered) == 5
    assert filtered.stats()["requests"].get(lists, 0) - before[1].get(lists, 0) == 1


def test_a_call_that_blocks_the_loop_of_the_one_that_reads_the_list_reads_it_itself(filtered):
    keys = []

    @flow(retries=1)
    async def caller():
        keys.append(await acreate_run("wf_echo"))
        if len(keys) == 1:
            raise RuntimeError(OWN)
        await asyncio.to_thread(forget, runtime.flow_run.id)
        filtered.post_faults([{"match": "GET /v1/workflows/runs", "kind": "hold_before"}])
        reading = asyncio.create_task(acreate_run("wf_echo"))
        await asyncio.to_thread(
            wait_until, lambda: filtered.stats()["held"] == 1, timeout=60, what="the list"
        )
        try:
            beside = [submit("wf_echo", dedupe_key="1") for submit in (create_run.submit, acreate_run.submit)]
            found = [future.result(timeout=60) for future in beside]
        finally:
            filtered.release()
        return [*keys, await reading], found

    first, second = asyncio.run(caller())

    assert len({*first}) == len({*second}) == 1
    assert created(filtered) == 2


def test_a_run_whose_document_was_moved_is_found_by_its_tags(filtered, tmp_path):
    path = tmp_path / "invoice.txt"
    start = write(path, "One")

    def body(attempt):
        run_id = create_run("wf_invoice", documents=start)
        if not attempt:
            path.rename(tmp_path / "done.txt")
        return run_id

    (first, second), _ = attempts(body)

    assert first == second
    assert created(filtered) == 1


def test_a_document_that_is_unchanged_is_not_read_again_and_one_that_changed_is_another_run(
    filtered, tmp_path
):
    path = tmp_path / "invoice.txt"
    start = write(path, "One")

    def body(attempt):
        if attempt == 1:
            stat = path.stat()
            path.write_text(
                "Vendor: Two"
            )  # of the same size, at the same time: nobody can tell without reading
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        if attempt == 2:
            write(path, "Another")
        return create_run("wf_invoice", documents=start)

    (first, unread, changed), _ = attempts(body, count=3)

    assert first == unread != changed
    assert created(filtered) == 2


def test_which_run_was_meant_is_asked_where_tags_tell_of_several(filtered, tmp_path):
    path, made = tmp_path / "invoice.txt", []

    def body(attempt):
        if not attempt:
            made.extend(create_run("wf_invoice", documents=write(path, vendor)) for vendor in ("One", "Two"))
            path.unlink()
            return None
        return create_run("wf_invoice", documents={"start-node-1": str(path)})

    with pytest.raises(InvalidInputError, match="several runs") as error:
        attempts(body)

    assert all(run_id in str(error.value) for run_id in made)
    assert created(filtered) == 2


def test_a_run_that_ended_badly_is_followed_by_another_and_that_one_is_found(filtered):
    def body(attempt):
        run_id = create_run("wf_echo", json_inputs=LONG)
        if not attempt:
            with RetabClient() as client:
                client.cancel_run(run_id)
        return run_id

    (first, second, third), _ = attempts(body, count=3)

    assert first != second == third
    assert created(filtered) == 2


def test_a_workflow_that_was_triggered_is_found_by_its_tags(filtered, invoice):
    workflow = RetabWorkflow(
        credentials=RetabCredentials(api_key=API_KEY, base_url=filtered.url),
        workflow_id="wf_invoice",
        documents={"start-node-1": invoice},
    )

    def body(attempt):
        return [workflow.trigger(dedupe_key=key).run_id for key in "001"]

    (first, second), _ = attempts(body)

    assert first == second
    assert first[0] == first[1] != first[2]
    assert created(filtered) == 2


def test_what_a_list_does_not_show_yet_is_known_to_the_next_process(server):
    emulator = server(list_lag=60.0)

    def body(attempt):
        return [create_run("wf_echo", dedupe_key=str(number)) for number in range(3)]

    (first, second), _ = attempts(body)

    assert first == second
    assert created(emulator) == 3


# ---- other processes


def test_a_process_that_was_paused_in_its_create_keeps_the_run_of_the_one_that_took_its_place(filtered):
    filtered.post_faults([{"match": CREATES, "kind": "hold_before"}])

    def take_its_place(owner):
        """Do what another process does that has waited for the claim to run out."""
        wait_until(lambda: filtered.stats()["held"], timeout=60, what="the create")
        inputs = {"workflow_id": "wf_echo", "json_inputs": LONG}
        content = Given("create_run", inputs).digest(owner, {"contents": {}})
        with get_client(sync_client=True) as client:
            client.create_flow_run_input(owner.flow_runs[-1], "retab-claim-all-2", "another process")
        identity = RunIdentity.of(str(PREFECT_API_URL.value()), "prefect", owner.id, generation=content)
        with RetabClient() as client:
            client.create_run("wf_echo", json_inputs=LONG, identity=identity, adopt=False)
        time.sleep(RENEWAL_INTERVAL + 2)
        filtered.release()

    @flow
    def caller():
        context = contextvars.copy_context()
        other = threading.Thread(target=context.run, args=(take_its_place, Owner.of_this_call()))
        other.start()
        try:
            return create_run("wf_echo", json_inputs=LONG)
        finally:
            other.join()

    kept = caller()

    assert kept == filtered.run_ids()[0]
    assert statuses(filtered) == ["running", "cancelled"]


# ---- cancelling


def test_the_runs_of_a_flow_run_are_cancelled_although_no_label_and_no_list_has_them(server):
    emulator = server(list_lag=60.0)

    @flow
    async def caller():
        await asyncio.gather(*(acreate_run("wf_echo", json_inputs=LONG, dedupe_key=str(n)) for n in range(3)))
        return runtime.flow_run.id

    flow_run_id = asyncio.run(caller())
    began = time.monotonic()

    assert sorted(asyncio.run(cancel_runs_of_flow_run(flow_run_id))) == sorted(emulator.run_ids())
    assert set(statuses(emulator)) == {"cancelled"}
    assert time.monotonic() - began < 15


def test_a_flow_in_a_flow_has_only_its_own_runs_cancelled(filtered):
    ids = []

    @flow(on_cancellation=[cancel_retab_runs])
    async def inner():
        ids.append(runtime.flow_run.id)
        await acreate_run("wf_echo", json_inputs=LONG)

    @flow
    async def parent():
        await acreate_run("wf_echo", json_inputs=LONG, dedupe_key="the parent's own")
        await inner()
        await arun_workflow("wf_echo", poll_interval_seconds=0.5)

    asyncio.run(parent())

    assert len(asyncio.run(cancel_runs_of_flow_run(ids[0]))) == 1
    assert statuses(filtered) == ["running", "cancelled", "completed"]


def test_a_create_that_was_cut_off_is_written_down_and_its_run_cancelled(server):
    emulator = server(list_lag=4.0)
    emulator.post_faults([{"match": CREATES, "kind": "hold_after"}])

    @flow
    async def caller():
        creating = asyncio.create_task(acreate_run("wf_echo", json_inputs=LONG))
        await asyncio.to_thread(
            lambda: wait_until(lambda: emulator.stats()["held"], timeout=60, what="the create")
        )
        creating.cancel()
        await asyncio.wait([creating])
        return runtime.flow_run.id

    flow_run_id = asyncio.run(caller())
    emulator.release()

    assert [label.rpartition(".")[0] for label in ours(flow_run_id)].count("retab.run") == 1
    assert asyncio.run(cancel_runs_of_flow_run(flow_run_id)) == emulator.run_ids()


def test_a_task_that_is_retried_meets_the_run_that_its_tags_tell(filtered):
    tries = []

    @task(retries=1, retry_delay_seconds=0)
    def trying():
        tries.append(create_run("wf_echo"))
        if len(tries) == 1:
            raise RuntimeError(OWN)

    @flow
    def caller():
        trying()

    caller()

    assert len(tries) == 2
    assert len(set(tries)) == created(filtered) == 1
