"""What an error of a create means for the task's run, and what is said of one that cannot be known."""

from datetime import UTC, datetime

from airflow_provider._core import core

__all__ = ["created_nothing", "has_no_source", "text_of", "unknown"]


def text_of(moment: datetime) -> str:
    """Return a moment as people read it."""
    return moment.astimezone(UTC).isoformat(timespec="seconds")


def unknown(workflow_id: str | None, since: str, *, is_sure: bool) -> Exception:
    """Return the error for a create of an earlier attempt that cannot be looked for.

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
    """Whether a document is not there any more."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, FileNotFoundError):
        cause = cause.__cause__
    return cause is not None


def created_nothing(error: Exception) -> bool:
    """Whether an error of a create means that there is no run."""
    return isinstance(error, core.RetabError) and not isinstance(error, core.CreateOutcomeUnknownError)
