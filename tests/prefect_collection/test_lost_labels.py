"""Labels that are lost because several processes of a flow run write them at the same time, as on PostgreSQL."""

import asyncio
import json
from contextlib import suppress
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import PrefectClient, SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH, temporary_settings
from prefect.states import Cancelled

from prefect_collection import cancel_retab_runs, create_run, run_workflow
from prefect_collection._create_once.creation import Creation
from prefect_collection._create_once.decide import Start
from prefect_collection._create_once.tagging import Tagging
from prefect_collection._identity import Owner
from prefect_collection._state import CallRecords, Given
from prefect_collection._tags import _families
from retab_orchestration import RetabClient
from tests.prefect_collection.conftest import API_KEY

LONG = {"json-node-1": {"seconds": 60_000}}
FACTS = ("facts-of-a-document",)
CALLS = 3


class Server:
    """Prefect's server: of the labels that are written at the same time, those of the last request are kept."""

    def __init__(self):
        self.id = uuid4()
        self.labels = {}

    def update(self, flow_run_id, labels):
        assert flow_run_id == self.id
        self.labels = labels

    @property
    def flow_run(self):
        return FlowRun(id=self.id, flow_id=uuid4(), labels=self.labels)


@pytest.fixture
def server(inputs, monkeypatch, tmp_path):
    server = Server()

    async def read(*_):
        return server.flow_run

    def has_no_storage(_):
        raise ValueError("there is none")

    monkeypatch.setattr(SyncPrefectClient, "update_flow_run_labels", server.update)
    monkeypatch.setattr(SyncPrefectClient, "read_flow_run", lambda *_: server.flow_run)
    monkeypatch.setattr(PrefectClient, "read_flow_run", read)
    # Prefect 3.4 does not ask for it.
    monkeypatch.setattr(
        SyncPrefectClient, "read_server_default_result_storage", has_no_storage, raising=False
    )
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "results"}):
        yield server


@pytest.fixture
def elsewhere(tmp_path):
    """Go on in another process on another machine."""
    _families.clear()
    with temporary_settings({PREFECT_LOCAL_STORAGE_PATH: tmp_path / "elsewhere"}):
        yield


def records_of(server, number, *, start=Start.FIRST, is_alone=False):
    """Return the records of one call, as the process has them that makes it."""
    given = Given("create_run", {"number": number}, places={"start-node-1": f"{number}.pdf"})
    owner = Owner(
        str(server.id),
        flow_runs=(server.id,),
        labels=server.labels,
        start=start,
        attempt=start.value,
        is_alone=is_alone,
    )
    return CallRecords(owner, given, None, "account")


def read_earlier(records):
    """Read what earlier attempts have written, as each call does first."""
    creation = Creation("create_run", {}, None, fail, read=fail, can_find=fail, find=fail, target={})
    effects = Tagging(creation, records).add_earlier()
    with suppress(StopIteration):
        effect = next(effects)
        while True:
            effect = effects.send(effect.batches.join(effect.key, effect.item))


def fail(*_, **__):
    pytest.fail("Retab is asked")


def begin(records):
    content = records.content_of({"start-node-1": "content"})
    return records.begin(records.by_content(content), FACTS)


@pytest.fixture
def created(server, emulator):
    """Runs whose processes have all begun before the first of them is created; call -> run."""
    begun = {number: (records := records_of(server, number), begin(records)) for number in range(CALLS)}
    runs = {number: create_run.fn("wf_echo", json_inputs=LONG) for number in begun}
    for number, (records, record) in begun.items():
        records.keep(runs[number], record, FACTS)
    return runs


def test_all_runs_are_cancelled_with_their_flow_run(created, server, emulator):
    asyncio.run(cancel_retab_runs(run_workflow, server.flow_run, Cancelled()))

    with RetabClient(API_KEY, emulator.url) as client:
        assert {client.get_run(run_id).status_name for run_id in created.values()} == {"cancelled"}


def test_a_later_attempt_on_another_machine_knows_all_runs(created, server, request):
    request.getfixturevalue("elsewhere")

    for number, run_id in created.items():
        records = records_of(server, number, start=Start.LATER)
        assert records.has_unread == (number == 0)
        read_earlier(records)
        [by_place] = records.by_place()
        assert (by_place.run_id, by_place.facts) == (run_id, FACTS)
        assert records.by_content(by_place.content).run_id == run_id


def test_a_create_is_known_whose_process_has_died(server, request):
    begun = [begin(records_of(server, number)) for number in range(CALLS)]
    request.getfixturevalue("elsewhere")

    for number, record in enumerate(begun):
        records = records_of(server, number)
        records.refresh_shared(record.content)
        assert records.by_content(record.content).since == record.since


def test_a_run_that_is_known_from_an_input_is_replaced_by_the_one_after_it(created, server, request):
    request.getfixturevalue("elsewhere")
    records = records_of(server, 0, start=Start.LATER, is_alone=True)
    read_earlier(records)
    [record] = records.by_place()

    records.keep("run_after", begin(records), FACTS)

    assert records.by_content(record.content).run_id == "run_after"
    _families.clear()
    again = records_of(server, 0, start=Start.LATER)
    read_earlier(again)
    assert again.by_content(record.content).run_id == "run_after"


def test_a_process_that_is_alone_writes_labels_and_nothing_else(server, inputs):
    records = records_of(server, 0, is_alone=True)

    records.keep("run_1", begin(records), FACTS)

    assert "run_1" in server.labels.values()
    assert not inputs


def test_a_server_that_takes_no_inputs_has_the_labels(server, monkeypatch):
    def refuse(*_, **__):
        answer = httpx.Response(403, request=httpx.Request("POST", "http://prefect.test"))
        raise PrefectHTTPStatusError("no", request=answer.request, response=answer)

    monkeypatch.setattr(SyncPrefectClient, "request", refuse)
    records = records_of(server, 0)
    records.keep("run_1", begin(records), FACTS)

    later = records_of(server, 0, start=Start.LATER)
    read_earlier(later)
    assert [record.run_id for record in later.by_place()] == ["run_1"]


@pytest.mark.parametrize("value", ["[", "[]", "5", json.dumps({"retab.run.x": ["run_1"]})])
def test_an_input_of_somebody_else_is_no_label(server, inputs, value):
    key = "retab-record-x-1"
    inputs[key] = {"key": key, "value": value, "created": "2026-11-29T12:00:00+00:00"}
    records = records_of(server, 0, start=Start.LATER)

    read_earlier(records)

    assert not records.by_content("x").is_known
