"""Deciding reviews, by the three kinds of endpoints that Retab has had for it."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retab_orchestration import errors
from retab_orchestration._arguments import checked_id, checked_json, checked_text
from retab_orchestration._endpoints import classic, current, shared
from retab_orchestration._operations.listing import everything
from retab_orchestration._texts import kind_of
from retab_orchestration._transport.session import Session
from retab_orchestration.models import Review, ReviewDecision, ReviewOverlay, ReviewVersion, RouteFamily

__all__ = ["Verdict", "decide_review"]


_RECEIPTS = frozenset({"accepted", "already_received", "already_applied"})


@dataclass(frozen=True)
class Verdict:
    """What a human decided, checked."""

    run_id: str
    node_id: str
    approved: bool
    modified_data: Mapping[str, Any] | None
    reason: str | None

    @classmethod
    def read(cls, run_id: Any, node_id: Any, *, approved: Any, modified_data: Any, reason: Any) -> "Verdict":
        """Check what `decide_review` was given.

        Raises:
            InvalidInputError: The message names the argument.
        """
        if not isinstance(approved, bool):
            raise errors.InvalidInputError(f"approved must be True or False, not {kind_of(approved)}")
        if modified_data is not None:
            if not isinstance(modified_data, Mapping):
                raise errors.InvalidInputError(
                    f"modified_data must be a dict, not {type(modified_data).__name__}"
                )
            if not approved:
                raise errors.InvalidInputError(
                    "modified_data goes with approved=True; a rejection changes nothing"
                )
            modified_data = checked_json("modified_data", modified_data)
        return cls(
            run_id=checked_id("run_id", run_id),
            node_id=checked_id("node_id", node_id),
            approved=approved,
            modified_data=modified_data,
            reason=None if reason is None else checked_text("reason", reason),
        )


async def decide_review(session: Session, verdict: Verdict) -> ReviewDecision:
    """Decide the review that a run waits for at a node.

    Raises:
        ReviewConflictError: Another decision stands.
    """

    async def decide(family: RouteFamily) -> ReviewDecision:
        return await (_decide_classic if family == "classic" else _decide_current)(session, verdict)

    try:
        decision = await session.in_routes(decide)
    except errors.ReviewConflictError:
        raise
    except errors.ConflictError as conflict:
        raise _conflict(verdict, conflict.message, status=409, request_id=conflict.request_id) from conflict
    if decision.outcome == "conflict":
        raise _conflict(verdict, "the server kept the decision that stood already")
    if decision.outcome not in _RECEIPTS:
        raise errors.UnreadableAnswerError(
            f"the receipt for {verdict.node_id} does not say what became of the decision",
            run_id=verdict.run_id,
        )
    shared.check_about("run", verdict.run_id, [decision.run_id], run_id=verdict.run_id)
    shared.check_about("node", verdict.node_id, [decision.node_id], run_id=verdict.run_id)
    if decision.approved is not verdict.approved:
        raise _conflict(verdict, "the receipt says that it was decided otherwise")
    return decision


def _conflict(verdict: Verdict, said: str, **facts: Any) -> errors.ReviewConflictError:
    text = f"the review of run {verdict.run_id} at {verdict.node_id} was not decided: {said}"
    return errors.ReviewConflictError(text, run_id=verdict.run_id, **facts)


async def _decide_classic(session: Session, verdict: Verdict) -> ReviewDecision:
    command_id = uuid.uuid4().hex  # the same for both endpoints: one decision, however often it is sent
    asked: dict[str, Any] = {
        "approved": verdict.approved,
        "modified_data": verdict.modified_data,
        "command_id": command_id,
    }
    try:
        return await session.exchange(classic.submit_decision(verdict.run_id, verdict.node_id, **asked))
    except errors.NotFoundError as missing:
        first = missing
    try:
        return await session.exchange(classic.submit_resume(verdict.run_id, verdict.node_id, **asked))
    except errors.UnsupportedRouteError:
        if not isinstance(first, errors.UnsupportedRouteError):
            raise first from None  # the run is missing, not the route
    return await _decide_overlay(session, verdict, command_id)


async def _decide_overlay(session: Session, verdict: Verdict, command_id: str) -> ReviewDecision:
    """Decide a review that has no id; where it has changed since it was read, once more after reading it again."""
    _check_reason(verdict)
    overlay = await _read_overlay(session, verdict)
    try:
        return await _send_decision(session, verdict, overlay, command_id)
    except errors.ConflictError:
        again = await _read_overlay(session, verdict)
        if again.status != "awaiting_review" or again.revision == overlay.revision:
            raise
    return await _send_decision(session, verdict, again, command_id)


async def _read_overlay(session: Session, verdict: Verdict) -> ReviewOverlay:
    try:
        overlay = await session.exchange(classic.get_overlay(verdict.run_id, verdict.node_id))
    except errors.UnsupportedRouteError:
        raise
    except errors.NotFoundError:
        raise await _nothing_to_decide(session, verdict) from None
    shared.check_about("run", verdict.run_id, [overlay.run_id], run_id=verdict.run_id)
    shared.check_about("node", verdict.node_id, [overlay.node_id], run_id=verdict.run_id)
    return overlay


async def _send_decision(
    session: Session, verdict: Verdict, overlay: ReviewOverlay, command_id: str
) -> ReviewDecision:
    decision = classic.decide_overlay(
        overlay,
        verdict.run_id,
        verdict.node_id,
        approved=verdict.approved,
        modified_data=verdict.modified_data,
        reason=verdict.reason,
        command_id=command_id,
    )
    return await session.exchange(decision)


def _check_reason(verdict: Verdict) -> None:
    if not verdict.approved and verdict.reason is None:
        raise errors.InvalidInputError(
            "a rejection needs a reason; whoever looks at the run later will read it"
        )


async def _nothing_to_decide(session: Session, verdict: Verdict) -> errors.InvalidInputError:
    run = await session.exchange(shared.get_run(verdict.run_id))
    waiting = ", ".join(run.waiting_for_node_ids) or "no node"
    return errors.InvalidInputError(
        f"run {run.id} has no review at node {verdict.node_id}; it is {run.status_name} and waits for {waiting}",
        run_id=run.id,
    )


async def _decide_current(session: Session, verdict: Verdict) -> ReviewDecision:
    _check_reason(verdict)
    review = await _review(session, verdict)
    versions: list[ReviewVersion] = await everything(
        session, lambda after: current.list_review_versions(review.id, after)
    )
    shared.check_about(
        "review", review.id, (version.review_id for version in versions), run_id=verdict.run_id
    )
    if review.decision is not None:
        version_id = _version_decided(review, versions, verdict)
    else:
        version_id = await _version_to_decide(session, review, versions, verdict)
    call = current.approve_review(review, version_id)
    if not verdict.approved:
        call = current.reject_review(review, version_id, verdict.reason or "")
    try:
        return await session.exchange(call)
    except errors.ConflictError:
        if not await _stands(session, review, version_id, verdict):
            raise
    # The answer to this decision was lost, or another call has made the same one.
    receipt = ReviewDecision(outcome="already_received", review_id=review.id, version_id=version_id)
    return receipt.filled_in(run_id=verdict.run_id, node_id=verdict.node_id, approved=verdict.approved)


async def _stands(session: Session, review: Review, version_id: str, verdict: Verdict) -> bool:
    """Return whether a review is decided as it was to be."""
    found = [each for each in await _reviews(session, verdict) if each.id == review.id]
    decision = found[0].decision if found else None
    if decision is None or decision.version_id not in {None, version_id}:
        return False
    return decision.verdict == ("approved" if verdict.approved else "rejected")


async def _reviews(session: Session, verdict: Verdict) -> list[Review]:
    """Return the reviews that a run has at a node."""
    found: list[Review] = await everything(
        session, lambda after: current.list_reviews(verdict.run_id, verdict.node_id, after)
    )
    shared.check_about("run", verdict.run_id, (review.run_id for review in found), run_id=verdict.run_id)
    shared.check_about("node", verdict.node_id, (review.node_id for review in found), run_id=verdict.run_id)
    return found


async def _review(session: Session, verdict: Verdict) -> Review:
    """Return the oldest review that the node waits for, or the last one that was decided there."""
    reviews = [review for review in await _reviews(session, verdict) if review.cancelled_at is None]
    if not reviews:
        raise await _nothing_to_decide(session, verdict)
    moments = [review.created_at for review in reviews if review.created_at is not None]
    if len(moments) == len(reviews):  # a server may list the newest first
        reviews = [reviews[number] for number in sorted(range(len(reviews)), key=moments.__getitem__)]
    return next((review for review in reviews if review.decision is None), reviews[-1])


def _version_decided(review: Review, versions: list[ReviewVersion], verdict: Verdict) -> str:
    """Return the version of the existing decision, if this one is the same."""
    decision = review.decision
    if decision is None or (decision.verdict == "approved") is not verdict.approved:
        raise _conflict(verdict, "it was decided otherwise before")
    decided = next((version for version in versions if version.id == decision.version_id), None)
    edited = verdict.modified_data
    if edited is not None and (decided is None or decided.snapshot != _shaped(decided, edited)):
        raise _conflict(verdict, "it was approved with other values before")
    return decision.version_id or _newest(review, versions).id


async def _version_to_decide(
    session: Session, review: Review, versions: list[ReviewVersion], verdict: Verdict
) -> str:
    newest = _newest(review, versions)
    if verdict.modified_data is None:
        return newest.id
    snapshot = _shaped(newest, verdict.modified_data)
    if snapshot == newest.snapshot:
        return newest.id  # the same edit, whose answer was lost, or an edit that changes nothing
    edit = current.create_review_version(review.id, newest.id, snapshot, verdict.reason)
    return (await session.exchange(edit)).id


def _newest(review: Review, versions: list[ReviewVersion]) -> ReviewVersion:
    edited = {version.parent_id for version in versions}
    leaves = [version for version in versions if version.id not in edited]
    if not leaves:
        raise errors.UnreadableAnswerError(
            f"review {review.id} has no version to decide", run_id=review.run_id
        )
    return max(
        enumerate(leaves), key=lambda leaf: (leaf[1].created_at is not None, leaf[1].created_at, leaf[0])
    )[1]


def _shaped(version: ReviewVersion, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return edited values in the form of the version that they replace: some blocks keep theirs under `output`."""
    wrapped = (
        isinstance(version.snapshot, Mapping) and set(version.snapshot) == {"output"} and "output" not in data
    )
    return {"output": dict(data)} if wrapped else dict(data)
