"""Whether a run whose reviews are decided goes on: the run does not say so, its reviews do."""

from collections.abc import Sequence

from retab_orchestration import errors
from retab_orchestration._endpoints import current
from retab_orchestration._operations.listing import everything
from retab_orchestration._transport.session import Session
from retab_orchestration.models import Review, WorkflowRun
from retab_orchestration.policies import PollPolicy

__all__ = ["Resuming", "check_resuming"]


class Resuming:
    """Decide when to read the reviews that a run waits for, and whether the run will go on.

    Args:
        policy: How often to ask, and how long a decided review may take to resume the run.
        since: When the run was first seen to wait.
    """

    __slots__ = ("_ask_at", "_decided", "_policy")

    def __init__(self, policy: PollPolicy, since: float) -> None:
        self._policy = policy
        self._ask_at = since + policy.resume_timeout
        self._decided: tuple[float, tuple[str, ...]] | None = None

    def is_due(self, now: float) -> bool:
        """Return whether to read the reviews now."""
        return now >= self._ask_at

    def mark_read(self, now: float) -> None:
        """Record that the reviews are read, also where that fails."""
        # Often only once they are decided: a human may take days, and many runs may wait for one.
        pause = self._policy.review_interval if self._decided else self._policy.resume_timeout
        self._ask_at = now + pause

    def learned(self, nodes: Sequence[str], now: float, *, are_decided: bool) -> bool:
        """Record whether the reviews are decided; return whether the run will not go on.

        Args:
            nodes: Where it waits.
            now: The present time.
            are_decided: Whether all reviews there are decided.
        """
        if not are_decided:
            self._decided = None
            return False
        if self._decided is None or self._decided[1] != tuple(nodes):
            self._decided = now, tuple(nodes)
            self._ask_at = now + self._policy.review_interval
        return now >= self._decided[0] + self._policy.resume_timeout


def are_decided(reviews: Sequence[Review], nodes: Sequence[str]) -> bool:
    """Return whether a run that waits at these nodes has reviews there, and all are decided."""
    there = [review for review in reviews if review.node_id in nodes and review.cancelled_at is None]
    return bool(there) and all(review.decision is not None for review in there)


async def check_resuming(
    session: Session, run: WorkflowRun, resuming: Resuming, seconds: float | None
) -> None:
    """Read the reviews that a run waits for, if that is due.

    Args:
        session: The account.
        run: The run.
        resuming: What is known of them.
        seconds: How long it may take; None leaves it to the account's setting.

    Raises:
        ReviewNotResumedError: They are decided, and the run has not gone on for as long as it may.
    """
    now, session = session.runtime.now(), session.within(seconds)
    if not run.is_waiting or not resuming.is_due(now):
        return
    try:
        if await session.family() == "classic":
            return
        resuming.mark_read(now)
        found: list[Review] = await everything(
            session, lambda after: current.list_reviews(run.id, None, after)
        )
    except errors.ApiError:
        return  # they are read again later, and the run is polled all the same
    nodes = run.waiting_for_node_ids
    found = [review for review in found if review.run_id in {None, run.id}]  # a server may not filter
    if resuming.learned(nodes, session.runtime.now(), are_decided=are_decided(found, nodes)):
        raise errors.ReviewNotResumedError(
            f"run {run.id} still waits at {', '.join(nodes)} although all its reviews there are decided, and does not "
            "go on by itself: look at it in Retab, then cancel or restart it",
            run=run,
        )
