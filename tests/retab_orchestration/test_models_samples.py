"""Every body that was ever captured or documented is read as the manifest says."""

import json
from pathlib import Path

import pytest

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

# Errors are read, expectation by expectation, in test_error_responses.py; nobody reads what only clients send.
READ_ELSEWHERE = {"error"}
NEVER_READ = {"request", "step_batch", "file_link"}


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
    assert {entry["object"] for entry in MANIFEST} <= READERS.keys() | READ_ELSEWHERE | NEVER_READ


def test_every_sample_is_in_the_manifest():
    assert {entry["file"] for entry in MANIFEST} == {path.name for path in SAMPLES.glob("*.json")} - {
        "manifest.json"
    }


def test_awaiting_review_means_waiting_for_a_human():
    assert RunStatus("awaiting_review") is RunStatus.WAITING_FOR_HUMAN
    assert StepStatus("awaiting_review") is StepStatus.WAITING_FOR_HUMAN
