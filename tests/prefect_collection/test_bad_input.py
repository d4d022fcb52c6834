"""What is refused: as which error, with which advice, and before a run exists."""

import asyncio
import io
from uuid import uuid4

import pytest
from prefect import Task
from prefect.exceptions import ParameterBindError, ParameterTypeError
from prefect.utilities.callables import get_call_parameters
from pydantic import ValidationError

import prefect_collection
from prefect_collection import RetabCredentials, RetabRun, RetabWorkflow, cancellation_automation
from retab_orchestration import (
    AuthenticationError,
    ConfigurationError,
    Document,
    InvalidInputError,
    NotFoundError,
    RequestRejectedError,
)
from tests.prefect_collection.conftest import API_KEY


@pytest.fixture(autouse=True)
def nothing_is_created(emulator):
    """Count at the end of each test here; what we refuse ourselves is not even sent."""
    yield
    stats = emulator.stats()
    assert stats["runs_created"] == 0
    assert creates(stats) <= 1


def creates(stats):
    return sum(count for call, count in stats["requests"].items() if call.startswith("POST "))


def one(document, node="start-node-1"):
    return {"workflow_id": "wf_invoice", "documents": {node: document}}


def echo(**given):
    return {"workflow_id": "wf_echo", **given}


COPY = "copy the id from Retab again"
IS_ID = "must be an id, a string that is not empty"
CHECK = "Check the id, and that the key belongs to the same organisation"
CORRECT = "did nothing: correct the call"
STORES = r"start-node-1.*Prefect stores.*give a local path, a URI .*; write bytes to a file first"
A_PLACE = r"start-node-1.*a local path, a URI that fsspec can open, or a FileReference"
IS_JSON = "is not JSON.*give dicts, lists, strings"
LEAVE_OUT = "leave them out or set api='current'"
POSITIVE = "more than 0"
FSSPEC = "install the fsspec package for it where the flow runs"
NODES = "output_nodes must be a list of node ids, or None"
ACCOUNT = "credentials must be a RetabCredentials block, the name of a saved one, or None"

# What a task was given, and what the error says to do about it. Nothing is sent.
REFUSED = [
    ("create_run", {"workflow_id": "wf/invoice"}, COPY),
    ("create_run", {"workflow_id": "wf invoice"}, COPY),
    ("create_run", {"workflow_id": ""}, IS_ID),
    ("create_run", {"workflow_id": None}, IS_ID),
    ("create_run", one(b"%PDF"), STORES),
    ("create_run", one(bytearray(b"%PDF")), STORES),
    ("create_run", one(("a.pdf", b"%PDF")), STORES),
    ("create_run", one(io.BytesIO(b"%PDF")), STORES),
    ("create_run", one(Document(b"%PDF", filename="a.pdf")), STORES),
    ("create_run", one(""), f"empty string.*{A_PLACE.partition('.*')[2]}"),
    ("create_run", one(5), A_PLACE),
    ("create_run", one(None), A_PLACE),
    ("create_run", one(["a.pdf"]), A_PLACE),
    ("create_run", one({"name": "a.pdf"}), "a file reference has id or file_id, filename.*not name"),
    ("create_run", one("/no/such.pdf"), "no file /no/such.pdf; check the path"),
    ("create_run", one("/"), "is a directory; give one file"),
    ("create_run", one("s3://bucket/a.pdf"), "needs a package where the flow runs: .*s3fs"),
    ("create_run", one("gs://bucket/a.pdf"), "needs a package where the flow runs: .*gcsfs"),
    ("create_run", one("nosuch://bucket/a.pdf"), f"no filesystem is known for nosuch://.*{FSSPEC}"),
    ("create_run", one("memory://nobody/wrote.pdf"), "no file memory://nobody/wrote.pdf; check its address"),
    ("create_run", one("a.pdf", node="start node"), COPY),
    ("create_run", echo(documents="a.pdf"), "documents must map start node ids to documents"),
    ("create_run", echo(documents=["a.pdf"]), "documents must map start node ids to documents"),
    ("create_run", echo(json_inputs=[1]), "json_inputs must map start node ids to values"),
    ("create_run", echo(json_inputs={"json-node-1": {1, 2}}), IS_JSON),
    ("create_run", echo(json_inputs={"json-node-1": float("nan")}), IS_JSON),
    ("create_run", echo(text_inputs={"text-node-1": 5}), r"text_inputs\['text-node-1'\] must be a string"),
    ("create_run", echo(metadata={"a": 1}), "metadata must map strings to strings"),
    (
        "create_run",
        echo(metadata={"retab-orchestration.family": "mine"}),
        "must not have the key .*; keys that start with retab-orchestration are ours",
    ),
    ("create_run", echo(version=""), IS_ID),
    ("create_run", echo(version="a b"), COPY),
    ("create_run", echo(credentials=5), ACCOUNT),
    ("create_run", echo(credentials=""), ACCOUNT),
    ("restart_run", {"run_id": "run 1"}, COPY),
    ("restart_run", {"run_id": ""}, IS_ID),
    ("create_test_run", {"workflow_id": "wf invoice"}, COPY),
    ("create_test_run", {"workflow_id": "wf_invoice", "test_id": "a", "block_id": "b"}, "give .* not both"),
    ("create_test_run", {"workflow_id": "wf_invoice", "n_consensus": 4}, "must be one of 3, 5, 7"),
    ("get_run", {"run_id": ""}, IS_ID),
    ("get_run", {"run_id": "run_1", "output_nodes": "end-node-1"}, NODES),
    ("get_run", {"run_id": "run_1", "output_nodes": []}, NODES),
    ("list_runs", {"limit": 0}, "limit must be a whole number from 1 to 100"),
    ("list_runs", {"colour": "red"}, "has no filter colour; it has .*workflow_id"),
    ("list_runs", {"status": "asleep"}, "status must be one of cancelled, completed"),
    ("list_runs", {"from_date": "yesterday"}, "from_date must be a date or YYYY-MM-DD"),
    ("list_runs", {"before": "run_1", "after": "run_2"}, "before and after exclude each other"),
    ("list_steps", {"run_id": "run/1"}, COPY),
    ("cancel_run", {"run_id": "run 1"}, COPY),
    ("wait_for_run", {"run_id": "run 1"}, COPY),
    ("wait_for_run", {"run_id": "run_1", "on_review": "maybe"}, "must be one of return, wait, fail"),
    ("wait_for_run", {"run_id": "run_1", "timeout_seconds": 0}, f"timeout must be seconds, {POSITIVE}"),
    ("wait_for_run", {"run_id": "run_1", "timeout_seconds": "60"}, f"timeout must be seconds, {POSITIVE}"),
    ("wait_for_run", {"run_id": "run_1", "poll_interval_seconds": 0}, f"must be a number, {POSITIVE}"),
    ("wait_for_run", {"run_id": "run_1", "output_nodes": "end-node-1"}, NODES),
    ("wait_for_run", {"run_id": "run_1", "output_path": ""}, "output_path must be a path or a URI"),
    ("wait_for_run", {"run_id": "run_1", "output_path": 5}, "output_path must be a path or a URI"),
    ("wait_for_run", {"run_id": "run_1", "output_path": b"out"}, "output_path must be a path or a URI"),
    ("wait_for_run", {"run_id": "run_1", "output_path": "nowhere://a/b"}, f"{FSSPEC}, or give a local path"),
    ("decide_review", {"run_id": "run_1", "node_id": "", "approved": True}, IS_ID),
    ("decide_review", {"run_id": "run_1", "node_id": "n", "approved": "yes"}, "must be True or False"),
    (
        "decide_review",
        {"run_id": "run_1", "node_id": "n", "approved": False, "modified_data": {}},
        "modified_data goes with approved=True",
    ),
    (
        "decide_review",
        {"run_id": "run_1", "node_id": "n", "approved": False, "reason": ""},
        "reason must be a string that is not empty",
    ),
]

# What only the server, or the routes that it has, can refuse.
ANSWERED = [
    ("create_run", {"workflow_id": "wf_nobody"}, NotFoundError, f"wf_nobody.*{CHECK}"),
    ("create_run", echo(json_inputs={"nobody": 1}), RequestRejectedError, f"it has: json-node-1.*{CORRECT}"),
    ("create_test_run", {"workflow_id": "wf_nobody"}, NotFoundError, f"wf_nobody.*{CHECK}"),
    ("restart_run", {"run_id": "run_nobody"}, NotFoundError, f"run_nobody.*{CHECK}"),
    ("get_run", {"run_id": "run_nobody"}, NotFoundError, f"run_nobody.*{CHECK}"),
    ("list_steps", {"run_id": "run_nobody"}, NotFoundError, f"run_nobody.*{CHECK}"),
    ("cancel_run", {"run_id": "run_nobody"}, NotFoundError, f"run_nobody.*{CHECK}"),
    (
        "decide_review",
        {"run_id": "run_nobody", "node_id": "n", "approved": True},
        NotFoundError,
        f"run_nobody.*{CHECK}",
    ),
]
ROUTES = [
    ("classic", {"version": "draft"}, LEAVE_OUT),
    ("classic", {"metadata": {"a": "b"}}, LEAVE_OUT),
    ("current", {"text_inputs": {"text-node-1": "x"}}, "in json_inputs or set api='classic'"),
]

# What the ready-made flow was given.
FLOWS = [
    ({}, ParameterBindError, "missing a required argument: 'workflow_id'"),
    (
        echo(colour="red"),
        ParameterBindError,
        "unexpected keyword argument 'colour'.*has signature 'workflow_id",
    ),
    ({"workflow_id": [5]}, ParameterTypeError, "workflow_id: Input should be a valid string"),
    (echo(on_review="maybe"), ParameterTypeError, "on_review: Input should be 'return', 'wait' or 'fail'"),
    (echo(poll_interval_seconds=0), ParameterTypeError, "poll_interval_seconds: .*greater than 0"),
    (echo(timeout_seconds=-1), ParameterTypeError, "timeout_seconds: .*greater than 0"),
    (echo(timeout_seconds="soon"), ParameterTypeError, "timeout_seconds: .*a valid number"),
    (one([5]), ParameterTypeError, "documents.start-node-1.*valid string"),
    (echo(metadata={"tag": [5]}), ParameterTypeError, "metadata.tag: Input should be a valid string"),
    (echo(text_inputs={"n": [5]}), ParameterTypeError, "text_inputs.n: Input should be a valid string"),
    (echo(output_nodes="end-node-1"), ParameterTypeError, "output_nodes: Input should be a valid list"),
    (echo(cancel_on_timeout="perhaps"), ParameterTypeError, "cancel_on_timeout: .*a valid boolean"),
    (echo(credentials=5), ParameterTypeError, "credentials.*instance of RetabCredentials"),
    (one(b"%PDF"), InvalidInputError, STORES),
    (one(("a.pdf", b"%PDF")), InvalidInputError, STORES),
    (
        echo(json_inputs={"json-node-1": {"page": [b"%PDF"]}}),
        InvalidInputError,
        "json-node-1.*Prefect stores",
    ),
    (echo(output_path=""), InvalidInputError, "output_path must be a path or a URI"),
    (echo(output_path="nowhere://a/b"), InvalidInputError, f"output_path.*{FSSPEC}"),
]

# What a block was made with. The account's errors come with the advice of the client that it makes.
ACCOUNTS = [
    ({"api_key": ""}, "no API key: pass api_key"),
    ({"api_key": "   "}, "no API key: pass api_key"),
    (
        {"api_key": "********"},
        "the API key is the stars that a UI shows in place of a secret: copy it from Retab",
    ),
    ({"api_key": "two words"}, "copy it again"),
    ({"api_key": None}, "api_key\n.*should be a valid string"),
    ({"base_url": "api.retab.com"}, "base_url must look like https://"),
    ({"base_url": "https://user:pw@api.retab.com"}, "base_url must look like https://.*no user"),
    ({"api": "newest"}, "should be 'auto', 'classic' or 'current'"),
    ({"auth": "basic"}, "should be 'auto', 'api-key' or 'bearer'"),
    ({"timeout_seconds": 0}, "timeout_seconds\n.*should be greater than 0"),
    ({"timeout_seconds": "soon"}, "timeout_seconds\n.*should be a valid number"),
    ({"proxy": "nowhere"}, "proxy must look like http://host:port"),
    ({"verify": 5}, "verify.*\n.*should be a valid boolean"),
]
WORKFLOWS = [
    ({"workflow_id": ""}, "workflow_id\n.*at least 1 character"),
    ({"credentials": None}, "credentials\n.*instance of RetabCredentials"),
    ({"poll_interval_seconds": 0}, "poll_interval_seconds\n.*greater than 0"),
    ({"timeout_seconds": -5}, "timeout_seconds\n.*greater than 0"),
    ({"documents": ["a.pdf"]}, "documents\n.*a valid dictionary"),
    ({"documents": {"start-node-1": 5}}, "start-node-1.*\n.*a valid string"),
    ({"documents": {"start-node-1": b"%PDF"}}, STORES),
    ({"documents": {"start-node-1": ("a.pdf", b"%PDF")}}, STORES),
    ({"json_inputs": {"json-node-1": b"%PDF"}}, "json-node-1.*Prefect stores"),
    ({"json_inputs": [1]}, "json_inputs\n.*a valid dictionary"),
    ({"text_inputs": {"text-node-1": 5}}, "text-node-1\n.*a valid string"),
    ({"metadata": {"tag": 5}}, "metadata.tag\n.*a valid string"),
    ({"output_nodes": "end-node-1"}, "output_nodes\n.*a valid list"),
]

# What a workflow's block was made with, that is found out when it is to run.
TRIGGERS = [
    ({"workflow_id": "wf/1"}, InvalidInputError, COPY),
    ({"workflow_id": "wf_nobody"}, NotFoundError, f"wf_nobody.*{CHECK}"),
    (
        {"documents": {"start-node-1": "/no/such.pdf"}},
        InvalidInputError,
        "no file /no/such.pdf; check the path",
    ),
    ({"documents": {"start-node-1": ""}}, InvalidInputError, "empty string; give"),
    ({"documents": {"start-node-1": "nosuch://a/b.pdf"}}, InvalidInputError, FSSPEC),
    ({"json_inputs": {"json-node-1": {1, 2}}}, InvalidInputError, IS_JSON),
    ({"json_inputs": {"nobody": 1}}, RequestRejectedError, CORRECT),
    ({"version": "a b"}, InvalidInputError, COPY),
]
WAITS = [
    ({"run_id": "run/1"}, COPY),
    ({"run_id": ""}, IS_ID),
    ({"timeout_seconds": 0}, f"timeout must be seconds, {POSITIVE}"),
    ({"poll_interval_seconds": -1}, f"must be a number, {POSITIVE}"),
    ({"credentials": 5}, ACCOUNT),
]
RESULTS = [
    ({"run_id": "run/1"}, COPY),
    ({"output_nodes": "end-node-1"}, NODES),
    ({"credentials": 5}, ACCOUNT),
]
AUTOMATIONS = [
    ({"deployments": []}, "the id of at least one deployment"),
    ({"deployments": ""}, "the id of at least one deployment"),
    ({"deployments": str(uuid4())}, "must be a list"),
    ({"deployments": uuid4()}, "must be a list"),
    ({"deployments": ["invoices"]}, r"'invoices' is no id of a deployment; take what its apply\(\) returns"),
    ({"cleanup": "cleanup"}, r"'cleanup' is no id of a deployment; take what its apply\(\) returns"),
]


@pytest.mark.parametrize(("task", "given", "advice"), REFUSED)
def test_a_task_refuses_before_anything_is_sent(call, emulator, task, given, advice):
    with pytest.raises(InvalidInputError, match=f"(?s){advice}") as refused:
        call(task, **given)

    assert "%PDF" not in str(refused.value)
    assert creates(emulator.stats()) == 0


@pytest.mark.parametrize(("task", "given", "error", "advice"), ANSWERED)
def test_what_the_server_refuses_is_told_with_advice(call, task, given, error, advice):
    with pytest.raises(error, match=advice):
        call(task, **given)


@pytest.mark.parametrize(("api", "given", "advice"), ROUTES)
def test_what_the_routes_do_not_have_is_not_sent(call, emulator, api, given, advice):
    account = RetabCredentials(api_key=API_KEY, base_url=emulator.url, api=api, auth="bearer")

    with pytest.raises(InvalidInputError, match=advice):
        call("create_run", "wf_echo", credentials=account, **given)

    assert creates(emulator.stats()) == 0


@pytest.mark.parametrize("contents", [b"", None])
def test_an_empty_or_missing_file_is_not_sent(call, emulator, tmp_path, contents):
    document = tmp_path / "a.pdf"
    if contents is not None:
        document.write_bytes(contents)

    with pytest.raises(InvalidInputError, match=r"is empty; there is nothing|no file .*check the path"):
        call("create_run", "wf_invoice", documents={"start-node-1": document})

    assert creates(emulator.stats()) == 0


@pytest.mark.parametrize("task", ["create_run", "create_test_run", "get_run", "cancel_run", "wait_for_run"])
def test_a_missing_key_says_what_to_set(call, emulator, monkeypatch, task):
    monkeypatch.delenv("RETAB_API_KEY")

    with pytest.raises(ConfigurationError, match="no API key: pass api_key or set RETAB_API_KEY"):
        call(task, "wf_echo")

    assert emulator.stats()["requests"] == {}


def test_a_wrong_key_says_what_to_check(call, emulator):
    emulator.post_faults([{"match": "*", "kind": "http_401", "times": 9}])

    with pytest.raises(AuthenticationError, match="Check the API key"):
        call("create_run", "wf_echo")


@pytest.fixture(params=["run_workflow", "arun_workflow"])
def called_by_prefect(request):
    """Do with a flow's parameters what Prefect's engine does, without a server for it."""
    flow = getattr(prefect_collection, request.param)

    def called(**given):
        parameters = get_call_parameters(flow.fn, (), given)
        flow.serialize_parameters(parameters)
        answer = flow.fn(**flow.validate_parameters(parameters))
        return asyncio.run(answer) if flow.isasync else answer

    return called


@pytest.mark.parametrize(("given", "error", "advice"), FLOWS)
def test_a_flow_refuses_before_anything_is_sent(called_by_prefect, emulator, given, error, advice):
    with pytest.raises(error, match=f"(?s){advice}") as refused:
        called_by_prefect(**given)

    assert "%PDF" not in str(refused.value)
    assert emulator.stats()["requests"] == {}


@pytest.mark.parametrize(("given", "advice"), ACCOUNTS)
def test_an_account_is_refused_when_it_is_made_and_the_key_is_not_told(given, advice):
    with pytest.raises(ValidationError, match=advice) as refused:
        RetabCredentials(**{"api_key": API_KEY, **given})

    assert API_KEY not in str(refused.value)


@pytest.fixture
def workflow(emulator):
    def build(**given):
        account = RetabCredentials(api_key=API_KEY, base_url=emulator.url)
        return RetabWorkflow(**{"credentials": account, "workflow_id": "wf_invoice", **given})

    return build


@pytest.mark.parametrize(("given", "advice"), WORKFLOWS)
def test_a_workflow_is_refused_when_it_is_made_and_its_documents_are_not_told(workflow, given, advice):
    with pytest.raises(ValidationError, match=advice) as refused:
        workflow(**given)

    assert "%PDF" not in str(refused.value)


@pytest.mark.parametrize(("given", "error", "advice"), TRIGGERS)
def test_a_workflow_that_cannot_run_is_refused_when_it_is_triggered(workflow, given, error, advice):
    with pytest.raises(error, match=advice):
        asyncio.run(workflow(**given).atrigger())


@pytest.mark.parametrize(("given", "advice"), WAITS)
def test_a_runs_wait_refuses_before_it_asks(emulator, given, advice):
    with pytest.raises(InvalidInputError, match=advice):
        asyncio.run(RetabRun(**{"run_id": "run_1", **given}).await_for_completion())

    assert emulator.stats()["requests"] == {}


@pytest.mark.parametrize(("given", "advice"), RESULTS)
def test_a_runs_result_is_refused_before_it_is_asked_for(emulator, given, advice):
    with pytest.raises(InvalidInputError, match=advice):
        asyncio.run(RetabRun(**{"run_id": "run_1", **given}).afetch_result())

    assert emulator.stats()["requests"] == {}


@pytest.mark.parametrize(("given", "advice"), AUTOMATIONS)
def test_an_automation_that_would_mean_all_or_nothing_is_refused(given, advice):
    with pytest.raises(InvalidInputError, match=advice):
        cancellation_automation(**{"deployments": [uuid4()], "cleanup": uuid4(), **given})


def test_a_cleanup_of_no_flow_run_is_refused():
    with pytest.raises(ParameterTypeError, match="flow_run_id: Input should be a valid UUID"):
        prefect_collection.cancel_runs_of_flow_run.validate_parameters({"flow_run_id": "nobody"})


def test_every_task_is_in_the_table():
    named = {task for task, *_ in REFUSED}
    tasks = {name for name, found in vars(prefect_collection).items() if isinstance(found, Task)}

    assert named | {f"a{name}" for name in named} == tasks
