"""Every body that was ever captured or documented is read as the manifest says."""

import json
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import pytest

from retab_orchestration._endpoints.classic import submit_decision, submit_resume
from retab_orchestration._endpoints.downloads import get_link
from retab_orchestration.models import (
    Review,
    ReviewDecision,
    ReviewPage,
    ReviewVersion,
    ReviewVersionPage,
    RunPage,
    RunStatus,
    Step,
    StepPage,
    StepStatus,
    Verdict,
    WorkflowRun,
    WorkflowTestResult,
    WorkflowTestRun,
)
from tests.retab_orchestration.conftest import ok

SAMPLES = Path(__file__).parents[1] / "samples"
MANIFEST = json.loads((SAMPLES / "manifest.json").read_text())

READERS = {
    "run": WorkflowRun,
    "cancel": WorkflowRun,
    "run_list": RunPage,
    "step": Step,
    "step_list": StepPage,
    "test_run": WorkflowTestRun,
    "eval_run": WorkflowTestRun,
    "eval_result": WorkflowTestResult,
    "resume": ReviewDecision,
    "hil_decision": ReviewDecision,
    "hil_decision_state": ReviewDecision,
    "review_decision": ReviewDecision,
    "review_decision_fragment": Verdict,
    "review": Review,
    "review_list": ReviewPage,
    "review_version": ReviewVersion,
    "review_version_list": ReviewVersionPage,
}

# What `expect` may name, and where it is read.
EXPECTATIONS = {
    "state": lambda read: read.status,
    "states": lambda read: [item.status for item in read.data],
    "terminal": lambda read: read.status.is_terminal,
    "outputs": lambda read: read.outputs,
    "waiting_ids": lambda read: list(read.waiting_for_node_ids),
    "cancel": lambda read: read.cancellation.status,
    "outcome": lambda read: read.outcome,
    "applied": lambda read: read.applied,
    "resume": lambda read: read.resume_status,
}

HIL_STATE = {"applied_at", "block_status", "modified_data.field", "payload_hash", "received_at"}
RESUMED = {
    "created_at",
    "organization_id",
    "started_at",
    "status",
    "updated_at",
    "workflow_id",
    "workflow_name",
}
REVIEWED = {
    "block_type",
    "created_at",
    *(f"decision.{name}" for name in ("created_at", "decided_at", "verdict")),
    *(f"decision.author.{name}" for name in ("display_name", "id", "kind")),
    "step_id",
    *(f"triggered_by.{name}" for name in ("kind", "threshold")),
    "workflow_id",
    "workflow_version_id",
}

# Errors are read, expectation by expectation, in test_error_responses.py, the others below.
READ_ELSEWHERE = {"error", "request", "step_batch", "file_link"}

# What models leave to `raw`: a receipt has not the whole review or run in it, and tells what becomes of it itself.
LEFT_OUT = {
    "cancel": {"redis_available"},
    "eval_result": {"execution_fingerprint"},
    "hil_decision": {f"decision.{name}" for name in HIL_STATE},
    "hil_decision_state": HIL_STATE,
    "resume": {"queue_item_id", *(f"run.{name}" for name in RESUMED)},
    "review_decision": {f"review.{name}" for name in REVIEWED},
    "run": {"trigger.api_key_id"},
    "step": {
        "handle_outputs.output-file-0.document.content",
        *(f"handle_outputs.output-json-0.artifact_ref.{name}" for name in ("id", "key", "operation")),
        "handle_outputs.output-json-0.preview.truncated",
    },
}


def sample(entry):
    return json.loads((SAMPLES / entry["file"]).read_text())


def meant(name, value, read):
    if name == "state":
        return type(read.status)(value)
    if name == "states":
        return [type(item.status)(state) for item, state in zip(read.data, value, strict=True)]
    return value


@pytest.mark.parametrize(
    "entry", [entry for entry in MANIFEST if entry["object"] in READERS], ids=lambda entry: entry["file"]
)
def test_sample_is_read_as_expected(entry):
    read = READERS[entry["object"]].model_validate(sample(entry))

    found = {name: EXPECTATIONS[name](read) for name in entry["expect"]}
    assert found == {name: meant(name, value, read) for name, value in entry["expect"].items()}


@pytest.mark.parametrize(
    "entry", [entry for entry in MANIFEST if entry["object"] in READERS], ids=lambda entry: entry["file"]
)
def test_sample_survives_a_dump(entry):
    reader = READERS[entry["object"]]
    read = reader.model_validate(sample(entry))

    assert reader.model_validate(read.model_dump()).model_dump() == read.model_dump()
    assert reader.model_validate_json(read.model_dump_json()).model_dump() == read.model_dump()
    assert reader.model_validate(read) is read


def test_no_expectation_goes_unread():
    unread = [
        entry["file"]
        for entry in MANIFEST
        if entry["expect"] and entry["object"] not in READERS.keys() | READ_ELSEWHERE
    ]
    unknown = {name for entry in MANIFEST if entry["object"] in READERS for name in entry["expect"]}

    assert unread == []
    assert unknown <= EXPECTATIONS.keys()
    assert {entry["object"] for entry in MANIFEST} <= READERS.keys() | READ_ELSEWHERE


def test_every_sample_is_in_the_manifest():
    assert {entry["file"] for entry in MANIFEST} == {path.name for path in SAMPLES.glob("*.json")} - {
        "manifest.json"
    }


def leaves(value, path=""):
    """Yield the path of each value in a body that is neither an object nor a list nor null, and the value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    elif value is not None:
        yield path, value


def plain(value):
    """A time as a moment, however it is written; anything else as it is."""
    try:
        return datetime.fromisoformat(value) if isinstance(value, str) and value[4:5] == "-" else value
    except ValueError:
        return value


def test_a_sample_is_read_to_its_last_value_but_for_what_is_left_to_raw():
    left = defaultdict(set)
    for entry in MANIFEST:
        if entry["object"] in READERS:
            read = READERS[entry["object"]].model_validate(sample(entry))
            known = {plain(value) for _, value in leaves(json.loads(read.model_dump_json()))}
            left[entry["object"]] |= {
                path for path, value in leaves(sample(entry)) if plain(value) not in known
            }

    assert {name: paths for name, paths in left.items() if paths} == LEFT_OUT


@pytest.mark.parametrize("release", ["py112__G1a", "py118__G1b"])
def test_steps_of_a_batch_are_read(release):
    batch = json.loads((SAMPLES / f"{release}__steps_batch_response.json").read_text())
    [(node_id, body)] = batch["outputs"].items()

    step = Step.model_validate(body)

    assert (step.node_id, step.node_type, step.node_label) == (node_id, "extract", "Extract")
    assert step.handle_outputs["output-json-0"].data == {"field": "value"}


def test_link_to_a_file_is_read():
    body = json.loads((SAMPLES / "cli__G3c__file_link_iso_expiry.json").read_text())

    link = get_link("file_abc").read(body)

    assert (link.url, link.filename) == (body["download_url"], "deed.tiff")


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("py112__G1a__resume_request.json", submit_resume),
        ("py118__G1b__hil_decision_request.json", submit_decision),
    ],
)
def test_decision_is_sent_as_the_sample_says(name, call):
    body = json.loads((SAMPLES / name).read_text())
    asked = call(
        "run_1", "hil-1", approved=True, modified_data={"field": "value"}, command_id=body["command_id"]
    )

    assert json.loads(b"".join(asked.request.body.chunks())) == body


def test_create_is_sent_as_the_sample_says(script):
    body = json.loads((SAMPLES / "seed000__G1a__run_create_request_body.json").read_text())
    client, runtime = script(ok({"id": "run_1", "status": "running"}), api="classic")

    client.create_run(
        "wf_1",
        documents={"start-node-1": ("invoice.pdf", b"%PDF")},
        json_inputs=body["json_inputs"],
        text_inputs=body["text_inputs"],
    )

    body["documents"]["start-node-1"]["content"] = "JVBERg=="  # which the page leaves to the reader
    assert json.loads(runtime.bodies[0]) == body


def test_awaiting_review_means_waiting_for_a_human():
    assert RunStatus("awaiting_review") is RunStatus.WAITING_FOR_HUMAN
    assert StepStatus("awaiting_review") is StepStatus.WAITING_FOR_HUMAN
