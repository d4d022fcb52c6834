import hashlib
import json

import fsspec
import pytest
from prefect import unmapped

from prefect_collection import await_for_run, wait_for_run
from prefect_collection._outputs import OutputTarget, refuse_one_file
from retab_orchestration import InvalidInputError, WorkflowRun
from tests.readme import block_with


class Elsewhere:
    """A path on a filesystem that opens itself, as universal_pathlib's are."""

    def __init__(self, uri):
        self.uri = uri

    def is_dir(self):
        return False

    def open(self, mode):
        return fsspec.open(self.uri, mode).open()

    def __str__(self):
        return self.uri


def read(uri):
    with fsspec.open(uri, "rb") as stream:
        return stream.read()


COMPLETED = WorkflowRun.model_validate(
    {
        "id": "run_1",
        "status": "completed",
        "final_outputs": {"end-node-1": {"label": "End", "json_data": {"vendor": "Ärmel & Söhne"}}},
    }
)


PLACES = {
    "a file": lambda folder: str(folder / "new" / "out.json"),
    "a Path": lambda folder: folder / "out.json",
    "a folder": lambda folder: folder,
    "a folder to be": lambda folder: f"{folder}/new/",
    "a file URI": lambda folder: f"file://{folder}/with space/out.json",
    "a URI": lambda folder: f"memory://{folder.name}/out.json",
    "a URI of a folder": lambda folder: f"memory://{folder.name}/",
    "a path that opens itself": lambda folder: Elsewhere(f"memory://{folder.name}/own.json"),
}


@pytest.mark.parametrize("place", [place for place in PLACES if "folder" not in place])
@pytest.mark.parametrize(
    "task", [wait_for_run, await_for_run.with_options(retries=2)], ids=["task", "options"]
)
def test_mapped_waits_may_not_overwrite_each_others_outputs(tmp_path, place, task):
    path = PLACES[place](tmp_path)

    for given in (path, unmapped(path)):
        with pytest.raises(
            InvalidInputError, match="output_path is one file, and mapped tasks would overwrite"
        ):
            task.map(["run_1", "run_2"], output_path=given)


@pytest.mark.parametrize("place", [place for place in PLACES if "folder" in place])
def test_mapped_waits_may_share_a_folder(tmp_path, place):
    path = PLACES[place](tmp_path)

    for given in (None, path, unmapped(path), [str(tmp_path / "a.json"), str(tmp_path / "b.json")]):
        refuse_one_file(given)


@pytest.mark.parametrize("place", PLACES)
def test_outputs_are_written_and_a_manifest_stands_for_them(tmp_path, place):
    manifest = OutputTarget.read(PLACES[place](tmp_path)).write(COMPLETED)

    content = read(manifest["uri"])
    assert json.loads(content) == COMPLETED.final_outputs
    assert manifest == {
        "uri": manifest["uri"],
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "run_id": "run_1",
        "status": "completed",
        "waiting_for_node_ids": [],
    }
    assert ("folder" in place) == manifest["uri"].endswith("run_1.json")
    assert "://" in manifest["uri"]


def test_a_relative_path_is_told_in_full(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert OutputTarget.read("out.json").write(COMPLETED)["uri"] == f"file://{tmp_path}/out.json"


def test_a_wait_returns_the_manifest(call, emulator, tmp_path):
    run_id = call("create_run", "wf_echo", json_inputs={"json-node-1": {"a": 1}})

    manifest = call("wait_for_run", run_id, poll_interval_seconds=0.5, output_path=tmp_path)

    assert manifest["run_id"] == run_id
    assert json.loads(read(manifest["uri"])) == call("get_run", run_id).final_outputs


def test_a_run_that_waits_for_a_human_has_nothing_to_write_yet(call, emulator, invoice, tmp_path):
    run_id = call("create_run", "wf_invoice_review", documents={"start-node-1": invoice})

    manifest = call("wait_for_run", run_id, poll_interval_seconds=0.5, output_path=tmp_path)

    assert manifest == {
        "uri": None, "size": None, "sha256": None, "run_id": run_id, "status": "waiting_for_human",
        "waiting_for_node_ids": ["hil-node-1"],
    }  # fmt: skip
    assert not list(tmp_path.glob("*.json"))


def test_the_outputs_of_an_invoice_are_those_of_the_readme(call, emulator, invoice):
    run_id = call("create_run", "wf_invoice", documents={"start-node-1": invoice})

    outputs = call("wait_for_run", run_id, poll_interval_seconds=0.5).final_outputs

    assert outputs == json.loads(block_with("end-node-1", "json"))


def test_half_of_a_surrogate_pair_is_written_as_an_escape(tmp_path):
    outputs = {"end-node-1": {"label": "End", "json_data": {"vendor": "\ud800"}}}
    run = WorkflowRun.model_validate({"id": "run_1", "status": "completed", "final_outputs": outputs})

    manifest = OutputTarget.read(str(tmp_path / "out.json")).write(run)

    assert json.loads(read(manifest["uri"])) == outputs
