"""Checks that an answer is about what was requested: a cache or a proxy may answer with something else."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from retab_orchestration import errors

__all__ = ["check_about", "checked_run"]


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
