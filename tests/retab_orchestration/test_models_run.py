"""A run in each of its shapes, and what its reader makes of it."""

import pytest
from pydantic import ValidationError

from retab_orchestration import RunCancelledError, RunFailedError
from retab_orchestration.models import RunStatus, Trigger, TriggerType, WorkflowRun

RUN = {"id": "run_1", "status": "running"}


def read(**fields):
    return WorkflowRun.model_validate({**RUN, **fields})


@pytest.mark.parametrize(
    "state",
    [
        {"status": "error"},
        {"lifecycle": {"status": "error"}},
        {"lifecycle": {"kind": "error"}},
        {"status": "failed"},
    ],
    ids=str,
)
def test_state_is_found_in_every_place(state):
    run = WorkflowRun.model_validate({"id": "run_1", **state})

    assert run.status is RunStatus.ERROR
    assert run.is_terminal


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ({"status": "running"}, "it has no id"),
        ({"id": "", "status": "running"}, "it has no id"),
        ({"id": "run_1"}, r"\(run run_1\): it has no status; looked for `status`, `lifecycle.status`"),
        ({"id": "run_1", "status": None, "lifecycle": {}}, "it has no status"),
    ],
)
def test_body_without_id_or_state_is_refused_by_name(body, missing):
    with pytest.raises(ValidationError, match=missing):
        WorkflowRun.model_validate(body)


def test_unknown_state_is_still_active_and_keeps_its_word():
    run = read(status="hibernating")

    assert run.status is RunStatus.UNKNOWN
    assert run.status_name == "hibernating"
    assert not run.is_terminal
    assert WorkflowRun.model_validate(run.model_dump()).status_name == "hibernating"


def test_own_word_for_a_state_wins_over_a_stale_one():
    dumped = {**read(status="awaiting_review").model_dump(), "status": "completed"}

    assert WorkflowRun.model_validate(dumped).status_name == "completed"


def test_answer_to_a_cancel_is_the_run_with_its_cancellation():
    run = WorkflowRun.model_validate({"run": RUN, "cancellation_status": "cancellation_requested"})

    assert (run.id, run.status) == ("run_1", RunStatus.RUNNING)
    assert run.cancellation.status == "cancellation_requested"


def test_answer_to_a_resume_is_the_run_and_says_nothing_of_its_resuming():
    run = WorkflowRun.model_validate({"run": RUN, "resume_status": "processing"})

    assert run.resume_status is None


@pytest.mark.parametrize(
    ("body", "nodes"),
    [
        ({"waiting_for_node_ids": ["a"]}, ("a",)),
        ({"waiting_for_block_ids": ["a", "b"]}, ("a", "b")),
        ({"lifecycle": {"status": "awaiting_review", "waiting_for_block_ids": ["a"]}}, ("a",)),
        (
            {
                "waiting_for_node_ids": [],
                "lifecycle": {"kind": "waiting_for_human", "waiting_for_block_ids": ["c"]},
            },
            ("c",),
        ),
        ({"waiting_for_node_ids": None}, ()),
    ],
)
def test_waiting_nodes_are_found_in_every_place(body, nodes):
    assert read(**body).waiting_for_node_ids == nodes


@pytest.mark.parametrize(
    ("state", "waiting"), [("awaiting_review", True), ("waiting_for_human", True), ("queued", False)]
)
def test_waiting_is_neither_running_nor_ended(state, waiting):
    run = read(status=state)

    assert run.is_waiting is waiting
    assert not run.is_terminal


@pytest.mark.parametrize(
    ("body", "version"),
    [
        ({"config_snapshot_id": "v"}, "v"),
        ({"workflow_version_id": "v"}, "v"),
        ({"workflow": {"version_id": "v"}}, "v"),
        ({"workflow": {"snapshot_id": "v"}}, "v"),
    ],
)
def test_version_is_found_under_every_name(body, version):
    assert read(**body).version_id == version


@pytest.mark.parametrize(
    ("body", "trigger"),
    [
        ({}, Trigger()),
        ({"trigger_type": "api"}, Trigger(type=TriggerType.API, type_name="api")),
        (
            {"trigger": {"type": "email", "sender": "a@example.org"}},
            Trigger(type=TriggerType.EMAIL, type_name="email", email="a@example.org"),
        ),
        (
            {"trigger": {"type": "restart", "parent_run_id": "run_0"}},
            Trigger(type=TriggerType.RESTART, type_name="restart", parent="run_0"),
        ),
        (
            {"trigger": {"type": "restart", "source_run_id": "run_0"}},
            Trigger(type=TriggerType.RESTART, type_name="restart", parent="run_0"),
        ),
        ({"trigger": {"type": "telepathy"}}, Trigger(type=TriggerType.UNKNOWN, type_name="telepathy")),
    ],
)
def test_trigger_is_read_in_every_shape(body, trigger):
    run = read(**body)

    assert run.trigger == trigger
    assert WorkflowRun.model_validate(run.model_dump()).trigger == trigger


def test_duration_is_counted_where_the_server_does_not_name_it():
    times = {"started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:01.5Z"}

    assert read(timing=times).timing.duration_ms == 1500
    assert read(timing={**times, "duration_ms": 7}).timing.duration_ms == 7
    assert read(timing={"started_at": times["started_at"]}).timing.duration_ms is None


@pytest.mark.parametrize(
    "body",
    [
        {"human_waiting_started_at": "2026-01-01T00:00:00Z", "human_waiting_duration_ms": 5},
        {"timing": {"human_waiting_started_at": "2026-01-01T00:00:00Z", "accumulated_human_waiting_ms": 5}},
        {"timing": {"review_waiting_started_at": "2026-01-01T00:00:00Z", "accumulated_review_waiting_ms": 5}},
    ],
)
def test_time_spent_waiting_for_a_human_is_found_under_every_name(body):
    timing = read(**body).timing

    assert timing.human_waiting_started_at.year == 2026
    assert timing.human_waiting_duration_ms == 5


@pytest.mark.parametrize(
    ("body", "message", "failing"),
    [
        ({"error": "boom"}, "boom", None),
        ({"error": {"message": "boom"}}, "boom", None),
        ({"error_details": {"message": "boom", "node_id": "n1"}}, "boom", "n1"),
        ({"lifecycle": {"status": "error", "message": "boom", "failing_step_id": "s1"}}, "boom", "s1"),
        ({"error": "boom", "steps": [{"node_id": "n2", "status": "error"}]}, "boom", "n2"),
        ({"error": "boom", "steps": [{"node_id": "n2", "status": "completed"}]}, "boom", None),
        ({"status": "error"}, None, None),
    ],
)
def test_error_is_read_in_every_shape(body, message, failing):
    error = read(**body).error

    assert (error.message, error.failing_step_id) == (message, failing)


def test_run_without_error_has_none():
    assert read(error=None, error_details={}).error is None


def test_inline_step_that_names_no_node_is_passed_over():
    run = read(steps=[{"status": "completed"}, {"block_id": "b1", "status": "completed"}, "not a step"])

    assert [step.node_id for step in run.steps] == ["b1"]


def test_metadata_is_strings_to_strings():
    assert read(metadata={"a": "1", "b": 2, "c": None}).metadata == {"a": "1"}


def test_good_end_is_returned():
    for status in RunStatus:
        run = read(status=status.value)
        if status not in {RunStatus.ERROR, RunStatus.CANCELLED}:
            assert run.raise_for_status() is run


@pytest.mark.parametrize(
    ("category", "advice"),
    [
        ("transient", "start a new run"),
        ("quota", "raise it, or start a new run later"),
        ("permanent", "change the inputs or the workflow"),
        ("unheard_of", r"list_steps\('run_1'\)"),
        (None, r"list_steps\('run_1'\)"),
    ],
)
def test_failure_tells_what_happened_and_what_to_do(category, advice):
    lifecycle = {"status": "error", "message": "Schema broke.", "stage": "execution", "category": category}
    run = read(lifecycle={**lifecycle, "failing_step_id": "extract-1"})

    with pytest.raises(RunFailedError, match=advice) as failed:
        run.raise_for_status()

    for told in ("run_1", "execution", "extract-1", "Schema broke", category or ""):
        assert told in str(failed.value)
    assert failed.value.run is run
    assert failed.value.run_id == "run_1"


def test_failure_without_a_reason_says_so():
    with pytest.raises(RunFailedError, match="run_1 failed: the server gave no message"):
        read(status="error").raise_for_status()


def test_very_long_message_is_shortened():
    with pytest.raises(RunFailedError) as failed:
        read(status="error", error="x" * 100_000).raise_for_status()

    assert len(str(failed.value)) < 1500


@pytest.mark.parametrize(
    ("lifecycle", "text"),
    [
        ({"status": "cancelled"}, r"Run run_1 was cancelled\. Start"),
        ({"status": "cancelled", "reason": "too slow."}, r"Run run_1 was cancelled: too slow\. Start"),
    ],
)
def test_cancelled_run_raises_with_its_reason(lifecycle, text):
    run = read(lifecycle=lifecycle)

    with pytest.raises(RunCancelledError, match=text) as cancelled:
        run.raise_for_status()

    assert cancelled.value.run is run


def test_run_can_be_built_by_hand():
    run = WorkflowRun(id="run_1", status=RunStatus.RUNNING, trigger=Trigger(type=TriggerType.API))

    assert (run.status, run.status_name, run.trigger.type) == (RunStatus.RUNNING, "running", TriggerType.API)


def test_why_a_run_failed_is_told_without_what_signs_an_address():
    said = "cannot fetch https://storage.test/a.pdf?sig=s3cret"
    run = WorkflowRun.model_validate({"id": "run_1", "status": "error", "error": {"message": said}})

    with pytest.raises(RunFailedError, match=r"https://storage\.test/a\.pdf") as failed:
        run.raise_for_status()

    assert "s3cret" not in str(failed.value)
