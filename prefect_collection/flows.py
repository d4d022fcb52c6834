"""Flows that can be deployed as they are: run a workflow, wait for it, return its outputs."""

from asyncio import to_thread
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from prefect import Flow
from pydantic import PositiveFloat

from prefect_collection._documents import DocumentInput
from prefect_collection._outputs import OutputTarget
from prefect_collection._parameters import check_parameters
from prefect_collection._waiting import OnReview, check_wait, run_logger
from prefect_collection.cancellation import cancel_retab_runs
from prefect_collection.credentials import Credentials
from prefect_collection.tasks import acreate_run, await_for_run, create_run, wait_for_run
from retab_orchestration import WorkflowRun

__all__ = ["RetabFlow", "arun_workflow", "run_workflow"]

P = ParamSpec("P")
R = TypeVar("R")


class RetabFlow(Flow[P, R]):
    """A flow that refuses bytes, open files and keys before Prefect has stored them with the run's parameters."""

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters as Prefect stores them.

        Raises:
            InvalidInputError: One contains bytes or an open file, or `credentials` is a dict.
            ConfigurationError: `credentials` is a string, and no name of a block.
        """
        check_parameters(parameters)
        return super().serialize_parameters(parameters)

    def with_options(self, **options: Any) -> "RetabFlow[P, R]":
        """Return a copy of this flow with other options, as `prefect.Flow.with_options` takes them.

        Hooks that are given for `on_cancellation` and `on_failure` are run after the one that cancels the run at Retab.
        """
        for kind in ("on_cancellation", "on_failure"):
            if given := options.get(kind):
                options[kind] = [
                    cancel_retab_runs,
                    *(hook for hook in given if hook is not cancel_retab_runs),
                ]
        changed = super().with_options(**options)
        changed.__class__ = type(self)  # Prefect makes a plain Flow, which would store anything
        return cast("RetabFlow[P, R]", changed)


def _named(
    name: str, *, twin_of: Flow[..., Any] | None = None
) -> Callable[[Callable[P, R]], RetabFlow[P, R]]:
    def _decorate(fn: Callable[P, R]) -> RetabFlow[P, R]:
        fn.__doc__ = twin_of.fn.__doc__ if twin_of else fn.__doc__
        return RetabFlow(fn, name=name, on_cancellation=[cancel_retab_runs], on_failure=[cancel_retab_runs])

    return _decorate


def _returned(run: WorkflowRun, target: OutputTarget | None) -> dict[str, Any]:
    if run.is_waiting:
        nodes = ", ".join(run.waiting_for_node_ids)
        run_logger().warning("Run %s waits for a human at %s; returning its outputs so far", run.id, nodes)
    return dict(target.write(run)) if target else run.final_outputs


@_named("retab-run-workflow")
def run_workflow(
    workflow_id: str,
    *,
    documents: dict[str, DocumentInput] | None = None,
    json_inputs: dict[str, Any] | None = None,
    text_inputs: dict[str, str] | None = None,
    version: str | None = None,
    metadata: dict[str, str] | None = None,
    output_nodes: list[str] | None = None,
    output_path: str | Path | None = None,
    credentials: Credentials = None,
    on_review: OnReview = "return",
    poll_interval_seconds: PositiveFloat = 30.0,
    timeout_seconds: PositiveFloat | None = None,
    cancel_on_timeout: bool = True,
    dedupe_key: str = "0",
) -> dict[str, Any]:
    """Run a workflow to its end, or to a human review, and return its final outputs.

    A retry of this flow run adopts the run that it has already created, unless that ended in error or was cancelled.
    When the flow run is cancelled, or takes longer than the flow may, the run is cancelled as well.

    Args:
        workflow_id: The workflow, `wf_…`.
        documents: Start node id -> a local path, a URI such as `s3://bucket/a.pdf`, or a `FileReference`.
        json_inputs: JSON input node id -> any JSON value.
        text_inputs: Text input node id -> text; classic routes only.
        version: `production`, `draft` or a version id; current routes only.
        metadata: Tags of your own; current routes only.
        output_nodes: The nodes whose outputs to return; None takes the workflow's own final outputs.
        output_path: A local path or a URI to write the outputs to as JSON; one that ends in `/` is a folder.
        credentials: A block, the name of a saved one (the better choice for a deployment, because Prefect stores
            a block's key masked), or None for the environment's account.
        on_review: When the run waits for a human: `return` ends the flow with the outputs so far, `wait` goes on
            until the run has ended, `fail` fails the flow.
        poll_interval_seconds: Seconds between two polls, at most.
        timeout_seconds: Seconds the run may take, not counting the time that a human takes; None for any number.
        cancel_on_timeout: Whether a run that takes longer is cancelled.
        dedupe_key: Another key makes another run in a retry of this flow run.

    Returns:
        Node id -> `{"label", "json_data"}`, with `"document"` where the output is a file; `{}` when there are none.
        With `output_path` a manifest instead: `{"uri", "size", "sha256", "run_id", "status",
        "waiting_for_node_ids"}`.

    Raises:
        RunFailedError: The run ended in error.
        RunCancelledError: The run was cancelled.
        ReviewRequiredError: The run waits for a human, and `on_review` is `fail`.
        WaitTimeoutError: The run took longer, and was cancelled or goes on, as the message says.
    """
    check_wait(poll_interval_seconds, output_nodes)
    target = OutputTarget.read(output_path)
    run_id = create_run(
        workflow_id,
        documents=documents,
        json_inputs=json_inputs,
        text_inputs=text_inputs,
        version=version,
        metadata=metadata,
        credentials=credentials,
        dedupe_key=dedupe_key,
    )
    run = wait_for_run(
        run_id,
        on_review=on_review,
        timeout_seconds=timeout_seconds,
        poll_interval_seconds=poll_interval_seconds,
        cancel_on_timeout=cancel_on_timeout,
        output_nodes=output_nodes,
        credentials=credentials,
    )
    return _returned(run, target)


@_named("retab-arun-workflow", twin_of=run_workflow)
async def arun_workflow(
    workflow_id: str,
    *,
    documents: dict[str, DocumentInput] | None = None,
    json_inputs: dict[str, Any] | None = None,
    text_inputs: dict[str, str] | None = None,
    version: str | None = None,
    metadata: dict[str, str] | None = None,
    output_nodes: list[str] | None = None,
    output_path: str | Path | None = None,
    credentials: Credentials = None,
    on_review: OnReview = "return",
    poll_interval_seconds: PositiveFloat = 30.0,
    timeout_seconds: PositiveFloat | None = None,
    cancel_on_timeout: bool = True,
    dedupe_key: str = "0",
) -> dict[str, Any]:
    """Do what `run_workflow` does, awaiting."""
    check_wait(poll_interval_seconds, output_nodes)
    target = OutputTarget.read(output_path)
    run_id = await acreate_run(
        workflow_id,
        documents=documents,
        json_inputs=json_inputs,
        text_inputs=text_inputs,
        version=version,
        metadata=metadata,
        credentials=credentials,
        dedupe_key=dedupe_key,
    )
    run = await await_for_run(
        run_id,
        on_review=on_review,
        timeout_seconds=timeout_seconds,
        poll_interval_seconds=poll_interval_seconds,
        cancel_on_timeout=cancel_on_timeout,
        output_nodes=output_nodes,
        credentials=credentials,
    )
    return await to_thread(_returned, run, target)
