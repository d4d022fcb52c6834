"""The lines on the page for users are what is logged, or raised: each is brought about, then looked up on the page."""

import logging

import pytest

from prefect_collection import create_run, flows
from retab_orchestration import AuthenticationError, ConfigurationError, NoTlsError, RetabClient
from tests.pages import is_shown


@pytest.fixture
def lines(caplog):
    """Return what was logged at a level."""
    caplog.set_level(logging.INFO)
    logging.getLogger("prefect").propagate = True
    return lambda level: [record.getMessage() for record in caplog.records if record.levelname == level]


def are_shown(*found):
    assert found
    assert [line for line in found if not is_shown(line, "prefect.md")] == []


def never_retried(error):
    class State:
        data = error

    return not create_run.retry_condition_fn(create_run, None, State)


def test_a_review(call, emulator, invoice, lines):
    run_id = call("create_run", "wf_invoice_review", documents={"start-node-1": invoice})

    run = call("wait_for_run", run_id, poll_interval_seconds=0.1)
    flows._returned(run, None)

    assert len(lines("WARNING")) == 2
    are_shown(*lines("WARNING"))


@pytest.fixture
def saved(monkeypatch, emulator):
    """A block as if it was saved, without a server that would keep it."""
    from prefect.blocks.core import Block

    from prefect_collection import RetabCredentials

    async def load(cls, name, **_):
        if name != "retab":
            raise ValueError(f"Unable to find block document named {name} for block type retab-credentials")
        block = RetabCredentials(api_key="sk_1", base_url=emulator.url)
        block._block_document_name = name
        return block

    monkeypatch.setattr(Block, "aload", classmethod(load))


def test_a_wrong_key(call, emulator, saved):
    emulator.post_faults([{"match": "*", "times": 99, "kind": "http_401"}])

    with pytest.raises(AuthenticationError) as refused:
        call("create_run", "wf_echo", credentials="retab")

    line, _, _ = str(refused.value).partition(" Check the API key")
    are_shown(line.removeprefix("GET /v1/workflows/steps: "))
    assert never_retried(refused.value)


def test_no_block(call, emulator, saved):
    with pytest.raises(ConfigurationError) as refused:
        call("create_run", "wf_echo", credentials="nowhere")

    are_shown(str(refused.value).replace("nowhere", "retab"))
    assert never_retried(refused.value)


def test_no_key(call, emulator, monkeypatch):
    monkeypatch.delenv("RETAB_API_KEY")

    with pytest.raises(ConfigurationError) as refused:
        call("create_run", "wf_echo")

    are_shown(str(refused.value))
    assert never_retried(refused.value)


def test_no_tls(call, emulator, monkeypatch):
    monkeypatch.setenv("RETAB_API_BASE_URL", emulator.url.replace("http://", "https://"))

    with pytest.raises(NoTlsError) as refused:
        call("create_run", "wf_echo")

    are_shown(str(refused.value).removeprefix("GET /v1/workflows/steps: "))
    assert never_retried(refused.value)


def test_an_outage(call, emulator, lines):
    with RetabClient() as client:
        run_id = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 20}}).id
    emulator.post_faults([{"match": "GET *", "times": 1, "kind": "http_503"}])

    call("wait_for_run", run_id, poll_interval_seconds=0.1)

    assert len(lines("WARNING")) == 2
    are_shown(*lines("WARNING"))


def test_a_run_that_is_new_and_one_that_was_found(lines, emulator):
    from prefect_collection._create_once.create import created, found

    created("run_1234567890")
    found("run_1234567890")

    are_shown(*lines("INFO"))
