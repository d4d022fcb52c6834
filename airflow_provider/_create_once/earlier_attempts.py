"""The runs of earlier attempts of a task, and the error for a create whose outcome is not known."""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider._core import core
from airflow_provider._create_once.decide import Earlier, OnClear

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun

__all__ = [
    "StoppedError",
    "cancel_all",
    "created_nothing",
    "earlier_state",
    "existing",
    "has_failed",
    "has_no_source",
    "text_of",
    "unknown",
    "unread",
    "what_became_of",
]


_log = logging.getLogger(__name__)


class StoppedError(AirflowException):
    """The task was stopped, and starts nothing any more."""


def unread(client: "RetabClient", identity: "RunIdentity") -> "WorkflowRun | None":
    """Return the run that an earlier attempt has started from a document that is gone."""
    living = [run for run in client.find_runs(identity) if not has_failed(run)]
    if living:
        _log.warning("The document of run %s is gone, so it was not compared with the run's", living[0].id)
    return living[0] if living else None


def has_failed(run: "WorkflowRun") -> bool:
    """Return whether a run ended in error or was cancelled."""
    return run.is_terminal and run.status.value != "completed"


def earlier_state(runs: list["WorkflowRun"], on_clear: OnClear) -> Earlier:
    """Return the state of the runs from before a clear, which are given oldest first."""
    if not runs:
        return Earlier.NONE
    if not runs[-1].is_terminal or (on_clear == "rerun" and any(not run.is_terminal for run in runs)):
        return Earlier.GOES_ON
    return Earlier.FAILED if has_failed(runs[-1]) else Earlier.COMPLETED


def existing(client: "RetabClient", run_id: str) -> "WorkflowRun | None":
    """Read a run by its id; return None when it is gone."""
    try:
        return client.get_run(run_id, outputs=False)
    except core.NotFoundError:
        return None


def cancel_all(client: "RetabClient", runs: list["WorkflowRun"]) -> None:
    """Cancel the runs from before a clear that go on."""
    for run in runs:
        if run.is_terminal:
            continue
        _log.info("Cancelling run %s, which was started before the task was cleared", run.id)
        try:
            what_became_of(client.cancel_run(run.id))
        except (core.ConflictError, core.NotFoundError) as error:
            _log.info("Run %s had ended: %s", run.id, error)


def what_became_of(run: "WorkflowRun") -> str:
    """Return what a run has become that was to be cancelled, with a warning where Retab refused."""
    if not run.is_cancel_refused:
        return "it was cancelled"
    _log.warning("Run %s goes on, Retab refused to cancel it: look for it in Retab", run.id)
    return "it goes on, for Retab refused to cancel it"


def text_of(moment: datetime) -> str:
    """Return a moment as text."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def unknown(workflow_id: str | None, since: str, *, is_sure: bool) -> Exception:
    """Return the error for a create of an earlier attempt whose run cannot be searched for.

    Args:
        workflow_id: The workflow, where the task has one.
        since: When that attempt began it.
        is_sure: Whether it is known that it did.
    """
    until = text_of(datetime.now(UTC))
    attempt = "was" if is_sure else "may have been"
    of = f"run of {workflow_id}" if workflow_id else "run"
    narrowed = f"workflow_id={workflow_id!r}, " if workflow_id else ""
    return core.CreateOutcomeUnknownError(
        f"an earlier attempt of this task {attempt} cut off while it started a {of}, between {since} and {until}, "
        "and these routes have nothing to find it by; look for it with "
        f"list_runs({narrowed}from_date={since[:10]!r}, to_date={until[:10]!r}), then clear the task to start a "
        "run all the same",
        workflow_id=workflow_id,
        since=since,
        until=until,
    )


def has_no_source(error: Exception) -> bool:
    """Return whether an error means that a document does not exist any more."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, FileNotFoundError):
        cause = cause.__cause__
    return cause is not None


def created_nothing(error: Exception) -> bool:
    """Return whether an error of a create means that nothing was created."""
    is_told = isinstance(error, core.RetabError | StoppedError)
    return is_told and not isinstance(error, core.CreateOutcomeUnknownError)
