"""What a reader, and a processor, have to follow from the list's answer to a trigger's event stays short."""

from dev import steps


def test_a_state_takes_few_steps_from_a_page_of_the_list_to_a_triggers_event():
    walk = steps.poll()

    assert walk.calls[-1][0] == "airflow_provider/triggers.py"
    assert walk.steps <= 370
    assert walk.files <= 31
    assert walk.changes <= 203
