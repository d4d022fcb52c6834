"""What a DAG gives where something else belongs, or what its templates become: refused before a run is created."""

import os
import stat
from datetime import timedelta
from functools import partial

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider._waiting.events import RunEvent
from retab_orchestration import RetabError
from tests.hostile.airflow import tasks
from tests.hostile.harness import Case
from tests.hostile.retab import role_of

INFINITE, HUGE = float("inf"), 10**400
NO_NODES = [[], (), [""], [" "], ["a/b"], ["a?b"], [".."], ["\ud800"], ["x" * 300], [7], "end-1", {"end-1"}]
NO_FLAGS = [None, "False", "no", 0, 1, 1.0, [], {}]
NO_SECONDS = [INFINITE, 1e308, 1e12, 2**60, HUGE, "30", timedelta(seconds=-30), True, [30]]
# Names of arguments, and what they were given in the DAG file.
ARGUMENTS = {
    "output_nodes": NO_NODES,
    "poll_interval": [*NO_SECONDS, 1e-9],
    "timeout": NO_SECONDS,
    "backstop": NO_SECONDS,
    "defer_after": NO_SECONDS,
    "deferrable": NO_FLAGS,
    "wait_for_completion": NO_FLAGS,
    "cancel_on_kill": NO_FLAGS,
    "cancel_on_timeout": [*NO_FLAGS, ["always"]],
    "on_review": [None, [], {}, "WAIT", "{{ x }}"],
    "on_clear": [None, [], {}, "{{ x }}"],
    "documents": [{"n": text} for text in ("data://text/plain,QUJD", "data:,x://", " DATA://x,QUJD")],
    "output_path": ["", " ", "x.json", 7, b"/x", [], "file:x"],
}
# What a template, or the task before, left in an input.
RENDERED = {
    "documents": ["", "None", "[]", [], 0, False],
    "json_inputs": ["", "None", [], 0, False],
    "text_inputs": ["", "None", [], 0, False],
    "metadata": ["", "None", [], 0, False],
    "version": ["", " ", 0, [], False],
    "output_nodes": [*NO_NODES, "", "None", "{{ x }}", ["{{ x }}"], 0],
    "output_path": [" ", "None", 0, []],
}
# Inputs that are templates of text, and are rendered to nothing.
TEMPLATES = ("documents", "json_inputs", "text_inputs")
# Places that are none of a file; {inside} has a folder, a file, a pipe and a link to a device.
PLACES = [
    *("{inside}/folder", "{inside}/pipe", "{inside}/a\x00b", "{inside}/\ud800", "{inside}/device"),
    *("file://host{inside}/x.json", "file://{inside}/folder", "file://{inside}/pipe", "file://"),
    *("s3://[x/y", "://x", "nowhere://x/y"),
]
URIS = [
    "s3://[x/y",
    "://x",
    "nowhere://x/y",
    "s3://",
    "s3://b:99999/k",
    "file://{inside}/folder",
    "file://{inside}/pipe",
    "file:///dev/zero",
    "file://host/x",
]
EVENTS = [
    {"status": []},
    {"status": {}},
    {"status": 7},
    {"run_id": []},
    {"status": "running", "waiting_for_node_ids": 7, "run_id": "run_2"},
]
SENSORS = {
    "output_nodes": NO_NODES,
    "poke_interval": [1e12, 1e-9],
    "timeout": [1e12],
    "deferrable": [*NO_FLAGS[1:], "None"],  # None is what Airflow's settings say
}


def places(world):
    (world.inside / "folder").mkdir()
    (world.inside / "file").touch()
    os.mkfifo(world.inside / "pipe")
    # Never a device itself, which code that writes carelessly would replace.
    (world.inside / "device").symlink_to("/dev/null")


def refusing(act):
    """Return an act after which nothing may have been created."""

    def acting(world):
        try:
            return act(world)
        finally:
            created = [role_of(request) for request in world.site.requests]
            assert not {"create", "restart"} & set(created), "a run was created"

    return acting


def executed(world, operator=tasks.RetabRunWorkflowOperator, **given):
    """Execute a task as a DAG file has it."""
    needed = {"workflow_id": "wf_1"} if operator is tasks.RetabRunWorkflowOperator else {"run_id": "run_1"}
    return tasks.executed(
        operator(task_id="run", retab_conn_id=tasks.connected(world), **{**needed, **given}), world
    )


def rendered(world, **given):
    """Execute a task as it is when its templates have been rendered."""
    task = tasks.RetabRunWorkflowOperator(
        task_id="run", workflow_id="wf_1", retab_conn_id=tasks.connected(world)
    )
    vars(task).update(given)
    return tasks.executed(task, world)


def from_template(world, name):
    given = {name: "{{ x }}"}
    task = tasks.RetabRunWorkflowOperator(
        task_id="run", workflow_id="wf_1", retab_conn_id=tasks.connected(world), **given
    )
    setattr(task, name, None)
    return tasks.executed(task, world)


def written(world, place):
    places(world)
    try:
        return tasks.on_the_worker(world, output_path=place.replace("{inside}", str(world.inside)))
    finally:
        assert stat.S_ISFIFO((world.inside / "pipe").lstat().st_mode), "the pipe was replaced"


def read_from(world, uri):
    places(world)
    return rendered(world, documents={"start-1": uri.replace("{inside}", str(world.inside))})


def each(what, table, act):
    """Yield what is done with every value of every argument in a table."""
    for name, values in table.items():
        for number, bad in enumerate(values):
            yield f"{what} {name} {number}", partial(act, **{name: bad})


def acts():
    yield from each("an argument", ARGUMENTS, executed)
    yield from each("rendered", RENDERED, rendered)
    sensor = partial(executed, operator=tasks.RetabRunSensor)
    yield from each("sensor", SENSORS, partial(sensor, deferrable=True))
    for name in TEMPLATES:
        yield f"a template of {name}", partial(from_template, name=name)
    for number, place in enumerate(PLACES):
        yield f"a place {number}", partial(written, place=place)
    for number, uri in enumerate(URIS):
        yield f"a document {number}", partial(read_from, uri=uri)
    for number, event in enumerate(EVENTS):
        told = {"run_id": "run_1", "status": "completed", **event}
        yield f"an event {number}", lambda _, told=told: RunEvent.read(told, run_id="run_1")


def cases():
    fails = (RetabError, AirflowException)
    for name, act in acts():
        yield Case(name, refusing(act), expected=fails, documented=fails)


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_an_argument(case, check):
    check(case)
