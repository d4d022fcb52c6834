"""Outputs in one form, from the run or from its steps."""

import pytest

from retab_orchestration.models import Step, WorkflowRun, outputs_from_steps, sink_nodes

REF = {"id": "file_1", "filename": "a.pdf", "mime_type": "application/pdf"}


def run_with(outputs, **fields):
    return WorkflowRun.model_validate(
        {"id": "run_1", "status": "completed", "final_outputs": outputs, **fields}
    )


def step(node, *, status="completed", **fields):
    return Step.model_validate({"block_id": node, "lifecycle": {"status": status}, **fields})


def json_handle(value, name="output-json-0"):
    return {name: {"type": "json", "data": value}}


def file_handle(ref=REF, name="output-file-0"):
    return {name: {"type": "file", "document": ref}}


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"label": "Out", "json_data": {"a": 1}}, {"label": "Out", "json_data": {"a": 1}}),
        ({"label": "Out", "json_data": None}, {"label": "Out", "json_data": None}),
        ({"label": "Out", "json_data": None, "data": 3}, {"label": "Out", "json_data": 3}),
        ({"document": None, "data": {"a": 1}}, {"label": "end", "json_data": {"a": 1}}),
        ({"data": {"a": 1}}, {"label": "end", "json_data": {"a": 1}}),
        ({"document": REF, "data": None}, {"label": "end", "json_data": None, "document": REF}),
        ({"document": REF}, {"label": "end", "json_data": None, "document": REF}),
        (
            {"document": {"file_id": "f", "content": "JVBERi0="}},
            {"label": "end", "json_data": None, "document": {"id": "f"}},
        ),
        (
            {"document": {"filename": "a.pdf", "url": "data:application/pdf;base64,JVBERi0="}},
            {
                "label": "end",
                "json_data": None,
                "document": {"filename": "a.pdf", "mime_type": "application/pdf"},
            },
        ),
        (
            {"document": {"filename": "a", "url": "https://storage.retab.com/a"}},
            {
                "label": "end",
                "json_data": None,
                "document": {"filename": "a", "url": "https://storage.retab.com/a"},
            },
        ),
        ({"a": 1}, {"label": "end", "json_data": {"a": 1}}),
        ({"data": 1, "total": 2}, {"label": "end", "json_data": {"data": 1, "total": 2}}),
        ({"document": "Passport"}, {"label": "end", "json_data": {"document": "Passport"}}),
        ({}, {"label": "end", "json_data": {}}),
        ([1, 2], {"label": "end", "json_data": [1, 2]}),
        ("text", {"label": "end", "json_data": "text"}),
        (None, {"label": "end", "json_data": None}),
    ],
    ids=str,
)
def test_every_form_of_an_output_is_read_as_one(value, read):
    run = run_with({"end": value})

    assert run.final_outputs == {"end": read}
    assert run.outputs == {"end": read["json_data"]}
    assert WorkflowRun.model_validate(run.model_dump()).final_outputs == run.final_outputs


def test_output_without_a_label_takes_that_of_its_step():
    steps = [{"node_id": "end", "node_type": "end", "node_label": "Output", "status": "completed"}]

    assert run_with({"end": {"data": 1}}, steps=steps).final_outputs["end"]["label"] == "Output"


@pytest.mark.parametrize(
    ("outputs", "known"), [(None, False), ({}, True), ({"end": 1}, True), ("what", False)]
)
def test_run_tells_whether_it_carried_outputs(outputs, known):
    run = run_with(outputs)

    assert run.has_final_outputs is known
    assert WorkflowRun.model_validate(run.model_dump()).has_final_outputs is known


def test_outputs_can_be_added_to_a_copy():
    run = run_with(None)
    with_outputs = run.with_outputs({"end": {"label": "Output", "json_data": 1}, "other": [2]})

    assert run.final_outputs == {}
    assert with_outputs.has_final_outputs
    assert with_outputs.final_outputs == {
        "end": {"label": "Output", "json_data": 1},
        "other": {"label": "other", "json_data": [2]},
    }
    assert with_outputs.raw is run.raw


@pytest.mark.parametrize(
    ("fields", "output"),
    [
        ({"handle_outputs": json_handle({"a": 1})}, {"json_data": {"a": 1}}),
        ({"handle_outputs": {**json_handle(1, "output-json-x"), **json_handle(2)}}, {"json_data": 2}),
        ({"handle_outputs": json_handle(1, "output-json-x")}, {"json_data": 1}),
        ({"handle_outputs": file_handle()}, {"json_data": None, "document": REF}),
        ({"handle_outputs": {**file_handle(), **json_handle(3)}}, {"json_data": 3, "document": REF}),
        (
            {
                "handle_outputs": {
                    "output-file-Lost": {"type": "file"},
                    **file_handle(name="output-file-Found"),
                }
            },
            {"json_data": None, "document": REF},
        ),
        ({"output": {"a": 1}}, {"json_data": {"a": 1}}),
        ({"output": {"a": 1}, "handle_outputs": file_handle()}, {"json_data": {"a": 1}, "document": REF}),
        ({"output": {"a": 1}, "handle_outputs": json_handle({"b": 2})}, {"json_data": {"b": 2}}),
        ({}, {"json_data": None}),
    ],
)
def test_output_of_a_step_is_its_default_handle_and_its_file(fields, output):
    outputs = outputs_from_steps([step("n1", block_label="One", **fields)], ["n1"])

    assert outputs == {"n1": {"label": "One", **output}}


def test_only_completed_steps_of_the_wanted_nodes_count():
    steps = [
        step("a", handle_outputs=json_handle(1)),
        step("b", handle_outputs=json_handle(2)),
        step("c", status="skipped", handle_outputs=json_handle(3)),
    ]

    assert list(outputs_from_steps(steps, ["c", "b", "a", "unknown"])) == ["b", "a"]


@pytest.mark.parametrize(
    "place",
    [
        lambda number: {"loop_containers": [{"container_id": "loop", "iteration": number}]},
        lambda number: {"iteration_context": {"containers": [{"container_id": "loop", "iteration": number}]}},
        lambda number: {"loop_id": "loop", "iteration": number},
    ],
)
def test_node_in_a_loop_gives_a_list_in_the_order_of_the_iterations(place):
    steps = [step("n1", step_id=f"s{i}", handle_outputs=json_handle(i), **place(i)) for i in (10, 2, 0, 1)]

    assert outputs_from_steps(steps, ["n1"]) == {"n1": {"label": "n1", "json_data": [0, 1, 2, 10]}}


def test_loops_in_loops_are_ordered_from_the_outermost():
    def inner(*places):
        return [{"container_id": f"loop-{depth}", "iteration": place} for depth, place in enumerate(places)]

    steps = [
        step("n1", handle_outputs=json_handle(places), loop_containers=inner(*places))
        for places in ([1, 0], [0, 1], [1, 1], [0, 0])
    ]

    assert outputs_from_steps(steps, ["n1"])["n1"]["json_data"] == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_single_pass_through_a_loop_is_a_list_too():
    steps = [step("n1", handle_outputs=json_handle(5), iteration=0)]

    assert outputs_from_steps(steps, ["n1"])["n1"]["json_data"] == [5]


def test_several_steps_of_a_node_are_a_list_even_without_loop_fields():
    steps = [step("n1", step_id=name, handle_outputs=json_handle(name)) for name in ("s1", "s2")]

    assert outputs_from_steps(steps, ["n1"])["n1"]["json_data"] == ["s1", "s2"]


def test_documents_of_a_loop_stand_in_the_places_of_their_passes():
    steps = [
        step("n1", handle_outputs=file_handle() if number else json_handle(number), iteration=number)
        for number in (0, 1)
    ]
    outputs = outputs_from_steps(steps, ["n1"])

    assert outputs["n1"]["document"] == [None, REF]
    assert run_with(outputs).final_outputs == outputs


@pytest.mark.parametrize(
    "edge",
    [
        lambda a, b: {"id": "e", "source_block": a, "target_block": b, "source_handle": "output-json-0"},
        lambda a, b: {"source": a, "target": b},
        lambda a, b: {"source_node": a, "target_node": b},
    ],
)
def test_sinks_are_the_nodes_from_which_nothing_leads_on(edge):
    steps = [
        step("start", block_type="start_document"),
        step("extract", block_type="extract"),
        step("split", block_type="split"),
        step("note", block_type="note"),
        step("sentinel", block_type="for_each_sentinel_end"),
        step("skipped", block_type="extract", status="skipped"),
        step("again", block_type="while_loop"),
    ]
    edges = [
        edge("start", "extract"),
        edge("start", "split"),
        edge("extract", "skipped"),
        edge("again", "again"),
    ]

    assert sink_nodes(steps, edges) == ("split", "again")


def test_graph_without_edges_ends_everywhere():
    assert sink_nodes([step("a"), step("b"), step("a")], []) == ("a", "b")


def test_end_nodes_are_the_sinks_where_a_graph_has_them():
    steps = [step("loose", block_type="extract"), step("end-1", block_type="end")]

    assert sink_nodes(steps, []) == sink_nodes(steps, None) == ("end-1",)


def test_without_the_graph_the_nodes_that_completed_last_are_the_sinks():
    steps = [
        step("start", block_type="start_json", completed_at="2026-01-01T00:00:09Z"),
        step("early", completed_at="2026-01-01T00:00:01Z"),
        step("late", completed_at="2026-01-01T00:00:05Z"),
        step("late too", completed_at="2026-01-01T00:00:05"),
        step("broken", status="error", completed_at="2026-01-01T00:00:08Z"),
    ]

    assert sink_nodes(steps, None) == ("late", "late too")


def test_run_of_nothing_has_no_sinks():
    assert sink_nodes([], None) == sink_nodes([], []) == ()
