"""Runs with loops, on servers of every generation: each pass has its own steps, outputs and files."""

import pytest

from retab_orchestration import RunStatus, Step, StepStatus, WaitTimeoutError
from retab_orchestration.emulator import Node, Workflow
from retab_orchestration.emulator.generations import GENERATIONS
from retab_orchestration.models import documents_of_run
from tests.emulator.conftest import VALUES, pages

LOOP = "for-each-node-1"


@pytest.fixture(params=GENERATIONS)
def client(connect, request):
    return connect(server=request.param, workflows=WORKFLOWS)[0]


def finished(client, workflow_id, json_input=None, **inputs):
    given = {} if json_input is None else {"json_inputs": {"json-node-1": json_input}}
    return client.wait_for_run(client.create_run(workflow_id, **given, **inputs).id)


@pytest.fixture
def of_pages(client):
    return finished(client, "wf_for_each", documents={"start-node-1": ("invoice.pdf", pages(3))})


def test_every_pass_is_a_step_of_its_own(client, of_pages):
    steps = client.list_steps(of_pages.id)

    inside = [step for step in steps if step.node_id == "extract-node-1"]
    assert sorted(step.place for step in inside) == [(0,), (1,), (2,)]
    assert len({step.step_id for step in steps}) == len(steps) == 2 + 3 * 4 + 1
    assert {step.loop_id for step in inside} == {LOOP}
    assert sorted(step.iteration for step in inside) == [0, 1, 2]
    assert all(step.loop_containers[0].is_parallel for step in inside)
    assert {step.place for step in steps if step.node_id in {"start-node-1", LOOP, "end-node-1"}} == {()}


def test_outputs_of_a_node_in_a_loop_are_a_list_in_the_order_of_the_passes(client, of_pages):
    run = client.get_run(of_pages.id, output_nodes=["extract-node-1", "edit-node-1"])

    assert run.outputs["extract-node-1"] == [VALUES] * 3
    names = [document["filename"] for document in run.final_outputs["edit-node-1"]["document"]]
    assert names == [f"invoice page {number} edited.pdf" for number in (1, 2, 3)]


def test_each_document_is_listed_with_the_pass_that_made_it(client, of_pages):
    made = client.list_documents(of_pages.id)

    assert [(each.node_id, each.iteration, each.document.filename) for each in made] == [
        ("edit-node-1", (number,), f"invoice page {number + 1} edited.pdf") for number in range(3)
    ]
    assert len({each.step_id for each in made}) == 3


def test_outputs_of_loops_in_loops_keep_their_order(client):
    items = [{"item": "a", "passes": 2}, {"item": "b", "passes": 3}]
    run = finished(client, "wf_nested_loops", {"items": items})

    steps = client.list_steps(run.id)
    named = client.get_run(run.id, output_nodes=["step-node-1"]).outputs["step-node-1"]

    assert run.outputs["end-node-1"]["items"] == [{**items[0], "count": 1}, {**items[1], "count": 2}]
    assert sorted(step.place for step in steps if step.node_id == "step-node-1") == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (1, 2),
    ]
    assert [(each["item"], each["count"]) for each in named] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
        ("b", 2),
    ]


@pytest.mark.parametrize("server", ["g1a", "g3c"])
def test_a_run_of_more_steps_than_a_page_has_them_all(connect, server):
    client, _ = connect(server=server)
    run = finished(client, "wf_nested_loops", {"items": [{"n": n} for n in range(30)]})

    steps = client.list_steps(run.id)

    assert len(steps) == 3 + 30 * (3 + 3 * 3)
    assert [each["n"] for each in run.outputs["end-node-1"]["items"]] == list(range(30))


def test_each_decision_is_about_one_pass_the_one_that_has_waited_longest(client):
    items = [{"item": name} for name in "abc"]
    run = finished(client, "wf_for_each_review", {"items": items})
    assert run.waiting_for_node_ids == ("hil-node-1",)
    assert len([step for step in client.list_steps(run.id) if step.node_id == "hil-node-1"]) == 3

    for number in range(3):
        edited = {"edited": number}
        decision = client.decide_review(run.id, "hil-node-1", approved=True, modified_data=edited)
        assert (decision.outcome, decision.node_id, decision.approved) == ("accepted", "hil-node-1", True)

    done = client.wait_for_run(run.id)
    assert done.outputs["end-node-1"]["items"] == [{"edited": number} for number in range(3)]


def test_a_wait_goes_through_a_loop_and_a_cancel_ends_it(client):
    run = client.create_run("wf_while", json_inputs={"json-node-1": {"passes": 9, "seconds": 600}})
    with pytest.raises(WaitTimeoutError):
        client.wait_for_run(run.id, timeout=300)
    begun = [step.place for step in client.list_steps(run.id) if step.node_id == "step-node-1"]
    assert 2 < len(begun) < 8

    client.cancel_run(run.id)

    assert client.wait_for_run(run.id).status is RunStatus.CANCELLED
    passes = {step.place: step.status for step in client.list_steps(run.id) if step.node_id == "step-node-1"}
    assert passes.pop(max(passes)) is StepStatus.CANCELLED
    assert set(passes.values()) == {StepStatus.COMPLETED}


FAILING = Node("fail-1", "functions", "Fail", error={"message": "torn", "stage": "execution"})
WORKFLOWS = [
    Workflow(
        "wf_torn",
        "Torn",
        (
            Node("json-node-1", "start_json", "Input"),
            Node.loop("loop-1", "while_loop", "Loop", ("json-node-1",), (FAILING,)),
            Node("end-node-1", "end", "Output", ("loop-1",)),
        ),
    )
]


def test_a_failure_in_a_loop_fails_the_run_and_names_the_node(client):
    run = finished(client, "wf_torn", {})

    assert run.status is RunStatus.ERROR
    assert (run.error.message, run.error.stage) == ("torn", "execution")
    assert run.error.failing_step_id.endswith("fail-1")


def test_a_loop_that_begins_before_the_step_that_makes_a_document_is_not_its_maker():
    def step(node_id, began, ended, *containers):
        return Step.model_validate(
            {
                "node_id": node_id,
                "status": "completed",
                "started_at": f"2026-03-01T12:00:{began:02}Z",
                "completed_at": f"2026-03-01T12:00:{ended:02}Z",
                "handle_outputs": {"output-file-0": {"type": "file", "document": {"id": "file_1"}}},
                "loop_containers": [{"container_id": name, "iteration": 0} for name in containers],
            }
        )

    steps = [step("outer", 0, 9), step("inner", 1, 9, "outer"), step("maker", 2, 9, "outer", "inner")]

    assert [made.node_id for made in documents_of_run(steps, [], {})] == ["maker"]
    assert [made.iteration for made in documents_of_run(steps, [], {})] == [(0, 0)]


def test_passes_at_the_same_time_are_told_apart_by_their_items():
    steps = [
        Step.model_validate(
            {
                "node_id": "n1",
                "status": "completed",
                "loop_containers": [
                    {"container_id": "l", "iteration": 0, "is_parallel": True, "parallel_item_index": item}
                ],
            }
        )
        for item in (0, 1)
    ]

    assert [step.place for step in steps] == [(0,), (1,)]
