"""What is said of a create whose run is in doubt, or has other inputs."""

import re
from collections.abc import Mapping
from datetime import datetime

from retab_orchestration import errors
from retab_orchestration._arguments import NewRun
from retab_orchestration.identity import INPUTS
from retab_orchestration.models import WorkflowRun

__all__ = ["changes", "cut_off", "inputs_changed", "may_exist", "not_found"]

# What the tag of a run has for its arguments.
_HASHES = re.compile(r"[0-9a-f]+(-[0-9a-f]+)*")


def inputs_changed(run: WorkflowRun, new: NewRun) -> errors.InputsChangedError:
    """Return the error for a run of the same identity that has other inputs; it names them, and repeats no value."""
    changed = ", ".join(changes(run.metadata.get(INPUTS, ""), new.hashes))
    which = f": {changed}" if changed else ""
    return errors.InputsChangedError(
        f"run {run.id} was started for the same task with other inputs{which}; clear the task to start a new run, or "
        "give it back the inputs that it had",
        run=run,
    )


def changes(before: str, now: Mapping[str, str]) -> list[str]:
    """Return which arguments have changed, with both hashes; none where the run does not show what it had.

    Args:
        before: The hashes in the tag of the run, in the order of `now`.
        now: Those of the present arguments, by name.
    """
    hashes = before.split("-") if _HASHES.fullmatch(before) else []
    if len(hashes) != len(now):
        return []
    pairs = zip(hashes, now.items(), strict=True)
    return [f"{name} has changed (hash {old}, now {new})" for old, (name, new) in pairs if old != new]


def cut_off(new: NewRun, at: datetime) -> errors.CreateOutcomeUnknownError:
    """Return the error for a create that was cut off, where nothing tells its run from others."""
    since = at.isoformat(timespec="seconds")
    return errors.CreateOutcomeUnknownError(
        f"a create of this run was cut off at {since}, and this server has nothing to find its run by; nothing was "
        f"sent. Look for it with list_runs(workflow_id={new.workflow_id!r}, from_date={since[:10]!r})",
        workflow_id=new.workflow_id,
        since=since,
    )


def may_exist(new: NewRun) -> errors.CreateOutcomeUnknownError:
    """Return the error for a create that is not sent, because the list did not come to a run that may be there."""
    return errors.CreateOutcomeUnknownError(
        "this task may have a run already that is not among the newest of the list, which this server does not "
        f"filter by tags; nothing was created. Look for it with list_runs(workflow_id={new.workflow_id!r})",
        workflow_id=new.workflow_id,
    )


def not_found(
    new: NewRun, error: errors.RetabError, since: datetime, until: datetime, *, is_known: bool
) -> errors.CreateOutcomeUnknownError:
    """Return the error for a create whose run was searched for in vain.

    Args:
        new: What the run starts from.
        error: The last answer to the create.
        since: When it can have been sent first.
        until: The present time.
        is_known: Whether the server says that it knows the create; else an earlier sending was not answered.
    """
    came_before = (
        "the server says that this create came before"
        if is_known
        else "an earlier sending of this create was not answered"
    )
    return errors.CreateOutcomeUnknownError(
        f"{came_before}, and the run is not to be found; look for it with list_runs(workflow_id={new.workflow_id!r}) "
        f"before creating it again. The last answer was: {error}",
        workflow_id=new.workflow_id,
        since=since.isoformat(timespec="seconds"),
        until=until.isoformat(timespec="seconds"),
        cause=error if isinstance(error, errors.ApiError) else None,
    )
