"""Unknown keys, nulls and wrong types are survived; document bytes and raw bodies are not shown."""

import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from retab_orchestration.models import (
    HandlePayload,
    Review,
    ReviewDecision,
    ReviewVersion,
    RunStatus,
    Step,
    WorkflowRun,
    WorkflowTestResult,
    WorkflowTestRun,
)

SAMPLES = Path(__file__).parents[1] / "samples"
RUN = {"id": "run_1", "status": "running"}
BYTES = "JVBERi0xLjQKZG9jdW1lbnQgYnl0ZXM="

# Reader -> the smallest body that it reads.
SMALLEST = {
    WorkflowRun: RUN,
    WorkflowTestRun: {"id": "wftestrun_1", "status": "running"},
    WorkflowTestResult: {"id": "wfresult_1"},
    Step: {"node_id": "n1"},
    Review: {"id": "rev_1"},
    ReviewVersion: {"id": "rvr_1"},
    ReviewDecision: {},
}
# Names under which some reader looks for something, so that each can be given the wrong thing.
ELSEWHERE = (
    *("lifecycle", "timing", "inputs", "workflow", "trigger", "cost_summary", "run_resume_status", "run"),
    *(
        "input_documents",
        "input_json_data",
        "input_text_data",
        "error_details",
        "waiting_for_block_ids",
        "overlay",
    ),
    *(
        "block_id",
        "block_type",
        "block_label",
        "eval_id",
        "total_evals",
        "assertion_result",
        "outputs",
        "review",
    ),
    *("config_snapshot_id", "trigger_type", "cancellation_status", "decided_at", "submission_status"),
)
LOOKED_FOR = sorted({*ELSEWHERE, *(name for reader in SMALLEST for name in reader.model_fields)})
WRONG = [
    None,
    "",
    "word",
    0,
    -1.5,
    float("nan"),
    float("inf"),
    True,
    [],
    {},
    [None, 1, "a", []],
    {"a": None, "b": []},
]
NESTED = {
    "lifecycle": ["status", "kind", "message", "stage", "category", "details", "failing_step_id", "reason"],
    "timing": ["created_at", "started_at", "completed_at", "duration_ms", "accumulated_review_waiting_ms"],
    "inputs": ["documents", "json_data", "text"],
    "workflow": ["workflow_id", "version_id", "name_at_run_time"],
    "trigger": ["type", "sender", "parent_run_id"],
}


@pytest.fixture(params=SMALLEST, ids=lambda reader: reader.__name__)
def reader(request):
    return request.param


def test_smallest_body_is_enough(reader):
    read = reader.model_validate(SMALLEST[reader])

    assert read.raw == SMALLEST[reader]


@pytest.mark.parametrize("name", [name for name in LOOKED_FOR if name not in {"id", "status", "node_id"}])
def test_wrong_type_of_an_optional_field_costs_that_field_only(reader, name):
    for value in WRONG:
        read = reader.model_validate({**SMALLEST[reader], name: value})

        assert reader.model_validate(SMALLEST[reader]).model_dump().keys() == read.model_dump().keys()


@pytest.mark.parametrize(
    ("parent", "child"), [(parent, child) for parent, names in NESTED.items() for child in names]
)
def test_wrong_type_inside_a_part_costs_that_field_only(parent, child):
    for value in WRONG:
        run = WorkflowRun.model_validate({**RUN, parent: {child: value}})

        assert run.id == "run_1"


def test_null_absent_and_empty_are_the_same(reader):
    names = reader.model_fields.keys() - {"raw", *SMALLEST[reader]}
    nothing = reader.model_validate(SMALLEST[reader])

    for empty in (None, [], {}):
        read = reader.model_validate(SMALLEST[reader] | dict.fromkeys(names, empty))

        kept = {name for name in names if read.model_dump()[name] != nothing.model_dump()[name]}
        # A JSON value may be empty, and outputs that are empty are known.
        assert kept <= {"output", "snapshot", "has_final_outputs"}


def test_unknown_keys_stay_in_raw_only(reader):
    body = SMALLEST[reader] | {"brand_new": {"deep": ["secret-of-the-engine"]}}
    read = reader.model_validate(body)

    assert read.raw == body
    assert "brand_new" not in read.model_dump()
    assert "secret-of-the-engine" not in repr(read) + str(read) + read.model_dump_json()


def test_models_are_frozen(reader):
    read = reader.model_validate(SMALLEST[reader])

    with pytest.raises(ValidationError, match="frozen"):
        read.raw = {}


def test_raw_body_stays_out_of_pickles(reader):
    read = reader.model_validate(SMALLEST[reader] | {"engine": "secret-of-the-engine"})
    stored = pickle.dumps(read)

    assert b"secret-of-the-engine" not in stored
    assert pickle.loads(stored).model_dump() == read.model_dump()  # noqa: S301 -- our own, of a moment ago


@pytest.mark.parametrize("body", [None, "text", 3, [], ["id"]])
def test_what_is_no_object_is_refused(reader, body):
    with pytest.raises(ValueError, match=reader.__name__):
        reader.model_validate(body)


@pytest.mark.parametrize(
    "reader",
    sorted(SMALLEST.keys() - {ReviewDecision}, key=lambda reader: reader.__name__),
    ids=lambda reader: reader.__name__,
)
def test_refusal_does_not_repeat_the_body(reader):
    with pytest.raises(ValueError, match=r"it has no |is missing") as refused:
        reader.model_validate({"documents": {"start": {"content": BYTES}}, "id": [BYTES]})

    assert BYTES not in str(refused.value)


DOCUMENT = {
    "id": "file_1",
    "filename": "a.pdf",
    "content": BYTES,
    "url": f"data:application/pdf;base64,{BYTES}",
}
WITH_DOCUMENTS = {
    WorkflowRun: [
        {"input_documents": {"start": DOCUMENT}},
        {"inputs": {"documents": {"start": DOCUMENT}}},
        {"final_outputs": {"end": {"document": DOCUMENT, "data": None}}},
        {"final_outputs": {"end": {"label": "Output", "json_data": {"a": 1}, "document": DOCUMENT}}},
        {"steps": [{"node_id": "n1", "status": "completed", "output_document": DOCUMENT}]},
        {
            "steps": [
                {"node_id": "n1", "handle_outputs": {"output-file-0": {"type": "file", "document": DOCUMENT}}}
            ]
        },
    ],
    Step: [
        {"input_document": DOCUMENT, "output_document": DOCUMENT},
        {"split_documents": {"Invoice": DOCUMENT}},
        {"handle_inputs": {"input-file-0": {"type": "file", "document": DOCUMENT}}},
        {"handle_outputs": {"output-file-0": {"type": "file", "document": DOCUMENT}}},
    ],
}


@pytest.mark.parametrize(
    ("reader", "part"),
    [(reader, part) for reader, parts in WITH_DOCUMENTS.items() for part in parts],
    ids=str,
)
def test_no_document_bytes_are_kept_outside_raw(reader, part):
    read = reader.model_validate(SMALLEST[reader] | part)

    assert "a.pdf" in repr(read)
    for shown in (repr(read), str(read), read.model_dump_json(), repr(pickle.dumps(read))):
        assert BYTES not in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.74Z", datetime(2026, 1, 2, 3, 4, 5, 740000, tzinfo=UTC)),
        ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        (1767322800, None),
    ],
)
def test_times_are_utc_whatever_their_zone(text, expected):
    run = WorkflowRun.model_validate({**RUN, "created_at": text})

    assert run.timing.created_at == expected
    assert expected is None or run.timing.created_at.tzinfo is UTC


@pytest.mark.parametrize(("number", "expected"), [(3, 3), (3.0, 3), (3.7, 3), (True, None), ("3", None)])
def test_whole_numbers_may_come_with_a_fraction(number, expected):
    assert WorkflowRun.model_validate({**RUN, "duration_ms": number}).timing.duration_ms == expected


def test_text_of_an_old_handle_is_its_data():
    assert HandlePayload.model_validate({"type": "text", "text": "hello"}).data == "hello"
    assert HandlePayload.model_validate({"document": {"id": "file_1"}}).type == "file"


def test_states_are_read_by_their_names_only():
    assert WorkflowRun.model_validate({**RUN, "status": "paused"}).status is RunStatus.UNKNOWN
