"""What a reader, and a processor, have to follow from the list's answer to a trigger's event stays short."""

from dev import steps


def test_a_state_takes_few_steps_from_a_page_of_the_list_to_a_triggers_event():
    # Of several: on a busy machine a timer that belongs to none of it may go off in between.
    walk = min((steps.poll() for _ in range(3)), key=lambda each: each.steps)

    assert walk.calls[-1][0] == "airflow_provider/triggers.py"
    assert walk.steps <= 245
    assert walk.files <= 28
    assert walk.changes <= 175
