"""The task that decides a review."""

from collections.abc import Mapping
from typing import Any

from prefect_collection._account import acall_with_account, call_with_account
from prefect_collection.credentials import Credentials
from prefect_collection.tasks._kinds import requesting, twin_of
from retab_orchestration import ReviewDecision

__all__ = ["adecide_review", "decide_review"]


@requesting
def decide_review(
    run_id: str,
    node_id: str,
    *,
    approved: bool,
    modified_data: Mapping[str, Any] | None = None,
    reason: str | None = None,
    credentials: Credentials = None,
) -> ReviewDecision:
    """Decide what a run waits for at a node; the same decision again does no harm.

    Args:
        run_id: The run, `run_…`.
        node_id: One of its `waiting_for_node_ids`.
        approved: Whether the run may go on with what the node found.
        modified_data: What the run goes on with instead; only with `approved=True`.
        reason: Why; current routes require one for a rejection.
        credentials: A block, the name of a saved one, or None for the environment's account.

    Returns:
        A receipt with the `outcome`: accepted, already_received or already_applied. Poll the run for what follows.

    Raises:
        ReviewConflictError: Another decision stands, and was not changed.
        InvalidInputError: The run has no review at this node; the message says where it waits.
    """
    decision: dict[str, Any] = {"approved": approved, "modified_data": modified_data, "reason": reason}
    return call_with_account(credentials, lambda client: client.decide_review(run_id, node_id, **decision))


@twin_of(decide_review)
async def adecide_review(
    run_id: str,
    node_id: str,
    *,
    approved: bool,
    modified_data: Mapping[str, Any] | None = None,
    reason: str | None = None,
    credentials: Credentials = None,
) -> ReviewDecision:
    """Do what `decide_review` does, awaiting."""
    decision: dict[str, Any] = {"approved": approved, "modified_data": modified_data, "reason": reason}
    return await acall_with_account(
        credentials, lambda client: client.decide_review(run_id, node_id, **decision)
    )
