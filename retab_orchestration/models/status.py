"""The states of a run and of a step, under one name each, whatever name a server gives them."""

from enum import StrEnum
from typing import Literal, Self, TypeAlias

__all__ = ["RouteFamily", "RunStatus", "StepStatus", "TriggerType"]

RouteFamily: TypeAlias = Literal["classic", "current"]
"""Whose names a server understands: those of the first routes ("classic") or today's ("current")."""

_ALIASES = {
    "awaiting_review": "waiting_for_human",
    "waiting_for_hil": "waiting_for_human",
    "failed": "error",
    "canceled": "cancelled",
}


class _Literal(StrEnum):
    """A closed set of names over an open one: a name that is not known is `unknown`, never a failure."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        name = value.strip().lower().replace("-", "_").replace(" ", "_")
        name = _ALIASES.get(name, name)
        return next((member for member in cls if member.value == name), None)

    @classmethod
    def read(cls, text: str | None) -> Self:
        """Read a server's literal; one that is not known, and None, is `unknown`."""
        try:
            return cls(text or "unknown")
        except ValueError:
            return cls("unknown")


class RunStatus(_Literal):
    """The state of a workflow run; `awaiting_review` is `WAITING_FOR_HUMAN` and `failed` is `ERROR`."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING_FOR_HUMAN = "waiting_for_human"
    COMPLETED = "completed"
    ERROR = "error"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended; an unknown state counts as still active."""
        return self in _ENDED_RUN

    @property
    def is_waiting(self) -> bool:
        """Whether the run stands still until a human decides."""
        return self is RunStatus.WAITING_FOR_HUMAN

    def spelled(self, family: RouteFamily) -> str:
        """Return the name under which a server of this route family filters for this state.

        Args:
            family: "classic" says `waiting_for_human`, "current" says `awaiting_review`.

        Raises:
            ValueError: For `UNKNOWN`, which no server can filter for: name a state.
        """
        if self is RunStatus.UNKNOWN:
            raise ValueError("No server can filter for an unknown state: use another member of RunStatus")
        return "awaiting_review" if self.is_waiting and family == "current" else self.value


class StepStatus(_Literal):
    """The state of one step of a run."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    WAITING_FOR_HUMAN = "waiting_for_human"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    ERROR = "error"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"

    @property
    def is_terminal(self) -> bool:
        """Whether the step has ended, or was passed over."""
        return self in _ENDED_STEP


class TriggerType(_Literal):
    """What started a run."""

    MANUAL = "manual"
    API = "api"
    SCHEDULE = "schedule"
    WEBHOOK = "webhook"
    EMAIL = "email"
    RESTART = "restart"
    CUSTOM = "custom"
    UNKNOWN = "unknown"


_ENDED_RUN = frozenset({RunStatus.COMPLETED, RunStatus.ERROR, RunStatus.CANCELLED})
_ENDED_STEP = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.ERROR, StepStatus.CANCELLED})
