"""The task that waits for a run."""

from asyncio import to_thread
from collections.abc import Sequence
from typing import Any, cast

from prefect_collection._account import await_with_account, wait_with_account
from prefect_collection._outputs import OutputPath, OutputTarget
from prefect_collection._waiting import (
    OnReview,
    Waiting,
    cancel_failed_error,
    cancelled_error,
    ended_before,
    outcome_of,
)
from prefect_collection.credentials import Credentials
from prefect_collection.tasks._kinds import requesting, twin_of
from retab_orchestration import (
    ApiError,
    AsyncRetabClient,
    RetabClient,
    WaitTimeoutError,
    WorkflowRun,
)

__all__ = ["await_for_run", "wait_for_run"]


@requesting
def wait_for_run(
    run_id: str,
    *,
    on_review: OnReview = "return",
    timeout_seconds: float | None = None,
    poll_interval_seconds: float = 30.0,
    cancel_on_timeout: bool = True,
    output_nodes: Sequence[str] | None = None,
    output_path: OutputPath | None = None,
    credentials: Credentials = None,
) -> WorkflowRun:
    """Wait for a run in one task run, logging its state when that changes.

    Args:
        run_id: The run, `run_…`.
        on_review: `return` also returns when the run waits for a human (`is_waiting`), `wait` goes on until it has
            ended, `fail` raises.
        timeout_seconds: Seconds the run may take, not counting the time that a human takes; None for any number.
        cancel_on_timeout: Whether a run that takes longer is cancelled. A run whose wait is cut off is not.
        poll_interval_seconds: Seconds between two polls, at most; the first polls come sooner.
        output_nodes: The nodes whose outputs to return; None takes the workflow's own final outputs.
        output_path: A local path or a URI to write the outputs to as JSON; one that ends in `/` is a folder.
        credentials: A block, the name of a saved one, or None for the environment's account.

    Returns:
        The `WorkflowRun`, completed or waiting for a human; `final_outputs` has the outputs, `{}` where there are none
        yet. With `output_path` a manifest instead: `{"uri", "size", "sha256", "run_id", "status",
        "waiting_for_node_ids"}`.

    Raises:
        RunFailedError: The run ended in error.
        RunCancelledError: The run was cancelled.
        ReviewRequiredError: The run waits for a human, and `on_review` is `fail`.
        WaitTimeoutError: The run took longer, and was cancelled or goes on, as the message says.
    """
    waiting = Waiting(run_id, on_review, timeout_seconds, poll_interval_seconds)
    target = OutputTarget.read(output_path)

    def poll(client: RetabClient) -> WorkflowRun:
        return _wait(client, run_id, output_nodes, waiting.arguments(), cancel_on_timeout=cancel_on_timeout)

    run = outcome_of(wait_with_account(credentials, poll, waiting.on_tick), on_review)
    # The type is that of a call without output_path: an overload would be lost in Prefect's Task.
    return cast("WorkflowRun", target.write(run)) if target else run


def _wait(
    client: RetabClient,
    run_id: str,
    output_nodes: Sequence[str] | None,
    waiting: dict[str, Any],
    *,
    cancel_on_timeout: bool,
) -> WorkflowRun:
    try:
        return client.wait_for_run(run_id, output_nodes=output_nodes, **waiting)
    except WaitTimeoutError as expired:
        if not cancel_on_timeout:
            raise
        try:
            if expired.__cause__ is not None:
                # Its state is not known, because it could not be polled.
                client.get_run(run_id, outputs=False)
            last = client.cancel_run(run_id)
        except ApiError as refused:
            raise cancel_failed_error(expired, refused) from refused
        if not ended_before(last):
            raise cancelled_error(expired, last) from expired
        return client.get_run(run_id, output_nodes=output_nodes)


@twin_of(wait_for_run)
async def await_for_run(
    run_id: str,
    *,
    on_review: OnReview = "return",
    timeout_seconds: float | None = None,
    poll_interval_seconds: float = 30.0,
    cancel_on_timeout: bool = True,
    output_nodes: Sequence[str] | None = None,
    output_path: OutputPath | None = None,
    credentials: Credentials = None,
) -> WorkflowRun:
    """Do what `wait_for_run` does, awaiting."""
    waiting = Waiting(run_id, on_review, timeout_seconds, poll_interval_seconds)
    target = OutputTarget.read(output_path)

    async def poll(client: AsyncRetabClient) -> WorkflowRun:
        given = waiting.arguments()
        return await _await(client, run_id, output_nodes, given, cancel_on_timeout=cancel_on_timeout)

    run = outcome_of(await await_with_account(credentials, poll, waiting.on_tick), on_review)
    return cast("WorkflowRun", await to_thread(target.write, run)) if target else run


async def _await(
    client: AsyncRetabClient,
    run_id: str,
    output_nodes: Sequence[str] | None,
    waiting: dict[str, Any],
    *,
    cancel_on_timeout: bool,
) -> WorkflowRun:
    try:
        return await client.wait_for_run(run_id, output_nodes=output_nodes, **waiting)
    except WaitTimeoutError as expired:
        if not cancel_on_timeout:
            raise
        try:
            if expired.__cause__ is not None:
                # Its state is not known, because it could not be polled.
                await client.get_run(run_id, outputs=False)
            last = await client.cancel_run(run_id)
        except ApiError as refused:
            raise cancel_failed_error(expired, refused) from refused
        if not ended_before(last):
            raise cancelled_error(expired, last) from expired
        return await client.get_run(run_id, output_nodes=output_nodes)
