import asyncio
import copy
import logging
import pickle

import pytest
from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider import get_provider_info
from airflow_provider.hooks import RetabHook
from retab_orchestration import (
    ConfigurationError,
    ResponseTooLargeError,
    RetryPolicy,
    ServerError,
    UploadNotAllowedError,
)

KEY = "rt_test_3b1c9f"


@pytest.fixture(params=["blocking", "async"])
def base_url(request):
    """Return what a client of the hook has as its address, in either colour."""

    def read(conn_id="retab_default"):
        hook = RetabHook(conn_id)

        async def aread():
            async with await hook.aget_conn() as client:
                return client.base_url

        if request.param == "async":
            return asyncio.run(aread())
        with hook.get_conn() as client:
            return client.base_url

    return read


def test_client_speaks_to_the_connection_s_host_with_its_password(connect, emulator, client):
    with RetabHook().get_conn() as ours:
        assert ours.list_runs().data == client.list_runs().data


def test_async_client_speaks_to_the_connection_s_host_with_its_password(connect, emulator):
    async def look():
        async with await RetabHook().aget_conn() as client:
            return await client.list_runs(limit=1)

    assert len(asyncio.run(look()).data) == 0


ADDRESSES = {
    "https://api.retab.com": {"host": "https://retab.example"},
    "with a path": {"host": "https://retab.example/prefix/v1"},
    "host only": {"host": "retab.example"},
    "host and schema": {"host": "retab.example", "schema": "http"},
    "host and port": {"host": "http://retab.example", "port": 8080},
    "host with a path, and port": {"host": "http://retab.example/prefix/v1", "port": 8080},
}
EXPECTED = [
    "https://retab.example",
    "https://retab.example/prefix",
    "https://retab.example",
    "http://retab.example",
    "http://retab.example:8080",
    "http://retab.example:8080/prefix",
]


@pytest.mark.parametrize(("parts", "expected"), zip(ADDRESSES.values(), EXPECTED, strict=True), ids=ADDRESSES)
def test_address(connect, base_url, parts, expected):
    connect(**parts)

    assert base_url() == expected


def test_address_without_a_host_is_retab_s(connect, base_url, monkeypatch):
    monkeypatch.delenv("RETAB_API_BASE_URL", raising=False)
    connect(host="")

    assert base_url() == "https://api.retab.com"


def test_connection_by_another_id(connect, base_url):
    connect("other", host="https://other.example")

    assert base_url("other") == "https://other.example"


def test_unknown_connection(base_url):
    with pytest.raises(AirflowNotFoundException, match="nowhere"):
        base_url("nowhere")


def test_connection_as_a_uri(monkeypatch, base_url):
    monkeypatch.setenv("AIRFLOW_CONN_RETAB_DEFAULT", f"retab://:{KEY}@https%3A%2F%2Fretab.example/?timeout=5")

    assert base_url() == "https://retab.example"


WRONG = {
    "no key": ({"password": ""}, "password.*API key"),
    "host": ({"host": "ftp://retab.example"}, r"Base URL \(host\) must look like"),
    "api": (
        {"extra": {"api": "modern"}},
        r"API routes \(extra 'api'\) must be one of auto, classic, current",
    ),
    "auth": (
        {"extra": {"auth": "basic"}},
        r"API key header \(extra 'auth'\) must be one of auto, api-key, bearer",
    ),
    "timeout: text": ({"extra": {"timeout": "soon"}}, "timeout.*number of seconds"),
    "timeout: list": ({"extra": {"timeout": [1]}}, "timeout.*number of seconds"),
    "timeout: zero": ({"extra": {"timeout": 0}}, "timeout"),
    "verify": ({"extra": {"verify": 3}}, "verify.*CA bundle"),
    "upload_hosts": (
        {"extra": {"upload_hosts": "https://storage.example"}},
        r"Upload hosts \(extra 'upload_hosts'\) must list hosts",
    ),
    "upload_hosts: number": (
        {"extra": {"upload_hosts": 7}},
        r"Upload hosts \(extra 'upload_hosts'\) must list hosts",
    ),
    "max_response_bytes: half": (
        {"extra": {"max_response_bytes": 70_000.5}},
        "max_response_bytes.*whole number",
    ),
    "max_response_bytes: few": ({"extra": {"max_response_bytes": 5}}, "max_response_bytes.*at least"),
    "dashboard_url": ({"extra": {"dashboard_url": "javascript:alert(1)"}}, "dashboard_url"),
    "namespace": ({"extra": {"namespace": 3}}, "namespace.*production"),
    "extra: list": ({"extra": "[1]"}, "extra is not a JSON object"),
    "extra: no JSON": ({"extra": "{api: auto}"}, "extra is not a JSON object"),
}


@pytest.mark.parametrize(("parts", "text"), WRONG.values(), ids=WRONG)
def test_wrong_connection_says_what_to_set(connect, base_url, parts, text):
    connect(**parts)

    with pytest.raises(ConfigurationError, match=f"(?s)connection 'retab_default'.*{text}") as failure:
        base_url()

    assert KEY not in str(failure.value)


@pytest.mark.parametrize(
    "extra", [{"timeout": "5"}, {"timeout": ""}, {"verify": "false"}, {"verify": ""}, {"api": ""}]
)
def test_extra_may_be_what_a_form_gives(connect, base_url, emulator, extra):
    connect(extra=extra)

    assert base_url() == emulator.url


def test_extra_chooses_the_routes(connect, emulator):
    connect(extra={"api": "classic", "auth": "api-key"})

    with RetabHook().get_conn() as client:
        client.create_run("wf_echo")

    assert emulator.stats()["requests"] == {"POST /v1/workflows/{workflow_id}/run": 1}


def test_proxy_and_verify_reach_the_client(connect, emulator):
    connect(host="https://retab.example", extra={"proxy": emulator.url, "verify": "/nowhere.pem"})

    with pytest.raises(ConfigurationError, match=r"/nowhere\.pem"), RetabHook().get_conn() as client:
        client.list_runs()


@pytest.mark.parametrize("hosts", ["b.example, *.a.example", ["*.a.example", "b.example"]])
def test_upload_hosts_reach_the_client(connect, emulator, hosts):
    connect(extra={"upload_hosts": hosts})

    with (
        RetabHook().get_conn() as client,
        pytest.raises(UploadNotAllowedError, match="not among upload_hosts"),
    ):
        client.create_run("wf_echo", documents={"start-node-1": ("a.pdf", b"x" * (4 * 1024 * 1024 + 1))})

    assert emulator.stats()["runs_created"] == 0


@pytest.mark.parametrize("most", [65536, "65536"])
def test_the_largest_answer_reaches_the_client(connect, emulator, most):
    with RetabHook().get_conn() as client:
        run = client.create_run("wf_echo", json_inputs={"json-node-1": {"text": "x" * 100_000}})
    connect(extra={"max_response_bytes": most})

    with (
        RetabHook().get_conn() as client,
        pytest.raises(ResponseTooLargeError, match="raise max_response_bytes"),
    ):
        client.get_run(run.id)


@pytest.mark.parametrize("hosts", ["", " , ", None])
def test_no_upload_hosts_are_any(connect, base_url, emulator, hosts):
    connect(extra={"upload_hosts": hosts})

    assert base_url() == emulator.url


def test_client_may_be_more_impatient_than_the_connection(connect, emulator):
    emulator.post_faults([{"match": "*", "times": 9, "kind": "http_503"}])

    with RetabHook().get_conn(timeout=1.0, retry=RetryPolicy(attempts=1)) as client:  # noqa: SIM117
        with pytest.raises(ServerError, match="503"):
            client.list_runs()

    assert sum(emulator.stats()["requests"].values()) == 1


def test_connection_test_lists_one_run(connect, emulator):
    worked, message = RetabHook().test_connection()

    assert worked, message
    assert emulator.stats()["requests"]["GET /v1/workflows/runs"] == 1
    assert emulator.stats()["runs_created"] == 0


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"password": "wrong"}, "401"),
        ({"password": ""}, "password"),
        ({"host": "http://127.0.0.1:9", "extra": {"timeout": 1}}, "no connection"),
    ],
)
def test_connection_test_says_what_is_wrong(connect, parts, text):
    connect(**parts)

    worked, message = RetabHook().test_connection()

    assert not worked
    assert text in message


def test_link_without_a_dashboard_is_the_api_address(connect, emulator):
    assert RetabHook().run_url("wf_1", "run 1/2") == f"{emulator.url}/v1/workflows/runs/run%201%2F2"


def test_link_follows_the_dashboard_s_template(connect):
    connect(extra={"dashboard_url": "https://retab.example/w/{workflow_id}/r/{run_id}?tab=steps"})

    assert RetabHook().run_url("wf 1", "run_2") == "https://retab.example/w/wf%201/r/run_2?tab=steps"


def test_form_is_the_same_for_every_airflow():
    described = get_provider_info()["connection-types"][0]

    assert RetabHook.get_ui_field_behaviour() == {
        "hidden_fields": described["ui-field-behaviour"]["hidden-fields"],
        "relabeling": described["ui-field-behaviour"]["relabeling"],
        "placeholders": described["ui-field-behaviour"]["placeholders"],
    }


def test_form_has_widgets_for_airflow_before_3_2():
    pytest.importorskip("flask_appbuilder")

    fields = get_provider_info()["connection-types"][0]["conn-fields"]
    assert set(RetabHook.get_connection_form_widgets()) == set(fields)


def test_requests_stay_out_of_the_task_s_log(connect, caplog):
    caplog.set_level(logging.INFO)

    with RetabHook().get_conn() as client:
        client.list_runs()

    assert [record.name for record in caplog.records if record.name.startswith("httpx")] == []


def test_key_is_in_no_repr(connect):
    hook = RetabHook()
    with hook.get_conn() as client:
        shown = f"{hook!r} {vars(hook)!r} {client!r} {vars(client)!r}"

    assert KEY not in shown


def test_key_is_in_no_pickle(connect):
    """A task that has run has its hook with it, whatever becomes of the task."""
    hook = RetabHook()
    hook.get_conn().close()

    pickled = pickle.dumps({"copy": copy.deepcopy(hook), "hook": hook})

    assert KEY.encode() not in pickled
    assert [each.retab_conn_id for each in pickle.loads(pickled).values()] == ["retab_default"] * 2  # noqa: S301


def test_namespace_is_the_connection_s(connect):
    connect(extra={"namespace": " production "})

    assert RetabHook().namespace() == "production"


def test_namespace_is_else_the_address_that_this_airflow_was_given(connect, monkeypatch):
    for section in ("API", "WEBSERVER"):  # of Airflow 3, of Airflow 2
        monkeypatch.setenv(f"AIRFLOW__{section}__BASE_URL", "https://airflow.example/team/")

    assert RetabHook().namespace() == "https://airflow.example/team"


@pytest.mark.parametrize("address", ["http://localhost:8080", "http://127.0.0.1:9"])
def test_address_that_every_machine_has_is_told_apart(connect, monkeypatch, address):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", address)
    here = RetabHook().namespace()
    monkeypatch.setattr("socket.gethostname", lambda: "another-machine")

    assert here != RetabHook().namespace() != address
