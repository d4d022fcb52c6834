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


def test_runs_of_experiments_and_their_results_are_listed(current, clock):
    body = {
        "workflow_id": "wf_invoice",
        "block_id": "extract-node-1",
        "documents": [{"handle_inputs": {}}] * 2,
    }
    runs = f"{WORKFLOWS}/experiments/runs"
    mine, other = (current.post(f"{WORKFLOWS}/experiments", body)["id"] for _ in range(2))
    first, second, third = (
        current.post(runs, {"experiment_id": experiment})["id"] for experiment in (mine, mine, other)
    )
    clock.tick(1)

    def listed(**query):
        return [run["id"] for run in current.get(runs, order="asc", **query)["data"]]

    assert listed() == [first, second, third]
    assert listed(experiment_id=mine) == [first, second]
    assert (
        listed(block_id="end-node-1") == listed(status="running") == listed(exclude_status="completed") == []
    )
    assert listed(limit="1", after=first) == [second]
    results = current.get(f"{WORKFLOWS}/experiments/results", run_id=first)["data"]
    assert len({result["id"] for result in results}) == 2


def test_runs_of_an_experiment_are_pages_since_lists_of_graphs_are(clock):
    call = Caller(clock, api="g2b")
    base = f"{WORKFLOWS}/wf_invoice/experiments"
    body = {"block_id": "extract-node-1", "name": "e", "documents": [{"handle_inputs": {}}]}
    mine = f"{base}/" + call.post(base, body)["id"]
    call.post(f"{base}/run-batch", {"block_id": "extract-node-1"})

    assert len(call.get(f"{mine}/runs")["data"]) == 1


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


def test_versions_say_what_became_of_a_block_and_give_it_back(current, own):
    current("PATCH", f"{WORKFLOWS}/blocks/out", {"label": "Last"}, workflow_id=own["id"])
    current.post(f"{WORKFLOWS}/{own['id']}/publish", {})
    new, old = current.get(f"{WORKFLOWS}/versions", workflow_id=own["id"])["data"]
    sides = {"from_workflow_version_id": old["id"], "to_workflow_version_id": new["id"]}
    of = {"workflow_id": own["id"]}
    late, early = current.get(f"{WORKFLOWS}/blocks/versions", block_id="out", **of)["data"]
    (edge, _) = current.get(f"{WORKFLOWS}/edges/versions", **of)["data"]

    diff = current.get(f"{WORKFLOWS}/versions/diff", **of, **sides)
    fields = current.get(
        f"{WORKFLOWS}/blocks/versions/diff",
        from_block_version_id=early["id"], to_block_version_id=late["id"],
    )["changes"]  # fmt: skip
    current("DELETE", f"{WORKFLOWS}/blocks/out", **of)
    back = current.post(f"{WORKFLOWS}/blocks/versions/{early['id']}/restore")
    again = current.post(f"{WORKFLOWS}/edges/versions/{edge['id']}/restore")

    assert (diff["changed_block_ids"], diff["changed_edge_ids"]) == (["out"], [])
    assert fields == [{"field": "label", "from_value": "out", "to_value": "Last"}]
    assert (back["label"], again["source_block"], again["target_block"]) == ("out", "in", "out")
    assert current("GET", f"{WORKFLOWS}/blocks/versions/nowhere").status == 404
    assert current("GET", f"{WORKFLOWS}/versions/nowhere", **of).status == 404
    current("POST", f"{WORKFLOWS}/versions/{new['id']}/restore", **of)
    assert current.get(f"{WORKFLOWS}/blocks/out", **of)["label"] == "Last"


def test_tests_are_a_job_where_they_are_executed(clock):
    call = Caller(clock, api="g1b")
    tests = f"{WORKFLOWS}/wf_invoice/block-tests"
    batch = call.post(f"{tests}/execute", {"target": {"type": "block", "block_id": "extract-node-1"}})
    early = call.get(f"/v1/jobs/{batch['job_id']}")
    clock.tick(10)

    job = call.get(f"/v1/jobs/{batch['job_id']}")
    (record,) = call.get(f"{tests}/wfnodetest_invoice_1/runs")["runs"]

    assert (early["status"], early["response"], job["status"]) == ("queued", None, "completed")
    assert job["response"]["body"]["counts"] == {"passed": 2}
    assert call.get(f"{tests}/wfnodetest_invoice_1/runs/{record['id']}") == record
    assert record["status"] == "passed"
    assert call("GET", f"{tests}/wfnodetest_invoice_1/runs/nowhere").status == 404
    assert call("GET", "/v1/jobs/nowhere").status == 404


def test_the_oldest_experiments_know_their_newest_run(clock):
    call = Caller(clock, api="g2a")
    base, body = f"{WORKFLOWS}/wf_invoice/experiments", {"block_id": "extract-node-1", "name": "e"}
    mine = f"{base}/" + call.post(base, {**body, "documents": [{"handle_inputs": {}}]})["id"]
    none = [
        call(method, f"{mine}/{path}").status for method, path in (("GET", "content"), ("POST", "cancel"))
    ]
    missing = call.get(f"{mine}/metrics")
    (run,) = call.post(f"{base}/run-batch", {"block_id": "extract-node-1"})["runs"]
    (job,) = call.get(f"{mine}/content")["content"]["jobs"]
    call.post(f"{mine}/documents/{job['document_id']}/cancel")

    (failed,) = call.get(f"{mine}/content")["content"]["jobs"]
    stopped = call.post(f"{mine}/cancel")
    copy = call.post(f"{mine}/duplicate")

    assert (none, missing["error"]) == ([404, 404], "no_metrics")
    assert (failed["status"], stopped["status"]) == ("error", "cancelled")
    assert [each["id"] for each in call.get(f"{mine}/runs")["runs"]] == [run["run_id"]]
    assert call.get(f"{base}/eligible-blocks")["blocks"][0]["experiment_count"] == 2
    assert call("DELETE", f"{base}/{copy['id']}").status == 204
    assert len(call.get(base)) == 1
