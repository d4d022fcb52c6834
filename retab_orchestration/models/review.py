"""Human review: what came of a decision, and the reviews of servers of today."""

import re
from datetime import datetime
from typing import Any, ClassVar, Self

from pydantic import Field

from retab_orchestration.models._reading import (
    Answer,
    Places,
    Reading,
    anything,
    flag,
    ident,
    is_object,
    mapping,
    moment,
    obj,
    pick,
    places,
    read_places,
    text,
    whole,
)

__all__ = ["Actor", "Review", "ReviewDecision", "ReviewOverlay", "ReviewVersion", "Verdict"]

# `resume` (the first servers) only ever says how the engine goes on.
_OUTCOME_OF_RESUME = {"processing": "accepted", "queued": "accepted", "already_processed": "already_applied"}


class Actor(Reading):
    """Who made a version or a decision.

    Attributes:
        kind: `model`, `agent` or `human`.
    """

    kind: str | None = None
    id: str | None = None
    display_name: str | None = None

    _places: ClassVar[Places] = places(kind=text, id=text, display_name=text)


class Verdict(Reading):
    """The decision that stands on a review.

    Attributes:
        verdict: `approved` or `rejected`.
        version_id: The version that was decided on.
        reason: Why it was rejected.
    """

    verdict: str | None = None
    version_id: str | None = None
    author: Actor | None = None
    created_at: datetime | None = None
    reason: str | None = None

    _places: ClassVar[Places] = places(
        verdict=text,
        version_id=text,
        author=obj,
        created_at=(moment, "created_at", "decided_at"),
        reason=text,
    )


class Review(Answer):
    """One place where a run waits, or waited, for a human.

    Attributes:
        id: The review's id, `rev_…`.
        version_id: The version of the workflow.
        node_id: The node whose result is reviewed.
        step_id: The step; inside a loop, `iteration_key` and `parent_step_id` tell the passes apart.
        triggered_by: Why it was asked for: `{"kind", …}`.
        decision: The decision that stands, None as long as there is none.
        cancelled_at: When its run was cancelled before a decision.
    """

    id: str
    workflow_id: str | None = None
    version_id: str | None = None
    run_id: str | None = None
    node_id: str | None = None
    node_type: str | None = None
    step_id: str | None = None
    parent_step_id: str | None = None
    iteration_key: str | None = None
    triggered_by: dict[str, Any] = Field(default_factory=dict)
    created_at: datetime | None = None
    decision: Verdict | None = None
    cancelled_at: datetime | None = None

    _places: ClassVar[Places] = places(
        workflow_id=text,
        version_id=(text, "version_id", "workflow_version_id"),
        run_id=(text, "run_id", "workflow_run_id"),
        node_id=(text, "node_id", "block_id"),
        node_type=(text, "node_type", "block_type"),
        step_id=text,
        parent_step_id=text,
        iteration_key=text,
        triggered_by=mapping,
        created_at=moment,
        decision=obj,
        cancelled_at=moment,
    )

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        return {**read_places(cls._places, body), "id": _required_id(body, "review")}

    @property
    def is_open(self) -> bool:
        """Whether a decision is still asked for."""
        return self.decision is None and self.cancelled_at is None


class ReviewVersion(Answer):
    """One version of a result under review: the model's own, or an edit of it.

    Attributes:
        id: The version's id, `rvr_…`.
        parent_id: The version that it edits, None for the model's own.
        snapshot: The result as this version has it: any JSON value.
    """

    id: str
    review_id: str | None = None
    parent_id: str | None = None
    author: Actor | None = None
    snapshot: Any = None
    note: str | None = None
    created_at: datetime | None = None

    _places: ClassVar[Places] = places(
        review_id=text, parent_id=text, author=obj, snapshot=anything, note=text, created_at=moment
    )

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        return {**read_places(cls._places, body), "id": _required_id(body, "version of a review")}


class ReviewOverlay(Answer):
    """The review of a run's node on servers that had no ids for reviews yet.

    Attributes:
        revision: The number that a decision has to name, so that nobody decides what they have not seen.
        newest: The number of the newest version of what is under review.
        status: `awaiting_review`, `approved` or `rejected`.
    """

    revision: int | None = None
    newest: int | None = None
    status: str | None = None
    run_id: str | None = None
    node_id: str | None = None

    _places: ClassVar[Places] = places(
        revision=(whole, "rev"),
        newest=(whole, "head_seq", "latest_version_seq"),
        status=text,
        run_id=(text, "workflow_run_id", "run_id"),
        node_id=(text, "block_id", "node_id"),
    )


class ReviewDecision(Answer):
    """What came of a decision. It is a receipt: look at the run for what the run does next.

    Attributes:
        outcome: `accepted`, `already_received` (on its way), `already_applied`, or `conflict` (another
            decision stands and was not changed). None if there is no decision so far.
        approved: What was decided; in a conflict, the decision that stands.
        applied: Whether the run has taken it up, None where the server does not say.
        resume_status: How the engine goes on, in the server's words; `failed` never does by itself.
        resume_error: Why it does not.
        review_id: The review, and `version_id` the version, that was decided on servers of today.
    """

    outcome: str | None = None
    run_id: str | None = None
    node_id: str | None = None
    approved: bool | None = None
    applied: bool | None = None
    resume_status: str | None = None
    resume_error: str | None = None
    review_id: str | None = None
    version_id: str | None = None

    _places: ClassVar[Places] = places(
        outcome=(text, "outcome", "submission_status"),
        run_id=(
            text,
            "run_id",
            "decision.run_id",
            "review.run_id",
            "review.workflow_run_id",
            "overlay.workflow_run_id",
            "run.id",
        ),
        node_id=(
            text,
            "node_id",
            "block_id",
            "decision.node_id",
            "decision.block_id",
            "review.block_id",
            "overlay.block_id",
        ),
        approved=(flag, "approved", "decision.approved"),
        applied=(flag, "applied", "decision.decision_applied", "decision_applied"),
        resume_status=text,
        resume_error=text,
        review_id=(text, "review_id", "review.id"),
        version_id=(text, "version_id", "review.decision.version_id"),
    )

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        found = read_places(cls._places, body)
        resume = found.get("resume_status", "")
        outcome = found.get("outcome") or _OUTCOME_OF_RESUME.get(resume)
        verdict = pick(text, body, "review.decision.verdict", "overlay.status")
        return {
            "approved": {"approved": True, "rejected": False}.get(verdict or ""),
            "applied": _applied_by(outcome, resume),
            **found,
            "outcome": outcome or _outcome_of_state(body),
        }

    @property
    def will_resume(self) -> bool:
        """Whether the run goes on, or may: False where the server says that it cannot, so that nobody need wait."""
        if self.resume_status == "failed":
            return False
        return self.resume_status != "pending" or not _HAS_ENDED.search(self.resume_error or "")

    def filled_in(self, *, run_id: str, node_id: str, approved: bool) -> Self:
        """Return a copy that names what was decided even where the server's answer does not."""
        told = {"run_id": run_id, "node_id": node_id, "approved": approved}
        missing = {name: value for name, value in told.items() if getattr(self, name) is None}
        return self.model_copy(update=missing)


# What a `pending` resume is told with when there is nothing left to resume; any other reason may pass.
_HAS_ENDED = re.compile(
    r"\b(ended|finished|completed|closed|terminated|not running|not found)\b", re.IGNORECASE
)


def _outcome_of_state(body: dict[str, Any]) -> str | None:
    state = body.get("decision") if is_object(body.get("decision")) else body
    if pick(flag, state, "decision_applied"):
        return "already_applied"
    return "already_received" if pick(flag, state, "decision_received") else None


def _applied_by(outcome: str | None, resume: str) -> bool | None:
    if outcome in {"already_applied", "conflict"}:
        return outcome == "already_applied"
    return {"resumed": True, "pending": False, "failed": False}.get(resume)


def _required_id(body: dict[str, Any], what: str) -> str:
    found = pick(ident, body, "id")
    if found is None:
        raise ValueError(f"This is no {what}: it has no `id`")
    return found
