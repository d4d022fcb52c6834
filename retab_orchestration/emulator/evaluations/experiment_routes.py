"""Runs of experiments: of the newest one of an experiment on the oldest routes, of any by its id on the later ones."""

from typing import Any

from retab_orchestration.emulator.evaluations.experiment_runs import (
    SCORE,
    Document,
    Experiment,
    ExperimentRun,
)
from retab_orchestration.emulator.evaluations.experiments import experiments_of, find_experiment, last_run
from retab_orchestration.emulator.evaluations.run_lists import list_page
from retab_orchestration.emulator.evaluations.test_runs import draft_of
from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.runs.creation import text_at
from retab_orchestration.emulator.serving.paging import page
from retab_orchestration.emulator.serving.routing import CURRENT, Route
from retab_orchestration.emulator.serving.wire import Refusal, Request, Response, answer, new_id
from retab_orchestration.emulator.state import State

__all__ = ["ROUTES"]

_KEPT = "experiment run"
_FINGERPRINT = "0" * 64


def begin_old(state: State, _request: Request, *ids: str) -> Response:
    """Answer `POST …/experiments/{experiment_id}/run`."""
    return answer(_receipt(state, _begin(state, find_experiment(state, *ids), "classic")))


def begin_batch(state: State, request: Request, workflow_id: str) -> Response:
    """Answer `POST …/experiments/run-batch`: all experiments with one block."""
    block_id = text_at(request.json_object(), "block_id", ["body"])
    found = experiments_of(state, state.workflow(workflow_id).id, block_id)
    receipts = [_receipt(state, _begin(state, experiment, "classic")) for experiment in found]
    return answer({"block_id": block_id, "experiment_count": len(receipts), "runs": receipts})


def get_content(state: State, request: Request, *ids: str) -> Response:
    """Answer `GET …/experiments/{experiment_id}/content`: what the newest run has done, or the one asked for."""
    experiment = find_experiment(state, *ids)
    run = _find(state, request.param("run_id")) if request.param("run_id") else last_run(state, experiment.id)
    if run is None:
        raise Refusal.structured(404, f"Experiment {experiment.id} has not run")
    jobs = [_result(state, run, document) for document in run.experiment.documents]
    return answer({"experiment_id": experiment.id, "run_id": run.id, "content": {"jobs": jobs}})


def list_old(state: State, request: Request, *ids: str) -> Response:
    """Answer `GET …/experiments/{experiment_id}/runs`: the newest first; a page, or `{"runs": [...]}`."""
    experiment = find_experiment(state, *ids)
    runs = [run for run in reversed(_runs(state)) if run.experiment.id == experiment.id]
    rows = [
        {**_body(state, run), "status": run.status(state.clock()), **run.times(state.clock())} for run in runs
    ]
    if not state.shape("classic").has_pages:
        return answer({"runs": rows})
    return answer(page(request, rows, lambda row: str(row["id"]), lambda row: row))


def cancel_old(state: State, _request: Request, *ids: str) -> Response:
    """Answer `POST …/experiments/{experiment_id}/cancel`."""
    experiment = find_experiment(state, *ids)
    run = last_run(state, experiment.id)
    if run is None:
        raise Refusal.structured(404, f"Experiment {experiment.id} has not run")
    run.cancel(state.clock())
    return answer({"status": run.status(state.clock()), "experiment_id": experiment.id})


def cancel_document(state: State, _request: Request, *ids: str) -> Response:
    """Answer `POST …/experiments/{experiment_id}/documents/{document_id}/cancel`."""
    run = last_run(state, find_experiment(state, *ids[:-1]).id)
    if run is None or ids[-1] not in {document.id for document in run.experiment.documents}:
        raise Refusal.structured(404, f"Document not found: {ids[-1]}")
    run.cancelled_documents.add(ids[-1])
    return answer({"status": "cancelled", "document_id": ids[-1]})


def get_old_metrics(state: State, request: Request, *ids: str) -> Response:
    """Answer `GET …/experiments/{experiment_id}/metrics`."""
    experiment = find_experiment(state, *ids)
    run = last_run(state, experiment.id)
    if run is None:
        message = f"Experiment {experiment.id} has not run"
        return answer({"error": "no_metrics", "experiment_id": experiment.id, "message": message})
    return _metrics(state, request, run)


def begin(state: State, request: Request, *ids: str) -> Response:
    """Answer `POST …/experiments/{experiment_id}/runs` and `POST /v1/workflows/experiments/runs`."""
    routes = "classic" if ids else "current"
    experiment_id = ids or (text_at(request.json_object(), "experiment_id", ["body"]),)
    return answer(_body(state, _begin(state, find_experiment(state, *experiment_id), routes)))


def get_run(state: State, _request: Request, run_id: str) -> Response:
    """Answer `GET /v1/workflows/experiments/runs/{run_id}`."""
    return answer(_body(state, _find(state, run_id)))


def list_runs(state: State, request: Request) -> Response:
    """Answer `GET /v1/workflows/experiments/runs`."""
    return list_page(state, request, _runs(state), _ids, lambda run: _body(state, run))


def _ids(run: ExperimentRun) -> dict[str, str | None]:
    experiment = run.experiment
    return {"workflow_id": run.workflow.id, "experiment_id": experiment.id, "block_id": experiment.block_id}


def cancel_run(state: State, _request: Request, run_id: str) -> Response:
    """Answer `POST /v1/workflows/experiments/runs/{run_id}/cancel`."""
    run = _find(state, run_id)
    run.cancel(state.clock())
    return answer(_body(state, run))


def list_results(state: State, request: Request, run_id: str | None = None) -> Response:
    """Answer `…/runs/{run_id}/results` and `…/results?run_id=`."""
    run = _find(state, run_id or request.param("run_id"))
    rows = [_result(state, run, document) for document in run.experiment.documents]
    return answer(page(request, rows, lambda row: str(row["id"]), lambda row: row, strict=state.is_strict))


def get_result(state: State, _request: Request, *ids: str) -> Response:
    """Answer `…/runs/{run_id}/results/{document_id}` and `…/results/{result_id}`."""
    for run in [_find(state, ids[0])] if len(ids) > 1 else _runs(state):
        for document in run.experiment.documents:
            result = _result(state, run, document)
            if ids[-1] in {result["id"], document.id}:
                return answer(result)
    raise Refusal.structured(404, f"Experiment result not found: {ids[-1]}")


def get_metrics(state: State, request: Request, run_id: str | None = None) -> Response:
    """Answer `…/runs/{run_id}/metrics` and `…/metrics?run_id=`."""
    return _metrics(state, request, _find(state, run_id or request.param("run_id")))


def _begin(state: State, experiment: Experiment, routes: str) -> ExperimentRun:
    workflow = state.workflow(experiment.workflow_id)
    run = ExperimentRun(
        new_id("exprun"), experiment, workflow, state.shape(routes), state.clock(), state.speed
    )
    state.kept(_KEPT)[run.id] = run
    return run


def _runs(state: State) -> list[ExperimentRun]:
    return list(state.kept(_KEPT).values())


def _find(state: State, run_id: str | None) -> ExperimentRun:
    if run_id is None:
        raise Refusal.invalid(["query", "run_id"], "Field required", "missing")
    run: ExperimentRun | None = state.kept(_KEPT).get(run_id)
    if run is None:
        raise Refusal.structured(404, f"Experiment run not found: {run_id}")
    return run


def _about(state: State, run: ExperimentRun) -> dict[str, Any]:
    """Return what every body says of a run, under its older and its later names."""
    is_done = run.status(state.clock()) == "completed"
    total = len(run.experiment.documents)
    return {
        "experiment_id": run.experiment.id,
        "block_id": run.experiment.block_id,
        "block_kind": run.experiment.kind,
        "block_type": run.experiment.kind,
        "n_consensus": run.experiment.n_consensus,
        "definition_fingerprint": _FINGERPRINT,
        "block_execution_fingerprint": _FINGERPRINT,
        "score": SCORE if is_done else None,
        "total_document_count": total,
        "completed_document_count": total if is_done else 0,
        "document_count": total,
    }


def _body(state: State, run: ExperimentRun) -> dict[str, Any]:
    return {
        "id": run.id,
        **draft_of(run.workflow, run.shape),
        **_about(state, run),
        "documents_fingerprint": _FINGERPRINT,
        "error_count": 0,
        "parent_run_id": None,
        "trigger": {"type": "api"},
        "lifecycle": {"status": run.status(state.clock())},
        "timing": run.times(state.clock()),
    }


def _receipt(state: State, run: ExperimentRun) -> dict[str, Any]:
    job = {"job_id": run.id.replace("exprun_", "job_"), "status": run.status(state.clock())}
    return {**_about(state, run), "run_id": run.id, **job, "previous_run": None, "noop": False}


def _result(state: State, run: ExperimentRun, document: Document) -> dict[str, Any]:
    now = state.clock()
    status = run.status(now)
    if document.id in run.cancelled_documents or (status == "cancelled" and not run.shape.is_current):
        status = "error"
    return {
        "id": f"expres_{run.id.partition('_')[2]}_{document.id.partition('_')[2]}",
        "run_id": run.id,
        "experiment_run_id": run.id,
        "experiment_id": run.experiment.id,
        "document_id": document.id,
        "status": status,
        "lifecycle": {"status": status, **({"message": "It was cancelled"} if status == "error" else {})},
        "timing": run.times(now),
        **run.times(now),
        "block_kind": run.experiment.kind,
        "block_type": run.experiment.kind,
        "handle_inputs": document.handle_inputs,
        "handle_outputs": {"output-json-0": {"type": "json", "data": {}}} if status == "completed" else {},
        "artifact": None,
        "error": "It was cancelled" if status == "error" else None,
        "attempt": 1,
        "is_placeholder": False,
    }


def _metrics(state: State, request: Request, run: ExperimentRun) -> Response:
    """Answer with the summary of a run; there is no other view here."""
    if (request.param("view") or "summary") != "summary":
        raise Refusal(400, "The emulator has the summary of an experiment's metrics alone")
    if run.status(state.clock()) != "completed":
        message = f"Experiment run {run.id} has no metrics: it is {run.status(state.clock())}"
        missing = {"kind": "no_metrics", "error": "no_metrics", "experiment_id": run.experiment.id}
        return answer({**missing, "message": message})
    names = [f"document-{number}" for number, _ in enumerate(run.experiment.documents, 1)]
    documents = [
        {"id": document.id, "filename": name, "score": SCORE, "prior_score": None}
        for document, name in zip(run.experiment.documents, names, strict=True)
    ]
    summary = {
        "run_id": run.id,
        "kind": "summary",
        "view": "summary",
        "prior_score": None,
        "prior_run_id": None,
    }
    return answer({**_about(state, run), **summary, "documents": documents, "aggregate": {"likelihoods": {}}})


_OLD = "/v1/workflows/{workflow_id}/experiments/{experiment_id}"
_NEW = "/v1/workflows/experiments"
_RUN = _NEW + "/runs/{run_id}"
_OLDEST = ("classic", *span("g2a", "g2b"))
_BETWEEN = ("classic", "g2c")

ROUTES = (
    Route("POST", f"{_OLD}/run", begin_old, _OLDEST),
    Route("POST", "/v1/workflows/{workflow_id}/experiments/run-batch", begin_batch, _OLDEST),
    Route("GET", f"{_OLD}/content", get_content, _OLDEST),
    Route("GET", f"{_OLD}/runs", list_old, _OLDEST),
    Route("POST", f"{_OLD}/cancel", cancel_old, _OLDEST),
    Route("POST", _OLD + "/documents/{document_id}/cancel", cancel_document, _OLDEST),
    Route("GET", f"{_OLD}/metrics", get_old_metrics, _OLDEST),
    Route("POST", f"{_OLD}/runs", begin, _BETWEEN),
    Route("GET", f"{_RUN}/results", list_results, _BETWEEN),
    Route("GET", _RUN + "/results/{document_id}", get_result, _BETWEEN),
    Route("GET", f"{_RUN}/metrics", get_metrics, _BETWEEN),
    Route("POST", f"{_NEW}/runs", begin, CURRENT),
    Route("GET", f"{_NEW}/runs", list_runs, (*_BETWEEN, *CURRENT)),
    Route("GET", _RUN, get_run, (*_BETWEEN, *CURRENT)),
    Route("POST", f"{_RUN}/cancel", cancel_run, (*_BETWEEN, *CURRENT)),
    Route("GET", f"{_NEW}/results", list_results, CURRENT),
    Route("GET", _NEW + "/results/{result_id}", get_result, CURRENT),
    Route("GET", f"{_NEW}/metrics", get_metrics, CURRENT),
)
