"""Changing workflows: what runs notice of it, what is refused, and what a reset undoes."""

import pytest

from tests.emulator.conftest import Caller

WORKFLOWS = "/v1/workflows"
BLOCK = {"type": "start_json", "label": "In"}


@pytest.fixture
def current(clock):
    return Caller(clock, api="g3c", auth="both")


@pytest.fixture
def own(current):
    """Create a workflow with two blocks and an edge, and publish it."""
    workflow = current.post(WORKFLOWS, {"name": "Mine"})
    for block_id, kind in (("in", "start_json"), ("out", "function")):
        current.post(f"{WORKFLOWS}/blocks", {"workflow_id": workflow["id"], "id": block_id, "type": kind})
    edge = {"workflow_id": workflow["id"], "source_block": "in", "target_block": "out"}
    current.post(f"{WORKFLOWS}/edges", edge)
    return current.post(f"{WORKFLOWS}/{workflow['id']}/publish", {"description": "first"})


def outputs(call, clock, workflow_id, **more):
    body = {"workflow_id": workflow_id, "json_inputs": {"in": {"n": 1}}, **more}
    run = call.post(f"{WORKFLOWS}/runs", body, status=202)
    clock.tick(10)
    steps = call.get(f"{WORKFLOWS}/steps", run_id=run["id"])["data"]
    return {step["block_id"]: step["handle_outputs"]["output-json-0"]["data"] for step in steps}


def test_a_run_takes_the_newest_published_version_unless_it_asks_for_the_draft(current, clock, own):
    current("DELETE", f"{WORKFLOWS}/blocks/out", workflow_id=own["id"])

    assert outputs(current, clock, own["id"]) == {"in": {"n": 1}, "out": {"n": 1}}
    assert outputs(current, clock, own["id"], version="draft") == {"in": {"n": 1}}
    assert outputs(current, clock, own["id"], version=own["published"]["version_id"])["out"] == {"n": 1}


def test_a_draft_that_was_never_published_is_refused_as_production(current):
    workflow = current.post(WORKFLOWS, {})
    path, body = f"{WORKFLOWS}/runs", {"workflow_id": workflow["id"]}

    assert current("POST", path, body).status == 409
    assert current("POST", path, {**body, "version": "draft"}).status == 422  # it has no blocks
    assert current("POST", f"{WORKFLOWS}/{workflow['id']}/discard-draft").status == 409


@pytest.mark.parametrize(
    ("path", "more", "status"),
    [
        ("blocks", {"id": "in", "type": "function"}, 409),
        ("blocks", {"id": "new"}, 422),
        ("blocks", {"id": "new", "type": "function", "config": 1}, 422),
        ("edges", {"source_block": "out", "target_block": "in"}, 409),
        ("edges", {"source_block": "in", "target_block": "nowhere"}, 404),
        ("evals", {"target": {"block_id": "nowhere"}}, 404),
        ("evals", {"target": {"block_id": "in"}}, 422),
        ("experiments", {"block_id": "in"}, 422),
        ("experiments", {"block_id": "nowhere"}, 404),
        ("spec/apply", {"yaml_definition": "["}, 400),
        ("spec/apply", {"yaml_definition": "a: &x [1]\nb: *x"}, 400),
        ("spec/apply", {"yaml_definition": "blocks: 1"}, 400),
        ("runs/export", {"block_id": "nowhere"}, 404),
        ("runs/export", {"block_id": "in", "delimiter": ";;"}, 422),
    ],
)
def test_what_fits_nowhere_is_refused_and_changes_nothing(current, own, path, more, status):
    before = current.get(f"{WORKFLOWS}/{own['id']}/spec")

    assert current("POST", f"{WORKFLOWS}/{path}", {"workflow_id": own["id"], **more}).status == status
    assert current.get(f"{WORKFLOWS}/{own['id']}/spec") == before


def test_a_spec_says_what_applying_it_changes(current, own):
    text = current.get(f"{WORKFLOWS}/{own['id']}/spec")["yaml_definition"]
    body = {"yaml_definition": text.replace("label: out", "label: Last")}

    plan = current.post(f"{WORKFLOWS}/spec/plan", body)
    applied = current.post(f"{WORKFLOWS}/spec/apply", body)

    assert (plan["action"], [change["address"] for change in plan["resource_changes"]]) == (
        "update",
        ["block.out"],
    )
    assert applied["created"] is False
    assert current.get(f"{WORKFLOWS}/blocks/out", workflow_id=own["id"])["label"] == "Last"
    assert current.post(f"{WORKFLOWS}/spec/plan", body)["action"] == "noop"


def test_a_reset_undoes_what_was_done_to_workflows(current, own):
    current("DELETE", f"{WORKFLOWS}/wf_invoice")

    current.post("/_emulator/reset")

    assert current.get(f"{WORKFLOWS}/wf_invoice")["name"] == "Invoice Processing"
    assert current("GET", f"{WORKFLOWS}/{own['id']}").status == 404


def test_a_block_in_a_loop_keeps_its_place(current):
    blocks = current.get(f"{WORKFLOWS}/blocks", workflow_id="wf_while")["data"]
    inner = next(block for block in blocks if block["parent_id"] and block["type"] == "function")

    changed = current(
        "PATCH", f"{WORKFLOWS}/blocks/{inner['id']}", {"label": "Other"}, workflow_id="wf_while"
    )

    assert changed.json() == {**inner, "label": "Other"}


def test_an_experiment_that_has_not_ended_has_no_metrics(current, clock):
    body = {"workflow_id": "wf_invoice", "block_id": "extract-node-1", "documents": [{"handle_inputs": {}}]}
    experiment = current.post(f"{WORKFLOWS}/experiments", body)
    run = current.post(f"{WORKFLOWS}/experiments/runs", {"experiment_id": experiment["id"]})

    early = current.get(f"{WORKFLOWS}/experiments/metrics", run_id=run["id"])
    clock.tick(1)
    late = current.get(f"{WORKFLOWS}/experiments/metrics", run_id=run["id"])

    assert (early["error"], late["score"]) == ("no_metrics", 1.0)
    assert current.get(f"{WORKFLOWS}/experiments/{experiment['id']}")["status"] == "completed"


def test_an_edge_to_nowhere_is_a_finding_of_the_diagnosis(clock):
    call = Caller(clock, api="g2c")
    graph = {"blocks": [{"id": "a", "type": "extract"}], "edges": [{"source": "a", "target": "b"}]}

    found = call.post(f"{WORKFLOWS}/wf_invoice/diagnose-graph", graph)

    assert (found["is_valid"], [issue["code"] for issue in found["issues"]]) == (False, ["dangling_edge"])
