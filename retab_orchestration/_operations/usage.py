"""What a run has cost, from wherever the server says it."""

from retab_orchestration import errors
from retab_orchestration._endpoints import current
from retab_orchestration._endpoints.shared import check_about
from retab_orchestration._operations.listing import everything
from retab_orchestration._operations.outputs import list_steps
from retab_orchestration._transport.session import Session
from retab_orchestration.models import Usage, WorkflowRun, usage_from_primitives, usage_from_steps
from retab_orchestration.models.page import UsageRow

__all__ = ["with_usage"]


async def with_usage(session: Session, run: WorkflowRun) -> WorkflowRun:
    """Return a run with what it has cost; None where the server does not say, or was not reached."""
    try:
        usage: Usage | None = await _read(session, run)
    except errors.ApiError:
        usage = None
    return run.model_copy(update={"usage": usage})


async def _read(session: Session, run: WorkflowRun) -> Usage:
    if await session.family() == "classic":
        return usage_from_steps(run.cost, await list_steps(session, run.id))
    rows: list[UsageRow] = await everything(session, lambda after: current.list_usage(run.id, after))
    check_about("run", run.id, (row.run_id for row in rows), run_id=run.id)
    return usage_from_primitives(row.raw for row in rows)
