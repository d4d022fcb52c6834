"""The runs that earlier attempts of a task have left: which there are, what became of them, and how they are ended."""

import logging
from typing import TYPE_CHECKING

from airflow_provider._core import core
from airflow_provider._create_once.decide import Earlier, OnClear

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun

__all__ = ["cancel_all", "earlier_state", "existing", "has_failed", "unread"]

_log = logging.getLogger(__name__)


def unread(client: "RetabClient", identity: "RunIdentity") -> "WorkflowRun | None":
    """Return the run that an earlier attempt has started from a document which is gone since."""
    living = [run for run in client.find_runs(identity) if not has_failed(run)]
    if living:
        _log.warning("The document of run %s is gone, so it was not compared with the run's", living[0].id)
    return living[0] if living else None


def has_failed(run: "WorkflowRun") -> bool:
    """Return whether a run ended in error or was cancelled."""
    return run.is_terminal and run.status.value != "completed"


def earlier_state(runs: list["WorkflowRun"], on_clear: OnClear) -> Earlier:
    """Return what became of the runs from before a clear, oldest first."""
    if not runs:
        return Earlier.NONE
    if not runs[-1].is_terminal or (on_clear == "rerun" and any(not run.is_terminal for run in runs)):
        return Earlier.GOES_ON
    return Earlier.FAILED if has_failed(runs[-1]) else Earlier.COMPLETED


def existing(client: "RetabClient", run_id: str) -> "WorkflowRun | None":
    """Look at a run that we know by its id; None when it is gone."""
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
            client.cancel_run(run.id)
        except (core.ConflictError, core.NotFoundError) as error:
            _log.info("Run %s had ended: %s", run.id, error)
