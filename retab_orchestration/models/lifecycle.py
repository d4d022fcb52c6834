"""What runs, test runs and steps have in common: their state, what started them, when, and how they ended."""

from datetime import datetime, timedelta
from typing import Any, TypeVar

from pydantic import Field

from retab_orchestration.models._reading import (
    Value,
    flag,
    mapping,
    moment,
    pick,
    places,
    read_places,
    rows,
    text,
    whole,
    word,
)
from retab_orchestration.models.status import RunStatus, StepStatus, TriggerType

__all__ = ["Cancellation", "RunError", "Timing", "Trigger"]

_Status = TypeVar("_Status", RunStatus, StepStatus, TriggerType)


class Trigger(Value):
    """What started a run.

    Attributes:
        type: The kind of trigger, None where the server does not say.
        type_name: The server's own word for it.
        email: The sender, where an email started the run.
        parent: The run that this one repeats, where it is a restart.
    """

    type: TriggerType | None = None
    type_name: str | None = None
    email: str | None = None
    parent: str | None = None


class Timing(Value):
    """When a run was created, started and ended, in UTC, and how long it stood still for a human.

    Attributes:
        duration_ms: Milliseconds from start to end, as the server says or else as the two times say.
        human_waiting_started_at: Since when it has been waiting for a human.
        human_waiting_duration_ms: Milliseconds it has waited for a human so far, in all.
    """

    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    updated_at: datetime | None = None
    duration_ms: int | None = None
    human_waiting_started_at: datetime | None = None
    human_waiting_duration_ms: int = 0


class RunError(Value):
    """Why a run ended in error, as far as the server says.

    Attributes:
        message: The server's message.
        stage: Where it failed, such as `input_collection`, `execution` or `output_storage`.
        category: `transient`, `permanent` or `quota`: a hint for retrying.
        details: Anything more, such as `error_code`, `stack_trace` and `context`.
        failing_step_id: The step (or, on older servers, the node) that failed.
    """

    message: str | None = None
    stage: str | None = None
    category: str | None = None
    details: dict[str, Any] = Field(default_factory=dict)
    failing_step_id: str | None = None


class Cancellation(Value):
    """What is known of the cancelling of a run.

    Attributes:
        status: The answer to a cancel request: `cancelled`, `cancellation_requested` (look again later) or
            `cancellation_failed` (the run had ended, or the engine refused and it goes on); None if this is no such
            answer.
        reason: Why the run was cancelled.
        requested_at: When it was last asked for.
        confirmation_pending: Whether it was asked for and not confirmed; trust the run's status.
        signal_error: Why the engine could not be told, last time.
        signal_failed_at: When that was.
        native_error: Why the engine could not do it.
        confirmation_error: Why it could not be confirmed.
    """

    status: str | None = None
    reason: str | None = None
    requested_at: datetime | None = None
    confirmation_pending: bool = False
    signal_error: str | None = None
    signal_failed_at: datetime | None = None
    native_error: str | None = None
    confirmation_error: str | None = None


_STATE = places(name=(word, "lifecycle.status", "lifecycle.kind", "status"), own=(word, "status_name"))
_TRIGGER = places(
    type=(text, "trigger.type", "trigger_type"),
    type_name=(word, "trigger.type_name"),
    email=(text, "trigger.email", "trigger.sender", "trigger_email"),
    parent=(text, "trigger.parent", "trigger.parent_run_id", "trigger.source_run_id", "parent_run_id"),
)
_TIMING = places(
    **{
        name: (moment, f"timing.{name}", name)
        for name in ("created_at", "started_at", "completed_at", "updated_at")
    },
    duration_ms=(whole, "timing.duration_ms", "duration_ms"),
    human_waiting_started_at=(
        moment,
        "timing.human_waiting_started_at",
        "timing.review_waiting_started_at",
        "human_waiting_started_at",
    ),
    human_waiting_duration_ms=(
        whole,
        "timing.human_waiting_duration_ms",
        "timing.accumulated_human_waiting_ms",
        "timing.accumulated_review_waiting_ms",
        "human_waiting_duration_ms",
    ),
)
_ERROR = places(
    message=(text, "lifecycle.message", "error", "error.message"),
    stage=(text, "lifecycle.stage", "error_stage", "error.stage"),
    category=(text, "lifecycle.category", "error_category", "error.category"),
    details=(mapping, "lifecycle.details", "error_details", "error.details"),
)
CANCELLATION = places(
    status=(text, "cancellation_status", "cancellation.status"),
    reason=(text, "lifecycle.reason", "cancellation.reason"),
    requested_at=(moment, "cancel_requested_at", "cancellation.requested_at"),
    confirmation_pending=(flag, "cancel_confirmation_pending", "cancellation.confirmation_pending"),
    signal_error=(text, "cancel_signal_error", "cancellation.signal_error"),
    signal_failed_at=(moment, "cancel_signal_failed_at", "cancellation.signal_failed_at"),
    native_error=(text, "cancel_native_error", "cancellation.native_error"),
    confirmation_error=(text, "cancel_confirmation_error", "cancellation.confirmation_error"),
)


def _chosen(enum: type[_Status], name: str | None, own: str) -> str | None:
    """Choose the server's own word over our name for the same thing, as they stand in a dump of ours."""
    return own if name and enum.read(own) is enum.read(name) else name


def state_of(enum: type[_Status], body: Any) -> str | None:
    """Find the literal of a state, flat or under `lifecycle`; None if there is none."""
    found = read_places(_STATE, body)
    name: str | None = found.get("name")
    return _chosen(enum, name, found["own"]) if "own" in found else name


def trigger_of(body: Any) -> dict[str, Any]:
    """Find what started a run."""
    found = read_places(_TRIGGER, body)
    name = found.get("type")
    name = _chosen(TriggerType, name, found["type_name"]) if "type_name" in found else name
    return {**found, "type": TriggerType.read(name) if name else None, "type_name": name}


def timing_of(body: Any) -> dict[str, Any]:
    """Find the times of a run, and its duration from them where the server does not name it."""
    return with_duration(read_places(_TIMING, body))


def with_duration(found: dict[str, Any]) -> dict[str, Any]:
    """Add the milliseconds between two times where the server names none."""
    if "duration_ms" in found or not {"started_at", "completed_at"} <= found.keys():
        return found
    passed = found["completed_at"] - found["started_at"]
    return {**found, "duration_ms": passed // timedelta(milliseconds=1)}


def error_of(body: Any, status: RunStatus) -> dict[str, Any] | None:
    """Find why a run failed; None if it did not and nothing is said of an error."""
    error = read_places(_ERROR, body)
    if status is not RunStatus.ERROR and not error:
        return None
    details = error.get("details", {})
    failing = pick(text, body, "lifecycle.failing_step_id", "failing_step_id", "error.failing_step_id")
    return {
        "message": text(details.get("message")),
        **error,
        "failing_step_id": failing or _node_in(details) or _failed_step_in(body),
    }


def _node_in(details: dict[str, Any]) -> str | None:
    return pick(text, details, "step_id", "block_id", "node_id")


def _failed_step_in(body: Any) -> str | None:
    for step in pick(rows, body, "steps") or []:
        if StepStatus.read(state_of(StepStatus, step)) is StepStatus.ERROR:
            return pick(text, step, "step_id", "node_id", "block_id")
    return None
