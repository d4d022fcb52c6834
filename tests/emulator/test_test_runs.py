"""Runs of saved tests on all three ages of routes."""

import pytest

BODY_KEYS_OF_THE_SEEDS = {
    "id", "workflow", "trigger", "lifecycle", "timing", "test_id", "target", "total_tests", "counts",
}  # fmt: skip
CLASSIC = "/v1/workflows/wf_invoice/tests/runs"


def zero(**counts):
    names = ("queued", "running", "passed", "failed", "blocked", "error", "cancelled")
    return {**dict.fromkeys(names, 0), **counts}


def test_a_classic_test_run_passes(call, clock):
    created = call.post(CLASSIC, {"test_id": "wfnodetest_invoice_1"})
    assert created.keys() == BODY_KEYS_OF_THE_SEEDS
    assert created["lifecycle"] == {"status": "pending"}
    assert created["counts"] == zero(queued=1)
    assert created["workflow"]["requested_version"] == "draft"
    path = f"/v1/workflows/tests/runs/{created['id']}"

    clock.tick(0.2)
    assert call.get(path)["counts"] == zero(running=1)
    clock.tick(1)
    done = call.get(path)

    assert done["lifecycle"] == {"status": "completed"}
    assert (done["total_tests"], done["counts"]) == (1, zero(passed=1))
    (result,) = call.get(f"{path}/results")["data"]
    assert (result["test_id"], result["verdict"]) == ("wfnodetest_invoice_1", {"status": "passed"})
    assert call.get(f"{path}/results/wfnodetest_invoice_1") == result
    assert call("GET", f"{path}/results/nowhere").status == 404


def test_a_failing_test_completes_and_does_not_pass(call, clock):
    created = call.post("/v1/workflows/wf_fail/tests/runs", {})
    clock.tick(1)

    done = call.get(f"/v1/workflows/tests/runs/{created['id']}")

    assert (done["lifecycle"]["status"], done["counts"]) == ("completed", zero(failed=1))


def test_one_test_is_of_its_block(call):
    created = call.post(CLASSIC, {"test_id": "wfnodetest_invoice_1"})

    assert created["target"] == {"type": "block", "block_id": "extract-node-1"}


@pytest.mark.parametrize(
    ("body", "total"),
    [
        ({}, 2),
        ({"n_consensus": 3}, 2),
        ({"test_id": None, "target": None, "n_consensus": None}, 2),
        ({"target": {"type": "block", "block_id": "extract-node-1"}}, 2),
        ({"target": {"type": "block", "block_id": "end-node-1"}}, 0),
    ],
)
def test_what_to_test_is_chosen(call, body, total):
    created = call.post(CLASSIC, body)

    assert created["total_tests"] == total


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"test_id": "wfnodetest_unknown"}, 404),
        ({"target": {"type": "block", "block_id": "nowhere"}}, 404),
        ({"target": {"type": "block"}}, 422),
        ({"test_id": "wfnodetest_invoice_1", "target": {"type": "block", "block_id": "end-node-1"}}, 422),
        ({"test_id": 1}, 422),
        ({"n_consensus": 4}, 422),
    ],
)
def test_a_classic_create_is_checked(call, body, status):
    assert call("POST", CLASSIC, body).status == status


@pytest.mark.parametrize("word", ["test", "eval"])
def test_the_current_routes_speak_of_tests_or_evals(call, clock, word):
    base = f"/v1/workflows/{word}s"
    scope = {"type": "single", f"{word}_id": "wfnodetest_invoice_2"}

    created = call.post(f"{base}/runs", {"workflow_id": "wf_invoice", "scope": scope})
    clock.tick(2)
    done = call.get(f"{base}/runs/{created['id']}")

    assert done["workflow_id"] == "wf_invoice"
    assert done[f"total_{word}s"] == 1
    assert done[f"{word}_id"] == "wfnodetest_invoice_2"
    assert done["counts"]["lifecycle_counts"]["completed"] == 1
    assert done["counts"]["outcome"] == {"passed": 1, "failed": 0, "blocked": 0}
    (result,) = call.get(f"{base}/results", run_id=created["id"])["data"]
    assert (result["verdict"], result[f"workflow_{word}_run_id"]) == ("passed", created["id"])
    assert call.get(f"{base}/results/{result['id']}") == result


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"workflow_id": "wf_unknown"}, 404),
        ({"workflow_id": "wf_invoice", "scope": {"type": "workflow"}}, 200),
        ({"workflow_id": "wf_invoice", "scope": {"type": "block", "block_id": "extract-node-1"}}, 200),
        ({"workflow_id": "wf_invoice", "scope": {"type": "block"}}, 422),
        ({"workflow_id": "wf_invoice", "scope": {"type": "single"}}, 422),
        ({"workflow_id": "wf_invoice", "scope": {"type": "odd"}}, 422),
    ],
)
def test_a_current_create_is_checked(call, body, status):
    assert call("POST", "/v1/workflows/evals/runs", body).status == status


def test_a_test_run_is_cancelled_once(call, clock):
    created = call.post(CLASSIC, {})
    clock.tick(0.6)
    path = f"/v1/workflows/tests/runs/{created['id']}"

    cancelled = call.post(f"{path}/cancel")

    assert cancelled["lifecycle"] == {"status": "cancelled"}
    assert cancelled["counts"] == zero(passed=1, cancelled=1)
    assert [each["lifecycle"]["status"] for each in call.get(f"{path}/results")["data"]] == [
        "completed",
        "cancelled",
    ]
    assert call("POST", f"{path}/cancel").status == 404
    clock.tick(5)
    assert call.get(path) == cancelled


def test_test_runs_are_listed_and_filtered(call, clock):
    first = call.post(CLASSIC, {"test_id": "wfnodetest_invoice_1"})["id"]
    second = call.post("/v1/workflows/wf_fail/tests/runs")["id"]
    clock.tick(2)
    scope = {"type": "block", "block_id": "fail-node-1"}
    third = call.post("/v1/workflows/tests/runs", {"workflow_id": "wf_fail", "scope": scope})["id"]
    call.post("/v1/workflows/evals/runs", {"workflow_id": "wf_fail"})

    def listed(**query):
        return [each["id"] for each in call.get("/v1/workflows/tests/runs", **query)["data"]]

    assert listed() == [third, second, first]
    assert listed(order="asc") == [first, second, third]
    assert listed(workflow_id="wf_fail") == [third, second]
    assert listed(test_id="wfnodetest_invoice_1") == [first]
    assert listed(target_block_id="fail-node-1") == [third]
    assert listed(status="completed") == [second, first]
    assert listed(exclude_status="completed") == [third]
    assert listed(from_date="2026-03-02") == []
    assert call("GET", "/v1/workflows/tests/runs", status="odd").status == 422


def test_what_there_is_not_is_refused(call):
    assert call("GET", "/v1/workflows/tests/runs/wftestrun_unknown").status == 404
    assert call("GET", "/v1/workflows/tests/results").status == 422
    assert call("GET", "/v1/workflows/evals/results/wfresult_unknown").status == 404
