"""The task that waits for a run."""

import time
from asyncio import sleep, to_thread  # noqa: TID251  see Keys
from collections.abc import Callable, Sequence
from typing import Any, cast

from prefect_collection.blocks import (
    Credentials,
    RetabCredentials,
    aload_again,
    aload_credentials,
    aopen_client,
    key_of,
    load_again,
    load_credentials,
    open_client,
)
from prefect_collection.outputs import OutputPath, OutputTarget
from prefect_collection.tasks._kinds import asking, twin_of
from prefect_collection.waiting import (
    Keys,
    OnReview,
    WaitClock,
    cancelled,
    ended_before,
    not_cancelled,
    outage_log,
    outcome_of,
    run_logger,
    wait_arguments,
)
from retab_orchestration import (
    ApiError,
    AsyncRetabClient,
    AuthenticationError,
    RetabClient,
    WaitTimeoutError,
    WorkflowRun,
)

__all__ = ["await_for_run", "wait_for_run"]


@asking
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
        timeout_seconds: Seconds the run may take, not counting the time that a human takes; None for any.
        cancel_on_timeout: Whether a run that takes longer is cancelled. One whose wait is cut off never is.
        poll_interval_seconds: Seconds between two looks, at the most; the first ones come sooner.
        output_nodes: The nodes whose outputs to return; None takes the workflow's own final outputs.
        output_path: A local path or a URI to write the outputs to as JSON; one that ends in `/` is a folder.
        credentials: A block, the name of a saved one, or None for the environment's account.

    Returns:
        The `WorkflowRun`, completed or waiting for a human; `final_outputs` has the outputs, `{}` where there are none
        yet. With `output_path` a manifest instead: `{"uri", "size", "sha256", "run_id", "status"}`.

    Raises:
        RunFailedError: The run ended in error.
        RunCancelledError: The run was cancelled.
        ReviewRequiredError: The run waits for a human, and `on_review` is `fail`.
        WaitTimeoutError: The run took longer, and was cancelled or goes on, as the message says.
    """
    waiting = wait_arguments(on_review, timeout_seconds, poll_interval_seconds)
    target = OutputTarget.read(output_path)
    block, clock = load_credentials(credentials), WaitClock(timeout_seconds)
    keys = Keys(key_of(block))
    waiting["on_change"] = _both(waiting["on_change"], clock.saw)
    waiting["on_outage"] = outage_log(run_id, run_logger())
    while True:
        try:
            with open_client(block) as client:
                run = _wait(client, run_id, output_nodes, waiting, cancel_on_timeout=cancel_on_timeout)
            break
        except AuthenticationError as error:
            block = load_again(block)
            time.sleep(keys.pause_after(error, key_of(block), _name_of(block)))  # noqa: TID251  see Keys
            waiting["timeout"] = clock.left()
    run = outcome_of(run, on_review)
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
            if (
                expired.__cause__ is not None
            ):  # nobody knows what became of it while it could not be looked at
                client.get_run(run_id, outputs=False)
            last = client.cancel_run(run_id)
        except ApiError as refused:
            raise not_cancelled(expired, refused) from refused
        if not ended_before(last):
            raise cancelled(expired, last) from expired
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
    waiting = wait_arguments(on_review, timeout_seconds, poll_interval_seconds)
    target = OutputTarget.read(output_path)
    block, clock = await aload_credentials(credentials), WaitClock(timeout_seconds)
    keys = Keys(key_of(block))
    waiting["on_change"] = _both(waiting["on_change"], clock.saw)
    waiting["on_outage"] = outage_log(run_id, run_logger())
    while True:
        try:
            async with await aopen_client(block) as client:
                run = await _await(client, run_id, output_nodes, waiting, cancel_on_timeout=cancel_on_timeout)
            break
        except AuthenticationError as error:
            block = await aload_again(block)
            await sleep(keys.pause_after(error, key_of(block), _name_of(block)))
            waiting["timeout"] = clock.left()
    run = outcome_of(run, on_review)
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
            if (
                expired.__cause__ is not None
            ):  # nobody knows what became of it while it could not be looked at
                await client.get_run(run_id, outputs=False)
            last = await client.cancel_run(run_id)
        except ApiError as refused:
            raise not_cancelled(expired, refused) from refused
        if not ended_before(last):
            raise cancelled(expired, last) from expired
        return await client.get_run(run_id, output_nodes=output_nodes)


def _name_of(block: RetabCredentials | None) -> str | None:
    return block._block_document_name if block else None  # noqa: SLF001  Prefect has no other name for it


def _both(
    first: Callable[[WorkflowRun], Any], second: Callable[[WorkflowRun], Any]
) -> Callable[[WorkflowRun], None]:
    def call(run: WorkflowRun) -> None:
        first(run)
        second(run)

    return call
