"""How tasks fail: one line that says which connection and which of its fields, and a chain that fits on a screen."""

import logging
import traceback

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
)

from airflow_provider import get_provider_info
from airflow_provider._errors import field_of, with_labels, worded
from airflow_provider.hooks import RetabHook
from airflow_provider.operators import (
    RetabCancelRunOperator,
    RetabRestartRunOperator,
    RetabRunWorkflowOperator,
)
from airflow_provider.sensors import RetabRunSensor
from retab_orchestration import (
    AuthenticationError,
    ConfigurationError,
    CreateOutcomeUnknownError,
    NotFoundError,
    NoTlsError,
    RunFailedError,
    ServerError,
)
from tests.airflow_provider.refusals import refused

KEY = "rt_test_3b1c9f"
TASKS = {
    "run": lambda **more: RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", **more),
    "restart": lambda **more: RetabRestartRunOperator(task_id="run", run_id="run_1", **more),
    "cancel": lambda **more: RetabCancelRunOperator(task_id="run", run_id="run_1", **more),
    "sensor": lambda **more: RetabRunSensor(task_id="run", run_id="run_1", **more),
    "deferred sensor": lambda **more: RetabRunSensor(task_id="run", run_id="run_1", deferrable=True, **more),
}


@pytest.fixture(params=TASKS)
def task(request, monkeypatch):
    # A sensor would wait between polls with a key that may be changed meanwhile.
    monkeypatch.setattr("time.sleep", lambda _: None)
    return TASKS[request.param]


@pytest.fixture
def error_lines(caplog):
    caplog.set_level(logging.INFO)
    ours = lambda record: record.levelname == "ERROR" and record.name.startswith("airflow_provider")  # noqa: E731
    return lambda: [record.getMessage() for record in caplog.records if ours(record)]


def shown(failure):
    """Return what a failure looks like in a log."""
    return "".join(traceback.format_exception(failure))


def test_a_wrong_key_is_one_line_with_the_connection_and_the_field(connect, context, task, error_lines):
    connect(password="rt_wrong")

    with refused(AuthenticationError, match="Retab refuses the API key of connection 'retab_default'"):
        task().execute(context)

    [line] = error_lines()
    assert line.startswith("Retab refuses the API key of connection 'retab_default': ")
    assert "Put the key that is good now into the field API key" in line
    assert "HTTP 401" in line
    assert not [word for word in ("rt_wrong", "auth=", "base_url", "create_run") if word in line]


def test_a_failure_has_a_short_chain_without_frames_of_the_client(connect, context, task):
    connect(password="rt_wrong")

    with pytest.raises(AirflowFailException) as failed:
        task().execute(context)

    text = shown(failed.value)
    assert "/retab_orchestration/" not in text
    assert text.count("Traceback") == 1
    assert text.count("exception was the direct cause") == 1
    assert "During handling of the above exception" not in text


def test_a_failure_that_may_pass_is_raised_as_it_is_and_as_short(
    connect, context, emulator, error_lines, monkeypatch
):
    monkeypatch.setattr("time.sleep", lambda _: None)
    emulator.post_faults([{"match": "*", "times": 99, "kind": "http_503"}])

    with pytest.raises(ServerError, match="HTTP 503") as failed:
        TASKS["cancel"]().execute(context)

    text = shown(failed.value)
    assert "/retab_orchestration/" not in text
    assert text.count("Traceback") == 1
    [line] = error_lines()
    assert "HTTP 503" in line
    assert "connection 'retab_default'" in line


def test_a_run_that_failed_says_nothing_of_the_client(connect, execute, error_lines):
    with pytest.raises((RunFailedError, AirflowFailException), match="failed"):
        execute(RetabRunWorkflowOperator(task_id="run", workflow_id="wf_fail", deferrable=False))

    [line] = error_lines()
    assert line.startswith("Run run_")
    assert "list_steps" not in line


@pytest.mark.parametrize("flag", ["soft_fail", "never_fail"])
def test_a_sensor_that_may_not_fail_logs_no_error(connect, context, error_lines, monkeypatch, flag):
    monkeypatch.setattr("time.sleep", lambda _: None)
    connect(password="rt_wrong")

    with pytest.raises(AirflowSkipException):
        TASKS["sensor"](**{flag: True}).execute(context)

    assert error_lines() == []


def test_a_bug_keeps_its_frames(connect, context, error_lines, monkeypatch):
    task = TASKS["run"](deferrable=False)

    def broken(*_):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(task, "start", broken)

    with pytest.raises(ZeroDivisionError) as failed:
        task.execute(context)

    assert "in broken" in shown(failed.value)
    assert error_lines() == []


def test_a_connection_that_is_not_there_fails_without_a_retry_and_says_where_to_create_it(
    context, task, error_lines
):
    with pytest.raises(AirflowFailException, match="no connection 'nowhere'") as failed:
        task(retab_conn_id="nowhere").execute(context)

    [line] = error_lines()
    assert line == str(failed.value)
    assert "Admin, Connections, of type Retab, or as AIRFLOW_CONN_NOWHERE" in line
    assert shown(failed.value).count("Traceback") == 1


@pytest.mark.parametrize("option", ["SECRETS__BACKEND", "WORKERS__SECRETS_BACKEND"])
def test_where_a_secrets_backend_may_be_away_a_missing_connection_may_be_retried(
    monkeypatch, context, option
):
    monkeypatch.setenv(f"AIRFLOW__{option}", "airflow.secrets.local_filesystem.LocalFilesystemBackend")

    with pytest.raises(AirflowNotFoundException, match="see that the secrets backend answers") as failed:
        RetabHook("nowhere").get_conn()

    assert not isinstance(failed.value, AirflowFailException)


def test_a_host_without_a_scheme_that_has_no_tls_fails_at_once_and_says_what_to_write(
    connect, context, emulator, task, error_lines
):
    host = emulator.url.removeprefix("http://")
    connect(host=host)

    with refused(NoTlsError, match=f"https://{host} does not speak TLS"):
        task().execute(context)

    [line] = error_lines()
    assert f"https://{host} does not speak TLS. Write http:// before the host in Base URL" in line
    assert emulator.stats()["requests"] == {}


TEXTS = [
    ("check base_url, the proxy and the network", "check Base URL, the proxy and the network"),
    ("try again later, or raise timeout", "try again later, or raise Request timeout"),
    ("if it is as it should be, raise max_response_bytes", "if it is as it should be, raise Largest answer"),
    ("leave them out or set api='current'", "leave them out or set API routes to current"),
    ("which is not among upload_hosts: add it there", "which is not among Upload hosts: add it there"),
    ("look; pass base_url or set RETAB_API_BASE_URL", "look"),
    (
        "See list_steps('run_1') for what failed, then start a new run",
        "See in Retab what failed, then clear the task",
    ),
    ("timeout must be a number of seconds", "timeout must be a number of seconds"),
    ("extra 'max_response_bytes'", "extra 'max_response_bytes'"),
]


@pytest.mark.parametrize(("text", "expected"), TEXTS, ids=[text for text, _ in TEXTS])
def test_the_names_of_the_client_become_the_labels_of_the_form(text, expected):
    assert with_labels(text) == expected


def test_each_field_of_the_form_is_named_by_its_label():
    form = get_provider_info()["connection-types"][0]

    for name, field in form["conn-fields"].items():
        assert field_of(name) == f"{field['label']} (extra {name!r})"
    assert field_of("base_url") == "Base URL (host)"
    assert field_of("api_key") == "API key (password)"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AuthenticationError("x"), ["connection 'c'", "field API key", "API key header"]),
        (NotFoundError("x"), ["the field API key has a key of the same organisation"]),
        (
            ConfigurationError("api must be one of auto, classic"),
            ["connection 'c'", "API routes (extra 'api')"],
        ),
        (CreateOutcomeUnknownError("look for it before creating it again"), ["clear the task"]),
    ],
    ids=lambda each: type(each).__name__,
)
def test_an_error_keeps_its_kind_and_names_the_fields(error, words):
    again = worded(error, "c")

    assert type(again) is type(error)
    assert all(word in str(again) for word in words)
    assert not any(name in str(again) for name in ("base_url", "auth=", "api="))
