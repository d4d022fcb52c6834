"""Workflows with loops: their passes, what each step says of where it is, and what comes out of them."""

import re

import pytest

from retab_orchestration.emulator import Node, Workflow
from retab_orchestration.emulator.generations import span
from tests.emulator.conftest import NEW, VALUES, Server, pages, status_of

JSON = Node("json-node-1", "start_json", "JSON Input")
END = Node("end-node-1", "end", "Output", ("loop-1",))


def all_steps(server, run):
    """Every step of a run, by its id without the run's."""
    if server.api in NEW:
        steps = server.get("/v1/workflows/steps", run_id=run["id"], limit="1000")["data"]
    else:
        steps = server.listed(run)
    by_id = {step["step_id"].removeprefix(f"{run['id']}_"): step for step in steps}
    assert len(by_id) == len(steps)  # no step has the id of another
    return by_id


def looped(kind, *body, end=END):
    return Workflow("wf_own", "Own", (JSON, Node.loop("loop-1", kind, "Loop", ("json-node-1",), body), end))


def test_every_page_of_a_document_has_a_pass_of_its_own(server, clock):
    run = server.run("wf_for_each", content=pages(3))
    clock.tick(10)

    steps = all_steps(server, run)

    loop = "for-each-node-1"
    for number in range(3):
        inside = f"{loop}_iter_{number}_"
        assert steps[f"{inside}extract-node-1"]["handle_outputs"]["output-json-0"]["data"] == VALUES
        [made] = steps[f"{inside}edit-node-1"]["handle_outputs"].values()
        assert made["document"]["filename"] == f"invoice page {number + 1} edited.pdf"
        for end in ("start", "end"):
            word = "node" if server.api == "g1a" else "block"
            sentinel = steps[f"{inside}{loop}-{end}"]
            assert sentinel[f"{word}_type"] == f"for_each_sentinel_{end}"
    assert list(steps[loop]["handle_outputs"]) == ["output-file-0", "output-file-1", "output-file-2"]
    assert status_of(server.read(run), server.api) == "completed"


def test_a_step_says_where_it_is_in_the_loops_around_it(server, clock):
    run = server.run("wf_nested_loops", json_input={"items": [{}, {}]})
    clock.tick(10)

    steps = all_steps(server, run)

    outer = {
        "container_id": "for-each-node-1",
        "iteration": 1,
        "is_parallel": True,
        "parallel_item_index": 1,
    }
    inner = {
        "container_id": "while-node-1",
        "iteration": 2,
        "is_parallel": False,
        "parallel_item_index": None,
    }
    step = steps["for-each-node-1_iter_1_while-node-1_iter_2_step-node-1"]
    once = steps["for-each-node-1_iter_1_while-node-1"]
    if server.api in span("g1a", "g1b"):
        assert step["iteration_context"] == {"containers": [outer, inner]}
        assert (step["loop_id"], step["iteration"]) == ("while-node-1", 2)
        assert once["iteration_context"] == {"containers": [outer]}
        assert (once["loop_id"], once["iteration"]) == (None, 1)
        assert steps["end-node-1"]["iteration_context"] is None
        assert "loop_containers" not in step
    else:
        assert step["loop_containers"] == [outer, inner]
        assert once["loop_containers"] == [outer]
        assert steps["end-node-1"]["loop_containers"] == []
        assert not {"loop_id", "iteration", "iteration_context"} & set(step)


def test_a_while_loop_passes_its_value_on_and_a_for_each_gathers_them(clock):
    server = Server(clock, "g1a")
    again = server.run("wf_while", json_input={"a": 1, "passes": 4})
    each = server.run("wf_nested_loops", json_input={"items": [{"a": 1}, {"a": 2, "passes": 1}, "text"]})
    nothing = server.run("wf_nested_loops", json_input={})
    clock.tick(10)

    def output(run):
        return server.read(run)["final_outputs"]["end-node-1"]["json_data"]

    assert output(again) == {"a": 1, "passes": 4, "count": 3}
    assert output(each)["items"] == [
        {"a": 1, "count": 2},
        {"a": 2, "passes": 1, "count": 0},
        {"value": "text", "count": 2},
    ]
    assert output(nothing) == {"items": []}


def test_the_passes_of_a_while_loop_come_one_after_another_and_those_of_a_for_each_at_once(clock):
    server = Server(clock, "g1a")
    again = server.run("wf_while", json_input={"seconds": 10})
    each = server.run("wf_nested_loops", json_input={"items": [{}, {}], "seconds": 10})
    seen = {again["id"]: [], each["id"]: []}
    clock.tick(0.5)
    for _ in range(7):
        clock.tick(1)
        for run in (again, each):
            running = [step for step in server.listed(run) if step["status"] == "running"]
            seen[run["id"]].append(sum(step["node_id"] == "step-node-1" for step in running))

    assert set(seen[again["id"]]) == {1}
    assert set(seen[each["id"]]) == {2}
    clock.tick(3)
    assert server.read(again)["completed_at"] == server.read(each)["completed_at"]


def test_a_step_is_read_by_its_own_id(server, clock):
    run = server.run("wf_while", json_input={})
    clock.tick(10)
    wanted = "while-node-1_iter_1_step-node-1"

    if server.api in NEW:
        step = server.get(f"/v1/workflows/steps/{run['id']}_{wanted}", run_id=run["id"])
        rows = server.get("/v1/workflows/steps", run_id=run["id"], block_id="step-node-1")["data"]
        assert len(rows) == 3
    else:
        step = server.get(f"/v1/workflows/runs/{run['id']}/steps/{wanted}")

    assert step["handle_outputs"]["output-json-0"]["data"] == {"count": 1}


def test_a_batch_of_steps_has_every_pass(clock):
    server = Server(clock, "g1a")
    run = server.run("wf_while", json_input={"passes": 2})
    clock.tick(10)

    path = f"/v1/workflows/runs/{run['id']}/steps/batch"
    found = server.post(path, {"node_ids": ["step-node-1", "end-node-1"]})["outputs"]

    assert set(found) == {
        "while-node-1_iter_0_step-node-1",
        "while-node-1_iter_1_step-node-1",
        "end-node-1",
    }


@pytest.mark.parametrize("kind", ["for_each", "while_loop"])
def test_a_failure_in_a_loop_ends_the_run_and_names_the_pass(clock, kind):
    fails = Node("fail-1", "functions", "Fail", error={"message": "torn", "stage": "execution"})
    server = Server(clock, "g3c", workflows=[looped(kind, fails)])
    run = server.run("wf_own", json_input={"items": [1, 2]})
    clock.tick(10)

    lifecycle = server.read(run)["lifecycle"]

    assert (lifecycle["status"], lifecycle["message"]) == ("error", "torn")
    assert lifecycle["failing_step_id"] == f"{run['id']}_loop-1_iter_0_fail-1"
    steps = all_steps(server, run)
    assert steps["loop-1"]["lifecycle"]["status"] == "cancelled"
    assert "end-node-1" not in steps


@pytest.mark.parametrize(
    ("kind", "given"), [("for_each", {"items": list(range(101))}), ("while_loop", {"passes": 10**9})]
)
def test_a_loop_with_too_many_passes_fails(clock, kind, given):
    server = Server(clock, "g1a", workflows=[looped(kind, Node("a", "functions", "A"))])
    run = server.run("wf_own", json_input=given)
    clock.tick(10)

    assert "more than 100 passes" in server.read(run)["error"]


def test_a_document_without_pages_fails(clock):
    server = Server(clock, "g1a")
    run = server.run("wf_for_each", content=b"no PDF")
    clock.tick(10)

    failed = server.read(run)

    assert (failed["status"], failed["error_stage"]) == ("error", "input_collection")


def test_a_run_is_cancelled_within_a_loop(server, clock):
    run = server.run("wf_nested_loops", json_input={"items": [{}, {}], "seconds": 60})
    clock.tick(30)

    server.post(f"/v1/workflows/runs/{run['id']}/cancel")

    statuses = {status_of(step, server.api) for step in all_steps(server, run).values()}
    assert statuses == {"completed", "cancelled"}


ITEMS = [{"item": name} for name in "abc"]


def reviewed(server, clock):
    """A run of which every pass waits for a human."""
    run = server.run("wf_for_each_review", json_input={"items": ITEMS})
    clock.tick(10)
    waiting = server.read(run)
    place = waiting if server.api in span("g1a", "g1b") else waiting["lifecycle"]
    word = "node" if server.api == "g1a" else "block"
    assert place[f"waiting_for_{word}_ids"] == ["hil-node-1"]
    return run


def decide(server, run_id, edited):
    """Approve the review that has waited longest with an edit, as clients of these routes do."""
    node = {"node_id" if server.api == "g1a" else "block_id": "hil-node-1"}
    asked = {**node, "approved": True, "modified_data": edited}
    if server.api == "g1a":
        server.post(f"/v1/workflows/runs/{run_id}/resume", asked)
    elif server.api in span("g1b", "g2b"):
        receipt = server.post(f"/v1/workflows/runs/{run_id}/hil-decisions", asked)["decision"]
        assert (receipt["block_id"], receipt["approved"]) == ("hil-node-1", True)
    elif server.api == "g2c":
        path = f"/v1/workflows/reviews/{run_id}/hil-node-1"
        stamp = server.get(path)["rev"]
        asked = {"verdict": "approved", "edited_output": edited, "version_stamp": stamp}
        assert server.post(f"{path}/decision", asked)["submission_status"] == "accepted"
    else:
        review = server.get("/v1/workflows/reviews")["data"][0]
        [seed] = server.get("/v1/workflows/reviews/versions", review_id=review["id"])["data"]
        new = {"review_id": review["id"], "parent_id": seed["id"], "snapshot": edited}
        version = server.post("/v1/workflows/reviews/versions", new, status=201)
        server.post(f"/v1/workflows/reviews/{review['id']}/approve", {"version_id": version["id"]})


def test_every_pass_through_a_loop_has_a_review_of_its_own(server, clock):
    run = reviewed(server, clock)

    for number in range(3):
        assert status_of(server.read(run), server.api) != "completed"
        decide(server, run["id"], {"edited": number})
        clock.tick(1)
    clock.tick(10)

    assert status_of(server.read(run), server.api) == "completed"
    steps = all_steps(server, run)
    [output] = steps["end-node-1"]["handle_outputs"].values()
    assert output["data"] == {"items": [{"edited": number} for number in range(3)]}


def test_reviews_in_a_loop_are_told_apart(clock):
    server = Server(clock, "g3c")
    run = reviewed(server, clock)

    reviews = server.get("/v1/workflows/reviews", run_id=run["id"], block_id="hil-node-1")["data"]

    assert [review["iteration_key"] for review in reviews] == ["0", "1", "2"]
    assert len({review["id"] for review in reviews}) == len({review["step_id"] for review in reviews}) == 3
    assert {review["parent_step_id"] for review in reviews} == {f"{run['id']}_for-each-node-1"}
    for key, value in (("iteration_key", "1"), ("step_id", reviews[1]["step_id"])):
        assert server.get("/v1/workflows/reviews", **{key: value})["data"] == [reviews[1]]


def test_a_rejection_in_a_loop_ends_the_run(clock):
    server = Server(clock, "g1b")
    run = reviewed(server, clock)

    rejection = {"block_id": "hil-node-1", "approved": False}
    server.post(f"/v1/workflows/runs/{run['id']}/hil-decisions", rejection)

    assert server.read(run)["status"] == "cancelled"
    assert {step["status"] for step in all_steps(server, run).values()} == {"completed", "cancelled"}


def test_times_in_which_several_humans_are_asked_count_once(clock):
    server = Server(clock, "g1a")
    run = reviewed(server, clock)
    clock.tick(90)

    waited = server.read(run)["human_waiting_duration_ms"]

    assert 95_000 < waited < 100_000


def test_the_page_of_a_run_takes_the_decision_of_each_pass(clock):
    server = Server(clock, "g3c")
    run = reviewed(server, clock)
    html = server("GET", f"/runs/{run['id']}").body.decode()
    names = re.findall(r'name="node_id" value="([^"]*)"', html)
    assert len(set(names)) == 3

    for name in reversed(names):
        body = f"node_id={name}&verdict=approve".encode()
        assert server("POST", f"/runs/{run['id']}", body).status == 303
    clock.tick(10)

    assert server.read(run)["lifecycle"] == {"status": "completed"}


def test_blocks_name_the_loop_around_them(server):
    if server.api in NEW:
        blocks = server.get("/v1/workflows/blocks", workflow_id="wf_while")["data"]
        edges = server.get("/v1/workflows/edges", workflow_id="wf_while")["data"]
    else:
        blocks = server.get("/v1/workflows/wf_while/blocks")
        edges = server.get("/v1/workflows/wf_while/edges")
        if server.api in span("g2b", "g2c"):
            blocks, edges = blocks["data"], edges["data"]

    parents = {block["id"]: block["parent_id"] for block in blocks}
    assert parents == {
        "json-node-1": None,
        "while-node-1": None,
        "while-node-1-start": "while-node-1",
        "step-node-1": "while-node-1",
        "while-node-1-end": "while-node-1",
        "end-node-1": None,
    }
    assert {(edge["source_block"], edge["target_block"]) for edge in edges} == {
        ("json-node-1", "while-node-1"),
        ("while-node-1-start", "step-node-1"),
        ("step-node-1", "while-node-1-end"),
        ("while-node-1", "end-node-1"),
    }


def test_a_loop_of_ones_own_is_read_from_a_file(read, clock):
    (workflow,) = read(
        """
        workflows:
          - id: wf_own
            nodes:
              - {id: json-node-1, type: start_json}
              - id: loop-1
                type: for_each
                body:
                  - {id: a, type: functions}
                  - {id: b, type: functions}
              - {id: end-node-1, type: end}
        """
    )
    server = Server(clock, "g1a", workflows=[workflow])
    run = server.run("wf_own", json_input={"items": ["x", "y"]})
    clock.tick(10)

    assert server.read(run)["final_outputs"]["end-node-1"]["json_data"] == {
        "items": [{"value": "x"}, {"value": "y"}]
    }
    inside = {
        f"loop-1_iter_{number}_{node}"
        for node in ("loop-1-start", "a", "b", "loop-1-end")
        for number in (0, 1)
    }
    assert set(all_steps(server, run)) == {"json-node-1", "loop-1", "end-node-1", *inside}


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("[]", "node l: body: nodes has to be a list"),
        ("[{id: s, type: start}]", "s may not be in a loop"),
        ("[{id: j, type: functions}]", "j is there twice"),
    ],
)
def test_a_loop_that_cannot_be_is_refused(read, body, complaint):
    nodes = f"[{{id: j, type: start_json}}, {{id: l, type: for_each, body: {body}}}]"

    with pytest.raises(ValueError, match=complaint):
        read(f"workflows: [{{id: a, nodes: {nodes}}}]")
