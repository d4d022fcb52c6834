"""The states under every name that a server or a caller may use."""

import pytest

from retab_orchestration.models import RunStatus, Step, StepStatus, TriggerType, WorkflowRun
from retab_orchestration.models.page import RunRow


@pytest.mark.parametrize(
    ("spelling", "status"),
    [
        ("completed", RunStatus.COMPLETED),
        ("awaiting_review", RunStatus.WAITING_FOR_HUMAN),
        ("Waiting-for human", RunStatus.WAITING_FOR_HUMAN),
        ("failed", RunStatus.ERROR),
        ("canceled", RunStatus.CANCELLED),
        (" RUNNING ", RunStatus.RUNNING),
        (RunStatus.QUEUED, RunStatus.QUEUED),
    ],
)
def test_any_spelling_of_a_state_is_that_state(spelling, status):
    assert RunStatus(spelling) is status
    assert RunStatus.read(spelling) is status


@pytest.mark.parametrize("word", ["paused", "", None])
def test_unknown_word_is_read_as_unknown(word):
    assert RunStatus.read(word) is RunStatus.UNKNOWN
    assert StepStatus.read(word) is StepStatus.UNKNOWN
    assert TriggerType.read(word) is TriggerType.UNKNOWN


@pytest.mark.parametrize("word", ["paused", None, 3])
def test_unknown_word_of_a_caller_is_refused(word):
    with pytest.raises(ValueError, match="RunStatus"):
        RunStatus(word)


@pytest.mark.parametrize("status", RunStatus)
def test_only_completed_error_and_cancelled_end_a_run(status):
    assert status.is_terminal is (status in {"completed", "error", "cancelled"})
    assert status.is_waiting is (status == "waiting_for_human")


@pytest.mark.parametrize("status", StepStatus)
def test_a_skipped_step_has_ended_too(status):
    assert status.is_terminal is (status in {"completed", "skipped", "error", "cancelled"})


@pytest.mark.parametrize(
    ("status", "classic", "current"),
    [
        (RunStatus.WAITING_FOR_HUMAN, "waiting_for_human", "awaiting_review"),
        (RunStatus.ERROR, "error", "error"),
        (RunStatus.CANCELLED, "cancelled", "cancelled"),
    ],
)
def test_state_is_spelled_as_the_server_filters_for_it(status, classic, current):
    assert status.spelled("classic") == classic
    assert status.spelled("current") == current


def test_unknown_state_cannot_be_filtered_for():
    with pytest.raises(ValueError, match="use another member"):
        RunStatus.UNKNOWN.spelled("current")


def test_state_prints_as_its_name():
    assert f"{RunStatus.RUNNING}" == "running"


@pytest.mark.parametrize("word", ["odd\nERROR: all is lost", "\x1b[31mred", "o" * 1_000_000, "a\u2028b"])
def test_a_state_that_no_log_line_should_have_is_escaped_and_cut(word):
    body = {"id": "run_1", "lifecycle": {"status": word, "waiting_for_node_ids": [word]}}
    run, step = (
        WorkflowRun.model_validate(body),
        Step.model_validate({**body, "step_id": "s", "run_id": "run_1"}),
    )

    assert run.status is RunStatus.UNKNOWN
    for shown in (
        run.status_name,
        step.status_name,
        *run.waiting_for_node_ids,
        RunRow(body).status_name,
    ):
        assert shown.isprintable()
        assert len(shown) <= 257
