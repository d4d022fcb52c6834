"""The endpoints that are the same in both route families, and whether an answer is about what was asked for."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from retab_orchestration import errors
from retab_orchestration._endpoints.bodies import json_body
from retab_orchestration._endpoints.filters import RunFilters
from retab_orchestration._http import Call, Request, Response, path
from retab_orchestration.identity import IDENTITY
from retab_orchestration.models import ReviewDecision, RouteFamily, RunPage, WorkflowRun, WorkflowTestRun
from retab_orchestration.models._reading import ident, pick
from retab_orchestration.models.page import RowPage

__all__ = [
    "TEST_RUNS_HINT",
    "TEST_RUNS_SINCE",
    "cancel_run",
    "check_about",
    "checked_run",
    "created_run",
    "created_test_run",
    "decision_on",
    "get_run",
    "list_rows",
    "list_runs",
    "query",
]


TEST_RUNS_SINCE = "0.0.142"
"""The release of the official SDK with which test runs came."""

TEST_RUNS_HINT = "the test runs of {workflow_id!r} in Retab's dashboard, on {day}"
"""Where to search for a test run whose create was not answered."""


def created_run(
    body: Any, *, workflow: str | None = None, identity: str | None = None, repeats: str | None = None
) -> WorkflowRun:
    """Read the answer to a create, of which only the id is promised: anything else may be missing or unreadable.

    Args:
        body: The answer.
        workflow: The workflow, where it was named: a proxy may answer with a run that another create has made.
        identity: The identity's tag, where the routes have tags: the answer may leave it out or cut it.
        repeats: The run that was restarted.

    Raises:
        ValueError: It has no id, or the id of a run that this create has not started.
    """
    try:
        run = WorkflowRun.model_validate(body)
    except ValueError:
        found = pick(ident, body, "id", "run.id") if isinstance(body, dict) else None
        if found is None:
            raise
        run = WorkflowRun.model_validate({"id": found, "status": "pending"})
    tag = run.metadata.get(IDENTITY, "")
    is_tagged = identity is not None and len(tag) == len(identity)
    is_anothers = tag != identity if is_tagged else workflow not in {None, run.workflow_id or workflow}
    if run.id == repeats or is_anothers:
        raise ValueError("It is about another run than the one that was to be created")
    return run


def created_test_run(body: Any, *, workflow: str) -> WorkflowTestRun:
    """Read the answer to the create of a test run.

    Raises:
        ValueError: It is none, or tests another workflow.
    """
    test_run = WorkflowTestRun.model_validate(body)
    if test_run.workflow_id not in {None, workflow}:
        raise ValueError("It is about another workflow than the one that was to be tested")
    return test_run


def query(**pairs: str | None) -> tuple[tuple[str, str], ...]:
    """Return the query of a request; what is None is left out."""
    return tuple((name, value) for name, value in pairs.items() if value is not None)


def decision_on(*, run_id: str, node_id: str, approved: bool) -> Callable[[Any], ReviewDecision]:
    """Return what reads the receipt of a decision, which may not name what was decided."""

    def read(answer: Any) -> ReviewDecision:
        receipt = ReviewDecision.model_validate(answer)
        return receipt.filled_in(run_id=run_id, node_id=node_id, approved=approved)

    return read


def get_run(run_id: str) -> Call[WorkflowRun]:
    """Read one run. Source: GET /v1/workflows/runs/{run_id}."""
    request = Request("GET", path("/v1/workflows/runs/{run_id}", run_id=run_id))
    return Call(request, WorkflowRun.model_validate, run_id=run_id)


def list_runs(filters: RunFilters, family: RouteFamily) -> Call[RunPage]:
    """Read one page of runs. Source: GET /v1/workflows/runs."""
    request = Request("GET", "/v1/workflows/runs", filters.query(family), is_page=True)
    return Call(request, RunPage.model_validate)


def list_rows(filters: RunFilters, family: RouteFamily) -> Call[RowPage]:
    """Read one page of runs, of each row only what a wait needs. Source: GET /v1/workflows/runs."""

    def read(answer: Response) -> RowPage:
        return RowPage.read(answer.json(), len(answer.content))

    request = Request("GET", "/v1/workflows/runs", filters.query(family), is_page=True)
    return Call(request, read, whole=True)


def cancel_run(run_id: str, command_id: str) -> Call[WorkflowRun]:
    """Ask for a run to be cancelled; the same `command_id` asks once, however often it is sent.

    Source: POST /v1/workflows/runs/{run_id}/cancel, answer `{"run": {...}, "cancellation_status": ...}`.
    """
    target = path("/v1/workflows/runs/{run_id}/cancel", run_id=run_id)
    return Call(
        Request("POST", target, body=json_body({"command_id": command_id})),
        WorkflowRun.model_validate,
        run_id=run_id,
    )


class _Run(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_Run)


def checked_run(run: R, run_id: str) -> R:
    """Return the run of an answer, or raise UnreadableAnswerError if it is not the one that was requested."""
    check_about("run", run_id, [run.id], run_id=run_id)
    return run


def check_about(what: str, requested: str, found: Iterable[str | None], *, run_id: str | None = None) -> None:
    """Raise UnreadableAnswerError if a name in an answer is another one than was requested.

    Args:
        what: The kind of thing that has these names, for the error.
        requested: The name that was requested.
        found: The names in the answer; None where it has none.
        run_id: The run that it is about, for the error.
    """
    if {*found} - {requested, None, ""}:
        raise errors.UnreadableAnswerError(
            f"the answer is about another {what} than the one asked for", run_id=run_id
        )
