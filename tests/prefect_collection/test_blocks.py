import asyncio
import base64
import copy
import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from prefect.blocks.core import Block
from prefect.serializers import PickleSerializer
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from prefect.utilities.dispatch import get_registry_for_type

import prefect_collection
from prefect_collection import RetabCredentials, RetabRun, RetabWorkflow
from retab_orchestration import (
    AsyncRetabClient,
    InvalidInputError,
    ResponseTooLargeError,
    RetabClient,
    RetabError,
    ReviewRequiredError,
    RunCancelledError,
    RunFailedError,
    UploadNotAllowedError,
    WaitTimeoutError,
)
from tests.prefect_collection.conftest import API_KEY

# Collections load lazily, so only the import above puts their blocks where this finds them.
BLOCKS = sorted(
    (
        block
        for block in get_registry_for_type(Block).values()
        if block.__module__.startswith("prefect_collection")
    ),
    key=lambda block: block.__name__,
)


def test_importing_the_package_registers_its_blocks():
    assert {RetabCredentials, RetabWorkflow} == set(BLOCKS)


def test_prefect_finds_the_package_by_its_entry_point():
    (found,) = entry_points(group="prefect.collections", name="prefect_collection")

    assert found.load() is prefect_collection


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
class TestAsPrefectWantsBlocks(BlockStandardTestSuite):
    @pytest.fixture
    def block(self, block):
        return block

    def test_has_a_valid_image(self, block):
        # Prefect's own test downloads the logo. Without a network, what can be told is that it is a PNG of Retab's.
        place = urlsplit(str(block._logo_url))

        assert (place.scheme, place.hostname) == ("https", "raw.githubusercontent.com")
        assert place.path.startswith("/retab-dev/retab/")
        assert place.path.endswith(".png")


@pytest.fixture
def credentials(emulator):
    return RetabCredentials(api_key=API_KEY, base_url=emulator.url)


def test_credentials_make_clients_of_both_colours(emulator, monkeypatch):
    monkeypatch.delenv("RETAB_API_KEY")
    monkeypatch.delenv("RETAB_API_BASE_URL")
    block = RetabCredentials(api_key=API_KEY, base_url=emulator.url)

    async def list_runs():
        async with block.get_async_client() as client:
            assert isinstance(client, AsyncRetabClient)
            return await client.list_runs()

    with block.get_client() as client:
        assert isinstance(client, RetabClient)
        assert client.list_runs().data == asyncio.run(list_runs()).data == ()


def test_an_empty_address_takes_the_environments(emulator):
    assert RetabCredentials(api_key=API_KEY, base_url="").get_client().base_url == emulator.url


def test_credentials_hide_their_secrets():
    block = RetabCredentials(api_key=API_KEY, proxy="http://user:hunter2@proxy:8080")

    shown = f"{block!r} {block} {block.model_dump_json()} {block.model_dump()}"

    assert API_KEY not in shown
    assert "hunter2" not in shown


def test_upload_hosts_narrow_where_documents_go(emulator):
    block = RetabCredentials(api_key=API_KEY, base_url=emulator.url, upload_hosts=["storage.example"])
    large = {"start-node-1": ("a.pdf", b"x" * (4 * 1024 * 1024 + 1))}

    with block.get_client() as client, pytest.raises(UploadNotAllowedError, match="not among upload_hosts"):
        client.create_run("wf_invoice", documents=large)

    assert emulator.stats()["runs_created"] == 0
    RetabCredentials(api_key=API_KEY, base_url=emulator.url, upload_hosts=[]).get_client().close()
    with pytest.raises(ValueError, match="upload_hosts must list hosts"):
        RetabCredentials(api_key=API_KEY, base_url=emulator.url, upload_hosts=["https://storage.example"])


def test_the_largest_answer_is_a_field(emulator):
    with RetabCredentials(api_key=API_KEY, base_url=emulator.url).get_client() as client:
        run = client.create_run("wf_echo", json_inputs={"json-node-1": {"text": "x" * 100_000}})
    block = RetabCredentials(api_key=API_KEY, base_url=emulator.url, max_response_bytes=65536)

    with block.get_client() as client, pytest.raises(ResponseTooLargeError, match="raise max_response_bytes"):
        client.get_run(run.id)
    with pytest.raises(ValueError, match="max_response_bytes must be a whole number of at least"):
        RetabCredentials(api_key=API_KEY, base_url=emulator.url, max_response_bytes=5)


def test_a_workflow_runs_and_gives_its_outputs(credentials, emulator, invoice):
    workflow = RetabWorkflow(
        credentials=credentials,
        workflow_id="wf_invoice",
        documents={"start-node-1": str(invoice)},
        poll_interval_seconds=0.5,
    )

    async def run():
        job = await workflow.trigger()
        await job.wait_for_completion()
        return job, await job.fetch_result()

    job, outputs = asyncio.run(run())

    assert isinstance(job, RetabRun)
    assert outputs["end-node-1"]["json_data"]["total_amount"] == 1234.56
    assert emulator.stats()["runs_created"] == 1


def test_a_workflow_runs_at_once_where_no_event_loop_runs(credentials, emulator):
    """In a script, and in a thread of a program whose loop is elsewhere."""
    workflow = RetabWorkflow(
        credentials=credentials,
        workflow_id="wf_echo",
        json_inputs={"json-node-1": {"n": 1}},
        poll_interval_seconds=0.5,
    )

    def run():
        job = workflow.trigger()
        job.wait_for_completion()
        return job, job.fetch_result()

    async def in_a_thread():
        return await asyncio.to_thread(run)

    for job, outputs in (run(), asyncio.run(in_a_thread())):
        assert isinstance(job, RetabRun)
        assert outputs["end-node-1"]["json_data"]["json-node-1"] == {"n": 1}
    assert emulator.stats()["runs_created"] == 2


def test_in_an_event_loop_each_method_of_a_job_is_awaited(credentials, emulator):
    workflow = RetabWorkflow(credentials=credentials, workflow_id="wf_echo", poll_interval_seconds=0.5)

    async def run():
        begun = workflow.trigger()
        before = emulator.stats()["runs_created"]
        job = await begun
        await job.wait_for_completion()
        return before, await job.fetch_result(), await (await workflow.atrigger()).await_for_completion()

    before, outputs, nothing = asyncio.run(run())

    assert (before, nothing) == (0, None)
    assert outputs
    assert emulator.stats()["runs_created"] == 2


def test_a_run_that_is_stored_has_the_name_of_its_block_and_no_key(credentials):
    credentials._block_document_name = "retab"
    workflow = RetabWorkflow(credentials=credentials, workflow_id="wf_invoice", timeout_seconds=60)

    stored = PickleSerializer().dumps(workflow.get_run("run_1"))
    again = PickleSerializer().loads(stored)

    content = base64.b64decode(stored)
    assert API_KEY.encode() not in content
    assert b"retab" in content
    assert (again.run_id, again.credentials, again.timeout_seconds) == ("run_1", "retab", 60)


def test_a_run_whose_block_was_never_saved_is_not_stored(credentials):
    run = RetabWorkflow(credentials=credentials, workflow_id="wf_invoice").get_run("run_1")

    with pytest.raises(
        InvalidInputError, match=r"save the block and give its name.*or return run\.run_id"
    ) as refused:
        pickle.dumps(run)

    assert API_KEY not in str(refused.value)
    assert copy.copy(RetabRun("run_1")).credentials is None


def test_an_account_is_stored_by_its_name_alone_and_so_is_a_workflow_with_it(credentials):
    credentials._block_document_name = "retab"

    for block in (credentials, RetabWorkflow(credentials=credentials, workflow_id="wf_invoice")):
        content = base64.b64decode(PickleSerializer().dumps({"deep": [block]}))
        assert API_KEY.encode() not in content
        assert b"retab" in content


def test_an_account_that_was_never_saved_is_not_stored(credentials):
    for block in (credentials, RetabWorkflow(credentials=credentials, workflow_id="wf_invoice")):
        with pytest.raises(InvalidInputError, match=r"never saved.*save it") as refused:
            PickleSerializer().dumps({"deep": [block]})

        assert API_KEY not in str(refused.value)
        assert copy.deepcopy(block) == copy.copy(block) == block


def test_output_nodes_choose_what_is_fetched(credentials, invoice):
    workflow = RetabWorkflow(
        credentials=credentials,
        workflow_id="wf_invoice",
        documents={"start-node-1": invoice},
        output_nodes=["extract-node-1"],
    )

    async def run():
        job = await workflow.trigger()
        await job.wait_for_completion()
        return await job.fetch_result()

    assert list(asyncio.run(run())) == ["extract-node-1"]


def test_empty_output_nodes_are_those_that_the_workflow_ends_with(credentials, invoice):
    workflow = RetabWorkflow(
        credentials=credentials,
        workflow_id="wf_invoice",
        documents={"start-node-1": invoice},
        output_nodes=[],
    )

    async def run():
        job = await workflow.trigger()
        await job.wait_for_completion()
        return await job.fetch_result()

    assert list(asyncio.run(run())) == ["end-node-1"]


@pytest.mark.parametrize(
    "value",
    [float("nan"), datetime(2026, 1, 1, tzinfo=UTC), {1}, Decimal("1.10"), {1: "a", "1": "b"}],
    ids=repr,
)
def test_what_would_be_stored_as_something_else_is_not_stored(credentials, value):
    workflow = RetabWorkflow(
        credentials=credentials, workflow_id="wf_echo", json_inputs={"json-node-1": value}
    )

    with pytest.raises(InvalidInputError, match=r"json_inputs\['json-node-1'\] is not JSON"):
        workflow._to_block_document(name="echo", block_schema_id=uuid4(), block_type_id=uuid4())


def started(workflow_id, **inputs):
    with RetabClient() as client:
        return client.create_run(workflow_id, **inputs).id


def test_a_run_that_waits_for_a_human_ends_the_wait_and_has_no_result_yet(emulator, invoice):
    job = RetabRun(
        started("wf_invoice_review", documents={"start-node-1": invoice}), poll_interval_seconds=0.5
    )

    async def run():
        await job.wait_for_completion()
        await job.fetch_result()

    with pytest.raises(ReviewRequiredError, match=r"hil-node-1.*decide") as error:
        asyncio.run(run())
    assert error.value.run_id == job.run_id


def test_a_decided_run_can_be_waited_for_again(emulator, invoice):
    job = RetabRun(
        started("wf_invoice_review", documents={"start-node-1": invoice}), poll_interval_seconds=0.5
    )

    async def run():
        await job.wait_for_completion()
        async with AsyncRetabClient() as client:
            await client.decide_review(
                job.run_id, "hil-node-1", approved=True, modified_data={"total_amount": 7}
            )
        await job.wait_for_completion()
        return await job.fetch_result()

    assert asyncio.run(run())["end-node-1"]["json_data"]["total_amount"] == 7


def test_a_failed_run_raises_its_own_message_from_the_wait_and_from_the_result(emulator):
    job = RetabRun(started("wf_fail", json_inputs={"json-node-1": {"message": "the scanner is on fire"}}))

    for method in (job.await_for_completion, job.afetch_result):
        with pytest.raises(RunFailedError, match="the scanner is on fire"):
            asyncio.run(method())


def test_a_cancelled_run_raises(emulator):
    run_id = started("wf_echo", json_inputs={"json-node-1": {"seconds": 60_000}})
    with RetabClient() as client:
        client.cancel_run(run_id)

    with pytest.raises(RunCancelledError, match=run_id):
        asyncio.run(RetabRun(run_id).await_for_completion())


def test_the_result_of_a_run_that_goes_on_is_refused(emulator):
    run_id = started("wf_echo", json_inputs={"json-node-1": {"seconds": 60_000}})

    with pytest.raises(RetabError, match=r"wait_for_completion\(\) first"):
        asyncio.run(RetabRun(run_id).afetch_result())


def test_a_wait_has_a_deadline(emulator):
    run_id = started("wf_echo", json_inputs={"json-node-1": {"seconds": 60_000}})

    with pytest.raises(WaitTimeoutError, match=f"{run_id}.*goes on"):
        asyncio.run(RetabRun(run_id, timeout_seconds=0.2).await_for_completion())


def test_a_run_is_rebuilt_from_its_id_in_another_process(emulator, invoice):
    run_id = started("wf_invoice", documents={"start-node-1": invoice})
    program = """
import asyncio, json, sys
from prefect_collection import RetabRun

async def main(run):
    await run.wait_for_completion()
    print(json.dumps(await run.fetch_result()))

asyncio.run(main(RetabRun(sys.argv[1])))
"""

    answer = subprocess.run(
        [sys.executable, "-c", program, run_id],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )

    assert json.loads(answer.stdout)["end-node-1"]["json_data"]["invoice_number"] == "INV-2024-001"
    assert emulator.stats()["runs_created"] == 1
