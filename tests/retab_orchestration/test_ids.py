"""An id of a server's is an id, or its answer is not readable: it may become a file's name."""

import json
from enum import Enum

import pytest

from retab_orchestration import Document, FileReference, InvalidInputError, RunIdentity, UnreadableAnswerError
from retab_orchestration._operations import process_runs
from tests.retab_orchestration.conftest import ok

BAD = [
    "/etc/x",
    "../../x",
    "..",
    "a/b",
    "a\\b",
    "C:\\x",
    "a b",
    "a\n",
    "a\x1b[31m",
    "a\0",
    "é",
    "a?b",
    "a#b",
    "x" * 257,
    "\ud800",
]
GOOD = ["run_1", "0198c5b2-7f7e-7000-8000-000000000000", "a.b", "a:b~c=@d+e", "x" * 256]
ENDED = {"status": "completed"}


@pytest.fixture(params=["current", "classic"])
def api(request):
    return request.param


@pytest.mark.parametrize("bad", BAD)
def test_a_run_whose_id_is_none_is_not_readable(script, api, bad):
    for body in ({"id": bad, **ENDED}, {"run": {"id": bad, **ENDED}}):
        client, _ = script(*[ok(body)] * 9, api=api)
        with pytest.raises(UnreadableAnswerError) as refused:
            client.get_run("run_1", outputs=False)
        assert bad not in str(refused.value)


@pytest.mark.parametrize("bad", BAD)
def test_a_page_with_such_a_run_is_not_readable(script, api, bad):
    client, _ = script(*[ok({"data": [{"id": "run_1", **ENDED}, {"id": bad, **ENDED}]})] * 9, api=api)

    with pytest.raises(UnreadableAnswerError):
        client.list_runs()


@pytest.mark.parametrize("bad", BAD)
def test_a_review_whose_id_is_none_is_not_readable(script, bad):
    review = {"id": bad, "run_id": "run_1", "block_id": "node", "decision": None}
    client, runtime = script(*[ok({"data": [review]})] * 9, api="current")

    with pytest.raises(UnreadableAnswerError):
        client.decide_review("run_1", "node", approved=True)

    assert all(call.startswith("GET") for call in runtime.requests)


@pytest.mark.parametrize("bad", BAD)
def test_a_file_whose_id_is_none_is_refused(bad):
    with pytest.raises(InvalidInputError):
        FileReference(bad)


@pytest.mark.parametrize("good", GOOD)
def test_an_id_is_kept_as_it_is(script, api, good):
    client, _ = script(ok({"id": good, **ENDED}), api=api)

    assert client.get_run(good, outputs=False).id == good


@pytest.mark.parametrize("operation", ["get_run", "cancel_run", "restart_run"])
def test_a_run_that_was_not_asked_for_is_not_taken_for_the_one_that_was(script, operation):
    client, _ = script(*[ok({"id": "run_2", "workflow_id": "wf", **ENDED})] * 9, api="current")

    with pytest.raises(UnreadableAnswerError, match="another run"):
        getattr(client, operation)("run_1")


class Name(str, Enum):  # noqa: UP042  whose text differs
    """As people write their constants: its text in an f-string is not its value."""

    WORKFLOW = "wf_echo"
    API = "api"
    PDF = "application/pdf"


@pytest.mark.parametrize("metadata", ["kept", "unfiltered"])
def test_an_id_of_an_enumeration_is_its_value(connect, metadata):
    client, runtime = connect(server="current", traits={"metadata": metadata, "idempotency": "ignored"})
    owner = RunIdentity.of("a task")
    client.create_run("wf_fail")
    run = client.create_run(Name.WORKFLOW, identity=owner)
    process_runs._own.clear()

    assert client.create_run(Name.WORKFLOW, identity=owner, adopt=True).id == run.id
    assert [each.id for each in client.iter_runs(workflow_id=Name.WORKFLOW, trigger_type=Name.API)] == [
        run.id
    ]
    assert len(runtime.service.state.runs) == 2


def test_the_type_and_the_name_of_a_document_may_be_of_an_enumeration(script):
    document = Document(b"%PDF", filename=Name.WORKFLOW, mime_type=Name.PDF)
    client, runtime = script(ok({"id": "run_1", "status": "running"}), api="current")

    client.create_run("wf_1", documents={"start-1": document})

    sent = json.loads(runtime.bodies[0])["documents"]["start-1"]
    assert (sent["filename"], sent["url"][:28]) == ("wf_echo", "data:application/pdf;base64,")
