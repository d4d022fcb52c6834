"""What is refused: as which error, with which advice, and before a run exists."""

import io
from datetime import timedelta
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException

from airflow_provider.operators import (
    RetabCancelRunOperator,
    RetabRestartRunOperator,
    RetabRunWorkflowOperator,
)
from airflow_provider.sensors import RetabRunSensor
from retab_orchestration import (
    AuthenticationError,
    ConfigurationError,
    InvalidInputError,
    NotFoundError,
    RequestRejectedError,
)
from tests.airflow_provider.refusals import refused

RUN, RESTART, CANCEL, SENSOR = (
    RetabRunWorkflowOperator,
    RetabRestartRunOperator,
    RetabCancelRunOperator,
    RetabRunSensor,
)
NEEDED = {
    RUN: {"workflow_id": "wf_echo"},
    **{each: {"run_id": "run_1"} for each in (RESTART, CANCEL, SENSOR)},
}


def build(operator, **given):
    return operator(task_id="run", **{**NEEDED[operator], **given})


def one(document):
    return {"documents": {"start-node-1": document}}


@pytest.fixture(autouse=True)
def nothing_is_created(connect, emulator, ti):
    """Count at the end of each test here."""
    yield
    assert emulator.stats()["runs_created"] == 0
    assert ti.xcoms == {}


ABSOLUTE = "make it absolute"
GIVE_A_PLACE = r"start-node-1.*an absolute local path, a URI such as s3://.*or a Retab file reference"
NOT_EMPTY = "must be a string that is not empty"
NOT_PULLED = "is the text 'None': the XCom that its template pulls is not there"
IS_JSON = "is not JSON.*give dicts, lists, strings, numbers, booleans, None"

# What an operator was given in the DAG file, and what the error says to do about it.
WRITTEN = [
    (RUN, {"workflow_id": ""}, f"workflow_id {NOT_EMPTY}"),
    (RUN, {"workflow_id": " "}, f"workflow_id {NOT_EMPTY}"),
    (RUN, {"workflow_id": None}, f"workflow_id {NOT_EMPTY}"),
    (RUN, {"workflow_id": 7}, f"workflow_id {NOT_EMPTY}"),
    (RUN, {"retab_conn_id": None}, f"retab_conn_id {NOT_EMPTY}"),
    (RUN, one(b"%PDF"), GIVE_A_PLACE),
    (RUN, one(("a.pdf", b"%PDF")), GIVE_A_PLACE),
    (RUN, one(io.BytesIO(b"%PDF")), GIVE_A_PLACE),
    (RUN, one(3), GIVE_A_PLACE),
    (RUN, one("invoices/a.pdf"), f"start-node-1.*{ABSOLUTE}"),
    (RUN, one(Path("a.pdf")), f"start-node-1.*{ABSOLUTE}"),
    (RUN, one({"filename": "a.pdf", "url": "data:;base64,JVBERg=="}), GIVE_A_PLACE),
    (RUN, one({"filename": "a.pdf", "content": "JVBERg=="}), GIVE_A_PLACE),
    (RUN, {"documents": ["/tmp/a.pdf"]}, "documents must map start node ids to documents"),
    (RUN, {"documents": "/tmp/a.pdf"}, "documents must map start node ids to documents"),
    (RUN, {"json_inputs": [1]}, "json_inputs must be a dict"),
    (RUN, {"json_inputs": {"n": {1, 2}}}, f"json_inputs {IS_JSON}"),
    (RUN, {"json_inputs": {"n": b"1"}}, f"json_inputs {IS_JSON}"),
    (RUN, {"json_inputs": {"n": float("nan")}}, f"json_inputs {IS_JSON}"),
    (RUN, {"text_inputs": "hello"}, "text_inputs must be a dict"),
    (RUN, {"metadata": "hello"}, "metadata must be a dict"),
    (RUN, {"output_nodes": "end-node-1"}, "output_nodes must be a list of node ids"),
    (RUN, {"output_nodes": [1]}, "output_nodes must be a list of node ids"),
    (RUN, {"output_path": "outputs.json"}, "output_path must be an absolute path or a URI"),
    (RUN, {"output_path": Path("outputs.json")}, f"output_path.*{ABSOLUTE}"),
    (RUN, {"output_path": 3}, "output_path must be an absolute path, or a URI such as s3://"),
    (RUN, {"output_path": b"/outputs.json"}, "output_path must be an absolute path, or a URI such as s3://"),
    (RUN, {"on_review": "panic"}, "on_review must be one of return, wait, fail, skip"),
    (RUN, {"on_clear": "ignore"}, "on_clear must be one of rerun, reattach"),
    (RUN, {"cancel_on_timeout": "never"}, "cancel_on_timeout must be True, False or 'always'"),
    (RUN, {"cancel_on_kill": "yes"}, "cancel_on_kill must be True or False"),
    (RUN, {"poll_interval": 0}, "poll_interval must be a number of seconds, more than 0"),
    (RUN, {"poll_interval": -1}, "poll_interval must be a number of seconds, more than 0"),
    (RUN, {"poll_interval": "30"}, "poll_interval must be a number of seconds, more than 0"),
    (RUN, {"poll_interval": True}, "poll_interval must be a number of seconds, more than 0"),
    (RUN, {"timeout": 0}, "timeout must be a number of seconds, more than 0"),
    (RUN, {"backstop": 0}, "backstop must be a number of seconds, more than 0"),
    (RESTART, {"backstop": "1d"}, "backstop must be a number of seconds, more than 0"),
    (RUN, {"timeout": float("nan")}, "timeout must be a number of seconds, more than 0"),
    (RUN, {"defer_after": -1}, "defer_after must be a number of seconds, 0 or more"),
    (RESTART, {"run_id": ""}, f"run_id {NOT_EMPTY}"),
    (RESTART, {"run_id": None}, f"run_id {NOT_EMPTY}"),
    (RESTART, {"on_clear": "ignore"}, "on_clear must be one of rerun, reattach"),
    (RESTART, {"timeout": "1h"}, "timeout must be a number of seconds, more than 0"),
    (CANCEL, {"run_id": ""}, f"run_id {NOT_EMPTY}"),
    (CANCEL, {"run_id": 7}, f"run_id {NOT_EMPTY}"),
    (CANCEL, {"retab_conn_id": ""}, f"retab_conn_id {NOT_EMPTY}"),
    (SENSOR, {"run_id": ""}, f"run_id {NOT_EMPTY}"),
    (SENSOR, {"run_id": "None"}, f"run_id {NOT_PULLED}"),
    (RUN, {"timeout": timedelta(0)}, "timeout must be a number of seconds, more than 0"),
    (RUN, {"defer_after": timedelta(seconds=-1)}, "defer_after must be a number of seconds, 0 or more"),
    (RUN, {"documents": {"n": lambda: "/a.pdf"}}, r"n.*an absolute local path"),
    (SENSOR, {"run_id": None}, f"run_id {NOT_EMPTY}"),
    (SENSOR, {"retab_conn_id": None}, f"retab_conn_id {NOT_EMPTY}"),
    (SENSOR, {"output_nodes": "end-node-1"}, "output_nodes must be a list of node ids"),
    (SENSOR, {"on_review": "panic"}, "on_review must be one of return, wait, fail, skip"),
    (SENSOR, {"poke_interval": 0}, "poke_interval must be a number of seconds, more than 0"),
]


@pytest.mark.parametrize(("operator", "given", "advice"), WRITTEN)
def test_it_is_refused_while_the_dag_file_is_parsed(operator, given, advice):
    with pytest.raises(InvalidInputError, match=advice):
        build(operator, **given)


# Airflow's own checks of a sensor come first, and are its own words.
@pytest.mark.parametrize("given", [{"poke_interval": -1}, {"timeout": -1}], ids=str)
def test_no_time_of_a_sensor_is_refused_while_the_dag_file_is_parsed(given):
    [name] = given

    with pytest.raises((ValueError, AirflowException), match=name):
        build(SENSOR, **given)


COPY_THE_ID = "copy the id from Retab"

# What was in a templated input when the task ran, the error, and what it says to do.
RENDERED = [
    (RUN, {"workflow_id": "wf/echo"}, InvalidInputError, f"workflow_id.*{COPY_THE_ID}"),
    (RUN, {"workflow_id": "wf echo"}, InvalidInputError, f"workflow_id.*{COPY_THE_ID}"),
    (RUN, {"workflow_id": "{{ x }}"}, InvalidInputError, f"workflow_id.*{COPY_THE_ID}"),
    (RUN, {"workflow_id": "wf_nowhere"}, NotFoundError, "wf_nowhere"),
    (RUN, {"documents": "{{ params.documents }}"}, InvalidInputError, "documents must map start node ids"),
    (RUN, one("relative.pdf"), InvalidInputError, f"start-node-1.*{ABSOLUTE}"),
    (RUN, one("{{ x }}"), InvalidInputError, f"start-node-1.*{ABSOLUTE}"),
    (RUN, one(b"%PDF"), InvalidInputError, GIVE_A_PLACE),
    (RUN, one(3), InvalidInputError, GIVE_A_PLACE),
    (RUN, one("/nowhere/a.pdf"), InvalidInputError, "no file /nowhere/a.pdf; check the path"),
    (
        RUN,
        one("/nowhere/{{ x }}.pdf"),
        InvalidInputError,
        r"no file /nowhere/\{\{ x \}\}.pdf; check the path",
    ),
    (RUN, one("/"), InvalidInputError, "is a directory; give one file"),
    (RUN, one("file:///nowhere/a.pdf"), InvalidInputError, "start-node-1.*/nowhere/a.pdf"),
    (RUN, one("s3://b/a.pdf"), InvalidInputError, r"install apache-airflow-providers-amazon\[s3fs\]"),
    (RUN, one("gs://b/a.pdf"), InvalidInputError, "install apache-airflow-providers-google"),
    (
        RUN,
        one("quux://b/a.pdf"),
        InvalidInputError,
        "install the Airflow provider that has a filesystem for quux",
    ),
    (RUN, {"text_inputs": {"text-node-1": 3}}, InvalidInputError, "text_inputs.*must be a string"),
    (RUN, {"metadata": {"a": [3]}}, InvalidInputError, "metadata must map strings to strings"),
    (RUN, {"workflow_id": "None"}, InvalidInputError, f"workflow_id {NOT_PULLED}"),
    (
        RUN,
        {"workflow_id": lambda context, jinja_env: "wf_echo"},
        InvalidInputError,
        "workflow_id must be an id",
    ),
    (RUN, {"json_inputs": lambda context, jinja_env: {}}, InvalidInputError, "json_inputs must"),
    (RUN, {"documents": lambda context, jinja_env: {}}, InvalidInputError, "documents must"),
    (RESTART, {"run_id": "None"}, InvalidInputError, f"run_id {NOT_PULLED}"),
    (CANCEL, {"run_id": "None"}, InvalidInputError, f"run_id {NOT_PULLED}"),
    (SENSOR, {"run_id": " None "}, InvalidInputError, f"run_id {NOT_PULLED}"),
    (
        RUN,
        {"metadata": {"retab-orchestration.identity": "x"}},
        InvalidInputError,
        "keys that start with.*are ours",
    ),
    (RUN, {"version": "a b"}, InvalidInputError, f"version.*{COPY_THE_ID}"),
    (RUN, {"output_nodes": "end-node-1"}, InvalidInputError, "output_nodes must be a list of node ids"),
    (
        RUN,
        {"output_path": "outputs.json"},
        InvalidInputError,
        "output_path must be an absolute path or a URI",
    ),
    (RUN, {"output_path": "s3://b/a.json"}, InvalidInputError, "output_path.*install the provider for it"),
    (RUN, {"output_path": "quux://b/a.json"}, InvalidInputError, "output_path.*install the provider for it"),
    (RUN, {"retab_conn_id": ""}, InvalidInputError, f"retab_conn_id {NOT_EMPTY}"),
    (RESTART, {"run_id": "run/1"}, InvalidInputError, f"run_id.*{COPY_THE_ID}"),
    (RESTART, {"run_id": None}, InvalidInputError, "run_id must be an id"),
    (RESTART, {"run_id": "run_nowhere"}, NotFoundError, "run_nowhere"),
    (
        RESTART,
        {"output_path": "outputs.json"},
        InvalidInputError,
        "output_path must be an absolute path or a URI",
    ),
    (CANCEL, {"run_id": "run 1"}, InvalidInputError, f"run_id.*{COPY_THE_ID}"),
    (CANCEL, {"run_id": None}, InvalidInputError, "run_id must be an id"),
    (CANCEL, {"run_id": "run_nowhere"}, NotFoundError, "run_nowhere"),
    (SENSOR, {"run_id": "run/1"}, InvalidInputError, f"run_id.*{COPY_THE_ID}"),
    (SENSOR, {"run_id": None}, InvalidInputError, "run_id must be an id"),
    (SENSOR, {"output_nodes": "end-node-1"}, InvalidInputError, "output_nodes must be a list of node ids"),
]


def rendered(operator, *, settings=None, **given):
    """Return a task as it is when its templates have been rendered."""
    task = build(operator, **(settings or {}))
    vars(task).update(given)
    return task


@pytest.mark.parametrize(("operator", "given", "error", "advice"), RENDERED)
def test_it_is_refused_before_the_run_exists(context, operator, given, error, advice):
    with refused(error, match=advice):
        rendered(operator, **given).execute(context)


@pytest.mark.parametrize(
    ("method", "settings"),
    [("execute", {}), ("execute", {"deferrable": True}), ("poke", {"mode": "reschedule"})],
    ids=["poke", "deferrable", "reschedule"],
)
def test_the_id_of_a_task_that_was_skipped_fails_the_sensor_at_its_first_poke(context, method, settings):
    """A template makes the text `None` of an XCom that is not there; no such run will ever be found."""
    task = rendered(SENSOR, run_id="None", settings=settings)

    with refused(InvalidInputError, match=NOT_PULLED):
        getattr(task, method)(context)


OPTIONAL = ("documents", "json_inputs", "text_inputs", "version", "metadata", "output_nodes")


@pytest.mark.parametrize("name", OPTIONAL)
def test_template_that_comes_out_as_none_is_no_input_that_was_left_out(context, name):
    """As an XCom that is not there, where the DAG renders templates as native objects."""
    task = build(RUN, **{name: "{{ ti.xcom_pull('nowhere') }}"})
    setattr(task, name, None)

    with refused(InvalidInputError, match=f"{name} was rendered to None"):
        task.execute(context)


@pytest.mark.parametrize("text", ["None", "", " "])
@pytest.mark.parametrize(
    ("template", "told"),
    [
        ({"version": "{{ x }}"}, "version"),
        ({"json_inputs": {"json-node-1": "{{ x }}"}}, r"json_inputs\['json-node-1'\]"),
        ({"text_inputs": {"text-node-1": "{{ x }}"}}, r"text_inputs\['text-node-1'\]"),
        ({"documents": {"start-node-1": "{{ x }}"}}, r"documents\['start-node-1'\]"),
    ],
    ids=["version", "json_inputs", "text_inputs", "documents"],
)
def test_template_that_comes_out_as_nothing_is_no_text(context, template, told, text):
    """An XCom that is not there, or a key of the conf that nobody gave."""
    task = build(RUN, **template)
    task.render_template_fields({**context, "x": text}, jinja_env=task.get_template_env())

    with refused(
        InvalidInputError, match=f"{told} was rendered to {'None' if text.strip() else 'an empty text'}"
    ):
        task.execute(context)


@pytest.mark.parametrize("mode", [{"mode": "poke"}, {"deferrable": True}], ids=["poke", "deferrable"])
def test_unknown_run_is_waited_for_by_no_sensor(context, execute, monkeypatch, mode):
    monkeypatch.setattr("retab_orchestration.policies._BETWEEN_MISSING", 0.5)
    with refused(NotFoundError, match="run_nowhere"):
        execute(
            RetabRunSensor(
                task_id="run", run_id="run_nowhere", poke_interval=0.5, not_found_grace=0.5, **mode
            )
        )


def test_empty_file_is_refused(context, tmp_path):
    (tmp_path / "empty.pdf").touch()

    with refused(InvalidInputError, match=r"empty\.pdf is empty; there is nothing to process"):
        rendered(RUN, documents={"start-node-1": tmp_path / "empty.pdf"}).execute(context)


def test_input_for_a_node_that_does_not_exist_is_refused(context, invoice):
    with refused(RequestRejectedError, match="start-node-9"):
        rendered(RUN, workflow_id="wf_invoice", documents={"start-node-9": invoice}).execute(context)


CLASSIC, CURRENT = {"api": "classic", "auth": "api-key"}, {"api": "current"}


@pytest.mark.parametrize(
    ("extra", "given", "advice"),
    [
        (CLASSIC, {"version": "3"}, "no version.*leave them out or set API routes to current"),
        (CLASSIC, {"metadata": {"team": "a"}}, "no metadata.*leave them out or set API routes to current"),
        (CURRENT, {"text_inputs": {"text-node-1": "hello"}}, "in json_inputs or set API routes to classic"),
    ],
    ids=["version", "metadata", "text_inputs"],
)
def test_input_that_the_routes_do_not_have_is_refused(connect, context, extra, given, advice):
    connect(extra=extra)

    with refused(InvalidInputError, match=advice):
        rendered(RUN, **given).execute(context)


# How the connection was changed, the error, and what it says to do.
CONNECTIONS = [
    ({"password": ""}, ConfigurationError, "password is empty; put the Retab API key there"),
    ({"password": "rt_wrong"}, AuthenticationError, "401.*key"),
    ({"host": "ftp://retab.example"}, ConfigurationError, r"Base URL \(host\) must look like"),
    (
        {"extra": {"api": "modern"}},
        ConfigurationError,
        r"API routes \(extra 'api'\) must be one of auto, classic, current",
    ),
    (
        {"extra": {"auth": "basic"}},
        ConfigurationError,
        r"API key header \(extra 'auth'\) must be one of auto, api-key, bearer",
    ),
    ({"extra": {"timeout": "soon"}}, ConfigurationError, "timeout.*number of seconds"),
    ({"extra": {"timeout": [1]}}, ConfigurationError, "timeout.*number of seconds"),
    ({"extra": {"timeout": 0}}, ConfigurationError, "timeout"),
    ({"extra": {"verify": 3}}, ConfigurationError, "verify.*must be true, false or the path of a CA bundle"),
    (
        {"extra": {"dashboard_url": "javascript:alert(1)"}},
        ConfigurationError,
        "dashboard_url.*must be like https://",
    ),
    ({"extra": {"namespace": 3}}, ConfigurationError, "namespace.*must be a name such as 'production'"),
    ({"extra": "[1]"}, ConfigurationError, "extra is not a JSON object; write it like"),
    ({"extra": "{api: auto}"}, ConfigurationError, "extra is not a JSON object; write it like"),
]


@pytest.mark.parametrize("operator", [RUN, RESTART, CANCEL, SENSOR], ids=lambda each: each.__name__)
@pytest.mark.parametrize(("parts", "error", "advice"), CONNECTIONS)
def test_wrong_connection_starts_nothing(connect, context, operator, parts, error, advice, monkeypatch):
    # It would wait between looks with a key that may be changed meanwhile.
    monkeypatch.setattr("time.sleep", lambda _: None)
    connect(**parts)

    with refused(error, match=f"(?s){advice}") as failure:
        build(operator).execute(context)

    secret = parts.get("password") or "rt_test_3b1c9f"
    assert secret not in str(failure.value)
    if error is ConfigurationError:
        assert "connection 'retab_default'" in str(failure.value)


@pytest.mark.parametrize("operator", [RUN, RESTART, CANCEL, SENSOR], ids=lambda each: each.__name__)
def test_unknown_connection_starts_nothing(context, operator):
    with pytest.raises(AirflowNotFoundException, match="nowhere"):
        build(operator, retab_conn_id="nowhere").execute(context)
