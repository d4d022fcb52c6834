"""An attempt that Airflow gave up while it created its run, as a zombie: the run of its successor replaces its own."""

import logging
import time
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider._core import core
from airflow_provider._create_once.earlier_attempts import has_failed, what_became_of
from airflow_provider._state.attempts import TaskRecords

if TYPE_CHECKING:
    from airflow_provider._state.attempts import Record
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun

__all__ = ["SLOW", "give_way", "may_be_replaced", "refuse_if_late", "stays"]

SLOW = 10.0
"""Seconds that a create has to take until a successor is checked for: Airflow takes longer than that to give an attempt
up."""

_SUPERSEDED = "Another attempt of this task has taken this one's place"

_log = logging.getLogger(__name__)


def stays(own: str, identity: "RunIdentity", successor: "Record | None", oldest: str | None) -> bool:
    """Return whether a run that was just started stays the task's.

    Args:
        own: Its id.
        identity: What it was started for.
        successor: The record that another attempt has written since; None if there is none, or where Airflow keeps
            none.
        oldest: The oldest run of the identity that did not end badly; None where none can be found.
    """
    if successor is not None and successor.run_id is not None:
        return successor.run_id == own
    if successor is not None and successor.identity != identity.key:
        return False  # the task was cleared
    # Another attempt, if there is one, still searches for runs, and keeps the oldest.
    return successor is None if oldest is None else oldest == own


def give_way(
    client: "RetabClient", run: "WorkflowRun", identity: "RunIdentity", *, began: float, records: TaskRecords
) -> "WorkflowRun | None":
    """Cancel a run that was started too late, and return the run to wait for instead; None if it is not too late.

    Args:
        client: The account.
        run: The run that this attempt has started.
        identity: Its identity.
        began: When the attempt began, by `time.monotonic()`.
        records: What Airflow keeps of the task.

    Raises:
        AirflowException: This attempt has a successor that has no run yet.
    """
    if time.monotonic() - began < SLOW:
        return None
    successor, oldest = records.successor(), _oldest(client, run, identity)
    if stays(run.id, identity, successor, oldest.id if oldest else None):
        return None
    _log.warning(
        "Run %s was started late, and another attempt of this task has taken this one's place: cancelling it",
        run.id,
    )
    _cancel(client, run)
    if successor is not None and successor.run_id is not None:
        return client.get_run(successor.run_id, outputs=False)
    if oldest is not None and oldest.id != run.id:
        return oldest
    raise AirflowException(f"{_SUPERSEDED}; run {run.id}, which was started late, is cancelled")


def refuse_if_late(*, began: float, records: TaskRecords) -> None:
    """Refuse to start a run for an attempt that Airflow gave up before.

    Args:
        began: When the attempt began, by `time.monotonic()`.
        records: What Airflow keeps of the task.

    Raises:
        AirflowException: The attempt has a successor.
    """
    if time.monotonic() - began >= SLOW and records.successor() is not None:
        raise AirflowException(f"{_SUPERSEDED}, and nothing was started")


def may_be_replaced(*, began: float, records: TaskRecords) -> bool:
    """Return whether another attempt may have taken this one's place, so that the task's run is that one's.

    Args:
        began: When the attempt began, by `time.monotonic()`.
        records: What Airflow keeps of the task; where it keeps nothing, a slow attempt cannot know.
    """
    is_slow = time.monotonic() - began >= SLOW
    return is_slow and (not records.is_kept or records.successor() is not None)


def _oldest(client: "RetabClient", run: "WorkflowRun", identity: "RunIdentity") -> "WorkflowRun | None":
    try:
        found = client.find_runs(identity) if client.can_find_runs() else []
    except core.RetabError as error:
        _log.warning("Whether run %s is the only one of its task could not be seen: %s", run.id, error)
        return None
    return next((each for each in found if not has_failed(each)), None)


def _cancel(client: "RetabClient", run: "WorkflowRun") -> None:
    try:
        what_became_of(client.cancel_run(run.id))
    except core.RetabError as error:
        _log.warning("Run %s may go on, cancelling it failed: %s", run.id, error)
