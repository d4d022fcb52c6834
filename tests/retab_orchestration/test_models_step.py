"""A step under the names of every generation."""

import pytest
from pydantic import ValidationError

from retab_orchestration.models import LoopContainer, Step, StepStatus, StepSummary


def test_step_is_read_with_block_names_and_a_lifecycle():
    error = {
        "status": "error",
        "message": "boom",
        "stage": "execution",
        "category": "quota",
        "details": {"a": 1},
    }
    step = Step.model_validate(
        {"block_id": "n1", "block_type": "parse", "block_label": "Parse", "lifecycle": error}
    )

    assert (step.node_id, step.node_type, step.node_label) == ("n1", "parse", "Parse")
    assert step.status is StepStatus.ERROR
    assert (step.error, step.error_stage, step.error_category) == ("boom", "execution", "quota")
    assert step.error_details == {"a": 1}


def test_step_that_names_no_node_goes_by_its_own_id():
    assert StepSummary.model_validate({"step_id": "s1"}).node_id == "s1"


def test_body_without_any_id_is_refused_by_name():
    with pytest.raises(ValidationError, match="`node_id` is missing"):
        Step.model_validate({"status": "completed"})


@pytest.mark.parametrize("body", [{}, {"status": "daydreaming"}])
def test_state_that_is_missing_or_new_is_unknown(body):
    step = Step.model_validate({"node_id": "n1", **body})

    assert step.status is StepStatus.UNKNOWN
    assert step.status_name == body.get("status")
    assert not step.status.is_terminal


def test_innermost_loop_is_the_steps_own():
    outer = {"container_id": "for_each-1", "iteration": 2, "is_parallel": True, "parallel_item_index": 2}
    step = Step.model_validate(
        {"node_id": "n1", "loop_containers": [outer, {"container_id": "while-1", "iteration": 0}]}
    )

    assert (step.loop_id, step.iteration) == ("while-1", 0)
    assert step.place == (2, 0)
    assert step.loop_containers[0] == LoopContainer(
        container_id="for_each-1", iteration=2, is_parallel=True, parallel_item_index=2
    )


def test_first_iteration_is_not_taken_for_none():
    step = Step.model_validate({"node_id": "n1", "loop_id": "while-1", "iteration": 0})

    assert (step.iteration, step.place) == (0, (0,))


def test_step_outside_loops_has_no_place_in_any():
    step = Step.model_validate({"node_id": "n1"})

    assert (step.loop_id, step.iteration, step.place) == (None, None, ())


def test_duration_is_counted_where_the_server_does_not_name_it():
    step = Step.model_validate(
        {"node_id": "n1", "started_at": "2026-01-01T00:00:00Z", "completed_at": "2026-01-01T00:00:02Z"}
    )

    assert step.duration_ms == 2000
