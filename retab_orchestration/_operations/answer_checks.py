"""Whether an answer is about what was asked for: a server, a cache or a proxy may answer about something else."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from retab_orchestration import errors

__all__ = ["check_about", "checked_run"]


class _Run(Protocol):
    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=_Run)


def checked_run(run: R, run_id: str) -> R:
    """Return the run that was asked for, or raise UnreadableAnswerError if the answer is about another one."""
    check_about("run", run_id, [run.id], run_id=run_id)
    return run


def check_about(what: str, asked: str, told: Iterable[str | None], *, run_id: str | None = None) -> None:
    """Raise UnreadableAnswerError unless each of the names in an answer, where it has one, is the one asked for.

    Args:
        what: What they are the names of.
        asked: The name that was asked for.
        told: Those in the answer.
        run_id: The run that it is about, for the error.
    """
    if any(name and name != asked for name in told):
        raise errors.UnreadableAnswerError(
            f"the answer is about another {what} than the one asked for", run_id=run_id
        )
