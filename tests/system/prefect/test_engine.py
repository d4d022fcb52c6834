"""Tasks, flows and blocks inside Prefect's own engine, in this process, on the session's Prefect server."""

import asyncio
import base64
import copy
import json
import logging
import shutil
from functools import partial
from uuid import uuid4

import pytest
from prefect import flow, runtime, task
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.exceptions import ParameterTypeError
from prefect.filesystems import LocalFileSystem
from prefect.results import get_result_store
from prefect.settings import PREFECT_RESULTS_PERSIST_BY_DEFAULT, temporary_settings

import prefect_collection
from dev.hosts.processes import wait_until
from prefect_collection import (
    RetabCredentials,
    RetabWorkflow,
    acreate_run,
    arun_workflow,
    await_for_run,
    cancel_retab_runs,
    cancel_runs_of_flow_run,
    run_workflow,
)
from retab_orchestration import (
    ConfigurationError,
    CreateOutcomeUnknownError,
    FileReference,
    InvalidInputError,
    RetabClient,
    RetabError,
    ReviewRequiredError,
    RunFailedError,
    WaitTimeoutError,
)
from retab_orchestration.emulator import Emulator
from tests.prefect_collection.conftest import API_KEY

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("prefect_api")]

LOST_ANSWER = {"match": "POST /v1/workflows/*", "kind": "reset_after"}


class Tasks:
    """The tasks of one colour, awaited in both, so that one body tests both."""

    def __init__(self, prefix, **options):
        self._prefix = prefix
        self._options = options

    def __getattr__(self, name):
        task = getattr(prefect_collection, self._prefix + name).with_options(**self._options)

        async def call(*args, **kwargs):
            return await task(*args, **kwargs) if self._prefix else task(*args, **kwargs)

        return call


def completed(coroutine):
    # The blocking tasks suspend nothing, so the first step is the last.
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("a blocking task was awaited")


@pytest.fixture(params=["", "a"], ids=["blocking", "async"])
def run_flow(request):
    """Run a body in a sync flow with the blocking tasks, or in an async flow with their twins."""

    def run(body, *, task_options=None, **flow_options):
        tasks = Tasks(request.param, **task_options or {})
        named = {"name": f"test-{uuid4()}"} | flow_options

        @flow(**named)
        def blocking():
            return completed(body(tasks))

        @flow(**named)
        async def awaiting():
            return await body(tasks)

        return asyncio.run(awaiting()) if request.param else blocking()

    return run


@pytest.fixture(params=[run_workflow, arun_workflow], ids=["blocking", "async"])
def run_ready_flow(request):
    def run(*args, **kwargs):
        answer = request.param(*args, **kwargs)
        return asyncio.run(answer) if request.param.isasync else answer

    run.flow = request.param
    return run


def flow_runs(flow_name):
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow_name])))


def creates(emulator):
    return sum(
        count
        for call, count in emulator.stats()["requests"].items()
        if call in {"POST /v1/workflows/runs", "POST /v1/workflows/{workflow_id}/run"}
    )


@pytest.fixture
def classic(emulator):
    # Classic routes have no tags, so a run whose answer was lost cannot be looked for.
    return RetabCredentials(api_key=API_KEY, base_url=emulator.url, api="classic", auth="api-key")


def test_a_lost_create_is_sent_once_whatever_retries_are_set(run_flow, emulator, invoice, classic):
    emulator.post_faults([LOST_ANSWER])

    async def body(tasks):
        return await tasks.create_run("wf_invoice", documents={"start-node-1": invoice}, credentials=classic)

    with pytest.raises(CreateOutcomeUnknownError, match=r"Nothing was sent this time.*dedupe_key") as error:
        run_flow(body, task_options={"retries": 3, "retry_delay_seconds": 0}, retries=1)

    assert error.value.workflow_id == "wf_invoice"
    assert error.value.since
    assert emulator.stats()["runs_created"] == 1
    assert creates(emulator) == 1


def test_a_lost_create_is_found_again_where_runs_have_tags(run_flow, emulator, invoice):
    emulator.post_faults([LOST_ANSWER])

    async def body(tasks):
        run_id = await tasks.create_run("wf_invoice", documents={"start-node-1": invoice})
        return (await tasks.wait_for_run(run_id, poll_interval_seconds=0.5)).status_name

    assert run_flow(body) == "completed"
    assert emulator.stats()["runs_created"] == 1


def test_another_dedupe_key_creates_after_a_lost_create(run_flow, emulator, classic):
    emulator.post_faults([LOST_ANSWER])

    async def body(tasks):
        with pytest.raises(CreateOutcomeUnknownError):
            await tasks.create_run("wf_echo", credentials=classic)
        return await tasks.create_run("wf_echo", credentials=classic, dedupe_key="1")

    assert run_flow(body).startswith("run_")
    assert creates(emulator) == 2


def test_a_refused_create_is_tried_again_because_nothing_was_created(run_flow, emulator):
    # The client's own four tries come first.
    emulator.post_faults(
        [{"match": "POST /v1/workflows/*", "kind": "http_429", "times": 4, "retry_after": 0}]
    )

    async def body(tasks):
        return await tasks.create_run("wf_echo", json_inputs={"json-node-1": {}})

    assert run_flow(body, task_options={"retries": 1, "retry_delay_seconds": 0}).startswith("run_")
    assert emulator.stats()["runs_created"] == 1


def test_the_same_create_twice_is_one_run_and_two_with_another_key(run_flow, emulator, invoice):
    async def body(tasks):
        inputs = {"documents": {"start-node-1": str(invoice)}}
        return [
            await tasks.create_run("wf_invoice", **inputs),
            await tasks.create_run("wf_invoice", **inputs),
            await tasks.create_run("wf_invoice", **inputs, dedupe_key="again"),
        ]

    first, second, third = run_flow(body)

    assert first == second != third
    assert emulator.stats()["runs_created"] == 2


def test_a_reference_in_the_inputs_has_a_stable_key(run_flow, emulator):
    async def body(tasks):
        made = [
            await tasks.create_run("wf_echo", json_inputs={"json-node-1": {"b": 1, "a": [2]}})
            for _ in range(2)
        ]
        with pytest.raises(Exception, match="file_nobody"):
            await tasks.create_run("wf_invoice", documents={"start-node-1": FileReference(id="file_nobody")})
        return made

    assert len(set(run_flow(body))) == 1


def test_two_accounts_share_a_key_so_dedupe_key_tells_them_apart(run_flow, emulator):
    one, other = (RetabCredentials(api_key=key, base_url=emulator.url) for key in ("sk_one", "sk_other"))

    async def body(tasks):
        return [
            await tasks.create_run("wf_echo", credentials=one),
            await tasks.create_run("wf_echo", credentials=other),
            await tasks.create_run("wf_echo", credentials=other, dedupe_key="other account"),
        ]

    first, merged, apart = run_flow(body)

    assert first == merged != apart


def test_a_retry_of_the_flow_goes_on_with_its_run(run_flow, emulator, invoice):
    tries = []

    async def body(tasks):
        run_id = await tasks.create_run("wf_invoice", documents={"start-node-1": invoice})
        tries.append(run_id)
        if len(tries) == 1:
            raise RuntimeError("something of the user's own")
        return (await tasks.wait_for_run(run_id, poll_interval_seconds=0.5)).id

    assert run_flow(body, retries=1) == tries[0] == tries[1]
    assert emulator.stats()["runs_created"] == 1


def test_a_retry_after_a_failed_run_starts_another_and_no_more_than_that(run_flow, emulator):
    started = []

    async def body(tasks):
        run_id = await tasks.create_run("wf_fail" if not started else "wf_echo")
        started.append(run_id)
        await tasks.wait_for_run(run_id, poll_interval_seconds=0.5)
        raise RuntimeError("something of the user's own")

    with pytest.raises(RuntimeError):
        run_flow(body, retries=3)

    assert len(set(started)) == 2
    assert started[1:] == [started[1]] * 3
    assert emulator.stats()["runs_created"] == 2


def test_a_failed_run_is_not_replayed_for_ever(run_flow, emulator):
    started = []

    async def body(tasks):
        started.append(await tasks.create_run("wf_fail"))
        await tasks.wait_for_run(started[-1], poll_interval_seconds=0.5)

    with pytest.raises(RunFailedError):
        run_flow(body, retries=2)

    assert len(set(started)) == emulator.stats()["runs_created"] == 3


@pytest.mark.parametrize("place", ["label", "result", "tag"])
def test_a_retry_finds_its_run_in_any_place_that_is_left(run_flow, emulator, invoice, place):
    started = []

    async def body(tasks):
        started.append(await tasks.create_run("wf_invoice", documents={"start-node-1": invoice}))
        if len(started) == 1:
            if place != "label":
                forget_labels(runtime.flow_run.id)
            if place != "result":
                shutil.rmtree(get_result_store().result_storage.basepath, ignore_errors=True)
            raise RuntimeError("something of the user's own")

    run_flow(body, retries=1)

    assert started[0] == started[1]
    assert emulator.stats()["runs_created"] == 1


def forget_labels(flow_run_id):
    with get_client(sync_client=True) as client:
        labels = client.read_flow_run(flow_run_id).labels
        gone = {label: "" for label in labels if label.startswith("retab.")}
        assert len(gone) == 1
        client.update_flow_run_labels(flow_run_id, gone)


def test_a_document_that_is_fetched_anew_by_each_attempt_is_still_one_run(run_flow, emulator, tmp_path):
    started = []

    async def body(tasks):
        fetched = tmp_path / str(len(started)) / "invoice.pdf"
        fetched.parent.mkdir()
        fetched.write_bytes(b"Vendor: Acme Corp")
        started.append(await tasks.create_run("wf_invoice", documents={"start-node-1": fetched}))
        if len(started) == 1:
            raise RuntimeError("something of the user's own")

    run_flow(body, retries=1)

    assert started[0] == started[1]
    assert emulator.stats()["runs_created"] == 1


def test_mapped_documents_are_a_run_each_in_every_attempt(emulator, tmp_path):
    names = ["a.txt", "b.txt", "the same as b.txt"]
    for name in names:
        (tmp_path / name).write_text(f"Vendor: {name[0] if name != names[2] else 'b'}")
    starts = [{"start-node-1": str(tmp_path / name)} for name in names]
    started, labels = [], []

    @flow(retries=1)
    def mapped():
        run_ids = prefect_collection.create_run.map("wf_invoice", documents=starts).result()
        started.append(run_ids)
        if len(started) == 1:
            raise RuntimeError("something of the user's own")
        with get_client(sync_client=True) as client:
            labels.append(client.read_flow_run(runtime.flow_run.id).labels)

    mapped()

    assert started[0] == started[1]
    assert len(set(started[0])) == emulator.stats()["runs_created"] == 3
    assert {value for label, value in labels[0].items() if label.startswith("retab.run.")} == set(started[0])


def test_two_environments_with_one_key_are_told_apart(emulator, monkeypatch):
    made = []

    @flow
    def environment(namespace):
        account = RetabCredentials(api_key=API_KEY, base_url=emulator.url, namespace=namespace)
        made.append(prefect_collection.create_run("wf_echo", credentials=account))

    for namespace in ("staging", "production"):
        environment(namespace)

    with RetabClient() as client:
        families = {client.get_run(run_id).metadata["retab-orchestration.family"] for run_id in made}
    assert len(families) == len(set(made)) == 2


def test_a_flow_that_a_flow_calls_meets_its_run_when_the_caller_is_retried(run_ready_flow, emulator):
    inputs = {"json-node-1": {"seconds": 60_000}}
    options = {"json_inputs": inputs, "timeout_seconds": 0.5, "cancel_on_timeout": False}
    called = run_ready_flow.flow

    @flow(retries=1)
    def blocking():
        called("wf_echo", **options)

    @flow(retries=1)
    async def awaiting():
        await called("wf_echo", **options)

    with pytest.raises(WaitTimeoutError):
        asyncio.run(awaiting()) if called.isasync else blocking()

    assert emulator.stats()["runs_created"] == 1


def test_the_same_flow_called_twice_is_two_runs(emulator):
    @flow
    def caller():
        for _ in range(2):
            run_workflow("wf_echo", poll_interval_seconds=0.5)

    caller()

    assert emulator.stats()["runs_created"] == 2


def test_a_restart_is_made_once_in_a_flow_run(run_flow, emulator):
    restarted = []

    async def body(tasks):
        run_id = await tasks.create_run("wf_echo")
        await tasks.wait_for_run(run_id, poll_interval_seconds=0.5)
        restarted.append(await tasks.restart_run(run_id))
        if len(restarted) == 1:
            raise RuntimeError("something of the user's own")
        return run_id

    run_id = run_flow(body, retries=1)

    assert restarted[0] == restarted[1] != run_id
    assert emulator.stats()["runs_created"] == 2


@pytest.mark.parametrize(
    ("fails_by", "state"), [(None, "cancelled"), (RuntimeError, "running"), (TimeoutError, "running")]
)
def test_a_flow_that_takes_too_long_cancels_its_run_and_one_that_fails_does_not(emulator, fails_by, state):
    started = []

    # Long enough for a busy machine to get as far as the run.
    @flow(timeout_seconds=600 if fails_by else 15, on_failure=[cancel_retab_runs])
    async def waits():
        started.append(await acreate_run("wf_echo", json_inputs={"json-node-1": {"seconds": 6000}}))
        if fails_by:
            raise fails_by("something of the user's own")
        await await_for_run(started[0], poll_interval_seconds=0.5)

    with pytest.raises(fails_by or TimeoutError):
        asyncio.run(waits())

    with RetabClient() as client:
        assert client.get_run(started[0]).status_name == state
    assert emulator.stats()["runs_created"] == 1


def test_the_cleanup_flow_cancels_with_the_account_that_a_run_was_started_with(emulator, monkeypatch):
    name = f"account-{uuid4()}"
    RetabCredentials(api_key=API_KEY, base_url=emulator.url).save(name)
    client = RetabClient()
    monkeypatch.delenv("RETAB_API_KEY")
    ids = []

    @flow
    def starts():
        ids.append(runtime.flow_run.id)
        return [
            prefect_collection.create_run(
                "wf_echo", json_inputs={"json-node-1": {"seconds": seconds}}, credentials=name
            )
            for seconds in (0, 6000)
        ]

    ended, active = starts()
    client.wait_for_run(ended)

    assert asyncio.run(cancel_runs_of_flow_run(ids[0])) == [active]
    assert asyncio.run(cancel_runs_of_flow_run(ids[0])) == []
    assert [client.get_run(run_id).status_name for run_id in (ended, active)] == ["completed", "cancelled"]


def test_the_cleanup_flow_cancels_test_runs_as_well(monkeypatch):
    @flow
    def starts():
        return runtime.flow_run.id, prefect_collection.create_test_run("wf_invoice")

    monkeypatch.setenv("RETAB_API_KEY", API_KEY)
    with Emulator(speed=0.01) as slow:
        monkeypatch.setenv("RETAB_API_BASE_URL", slow.url)
        flow_run_id, test_run_id = starts()

        assert asyncio.run(cancel_runs_of_flow_run(flow_run_id)) == [test_run_id]
        with RetabClient() as client:
            assert client.get_test_run(test_run_id).status_name == "cancelled"


def test_what_cannot_be_cancelled_is_told(emulator, monkeypatch):
    ids = []

    @flow
    def starts():
        ids.append(runtime.flow_run.id)
        prefect_collection.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 6000}})

    starts()
    monkeypatch.delenv("RETAB_API_KEY")

    with pytest.raises(RetabError, match=r"run_.*RETAB_API_KEY"):
        asyncio.run(cancel_runs_of_flow_run(ids[0]))


def test_the_ready_flow_writes_its_outputs(run_ready_flow, emulator, invoice, tmp_path):
    manifest = run_ready_flow(
        "wf_invoice",
        documents={"start-node-1": invoice},
        poll_interval_seconds=0.5,
        output_path=f"{tmp_path}/",
    )

    written = json.loads((tmp_path / f"{manifest['run_id']}.json").read_text())
    assert written["end-node-1"]["json_data"]["invoice_number"] == "INV-2024-001"


@pytest.mark.filterwarnings("ignore:Logger .* attempted to send logs")
def test_outside_of_flows_a_task_is_a_run_of_its_own_and_its_retries_are_not(emulator):
    emulator.post_faults(
        [{"match": "POST /v1/workflows/*", "kind": "http_429", "times": 4, "retry_after": 0}]
    )
    task = prefect_collection.create_run.with_options(retries=1, retry_delay_seconds=0)

    first, second = task("wf_echo"), task("wf_echo")

    assert first != second
    assert emulator.stats()["runs_created"] == 2


def test_another_flow_run_is_another_run(run_flow, emulator):
    async def body(tasks):
        return await tasks.create_run("wf_echo")

    assert run_flow(body) != run_flow(body)


def test_a_wait_looks_again_even_where_results_are_stored(run_flow, emulator, invoice):
    async def body(tasks):
        run_id = await tasks.create_run("wf_invoice_review", documents={"start-node-1": invoice})
        waiting = await tasks.wait_for_run(run_id, poll_interval_seconds=0.5)
        await tasks.decide_review(run_id, waiting.waiting_for_node_ids[0], approved=True)
        return waiting.status_name, (await tasks.wait_for_run(run_id, poll_interval_seconds=0.5)).status_name

    with temporary_settings({PREFECT_RESULTS_PERSIST_BY_DEFAULT: True}):
        before, after = run_flow(body, persist_result=True)

    assert (before, after) == ("awaiting_review", "completed")


def test_a_failed_run_is_not_waited_for_again(run_flow, emulator):
    async def body(tasks):
        run_id = await tasks.create_run("wf_fail", json_inputs={"json-node-1": {"message": "no toner"}})
        await tasks.wait_for_run(run_id, poll_interval_seconds=0.5)

    with pytest.raises(RunFailedError, match="no toner"):
        run_flow(body, task_options={"retries": 3, "retry_delay_seconds": 60})


def test_an_account_may_be_named(run_flow, emulator, monkeypatch):
    name = f"account-{uuid4()}"
    RetabCredentials(api_key=API_KEY, base_url=emulator.url).save(name)
    monkeypatch.delenv("RETAB_API_KEY")

    async def body(tasks):
        return await tasks.create_run("wf_echo", credentials=name)

    assert run_flow(body).startswith("run_")


def test_a_run_in_a_result_store_has_no_key_and_goes_on_elsewhere(emulator, tmp_path):
    name = f"account-{uuid4()}"
    RetabCredentials(api_key=API_KEY, base_url=emulator.url).save(name)
    workflow = RetabWorkflow(credentials=RetabCredentials.load(name), workflow_id="wf_echo")

    storage = LocalFileSystem(basepath=str(tmp_path))
    storage.save(name)

    @task(persist_result=True, result_storage=storage)
    async def trigger():
        return await workflow.trigger()

    @flow(name=f"test-{uuid4()}")
    async def stored():
        state = await trigger(return_state=True)
        run = await state.aresult()
        again = copy.copy(run)  # as a pickle of it
        await again.wait_for_completion()
        return await again.fetch_result()

    assert asyncio.run(stored())
    traces = {"the key": API_KEY.encode(), "the key in base64": base64.b64encode(API_KEY.encode())[:-3]}
    contents = [json.loads(path.read_bytes())["result"] for path in tmp_path.rglob("*") if path.is_file()]
    assert contents
    for content in contents:
        assert not [trace for trace in traces.values() if trace in base64.b64decode(content)]


@pytest.fixture
def rotated():
    """An account that was loaded before its key was changed: at Retab, and in the block that it is saved in."""
    name = f"account-{uuid4()}"
    with Emulator(api_key="sk_before", speed=20.0) as server:
        RetabCredentials(api_key="sk_before", base_url=server.url).save(name)
        account = RetabCredentials.load(name)
        with account.get_client() as client:
            account_run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 30}})
        RetabCredentials(api_key="sk_after", base_url=server.url).save(name, overwrite=True)
        server.set_key("sk_after")
        yield server, account, account_run.id, name


def test_a_saved_account_whose_key_is_changed_is_read_anew_by_a_wait(run_flow, rotated):
    _, account, run_id, _ = rotated

    async def body(tasks):
        run = await tasks.wait_for_run(run_id, poll_interval_seconds=0.5, credentials=account)
        return run.status.value

    assert run_flow(body) == "completed"


def test_a_saved_account_whose_key_is_changed_is_read_anew_by_everything_that_asks_once(run_flow, rotated):
    server, account, run_id, _ = rotated

    async def body(tasks):
        assert (await tasks.get_run(run_id, credentials=account)).id == run_id
        assert [run.id for run in (await tasks.list_runs(credentials=account)).data] == [run_id]
        assert isinstance(await tasks.list_steps(run_id, credentials=account), list)
        made = [
            await tasks.create_run("wf_invoice_review", credentials=account),
            await tasks.restart_run(run_id, credentials=account),
        ]
        assert (await tasks.create_test_run("wf_invoice", credentials=account)).startswith(
            ("wftestrun_", "wfevalrun_")
        )
        waiting = await tasks.wait_for_run(made[0], poll_interval_seconds=0.5, credentials=account)
        [node] = waiting.waiting_for_node_ids
        await tasks.decide_review(made[0], node, approved=True, credentials=account)
        assert (await tasks.cancel_run(run_id, credentials=account)).id == run_id
        # As in a retry: the same run, whichever key it was created with.
        return [*made, await tasks.create_run("wf_invoice_review", credentials=account)]

    first, second, again = run_flow(body)

    assert first == again != second
    assert server.stats()["runs_created"] == 3


def test_a_job_whose_accounts_key_is_changed_reads_it_anew(rotated):
    server, account, run_id, name = rotated
    RetabWorkflow(credentials=account, workflow_id="wf_echo", poll_interval_seconds=0.5).save(name)
    # Loaded with the key that is good by now, so it is changed once more.
    workflow = RetabWorkflow.load(name)
    server.set_key("sk_last")
    RetabCredentials(api_key="sk_last", base_url=server.url).save(name, overwrite=True)

    @flow
    async def job():
        run = await workflow.trigger()
        await run.wait_for_completion()
        return run.run_id, await run.fetch_result(), (await workflow.trigger()).run_id

    started, outputs, again = asyncio.run(job())

    assert started == again != run_id
    assert outputs.keys() == {"end-node-1"}
    assert server.stats()["runs_created"] == 2


def test_an_account_that_was_not_saved_says_how_to_save_it(run_flow, emulator):
    async def body(tasks):
        await tasks.list_runs(credentials="nobody")

    with pytest.raises(ConfigurationError, match=r"nobody.*\.save\('nobody'\)"):
        run_flow(body)


def test_a_blocking_task_works_inside_an_async_flow(emulator):
    name = f"account-{uuid4()}"
    RetabCredentials(api_key=API_KEY, base_url=emulator.url).save(name)

    @flow
    async def mixed():
        return prefect_collection.create_run("wf_echo", credentials=name)

    assert asyncio.run(mixed()).startswith("run_")


def test_the_ready_flow_returns_the_outputs_and_prefect_stores_no_secret(run_ready_flow, emulator, invoice):
    credentials = RetabCredentials(api_key=API_KEY, base_url=emulator.url)

    outputs = run_ready_flow(
        "wf_invoice", documents={"start-node-1": invoice}, credentials=credentials, poll_interval_seconds=0.5
    )

    assert outputs["end-node-1"]["json_data"]["invoice_number"] == "INV-2024-001"
    assert outputs["end-node-1"].keys() <= {"label", "json_data", "document"}
    assert emulator.stats()["runs_created"] == 1
    stored = max(flow_runs(run_ready_flow.flow.name), key=lambda run: run.created)
    assert stored.parameters["documents"] == {"start-node-1": str(invoice)}
    assert API_KEY not in stored.model_dump_json()


@pytest.mark.parametrize("on_review", ["return", "fail"])
def test_the_ready_flow_at_a_review(run_ready_flow, emulator, invoice, on_review):
    def run():
        return run_ready_flow(
            "wf_invoice_review",
            documents={"start-node-1": invoice},
            on_review=on_review,
            poll_interval_seconds=0.5,
        )

    if on_review == "return":
        assert run() == {}
    else:
        with pytest.raises(ReviewRequiredError, match="hil-node-1"):
            run()


def test_the_ready_flow_refuses_contents_before_there_is_a_flow_run(run_ready_flow, emulator):
    before = len(flow_runs(run_ready_flow.flow.name))

    with pytest.raises(InvalidInputError, match="Prefect stores"):
        run_ready_flow("wf_invoice", documents={"start-node-1": b"Invoice number: 1"})

    assert len(flow_runs(run_ready_flow.flow.name)) == before
    assert emulator.stats()["runs_created"] == 0


def test_the_ready_flow_refuses_wrong_settings_before_it_creates(run_ready_flow, emulator):
    with pytest.raises(ParameterTypeError, match="on_review"):
        run_ready_flow("wf_invoice", on_review="maybe")

    assert emulator.stats()["requests"] == {}


def test_what_a_flow_logs_is_a_change_of_state_never_a_request_or_a_key(
    run_ready_flow, emulator, invoice, caplog
):
    with caplog.at_level(logging.INFO):
        run_ready_flow("wf_invoice", documents={"start-node-1": invoice}, poll_interval_seconds=0.01)

    said = [record.getMessage() for record in caplog.records if record.name.startswith(("prefect.", "httpx"))]
    about_runs = [line for line in said if "run_" in line]
    assert about_runs[0].startswith("Created run run_")
    assert about_runs[-1].endswith("is completed")
    assert len(about_runs) <= 4
    assert not any(API_KEY in line or emulator.url in line for line in said)


def test_blocks_are_stored_with_their_secret_hidden_and_load_as_they_were(emulator, invoice):
    name = f"invoices-{uuid4()}"
    reference = FileReference(id="file_1", filename="a.pdf", mime_type="application/pdf")
    workflow = RetabWorkflow(
        credentials=RetabCredentials(api_key=API_KEY, base_url=emulator.url),
        workflow_id="wf_invoice",
        documents={"start-node-1": invoice, "more": "s3://bucket/a.pdf", "known": reference},
        json_inputs={"json-node-1": {"a": [1, None]}},
        timeout_seconds=60,
    )

    workflow.save(name)
    loaded = RetabWorkflow.load(name)

    assert loaded.credentials.api_key.get_secret_value() == API_KEY
    assert {node: str(given) for node, given in loaded.documents.items() if node != "known"} == {
        "start-node-1": str(invoice),
        "more": "s3://bucket/a.pdf",
    }
    assert prefect_collection._documents.as_documents(loaded.documents)["known"] == reference
    assert loaded.model_dump(exclude={"credentials", "documents"}) == workflow.model_dump(
        exclude={"credentials", "documents"}
    )
    with get_client(sync_client=True) as client:
        stored = client.read_block_document_by_name(name, "retab-workflow", include_secrets=False)
    assert API_KEY not in stored.model_dump_json()


def test_the_examples_in_the_blocks_docstrings_run(emulator, invoice):
    name = f"example-{uuid4()}"
    account = RetabCredentials(api_key=API_KEY, base_url=emulator.url)
    account.save(name)
    RetabWorkflow(
        credentials=account,
        workflow_id="wf_invoice",
        documents={"start-node-1": invoice},
        poll_interval_seconds=0.5,
    ).save(name)

    made = {}
    for block in (RetabWorkflow, RetabCredentials):
        code = block.get_code_example().partition("```python\n")[2].partition("```")[0]
        exec(code.replace("BLOCK_NAME", name), made)  # noqa: S102

    assert made["outputs"]["end-node-1"]["json_data"]["total_amount"] == 1234.56
    assert len(made["page"].data) == 1


def test_a_loaded_workflow_runs(emulator, invoice):
    name = f"invoices-{uuid4()}"
    RetabWorkflow(
        credentials=RetabCredentials(api_key=API_KEY, base_url=emulator.url),
        workflow_id="wf_invoice",
        documents={"start-node-1": invoice},
        poll_interval_seconds=0.5,
    ).save(name)

    @flow
    async def nightly():
        workflow = await RetabWorkflow.aload(name)
        run = await workflow.trigger()
        await run.wait_for_completion()
        return await run.fetch_result()

    assert asyncio.run(nightly())["end-node-1"]["json_data"]["total_amount"] == 1234.56


@pytest.mark.parametrize("api", ["classic", "current"])
def test_a_create_that_is_stopped_from_outside_is_not_repeated(emulator, api):
    emulator.post_faults([{"match": "POST /v1/workflows/*", "kind": "hold_after"}])
    account = RetabCredentials(api_key=API_KEY, base_url=emulator.url, api=api)
    tries = []

    @flow(retries=1)
    async def stopped():
        tries.append(len(tries))
        if tries == [0]:
            creating = asyncio.ensure_future(prefect_collection.acreate_run("wf_echo", credentials=account))
            held = partial(wait_until, lambda: emulator.stats()["held"], timeout=60.0, what="the create")
            await asyncio.to_thread(held)
            creating.cancel()
            await asyncio.wait([creating])
            raise RuntimeError("stopped")
        return await prefect_collection.acreate_run("wf_echo", credentials=account)

    if api == "classic":
        with pytest.raises(CreateOutcomeUnknownError, match="cut off"):
            asyncio.run(stopped())
    else:
        asyncio.run(stopped())

    emulator.release()
    assert creates(emulator) == emulator.stats()["runs_created"] == 1
