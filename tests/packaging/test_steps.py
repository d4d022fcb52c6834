"""What a reader, and a processor, have to follow from one end of an idea to the other stays short."""

from dev import steps


def test_a_small_document_takes_few_steps_from_the_call_to_the_socket():
    walk = steps.create()

    assert any(function.endswith(".create_run") for _, function in walk.calls)
    assert walk.steps <= 90
    assert walk.files <= 21
    assert walk.changes <= 54
