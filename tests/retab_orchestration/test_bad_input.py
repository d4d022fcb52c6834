"""What is refused: as which error, with which advice, and before a run exists."""

import io
from pathlib import Path

import pytest

from retab_orchestration import (
    AuthenticationError,
    ConfigurationError,
    Document,
    FileReference,
    InvalidInputError,
    NotFoundError,
    RequestRejectedError,
    RetabClient,
    RunIdentity,
    UnsupportedRouteError,
)

PDF = ("invoice.pdf", b"%PDF-1.4 Invoice number: INV-7")


async def awaited(run):
    pass


def closed():
    stream = io.BytesIO(b"%PDF")
    stream.close()
    return Document(stream, filename="a.pdf")


def documents(given, node="start-node-1"):
    return {"workflow_id": "wf_invoice", "documents": {node: given}}


IS_ID = "must be an id, a string that is not empty"

# What `create_run` was given, and what the error says to do about it.
CREATES = [
    ({"workflow_id": ""}, f"workflow_id {IS_ID}"),
    ({"workflow_id": None}, f"workflow_id {IS_ID}"),
    ({"workflow_id": 7}, f"workflow_id {IS_ID}"),
    ({"workflow_id": "wf/1"}, "copy the id from Retab"),
    ({"workflow_id": "wf 1"}, "copy the id from Retab"),
    ({"workflow_id": "wf?x"}, "copy the id from Retab"),
    ({"workflow_id": ".."}, "copy the id from Retab"),
    ({"workflow_id": "wf_\n"}, "copy the id from Retab"),
    ({"workflow_id": "wf_é"}, "copy the id from Retab"),
    ({"documents": [1]}, "documents must map start node ids to values"),
    ({"documents": "invoice.pdf"}, "documents must map start node ids to values"),
    (documents("a.pdf"), r"wrap a local path in pathlib\.Path"),
    (documents(b"bytes"), r"needs a name: \(filename, bytes\)"),
    (documents(("a.pdf", "text")), r"must be \(filename, bytes\)"),
    (documents(("a.pdf",)), r"must be \(filename, bytes\)"),
    (documents(("a.pdf", b"")), "is empty; there is nothing to process"),
    (
        documents(7),
        r"documents\['start-node-1'\]: a document must be a pathlib\.Path, .*, or a FileReference",
    ),
    (
        documents(None),
        r"documents\['start-node-1'\]: a document must be a pathlib\.Path, .*, or a FileReference",
    ),
    (documents(PDF, node=""), f"a node id in documents {IS_ID}"),
    (documents(PDF, node="a b"), "copy the id from Retab"),
    (documents(Path("/nowhere.pdf")), "no file /nowhere.pdf; check the path"),
    (documents(Path("/")), "is a directory; give one file"),
    (documents(Path("/dev/null")), "open it with mode 'rb'"),
    (documents(io.StringIO("text")), "open it with mode 'rb'"),
    (documents(io.BytesIO(b"%PDF")), "has no name; give it one with Document"),
    (documents(closed()), "closed already; open it, or give its path"),
    (
        documents(Document(b"%PDF", filename=7)),
        "filename and mime_type must be strings, or None to go by the source",
    ),
    (documents({"filename": "a.pdf"}), "a file reference needs an id"),
    (documents({"content": "JVBERg=="}), "a file reference has id or file_id.*not content"),
    ({"json_inputs": "text"}, "json_inputs must map start node ids to values"),
    ({"json_inputs": {7: {}}}, f"a node id in json_inputs {IS_ID}"),
    ({"json_inputs": {"n": {1, 2}}}, "is not JSON.*give dicts, lists"),
    ({"json_inputs": {"n": b"bytes"}}, "is not JSON.*give dicts, lists"),
    ({"json_inputs": {"n": float("nan")}}, "is not JSON.*give dicts, lists"),
    ({"json_inputs": {"n": {(1, 2): 3}}}, "is not JSON.*give dicts, lists"),
    ({"text_inputs": {"n": 7}}, r"text_inputs\['n'\] must be a string"),
    ({"text_inputs": "hello"}, "text_inputs must map start node ids to values"),
    ({"version": ""}, f"version {IS_ID}"),
    ({"version": 3}, f"version {IS_ID}"),
    ({"version": "a b"}, "copy the id from Retab"),
    ({"metadata": {"a": 1}}, "metadata must map strings to strings"),
    ({"metadata": {1: "a"}}, "metadata must map strings to strings"),
    ({"metadata": ["a"]}, "metadata must map strings to strings"),
    (
        {"metadata": {"retab-orchestration.identity": "mine"}},
        "keys that start with retab-orchestration are ours",
    ),
    ({"identity": "me"}, r"build it with RunIdentity\.of"),
]

# What any other operation was given.
CALLS = [
    ("get_run", ["run/1"], {}, "copy the id from Retab"),
    ("get_run", [""], {}, f"run_id {IS_ID}"),
    ("get_run", [".."], {}, "copy the id from Retab"),
    (
        "get_run",
        ["run_1"],
        {"output_nodes": "end-node-1"},
        "output_nodes must be a list of node ids, or None",
    ),
    ("get_run", ["run_1"], {"output_nodes": []}, "output_nodes must be a list of node ids, or None"),
    ("get_run", ["run_1"], {"output_nodes": [7]}, f"a node id in output_nodes {IS_ID}"),
    ("list_steps", [None], {}, f"run_id {IS_ID}"),
    ("cancel_run", ["run 1"], {}, "copy the id from Retab"),
    ("restart_run", ["run 1"], {}, "copy the id from Retab"),
    ("restart_run", [None], {}, f"run_id {IS_ID}"),
    ("wait_for_run", ["run_1"], {"timeout": 0}, "timeout must be seconds, more than 0, or None"),
    ("wait_for_run", ["run_1"], {"timeout": -1}, "timeout must be seconds, more than 0, or None"),
    ("wait_for_run", ["run_1"], {"timeout": "60"}, "timeout must be seconds, more than 0, or None"),
    ("wait_for_run", ["run_1"], {"timeout": float("nan")}, "timeout must be seconds, more than 0, or None"),
    ("wait_for_run", ["run_1"], {"poll": 5}, "poll must be a PollPolicy"),
    ("wait_for_run", ["run_1"], {"on_review": "ask"}, "on_review must be one of return, wait"),
    ("wait_for_run", ["run_1"], {"on_change": awaited}, "on_change must be a plain function"),
    ("list_runs", [], {"limit": 0}, "limit must be a whole number from 1 to 100"),
    ("list_runs", [], {"colour": "red"}, "has no filter colour; it has .*workflow_id"),
    ("list_runs", [], {"before": "run_1", "after": "run_2"}, "before and after exclude each other"),
    ("list_runs", [], {"min_duration_ms": 5, "max_duration_ms": 1}, "must not be after or above"),
    ("list_runs", [], {"metadata": {"a": 1}}, "metadata must map strings to strings"),
    ("list_runs", [], {"status": "sleeping"}, "status must be one of"),
    ("list_runs", [], {"from_date": "yesterday"}, "must be a date or YYYY-MM-DD"),
    ("iter_runs", [], {"order": "up"}, "order must be one of asc, desc"),
    ("decide_review", ["run_1", ""], {"approved": True}, f"node_id {IS_ID}"),
    ("decide_review", ["run_1", "n"], {"approved": "yes"}, "approved must be True or False"),
    (
        "decide_review",
        ["run_1", "n"],
        {"approved": True, "modified_data": [1]},
        "modified_data must be a dict",
    ),
    (
        "decide_review",
        ["run_1", "n"],
        {"approved": True, "modified_data": {"a": {1}}},
        "modified_data is not JSON.*give dicts, lists",
    ),
    ("decide_review", ["run_1", "n"], {"approved": False, "modified_data": {}}, "goes with approved=True"),
    ("decide_review", ["run_1", "n"], {"approved": False, "reason": " "}, "reason must be a string"),
    ("create_test_run", ["wf_1"], {"test_id": "t", "block_id": "b"}, "not both"),
    ("create_test_run", ["wf_1"], {"n_consensus": 4}, "n_consensus must be one of 3, 5, 7"),
    ("create_test_run", ["wf_1"], {"test_id": ""}, f"test_id {IS_ID}"),
    ("get_test_run", ["a b"], {}, "copy the id from Retab"),
    ("wait_for_test_run", ["t"], {"timeout": 0}, "timeout must be seconds, more than 0"),
    ("get_test_result", ["t", ""], {}, f"test_id {IS_ID}"),
]

# What the server has to refuse, for only it can know; and what the routes do not have.
REFUSED = [
    ("both", {"workflow_id": "wf_nowhere"}, NotFoundError, "wf_nowhere.*Check the id"),
    ("classic", {"workflow_id": "wf_nowhere"}, NotFoundError, "wf_nowhere.*Check the id"),
    ("both", {"documents": {"start-node-9": PDF}}, RequestRejectedError, "start-node-9.*correct the call"),
    ("classic", {"documents": {"start-node-9": PDF}}, RequestRejectedError, "start-node-9.*correct the call"),
    ("both", {"json_inputs": {"json-node-9": {}}}, RequestRejectedError, "json-node-9.*correct the call"),
    ("classic", {"text_inputs": {"text-node-9": ""}}, RequestRejectedError, "text-node-9.*correct the call"),
    ("classic", {"version": "draft"}, InvalidInputError, "leave them out or set api='current'"),
    ("classic", {"metadata": {"a": "b"}}, InvalidInputError, "leave them out or set api='current'"),
    (
        "classic",
        documents(FileReference(url="https://storage.retab.com/x", filename="x")),
        InvalidInputError,
        "give its id or the document",
    ),
    ("current", {"text_inputs": {"text-node-1": "x"}}, InvalidInputError, "json_inputs or set api='classic'"),
    ("classic served as current", {}, UnsupportedRouteError, "set api="),
    ("current served as classic", {}, UnsupportedRouteError, "set api="),
    ("wrong key", {}, AuthenticationError, "Check the API key"),
]

# What a client was made with.
CLIENTS = [
    ({"api_key": ""}, "pass api_key or set RETAB_API_KEY"),
    ({"api_key": "two words"}, "copy it again"),
    ({"base_url": "api.retab.com"}, "base_url must look like https"),
    ({"base_url": "http://user:pw@host"}, "base_url must look like https"),
    ({"api": "newest"}, "api must be one of auto, classic, current"),
    ({"auth": "basic"}, "auth must be one of auto, api-key, bearer"),
    ({"timeout": 0}, "timeout must be seconds, more than 0"),
    ({"verify": 3}, "verify must be True, False or a path"),
    ({"proxy": "socks5://x"}, "proxy must look like http"),
]


@pytest.mark.parametrize(("given", "advice"), CREATES)
def test_a_create_is_refused_before_anything_is_sent(connect, given, advice):
    client, runtime = connect()

    with pytest.raises(InvalidInputError, match=f"(?s){advice}"):
        client.create_run(**{"workflow_id": "wf_echo", **given})

    assert runtime.sent == []
    assert runtime.service.stats()["runs_created"] == 0


@pytest.mark.parametrize(("operation", "arguments", "options", "advice"), CALLS)
def test_a_call_is_refused_before_anything_is_sent(connect, operation, arguments, options, advice):
    client, runtime = connect()

    with pytest.raises(InvalidInputError, match=advice):
        getattr(client, operation)(*arguments, **options)

    assert runtime.sent == []
    assert runtime.service.stats()["runs_created"] == 0


@pytest.mark.parametrize(("server", "given", "error", "advice"), REFUSED)
def test_what_the_routes_or_the_server_refuse_creates_nothing(connect, server, given, error, advice):
    served, _, taken_for = server.partition(" served as ")
    if server == "wrong key":
        client, runtime = connect()
        runtime.service._api_key = "another"
    else:
        api = taken_for or {"both": "auto"}.get(served, served)
        client, runtime = connect(server=served, api=api, auth="bearer")

    with pytest.raises(error, match=f"(?s){advice}"):
        client.create_run(**{"workflow_id": "wf_echo", **given})

    assert runtime.service.stats()["runs_created"] == 0


@pytest.mark.parametrize(("settings", "advice"), CLIENTS)
def test_a_client_is_refused_before_it_is_used(settings, advice):
    with pytest.raises(ConfigurationError, match=advice) as refused:
        RetabClient(**{"api_key": "key-1", "base_url": "http://retab.test", **settings})

    assert "pw@" not in str(refused.value)


@pytest.mark.parametrize("parts", [(), ("",), (None,), (None, "")])
def test_an_identity_of_nothing_is_refused(parts):
    with pytest.raises(InvalidInputError, match="at least one part"):
        RunIdentity.of(*parts)


def test_there_are_enough_of_them():
    assert len(CREATES) + len(CALLS) + len(REFUSED) + len(CLIENTS) >= 80
