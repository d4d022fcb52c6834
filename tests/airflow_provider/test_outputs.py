"""`output_path`: outputs in a file, and a manifest as the task's value."""

import hashlib
import json
from pathlib import Path

import airflow
import fsspec
import pytest
from airflow.providers.common.compat.sdk import AirflowSkipException, ObjectStoragePath, TaskDeferred

from airflow_provider._outputs import write_outputs
from airflow_provider.operators import RetabRunWorkflowOperator
from retab_orchestration import InvalidInputError, WorkflowRun
from tests.airflow_provider.refusals import refused

AIRFLOW_3 = not airflow.__version__.startswith("2.")


def operator(invoice, path, workflow_id="wf_invoice", **settings):
    documents = {"start-node-1": invoice}
    return RetabRunWorkflowOperator(
        task_id="run", workflow_id=workflow_id, documents=documents, output_path=path, **settings
    )


PLACES = {
    "text": str,
    "path": Path,
    "URI": lambda path: path.as_uri(),
    "object storage": lambda path: ObjectStoragePath(f"file://{path}"),
}


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "on the worker"])
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_outputs_are_written_and_described(connect, execute, ti, invoice, tmp_path, place, deferrable):
    path = tmp_path / "new" / "outputs.json"
    if place is PLACES["object storage"]:
        path.parent.mkdir()

    manifest = execute(operator(invoice, place(path), deferrable=deferrable))

    content = path.read_bytes()
    assert json.loads(content)["end-node-1"]["json_data"]["vendor_name"] == "Northwind"
    assert manifest == {
        "uri": f"file://{path}",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "run_id": ti.xcoms["run_id"],
        "status": "completed",
    }
    assert [found.name for found in path.parent.iterdir()] == ["outputs.json"]


def test_folder_gets_a_file_of_the_run_s_name(connect, execute, ti, invoice, tmp_path):
    manifest = execute(operator(invoice, f"{tmp_path}/outputs/"))

    assert manifest["uri"] == f"file://{tmp_path}/outputs/{ti.xcoms['run_id']}.json"
    assert Path(manifest["uri"].removeprefix("file://")).exists()


def test_outputs_are_in_no_xcom(connect, execute, ti, invoice, tmp_path):
    manifest = execute(operator(invoice, tmp_path / "outputs.json"))

    assert "Northwind" not in json.dumps([manifest, ti.history])


def test_outputs_so_far_are_written_as_well(connect, execute, invoice, tmp_path):
    manifest = execute(operator(invoice, tmp_path / "outputs.json", "wf_invoice_review"))

    assert manifest["status"] == "waiting_for_human"
    assert json.loads((tmp_path / "outputs.json").read_text()) == {}


def test_task_that_is_skipped_writes_nothing(connect, execute, invoice, tmp_path):
    with pytest.raises(AirflowSkipException):
        execute(operator(invoice, tmp_path / "outputs.json", "wf_invoice_review", on_review="skip"))

    assert not (tmp_path / "outputs.json").exists()


def test_place_that_is_rendered_to_nothing_is_none(connect, context, execute, invoice):
    task = operator(invoice, "{{ params.path }}")
    task.output_path = ""

    assert "end-node-1" in execute(task)


def test_waiting_is_not_held_up_by_a_place_that_cannot_be_written(connect, context, invoice, tmp_path):
    """Whether it can be written is known when it is, and a retry finds the run again."""
    (tmp_path / "file").touch()
    task = operator(invoice, tmp_path / "file" / "outputs.json")

    with pytest.raises(TaskDeferred):
        task.execute(context)


def test_half_of_a_surrogate_pair_is_written_as_an_escape(tmp_path):
    outputs = {"end-node-1": {"label": "End", "json_data": {"vendor": "\ud800"}}}
    run = WorkflowRun.model_validate({"id": "run_1", "status": "completed"})

    write_outputs(tmp_path / "out.json", outputs, run)

    assert json.loads((tmp_path / "out.json").read_bytes()) == outputs


@pytest.mark.parametrize("address", ["memory://bucket/out/", "memory://bucket/out", "file:///tmp/out/"])
def test_a_folder_that_forgets_its_slash_is_refused_while_the_dag_file_is_parsed(invoice, address):
    with pytest.raises(InvalidInputError, match="forgets the slash of a folder: write a folder as text"):
        operator(invoice, ObjectStoragePath(address))


@pytest.fixture
def memory(monkeypatch):
    """A store that Airflow knows, in memory."""
    store = (
        pytest.importorskip("airflow.sdk.io.store") if AIRFLOW_3 else pytest.importorskip("airflow.io.store")
    )
    monkeypatch.setattr(store, "_STORE_CACHE", dict(store._STORE_CACHE))
    store.attach("memory", fs=fsspec.filesystem("memory"))


@pytest.mark.parametrize("given", [str, ObjectStoragePath])
def test_a_folder_of_a_store_that_is_named_as_a_file_is_refused_before_the_run_exists(
    connect, context, emulator, invoice, given, memory
):
    address = "memory://bucket/out.d"
    ObjectStoragePath(f"{address}/there.json").write_bytes(b"{}")

    with refused(InvalidInputError, match="output_path is a folder"):
        operator(invoice, given(address)).execute(context)

    assert emulator.stats()["runs_created"] == 0
