"""Experiments: creating, changing and deleting them, on the routes of both families."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from retab_orchestration.emulator.evaluations.experiment_runs import (
    KINDS,
    Document,
    Experiment,
    ExperimentRun,
    experiment_body,
)
from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.runs.creation import object_at, text_at
from retab_orchestration.emulator.runs.engine import Run
from retab_orchestration.emulator.runs.handles import input_handles
from retab_orchestration.emulator.runs.lifecycles import step_id
from retab_orchestration.emulator.serving.paging import order, page
from retab_orchestration.emulator.serving.routing import CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, new_id
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.workflows.values import Workflow

__all__ = ["ROUTES", "experiments_of", "find_experiment", "last_run"]

_KEPT = "experiment"


def create_experiment(state: State, request: Request, workflow_id: str | None = None) -> Response:
    """Answer `POST …/experiments`: another one, or one like `source_experiment_id`."""
    body = request.json_object()
    workflow = state.workflow(workflow_id or text_at(body, "workflow_id", ["body"]))
    if body.get("source_experiment_id") is not None:
        source = find_experiment(state, text_at(body, "source_experiment_id", ["body"]))
        return answer(_shown(state, _copy(state, source)))
    block_id, now = text_at(body, "block_id", ["body"]), state.clock()
    kind = _kind(workflow, block_id)
    changes = {"name": f"Experiment with {block_id}", "n_consensus": 5, **_changes(state, body, block_id)}
    changes.setdefault("documents", ())
    experiment = Experiment(
        new_id("exp"), workflow.id, block_id, kind, created_at=now, updated_at=now, **changes
    )
    state.kept(_KEPT)[experiment.id] = experiment
    return answer(_shown(state, experiment))


def get_experiment(state: State, _request: Request, *ids: str) -> Response:
    """Answer `GET …/experiments/{experiment_id}`."""
    return answer(_shown(state, find_experiment(state, *ids)))


def list_experiments(state: State, request: Request, workflow_id: str | None = None) -> Response:
    """Answer `GET …/experiments`: a page, or a bare array."""
    asked = workflow_id or request.param("workflow_id")
    if asked is None:
        raise Refusal.invalid(["query", "workflow_id"], "Field required", "missing")
    found = experiments_of(state, state.workflow(asked).id, request.param("block_id"))
    if order(request, "desc"):
        found.reverse()
    rows = [_shown(state, experiment) for experiment in found]
    if workflow_id is not None and not state.shape("classic").has_pages:
        return answer(rows)
    return answer(
        page(request, rows, lambda row: str(row["id"]), lambda row: row, default=50, strict=state.is_strict)
    )


def update_experiment(state: State, request: Request, *ids: str) -> Response:
    """Answer `PATCH …/experiments/{experiment_id}`: what is in the body changes, the rest stays."""
    experiment = find_experiment(state, *ids)
    changes = _changes(state, request.json_object(), experiment.block_id)
    changed = replace(experiment, updated_at=state.clock(), **changes)
    state.kept(_KEPT)[changed.id] = changed
    return answer(_shown(state, changed))


def delete_experiment(state: State, _request: Request, *ids: str) -> Response:
    """Answer `DELETE …/experiments/{experiment_id}`."""
    del state.kept(_KEPT)[find_experiment(state, *ids).id]
    return Response(204)


def duplicate_experiment(state: State, _request: Request, *ids: str) -> Response:
    """Answer `POST …/experiments/{experiment_id}/duplicate`."""
    return answer(_shown(state, _copy(state, find_experiment(state, *ids))))


def list_eligible_blocks(state: State, _request: Request, workflow_id: str) -> Response:
    """Answer `GET …/experiments/eligible-blocks`: those that experiments can be about."""
    blocks = [
        {
            "block_id": node.id,
            "block_label": node.label,
            "block_type": node.type,
            "experiment_count": len(experiments_of(state, workflow_id, node.id)),
            "drifted_experiment_count": 0,
            "stale_experiment_count": 0,
            "latest_run_at": None,
            "mean_score": None,
        }
        for node in state.workflow(workflow_id).nodes
        if node.type in KINDS
    ]
    return answer({"blocks": blocks})


def experiments_of(state: State, workflow_id: str, block_id: str | None = None) -> list[Experiment]:
    """Return the experiments of a workflow, or of one of its blocks, the oldest first."""
    return [
        each
        for each in state.kept(_KEPT).values()
        if each.workflow_id == workflow_id and block_id in {None, each.block_id}
    ]


def find_experiment(state: State, *ids: str) -> Experiment:
    """Return an experiment by its id, which that of its workflow may precede.

    Raises:
        Refusal: 404 when there is none.
    """
    experiment: Experiment | None = state.kept(_KEPT).get(ids[-1])
    if experiment is None or (len(ids) > 1 and experiment.workflow_id != ids[0]):
        raise Refusal.structured(404, f"Experiment not found: {ids[-1]}")
    return experiment


def last_run(state: State, experiment_id: str) -> ExperimentRun | None:
    """Return the newest run of an experiment, None when there is none."""
    runs: list[ExperimentRun] = list(state.kept("experiment run").values())
    return next((run for run in reversed(runs) if run.experiment.id == experiment_id), None)


def _shown(state: State, experiment: Experiment) -> dict[str, Any]:
    return experiment_body(experiment, last_run(state, experiment.id), state.clock())


def _copy(state: State, experiment: Experiment) -> Experiment:
    now = state.clock()
    name = f"{experiment.name} (copy)"
    copy = replace(experiment, id=new_id("exp"), name=name, created_at=now, updated_at=now)
    state.kept(_KEPT)[copy.id] = copy
    return copy


def _kind(workflow: Workflow, block_id: str) -> str:
    node = workflow.node(block_id)
    if node is None:
        raise Refusal.structured(404, f"Block not found: {block_id}")
    if node.type not in KINDS:
        raise Refusal.invalid(
            ["body", "block_id"], f"Experiments are about {', '.join(sorted(KINDS))} blocks"
        )
    return node.type


def _changes(state: State, body: Mapping[str, Any], block_id: str) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if body.get("name") is not None:
        changes["name"] = text_at(body, "name", ["body"])
    if body.get("n_consensus") is not None:
        if body["n_consensus"] not in (3, 5, 7):
            raise Refusal.invalid(["body", "n_consensus"], "Input should be 3, 5 or 7", "literal_error")
        changes["n_consensus"] = body["n_consensus"]
    if body.get("documents") is not None or body.get("document_captures") is not None:
        explicit = [Document(object_at(each, "handle_inputs")) for each in _objects(body, "documents")]
        captured = [_captured(state, each, block_id) for each in _objects(body, "document_captures")]
        changes["documents"] = (*explicit, *captured)
    return changes


def _captured(state: State, capture: Mapping[str, Any], block_id: str) -> Document:
    """Return what a block took in a run."""
    name = "run_id" if capture.get("run_id") is not None else "workflow_run_id"
    run: Run = state.run(text_at(capture, name, ["body", "document_captures"]))
    for step in state.view_of(run).steps:
        if step.node.id == block_id and capture.get("step_id") in (None, step_id(run, step)):
            return Document(input_handles(run.shape, step))
    raise Refusal.structured(404, f"Block {block_id} has not run in {run.id}")


def _objects(body: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    values = body.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise Refusal.invalid(["body", name], "Input should be a valid list of objects", "list_type")
    return values


def _routes(base: str, servers: tuple[str, ...]) -> tuple[Route, ...]:
    handlers: dict[str, Callable[..., Response]] = {
        "GET": get_experiment,
        "PATCH": update_experiment,
        "DELETE": delete_experiment,
    }
    return (
        Route("POST", base, create_experiment, servers),
        Route("GET", base, list_experiments, servers),
        *(Route(method, base + "/{experiment_id}", handler, servers) for method, handler in handlers.items()),
    )


_CLASSIC = ("classic", *span("g2a", "g2c"))
_OLD = "/v1/workflows/{workflow_id}/experiments"

ROUTES = (
    *_routes(_OLD, _CLASSIC),
    *_routes("/v1/workflows/experiments", CURRENT),
    Route("GET", f"{_OLD}/eligible-blocks", list_eligible_blocks, _CLASSIC),
    Route("POST", _OLD + "/{experiment_id}/duplicate", duplicate_experiment, _CLASSIC),
)
