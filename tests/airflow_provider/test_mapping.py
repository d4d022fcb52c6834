"""Mapped tasks: invalid literals are refused before Airflow stores them, and each task has a file of its own."""

import json
import warnings
from collections import deque

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, TaskDeferred, TaskGroup

from airflow_provider.operators import (
    RetabCancelRunOperator,
    RetabRestartRunOperator,
    RetabRunWorkflowOperator,
)
from airflow_provider.sensors import RetabRunSensor
from retab_orchestration import InvalidInputError
from tests.airflow_provider.refusals import refused

RUN, RESTART, CANCEL, SENSOR = (
    RetabRunWorkflowOperator,
    RetabRestartRunOperator,
    RetabCancelRunOperator,
    RetabRunSensor,
)
BYTES = {"start-node-1": b"%PDF-1.7 of a client"}
ECHO = {"task_id": "run", "workflow_id": "wf_echo"}


@pytest.fixture(autouse=True)
def no_warning_of_a_task_that_was_never_mapped():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


@pytest.fixture
def dag():
    with DAG("mapped", schedule=None) as dag:
        yield dag


PARTIAL = [
    (RUN, {"documents": BYTES}, "start-node-1"),
    (RUN, {"json_inputs": {"n": b"1"}}, "json_inputs"),
    (RUN, {"on_review": "nonsense"}, "on_review must be one of return, wait, fail, skip"),
    (RUN, {"on_clear": "nonsense"}, "on_clear must be one of"),
    (RUN, {"cancel_on_timeout": "never"}, "cancel_on_timeout must be"),
    (RUN, {"deferrable": "yes"}, "deferrable must be True or False"),
    (RUN, {"timeout": -1}, "timeout must be a number of seconds"),
    (RUN, {"defer_after": -1}, "defer_after must be a number of seconds, 0 or more"),
    (RUN, {"output_nodes": "n"}, "output_nodes must be a list of node ids"),
    (RUN, {"output_path": "relative.json"}, "output_path"),
    (RUN, {"output_path": "/out/all.json"}, "output_path is one file, and mapped tasks would overwrite"),
    (RUN, {"workflow_id": ""}, "workflow_id must be a string"),
    (RESTART, {"on_review": "nonsense"}, "on_review must be one of"),
    (RESTART, {"output_path": "s3://b/all.json"}, "output_path is one file"),
    (CANCEL, {"retab_conn_id": 7}, "retab_conn_id must be a string"),
    (SENSOR, {"on_review": "nonsense"}, "on_review must be one of"),
    (SENSOR, {"deferrable": 1}, "deferrable must be True or False"),
]


@pytest.mark.parametrize(("operator", "given", "advice"), PARTIAL)
def test_a_literal_of_partial_is_refused_while_the_dag_file_is_parsed(dag, operator, given, advice):
    with pytest.raises(InvalidInputError, match=advice):
        operator.partial(**{"task_id": "run", **given})


EXPANDED = [
    (RUN, "documents", BYTES, "start-node-1"),
    (RUN, "json_inputs", {"n": {1, 2}}, "json_inputs is not JSON"),
    (RUN, "output_path", "relative.json", "output_path"),
    (RESTART, "run_id", "", "run_id must be a string"),
    (CANCEL, "run_id", 7, "run_id must be a string"),
    (SENSOR, "run_id", "None", "run_id is the text 'None'"),
]


@pytest.mark.parametrize("way", ["expand", "expand_kwargs"])
@pytest.mark.parametrize(("operator", "name", "value", "advice"), EXPANDED)
def test_an_expanded_literal_is_refused_while_the_dag_file_is_parsed(dag, operator, name, value, advice, way):
    begun = operator.partial(task_id="run", **({"workflow_id": "wf_echo"} if operator is RUN else {}))

    given = {name: [value]} if way == "expand" else {"kwargs": [{name: value}]}

    with pytest.raises(InvalidInputError, match=advice):
        getattr(begun, way)(**given)


@pytest.mark.parametrize("values", [BYTES, deque([BYTES])], ids=["dict", "deque"])
def test_what_is_no_list_is_refused_as_well(dag, values):
    """Airflow maps over the pairs of a dict, and over any sequence."""
    with pytest.raises(InvalidInputError, match="documents"):
        RUN.partial(**ECHO).expand(documents=values)


@pytest.mark.parametrize("is_in_group", [False, True], ids=["of the DAG", "of a group"])
def test_an_invalid_input_among_the_defaults_is_refused_while_the_dag_file_is_parsed(is_in_group):
    """Airflow stores them with the DAG, and gives them to mapped tasks only when these run."""
    defaults = {"documents": BYTES}

    with (
        DAG("defaults", schedule=None, default_args={} if is_in_group else defaults),
        TaskGroup("group", default_args=defaults if is_in_group else {}),
        pytest.raises(InvalidInputError, match="start-node-1"),
    ):
        RUN.partial(**ECHO)


SHARED = [
    "/out/{{ ds }}.json",
    "/out/{{ dag_run.run_id | replace(':', '-') }}.json",
    "/out/{{ ti.task_id }}-{{ ti.run_id }}.json",
    "s3://b/{{ var.value.folder }}/all.json",
    "/out/{% if dag_run.conf %}a{% else %}b{% endif %}.json",
]
OWN = [
    "/out/{{ ti.map_index }}.json",
    "/out/{{ ds }}-{{ task_instance.map_index }}.json",
    "/out/{{ task.json_inputs['n'] }}.json",
    "/out/{{ params.name }}.json",
    "/out/{{ macros.uuid.uuid4() }}.json",
    "/out/{{ ti.xcom_pull('names')[ti.map_index] }}.json",
    "/out/{{ ds }}/",
    "{{ output_folder() }}",
]


@pytest.mark.parametrize("path", SHARED)
def test_a_template_that_is_the_same_for_all_is_one_file(dag, context, ti, path):
    with pytest.raises(InvalidInputError, match="output_path is one file"):
        RUN.partial(**ECHO, output_path=path)

    ti.map_index = 1
    with refused(InvalidInputError, match=r"output_path is one file.*map_index"):
        RUN(**ECHO, output_path=path).execute(context)


@pytest.mark.parametrize("path", OWN)
def test_a_template_that_may_differ_is_a_file_for_each(dag, path):
    assert RUN.partial(**ECHO, output_path=path).expand(json_inputs=[{"n": 1}, {"n": 2}])


def test_a_file_that_is_expanded_beside_something_else_is_that_of_several_tasks(dag):
    """Airflow makes a task of each combination."""
    inputs = [{"n": 1}, {"n": 2}]

    with pytest.raises(InvalidInputError, match="output_path is one file"):
        RUN.partial(**ECHO).expand(json_inputs=inputs, output_path=["/out/a.json", "/out/b.json"])

    assert RUN.partial(**ECHO).expand(
        json_inputs=inputs, output_path=["/out/a/", "/out/{{ ti.map_index }}.json"]
    )


@pytest.mark.parametrize("is_in_group", [False, True], ids=["of the DAG", "of a group"])
def test_one_file_among_the_defaults_is_refused_before_the_run_exists(
    connect, context, ti, emulator, is_in_group
):
    """Airflow gives them to the tasks of a mapped operator only when these run."""
    defaults = {"output_path": "/out/all.json"}
    with (
        DAG("defaults", schedule=None, default_args={} if is_in_group else defaults),
        TaskGroup("group", default_args=defaults if is_in_group else {}),
    ):
        mapped = RUN.partial(**ECHO).expand(json_inputs=[{"n": 1}, {"n": 2}])
    ti.map_index = 1

    with refused(InvalidInputError, match="output_path is one file"):
        mapped.unmap({"json_inputs": {"n": 2}}).execute(context)

    assert emulator.stats()["runs_created"] == 0


def test_what_is_valid_is_mapped_as_before(dag):
    upstream = RUN(task_id="upstream", workflow_id="wf_echo")

    mapped = [
        RUN.partial(task_id="literals", workflow_id="wf_echo", output_path="/out/").expand(
            json_inputs=[{"n": 1}, {"n": 2}]
        ),
        RUN.partial(
            task_id="templates", workflow_id="wf_echo", output_path="/out/{{ ti.map_index }}.json"
        ).expand(json_inputs=upstream.output),
        RUN.partial(task_id="kwargs").expand_kwargs(
            [{"workflow_id": "wf_echo", "output_path": "/out/1.json"}]
        ),
        SENSOR.partial(task_id="sensor", on_review="fail").expand(run_id=["run_1", "run_2"]),
        CANCEL.partial(task_id="cancel").expand(run_id=upstream.output),
    ]

    assert [type(each).__name__ for each in mapped] == ["MappedOperator"] * 5
    assert {each.operator_class for each in mapped} == {RUN, SENSOR, CANCEL}
    assert b"%PDF" not in json.dumps([str(vars(each)) for each in mapped]).encode()


@pytest.mark.parametrize(
    ("map_index", "path", "is_refused"),
    [
        (-1, "out.json", False),
        (None, "out.json", False),
        (0, "out.json", True),
        (3, "out.json", True),
        (0, "", False),
    ],
)
def test_a_file_of_a_mapped_group_is_refused_before_the_run_exists(
    connect, context, ti, emulator, tmp_path, map_index, path, is_refused
):
    """A task in a mapped group is no mapped operator: Airflow tells of the mapping only when it runs."""
    place = f"{tmp_path}/{path}"
    ti.map_index = map_index
    task = RUN(**ECHO, json_inputs={"json-node-1": {"seconds": 600}}, output_path=place)

    if is_refused:
        with refused(InvalidInputError, match="output_path is one file.*map_index"):
            task.execute(context)
    else:
        with pytest.raises(TaskDeferred):
            task.execute(context)
    assert emulator.stats()["runs_created"] == (not is_refused)


def test_the_template_of_a_path_may_name_a_file_of_each(connect, context, ti, emulator, tmp_path):
    ti.map_index = 2
    task = RUN(
        **ECHO,
        json_inputs={"json-node-1": {"seconds": 600}},
        output_path=f"{tmp_path}/{{{{ ti.map_index }}}}.json",
    )
    task.output_path = f"{tmp_path}/2.json"

    with pytest.raises(TaskDeferred):
        task.execute(context)

    assert emulator.stats()["runs_created"] == 1


def test_a_file_that_is_itself_expanded_is_that_of_one_task(connect, dag, context, ti, emulator, tmp_path):
    mapped = RUN.partial(**ECHO, json_inputs={"json-node-1": {"seconds": 600}}).expand(
        output_path=[f"{tmp_path}/a.json", f"{tmp_path}/b.json"]
    )
    task = mapped.unmap({"output_path": f"{tmp_path}/b.json"})
    ti.map_index = 1

    with pytest.raises(TaskDeferred):
        task.execute(context)

    assert emulator.stats()["runs_created"] == 1


@pytest.mark.parametrize(
    ("operator", "shared", "given", "told"),
    [
        (RUN, ECHO, {"documents": {"start-node-1": "relative.pdf"}}, "is a relative path"),
        (RUN, ECHO, {"on_review": "nonsense"}, "on_review must be one of"),
        (RESTART, {"task_id": "run"}, {"run_id": None}, "run_id must be a string"),
        (CANCEL, {"task_id": "run"}, {"run_id": None}, "run_id must be a string"),
        (SENSOR, {"task_id": "run"}, {"run_id": ""}, "run_id must be a string"),
        (SENSOR, {"task_id": "run", "run_id": "run_1"}, {"not_found_grace": -1}, "not_found_grace must be"),
    ],
)
def test_what_another_task_returned_that_is_invalid_fails_without_a_retry(
    dag, operator, shared, given, told, caplog
):
    mapped = operator.partial(**shared, retries=2).expand_kwargs([])

    with pytest.raises(AirflowFailException, match=told):
        mapped.unmap(given)

    assert told in caplog.text
