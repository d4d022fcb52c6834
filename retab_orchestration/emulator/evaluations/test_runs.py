"""Test runs, on three kinds of routes: the classic `tests`, the current `tests`, and `evals`."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from retab_orchestration.emulator.evaluations.node_tests import Outcome, TestRun
from retab_orchestration.emulator.evaluations.run_lists import list_page
from retab_orchestration.emulator.generations import Generation, span
from retab_orchestration.emulator.runs.creation import object_at, text_at
from retab_orchestration.emulator.runs.handles import node_type
from retab_orchestration.emulator.serving.paging import page
from retab_orchestration.emulator.serving.routing import Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, moment, new_id
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.workflows.values import NodeTest, Workflow

__all__ = ["ROUTES", "check_consensus", "draft_of", "start_test_run"]

_SCOPES = {"single", "block", "workflow"}

Handler = Callable[..., Response]


def create_classic(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `POST /v1/workflows/{workflow_id}/tests/runs`."""
    workflow = state.workflow(workflow_id)
    body = request.json_object()
    target = object_at(body, "target")
    if body.get("test_id") is not None and target:
        raise Refusal.invalid(["body"], "Give test_id or target, not both")
    test_id = text_at(body, "test_id", ["body"]) if body.get("test_id") is not None else None
    block_id = text_at(target, "block_id", ["body", "target"]) if target else None
    check_consensus(body)
    test_run = start_test_run(
        state, workflow, "test", state.shape("classic"), test_id=test_id, block_id=block_id
    )
    return answer(_body(state, test_run))


def _creator(word: str) -> Handler:
    def create(state: State, request: Request) -> Response:
        """Answer `POST /v1/workflows/{tests,evals}/runs`."""
        body = request.json_object()
        workflow = state.workflow(text_at(body, "workflow_id", ["body"]))
        scope = object_at(body, "scope")
        kind = scope.get("type", "workflow")
        if not isinstance(kind, str) or kind not in _SCOPES:
            raise Refusal.invalid(
                ["body", "scope", "type"], "Input should be 'single', 'block' or 'workflow'", "enum"
            )
        where = ["body", "scope"]
        test_id = text_at(scope, f"{word}_id", where) if kind == "single" else None
        block_id = text_at(scope, "block_id", where) if kind == "block" else None
        check_consensus(body)
        shape = state.shape("current")
        test_run = start_test_run(state, workflow, word, shape, test_id=test_id, block_id=block_id)
        return answer(_body(state, test_run))

    return create


def get_test_run(state: State, _request: Request, test_run_id: str) -> Response:
    """Answer `GET /v1/workflows/{tests,evals}/runs/{run_id}`."""
    return answer(_body(state, _find(state, test_run_id)))


def _ids(test_run: TestRun) -> dict[str, str | None]:
    return {
        "workflow_id": test_run.workflow.id,
        f"{test_run.word}_id": test_run.test_id,
        "target_block_id": test_run.block_id,
    }


def _lister(word: str) -> Handler:
    def list_test_runs(state: State, request: Request) -> Response:
        """Answer `GET /v1/workflows/{tests,evals}/runs`."""
        rows = [test_run for test_run in list(state.test_runs.values()) if test_run.word == word]
        return list_page(state, request, rows, _ids, lambda test_run: _body(state, test_run))

    return list_test_runs


def cancel_test_run(state: State, _request: Request, test_run_id: str) -> Response:
    """Answer `POST /v1/workflows/{tests,evals}/runs/{run_id}/cancel`."""
    test_run = _find(state, test_run_id)
    if test_run.completed_at(state.clock()) is not None:
        raise Refusal(404, "Workflow test run not found or not cancellable")
    test_run.cancelled_at = state.clock()
    return answer(_body(state, test_run))


def list_results(state: State, request: Request, test_run_id: str | None = None) -> Response:
    """Answer `…/runs/{run_id}/results` and `…/results?run_id=`."""
    run_id = test_run_id or request.param("run_id")
    if run_id is None:
        raise Refusal.invalid(["query", "run_id"], "Field required", "missing")
    results = _results(state, _find(state, run_id))
    return answer(page(request, results, lambda row: str(row["id"]), lambda row: row, strict=state.is_strict))


def get_run_result(state: State, _request: Request, test_run_id: str, test_id: str) -> Response:
    """Answer `…/runs/{run_id}/results/{test_id}`."""
    for result in _results(state, _find(state, test_run_id)):
        if test_id in {result["id"], result.get("test_id"), result.get("eval_id")}:
            return answer(result)
    raise Refusal(404, "Workflow test result not found")


def get_result(state: State, _request: Request, result_id: str) -> Response:
    """Answer `GET /v1/workflows/{tests,evals}/results/{result_id}`."""
    for test_run in list(state.test_runs.values()):
        for result in _results(state, test_run):
            if result["id"] == result_id:
                return answer(result)
    raise Refusal(404, "Workflow test result not found")


def start_test_run(
    state: State,
    workflow: Workflow,
    word: str,
    shape: Generation,
    *,
    test_id: str | None,
    block_id: str | None,
) -> TestRun:
    """Start a run of the tests of a workflow's draft: of all, of one, or of those of a block.

    Raises:
        Refusal: 404 when there is no such test, or no such block.
    """
    tests = _chosen(workflow, test_id, block_id)
    if test_id is not None:
        block_id = tests[0].node_id
    test_run_id = new_id("wftestrun" if word == "test" else "wfevalrun")
    test_run = TestRun(
        test_run_id, workflow, word, shape, tests, state.clock(), state.speed, test_id, block_id
    )
    state.test_runs[test_run.id] = test_run
    return test_run


def _chosen(workflow: Workflow, test_id: str | None, block_id: str | None) -> tuple[NodeTest, ...]:
    if test_id is not None and test_id not in {test.id for test in workflow.tests}:
        raise Refusal.structured(404, f"Workflow test not found: {test_id}")
    if block_id is not None and workflow.node(block_id) is None:
        raise Refusal.structured(404, f"Block not found: {block_id}")
    return tuple(
        test for test in workflow.tests if test_id in {None, test.id} and block_id in {None, test.node_id}
    )


def check_consensus(body: dict[str, Any]) -> None:
    """Check how many votes a body asks for.

    Raises:
        Refusal: 422 for a number that there is not.
    """
    if body.get("n_consensus") not in (None, 3, 5, 7):
        raise Refusal.invalid(["body", "n_consensus"], "Input should be 3, 5 or 7", "literal_error")


def _find(state: State, test_run_id: str) -> TestRun:
    if test_run_id not in state.test_runs:
        raise Refusal(404, "Workflow test run not found")
    return state.test_runs[test_run_id]


def _body(state: State, test_run: TestRun) -> dict[str, Any]:
    now = state.clock()
    body = {
        "id": test_run.id,
        **draft_of(test_run.workflow, test_run.shape),
        "trigger": {"type": "api"},
        "lifecycle": {"status": test_run.status(now)},
        "timing": {
            "created_at": moment(test_run.created_at),
            "started_at": moment(test_run.started_at(now)),
            "completed_at": moment(test_run.completed_at(now)),
            **_duration(test_run, now),
        },
        f"{test_run.word}_id": test_run.test_id,
        "target": {"type": "block", "block_id": test_run.block_id} if test_run.block_id else None,
        f"total_{test_run.word}s": len(test_run.tests),
        "counts": _counts(test_run, now),
    }
    if test_run.word == "eval":
        unknown = {"validity_fingerprint": None, "input_fingerprint": None, "baseline_run_id": None}
        body["freshness"] = {"status": "unknown", "reasons": [], **unknown}
    return body


def draft_of(workflow: Workflow, shape: Generation) -> dict[str, Any]:
    """Return how a body names the draft of a workflow."""
    draft = workflow.version_id.replace("ver_", "draft_")
    if shape.workflow_keys == "ids":
        return {"workflow_id": workflow.id, "workflow_version_id": draft}
    names = {"name_at_run_time": workflow.name, "requested_version": "draft"}
    return {"workflow": {"workflow_id": workflow.id, "version_id": draft, **names}}


def _duration(test_run: TestRun, now: float) -> dict[str, Any]:
    if "duration_ms" not in test_run.shape.timing:
        return {}
    end = test_run.completed_at(now)
    return {"duration_ms": None if end is None else round((end - test_run.created_at) * 1000)}


def _counts(test_run: TestRun, now: float) -> dict[str, Any]:
    outcomes = test_run.outcomes(now)
    statuses = Counter(outcome.status for outcome in outcomes)
    verdicts = Counter(outcome.test.verdict for outcome in outcomes if outcome.status == "completed")
    outcome = {name: verdicts[name] for name in ("passed", "failed", "blocked")}
    if not test_run.shape.is_current:
        waiting = {"queued": statuses["pending"], "running": statuses["running"]}
        return {**waiting, **outcome, "error": 0, "cancelled": statuses["cancelled"]}
    names = ("pending", "queued", "running", "completed", "error", "cancelled")
    return {"lifecycle_counts": {name: statuses[name] for name in names}, "outcome": outcome}


def _results(state: State, test_run: TestRun) -> list[dict[str, Any]]:
    outcomes = test_run.outcomes(state.clock())
    return [_result(test_run, outcome, number) for number, outcome in enumerate(outcomes, 1)]


def _result(test_run: TestRun, outcome: Outcome, number: int) -> dict[str, Any]:
    node = test_run.workflow.node(outcome.test.node_id)
    is_done = outcome.status == "completed"
    verdict = outcome.test.verdict if is_done else None
    handles = {"output-json-0": {"type": "json", "data": {}}} if is_done else {}
    classic = {"run_id": test_run.id, "outputs": handles, "verdict": {"status": verdict} if verdict else None}
    current = {
        f"workflow_{test_run.word}_run_id": test_run.id,
        "handle_inputs": {},
        "handle_outputs": handles,
        "verdict": verdict,
    }
    return {
        "id": f"wfresult_{test_run.id.partition('_')[2]}_{number}",
        f"{test_run.word}_id": outcome.test.id,
        "workflow_id": test_run.workflow.id,
        "block_id": outcome.test.node_id,
        "target": {"type": "block", "block_id": outcome.test.node_id},
        "source": outcome.test.shown_source,
        "block_type": node_type(test_run.shape, node) if node else "function",
        "lifecycle": {"status": outcome.status},
        "timing": {
            "created_at": moment(test_run.created_at),
            "started_at": moment(outcome.started_at),
            "completed_at": moment(outcome.completed_at),
        },
        **(current if test_run.shape.is_current else classic),
        "warnings": [],
    }


def _routes(word: str) -> tuple[Route, ...]:
    base = f"/v1/workflows/{word}s"
    servers = ("current", *(span("g3a", "g3b") if word == "test" else ("g3c",)))
    shared = ("classic", "g2c", *servers) if word == "test" else servers
    return (
        Route("POST", f"{base}/runs", _creator(word), servers),
        Route("GET", f"{base}/runs", _lister(word), shared),
        Route("GET", base + "/runs/{run_id}", get_test_run, shared),
        Route("POST", base + "/runs/{run_id}/cancel", cancel_test_run, shared),
        Route("GET", f"{base}/results", list_results, servers),
        Route("GET", base + "/results/{result_id}", get_result, servers),
    )


_CLASSIC = ("classic", "g2c")

ROUTES = (
    Route("POST", "/v1/workflows/{workflow_id}/tests/runs", create_classic, _CLASSIC),
    Route("GET", "/v1/workflows/tests/runs/{run_id}/results", list_results, _CLASSIC),
    Route("GET", "/v1/workflows/tests/runs/{run_id}/results/{test_id}", get_run_result, _CLASSIC),
    *_routes("test"),
    *_routes("eval"),
)
