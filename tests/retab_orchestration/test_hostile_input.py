"""Arguments that are wrong in ways nobody means: refused by name, before anything is sent, and never repeated."""

import io
import traceback
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from retab_orchestration import (
    AsyncRetabClient,
    ConfigurationError,
    Document,
    InvalidInputError,
    PollPolicy,
    RequestRejectedError,
    RetabClient,
    RetryPolicy,
    RunIdentity,
)

SECRET = "TOP SECRET INVOICE OF ACME"
LONG = "x" * 70_000
HALF = "a\ud800b"
HUGE = 10**5000
EAST = timezone(timedelta(hours=14))


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def document(given):
    return {"documents": {"start-node-1": given}}


class Angry:
    """What raises whenever it is shown."""

    def __repr__(self):
        raise RuntimeError(SECRET)

    __str__ = __repr__


# What `create_run` was given, and the argument that the error names.
CREATES = [
    ({"workflow_id": SECRET.encode()}, "workflow_id"),
    ({"workflow_id": SECRET}, "workflow_id"),
    ({"workflow_id": "w" * 300}, "workflow_id"),
    ({"workflow_id": HALF}, "workflow_id"),
    ({"workflow_id": HUGE}, "workflow_id"),
    ({"workflow_id": Angry()}, "workflow_id"),
    ({"version": SECRET}, "version"),
    ({"documents": {SECRET.encode(): ("a.pdf", b"x")}}, "documents"),
    ({"documents": {SECRET: ("a.pdf", b"x")}}, "documents"),
    (document(SECRET), r"documents\['start-node-1'\]"),
    (document({SECRET: "x"}), r"documents\['start-node-1'\]"),
    (document(Path("/a\0b.pdf")), r"documents\['start-node-1'\]"),
    (document(Path(HALF)), r"documents\['start-node-1'\]"),
    (document((HALF, b"x")), r"documents\['start-node-1'\]"),
    (document(Document(b"x", filename="a.pdf", mime_type="a\r\nb")), r"documents\['start-node-1'\]"),
    (document(Document(io.BytesIO(b""), filename=LONG)), r"documents\['start-node-1'\]"),
    ({"json_inputs": {"n": nested(2000)}}, r"json_inputs\['n'\] is not JSON"),
    ({"json_inputs": {"n": HALF}}, r"json_inputs\['n'\] is not JSON: half of a surrogate pair"),
    ({"json_inputs": {"n": {HALF: 1}}}, r"json_inputs\['n'\] is not JSON"),
    ({"json_inputs": {"n": HUGE}}, r"json_inputs\['n'\] is not JSON"),
    ({"text_inputs": {"n": HALF}}, r"text_inputs\['n'\]"),
    ({"text_inputs": {"n": SECRET.encode()}}, r"text_inputs\['n'\]"),
    ({"metadata": {"a": HALF}}, "metadata"),
    ({"metadata": {HALF: "a"}}, "a key of metadata"),
    ({"metadata": {"retab-orchestration." + LONG: "a"}}, "metadata"),
    ({"identity": SECRET}, "identity"),
    ({"on_progress": 5}, "on_progress"),
]

CALLS = [
    ("get_run", [SECRET.encode()], {}, "run_id"),
    ("get_run", [HALF], {}, "run_id"),
    ("get_run", [LONG], {}, "run_id"),
    ("get_run", ["run_1"], {"output_nodes": SECRET}, "output_nodes"),
    ("wait_for_run", ["run_1"], {"timeout": HUGE}, "timeout"),
    ("wait_for_run", ["run_1"], {"timeout": -HUGE}, "timeout"),
    ("wait_for_run", ["run_1"], {"timeout": SECRET}, "timeout"),
    ("wait_for_run", ["run_1"], {"on_change": 5}, "on_change"),
    ("wait_for_run", ["run_1"], {"on_outage": 5}, "on_outage"),
    ("wait_for_run", ["run_1"], {"on_tick": 5}, "on_tick"),
    ("wait_for_run", ["run_1"], {"on_review": SECRET}, "on_review"),
    ("wait_for_run", ["run_1"], {"on_review": [SECRET]}, "on_review"),
    ("list_runs", [], {"search": LONG}, "search must have at most 256 characters"),
    ("list_runs", [], {"search": HALF}, "search"),
    ("list_runs", [], {"search": 7}, "search"),
    ("list_runs", [], {"metadata": {"a": LONG}}, "metadata must have at most 2000 characters"),
    ("list_runs", [], {"metadata": {"a": HALF}}, "metadata"),
    ("list_runs", [], {"status": SECRET}, "status"),
    ("list_runs", [], {"status": [SECRET]}, "status"),
    ("list_runs", [], {"status": HUGE}, "status"),
    ("list_runs", [], {"trigger_type": [SECRET]}, "trigger_type"),
    ("list_runs", [], {"sort_by": [SECRET]}, "sort_by"),
    ("list_runs", [], {"from_date": datetime.min.replace(tzinfo=EAST)}, "from_date"),
    ("list_runs", [], {"to_date": datetime.max.replace(tzinfo=timezone(-timedelta(hours=14)))}, "to_date"),
    ("list_runs", [], {"from_date": HUGE}, "from_date"),
    ("list_runs", [], {"from_date": SECRET}, "from_date"),
    ("list_runs", [], {"min_duration_ms": HUGE}, "min_duration_ms"),
    ("list_runs", [], {"limit": -HUGE}, "limit"),
    ("list_runs", [], {"limit": SECRET}, "limit"),
    ("list_runs", [], {"after": LONG}, "after"),
    ("decide_review", ["run_1", "n"], {"approved": SECRET}, "approved"),
    ("decide_review", ["run_1", "n"], {"approved": True, "modified_data": {"a": HALF}}, "modified_data"),
    (
        "decide_review",
        ["run_1", "n"],
        {"approved": True, "modified_data": {"a": nested(2000)}},
        "modified_data",
    ),
    ("decide_review", ["run_1", "n"], {"approved": False, "reason": HALF}, "reason"),
    ("create_test_run", ["wf_1"], {"n_consensus": HUGE}, "n_consensus"),
    ("restart_run", [SECRET], {}, "run_id"),
]

CLIENTS = [
    ({"api": SECRET}, "api"),
    ({"auth": [SECRET]}, "auth"),
    ({"timeout": HUGE}, "timeout"),
    ({"timeout": SECRET}, "timeout"),
    ({"requests_per_second": HUGE}, "requests_per_second"),
    ({"requests_per_second": SECRET}, "requests_per_second"),
    ({"verify": Angry()}, "verify"),
    ({"verify": "/a\0b"}, "verify"),
    ({"base_url": "https://retab.test/\nx"}, "base_url"),
    ({"base_url": "https://retab.test/a b"}, "base_url"),
    ({"base_url": "https://retab.test/\x1b[31m"}, "base_url"),
    ({"base_url": "https://retab.test/" + LONG}, "base_url"),
    ({"base_url": "https://" + HALF}, "base_url"),
]


WRONG_NUMBERS = [HUGE, -HUGE, SECRET, [SECRET], None, float("nan"), float("inf")]


def said(error):
    text = "".join(traceback.format_exception(error))
    return text[text.rindex("retab_orchestration.errors") :]


@pytest.mark.parametrize(("given", "named"), CREATES, ids=range(len(CREATES)))
def test_a_create_is_refused_by_name(connect, given, named):
    client, runtime = connect()

    with pytest.raises(InvalidInputError, match=f"^(?:a node id in )?{named}") as refused:
        client.create_run(**{"workflow_id": "wf_echo", **given})

    assert runtime.sent == []
    assert len(str(refused.value)) < 1000
    assert SECRET not in said(refused.value)


@pytest.mark.parametrize(("operation", "arguments", "options", "named"), CALLS, ids=range(len(CALLS)))
def test_a_call_is_refused_by_name(connect, operation, arguments, options, named):
    client, runtime = connect()

    with pytest.raises(InvalidInputError, match=f"^(?:a key of )?{named}") as refused:
        getattr(client, operation)(*arguments, **options)

    assert runtime.sent == []
    assert len(str(refused.value)) < 1000
    assert SECRET not in said(refused.value)


@pytest.mark.parametrize(("settings", "named"), CLIENTS, ids=range(len(CLIENTS)))
@pytest.mark.parametrize("kind", [RetabClient, AsyncRetabClient])
def test_a_client_is_refused_by_name(kind, settings, named):
    with pytest.raises(ConfigurationError, match=f"^{named}") as refused:
        kind(**{"api_key": "key-1", "base_url": "http://retab.test", **settings})

    assert len(str(refused.value)) < 1000
    assert SECRET not in said(refused.value)


@pytest.mark.parametrize("retry", [None, 3, "often", RetryPolicy])
@pytest.mark.parametrize("kind", [RetabClient, AsyncRetabClient])
def test_a_client_wants_a_retry_policy(kind, retry):
    with pytest.raises(InvalidInputError, match=r"^retry must be a RetryPolicy"):
        kind("key-1", "http://retab.test", retry=retry)


@pytest.mark.parametrize("wrong", WRONG_NUMBERS, ids=range(len(WRONG_NUMBERS)))
@pytest.mark.parametrize("name", ["interval", "growth", "first", "error_budget"])
def test_a_poll_policy_is_refused_by_name(name, wrong):
    with pytest.raises(InvalidInputError, match=rf"^PollPolicy\.{name}") as refused:
        PollPolicy(**{name: wrong})

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"since": datetime.min.replace(tzinfo=UTC)}, "since"),
        ({"begun": datetime.max.replace(tzinfo=UTC)}, "begun"),
        ({"begun": date(2026, 1, 1)}, "begun"),
        ({"since": SECRET}, "since"),
        ({"on_mismatch": SECRET}, "on_mismatch"),
        ({"generation": {1}}, "an identity's parts and generation"),
    ],
)
def test_an_identity_is_refused_by_name(given, named):
    with pytest.raises(InvalidInputError, match=f"^{named}") as refused:
        RunIdentity.of("a", **given)

    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("parts", [[object()], [b"a"], [{1}]])
def test_parts_of_an_identity_are_refused(parts):
    with pytest.raises(InvalidInputError, match="an identity's parts"):
        RunIdentity.of(*parts)


def test_json_as_deep_as_it_is_taken_is_sent(connect):
    client, _ = connect(server="current", api="current", auth="bearer")
    taken = 0
    for levels in range(50, 1000, 50):
        try:
            with suppress(RequestRejectedError):  # the server may refuse what is deep as well
                client.create_run("wf_echo", json_inputs={"json-node-1": nested(levels)})
        except InvalidInputError:
            break
        taken = levels

    assert taken >= 100
