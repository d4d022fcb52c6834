"""The documents that a run has made: each once, where it was made."""

import pytest

from retab_orchestration.models import DocumentRef, Step, documents_of_run

INPUT = {"file_id": "file_0", "filename": "in.pdf", "mime_type": "application/pdf"}


def file(number, **more):
    return {"id": f"file_{number}", "filename": f"{number}.pdf", "mime_type": "application/pdf", **more}


def step(node, *files, read=(), at=0, **more):
    """A step that has ended at second `at`."""

    def handles(side, documents):
        return {
            f"{side}-file-{number}": {"type": "file", "document": document}
            for number, document in enumerate(documents)
        }

    return Step.model_validate(
        {
            "node_id": node,
            "step_id": f"step-{node}",
            "node_label": node.title(),
            "status": "completed",
            "started_at": "2026-05-01T10:00:00Z",
            "completed_at": f"2026-05-01T10:00:{at:02}Z",
            "handle_inputs": handles("input", read),
            "handle_outputs": handles("output", files),
            **more,
        }
    )


def in_loop(*passes):
    """The loops around a step, as the first servers say it."""
    containers = [{"container_id": f"for_each-{n}", "iteration": each} for n, each in enumerate(passes)]
    return {"iteration_context": {"containers": containers}}


def documents(steps, inputs=(), outputs=None):
    return documents_of_run(steps, [DocumentRef.model_validate(each) for each in inputs], outputs or {})


def places(found):
    return [(each.node_id, each.iteration, each.document.id) for each in found]


def test_a_document_has_its_node_its_step_and_its_type():
    [found] = documents([step("edit", file(1))])

    assert found.model_dump() == {
        "node_id": "edit",
        "node_label": "Edit",
        "step_id": "step-edit",
        "iteration": (),
        "handle": "output-file-0",
        "document": {"id": "file_1", "filename": "1.pdf", "mime_type": "application/pdf", "url": None},
    }


def test_a_loop_gives_one_for_each_pass():
    steps = [
        step("edit", file(10 * outer + inner), at=outer + inner, **in_loop(outer, inner))
        for outer in (0, 1)
        for inner in (0, 1)
    ]

    assert sorted(places(documents(steps))) == [
        ("edit", (0, 0), "file_0"),
        ("edit", (0, 1), "file_1"),
        ("edit", (1, 0), "file_10"),
        ("edit", (1, 1), "file_11"),
    ]


@pytest.mark.parametrize(
    "loop",
    [
        {"iteration": 3},
        {"loop_id": "loop", "iteration": 3},
        {"iteration_context": {"containers": [{"container_id": "loop", "iteration": 3}]}},
        {"loop_containers": [{"container_id": "loop", "iteration": 3}]},
        {"loop_containers": [{"container_id": "loop", "is_parallel": True, "parallel_item_index": 3}]},
    ],
)
def test_the_pass_is_known_however_a_server_says_it(loop):
    assert places(documents([step("edit", file(1), **loop)])) == [("edit", (3,), "file_1")]


@pytest.mark.parametrize("ended", [0, 5])
def test_a_loop_that_gives_what_was_made_in_it_has_not_made_it(ended):
    # The loop has started first, so it is first in the list.
    steps = [
        step("for_each", file(1), file(2), read=[INPUT], at=ended),
        *(step("edit", file(n + 1), read=[INPUT], at=0, **in_loop(n)) for n in (0, 1)),
    ]

    assert places(documents(steps, [INPUT])) == [("edit", (0,), "file_1"), ("edit", (1,), "file_2")]


def test_what_a_node_passes_on_it_has_not_made_wherever_it_stands():
    steps = [
        step("end", file(1), read=[file(1)]),
        step("edit", file(1), read=[INPUT]),
    ]

    assert places(documents(steps, [INPUT])) == [("edit", (), "file_1")]


def test_what_nobody_else_has_made_is_of_the_first_node_that_gives_it():
    steps = [step("merge", file(1), read=[file(1)]), step("end", file(1), read=[file(1)], at=1)]

    assert places(documents(steps)) == [("merge", (), "file_1")]


def test_what_a_loop_hands_to_its_passes_is_listed_only_where_a_node_gives_it():
    steps = [step("loop", file(n), node_type="for_each_sentinel_start", at=n, **in_loop(n)) for n in (1, 2)]
    keeps = step("keep", file(2), read=[file(2)], at=3, **in_loop(2))

    assert documents(steps) == []
    assert places(documents([*steps, keeps])) == [("keep", (2,), "file_2")]


@pytest.mark.parametrize("kind", ["start", "start_document"])
def test_what_the_run_was_given_is_no_document_of_its_own(kind):
    steps = [step("start", file(1), node_type=kind), step("extract", file(1), at=1)]

    assert documents(steps) == []
    assert documents([step("extract", INPUT)], [INPUT]) == []


@pytest.mark.parametrize("status", ["running", "error", "skipped", "cancelled"])
def test_only_completed_steps_count(status):
    assert documents([step("edit", file(1), status=status)]) == []


def test_what_only_the_outputs_of_the_run_have_is_listed_as_well():
    outputs = {
        "end-1": {"label": "End", "json_data": None, "document": file(1)},
        "end-2": {"label": "Pages", "json_data": [], "document": [None, file(2), [file(3)]]},
        "end-3": {"label": "JSON", "json_data": {"document": file(9)}},
    }
    found = documents([step("edit", file(1))], outputs=outputs)

    assert places(found) == [("edit", (), "file_1"), ("end-2", (1,), "file_2"), ("end-2", (2, 0), "file_3")]
    assert (found[1].node_label, found[1].document.mime_type) == ("Pages", "application/pdf")


@pytest.mark.parametrize("given", [{"output_document": file(1)}, {"split_documents": {"Invoice": file(1)}}])
def test_older_servers_say_it_beside_the_handles(given):
    assert places(documents([step("split", **given)])) == [("split", (), "file_1")]
    assert len(documents([step("split", file(1), **given)])) == 1
