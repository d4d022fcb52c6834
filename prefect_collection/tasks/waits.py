"""The task that waits for a run."""

from collections.abc import Sequence

from prefect_collection.blocks import Credentials, aopen_client, open_client
from prefect_collection.tasks._kinds import asking, twin_of
from prefect_collection.waiting import OnReview, outcome_of, wait_arguments
from retab_orchestration import WorkflowRun

__all__ = ["await_for_run", "wait_for_run"]


@asking
def wait_for_run(
    run_id: str,
    *,
    on_review: OnReview = "return",
    timeout_seconds: float | None = None,
    poll_interval_seconds: float = 30.0,
    output_nodes: Sequence[str] | None = None,
    credentials: Credentials = None,
) -> WorkflowRun:
    """Wait for a run in one task run, logging its state when that changes.

    Args:
        run_id: The run, `run_…`.
        on_review: `return` also returns when the run waits for a human (`is_waiting`), `wait` goes on until it has
            ended, `fail` raises.
        timeout_seconds: Seconds the run may take, not counting the time that a human takes; None for any.
        poll_interval_seconds: Seconds between two looks, at the most; the first ones come sooner.
        output_nodes: The nodes whose outputs to return; None takes the workflow's own final outputs.
        credentials: A block, the name of a saved one, or None for the environment's account.

    Returns:
        The run, completed or waiting for a human; `final_outputs` has the outputs, `{}` where there are none yet.

    Raises:
        RunFailedError: The run ended in error.
        RunCancelledError: The run was cancelled.
        ReviewRequiredError: The run waits for a human, and `on_review` is `fail`.
        WaitTimeoutError: The run goes on: wait again, or cancel it.
    """
    waiting = wait_arguments(on_review, timeout_seconds, poll_interval_seconds)
    with open_client(credentials) as client:
        return outcome_of(client.wait_for_run(run_id, output_nodes=output_nodes, **waiting), on_review)


@twin_of(wait_for_run)
async def await_for_run(
    run_id: str,
    *,
    on_review: OnReview = "return",
    timeout_seconds: float | None = None,
    poll_interval_seconds: float = 30.0,
    output_nodes: Sequence[str] | None = None,
    credentials: Credentials = None,
) -> WorkflowRun:
    """Do what `wait_for_run` does, awaiting."""
    waiting = wait_arguments(on_review, timeout_seconds, poll_interval_seconds)
    async with await aopen_client(credentials) as client:
        return outcome_of(await client.wait_for_run(run_id, output_nodes=output_nodes, **waiting), on_review)
