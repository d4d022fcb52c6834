"""What is read from the steps of a run that has ended: its final outputs, and why it failed."""

from collections.abc import Mapping, Sequence
from typing import Any

from retab_orchestration import errors
from retab_orchestration._arguments import checked_id
from retab_orchestration._endpoints import classic, current
from retab_orchestration._endpoints.shared import check_about
from retab_orchestration._operations.listing import everything
from retab_orchestration._texts import is_id, kind_of
from retab_orchestration._transport.session import Session
from retab_orchestration.models import (
    RouteFamily,
    RunError,
    RunStatus,
    Step,
    StepStatus,
    WorkflowRun,
    outputs_from_steps,
    sink_nodes,
)
from retab_orchestration.models.outputs import nodes_of, sinks_shown

__all__ = ["checked_nodes", "list_steps", "list_steps_as_ended", "with_details"]

_GOING_ON = frozenset({StepStatus.QUEUED, StepStatus.RUNNING})


def checked_nodes(output_nodes: Any) -> tuple[str, ...] | None:
    """Return the nodes that a caller named for outputs, checked; None means the end of the workflow.

    Raises:
        InvalidInputError: It is not a list of node ids, or an empty one.
    """
    if output_nodes is None:
        return None
    if isinstance(output_nodes, str) or not isinstance(output_nodes, Sequence) or not output_nodes:
        raise errors.InvalidInputError(
            f"output_nodes must be a list of node ids, or None, not {kind_of(output_nodes)}"
        )
    return tuple(checked_id("a node id in output_nodes", node) for node in output_nodes)


async def list_steps(session: Session, run_id: str) -> list[Step]:
    """Read every step of a run.

    Raises:
        UnreadableAnswerError: There are steps of other runs among them.
    """

    async def read(family: RouteFamily) -> list[Step]:
        calls = classic.list_steps if family == "classic" else current.list_steps
        found: list[Step] = await everything(session, lambda after: calls(run_id, after))
        return found

    steps = await session.in_routes(read)
    check_about("run", run_id, (step.run_id for step in steps), run_id=run_id)
    return steps


async def list_steps_as_ended(session: Session, run: WorkflowRun) -> list[Step]:
    """Read every step of a run.

    Raises:
        UnreadableAnswerError: There are steps of other runs among its own, or it is completed and the list of its steps
            does not show that yet.
    """
    steps = await list_steps(session, run.id)
    if run.status is RunStatus.COMPLETED and _may_lag(session, run):
        _check_whole(session, run, steps, await _edges(session, run))
    return steps


async def with_details(session: Session, run: WorkflowRun, nodes: tuple[str, ...] | None) -> WorkflowRun:
    """Return the run with its final outputs, or why it failed, without a request where the run has them itself.

    Raises:
        InvalidInputError: A node was named that the run does not have; the message lists those it has.
    """
    if run.status is RunStatus.ERROR:
        return await _explained(session, run)
    if nodes is not None:
        return await _of_named_nodes(session, run, nodes)
    if run.has_final_outputs or run.status is not RunStatus.COMPLETED:
        return run
    steps = await list_steps(session, run.id)
    _check_ended(run, steps, ())
    edges = await _edges(session, run)
    _check_whole(session, run, steps, edges)
    return run.with_outputs(outputs_from_steps(steps, sink_nodes(steps, edges)))


def _may_lag(session: Session, run: WorkflowRun) -> bool:
    """Return whether a run has ended so shortly ago, or at an unknown time, that a list may not show it."""
    ended = run.timing.completed_at
    return ended is None or (session.runtime.utc() - ended).total_seconds() < session.retry.find_for


def _check_whole(
    session: Session, run: WorkflowRun, steps: Sequence[Step], edges: Sequence[Mapping[str, Any]] | None
) -> None:
    """Raise UnreadableAnswerError if a run has just completed and its steps go on, or show no end of its workflow."""
    if not _may_lag(session, run):
        return
    goes_on = any(step.status in _GOING_ON for step in steps)
    if goes_on or (edges and not any(step.status.is_terminal for step in sinks_shown(steps, edges))):
        raise _lagging(run)


def _check_ended(run: WorkflowRun, steps: Sequence[Step], nodes: Sequence[str]) -> None:
    """Raise UnreadableAnswerError if a step of a completed run has not ended, at its end or at one of these nodes.

    A list of steps may lag behind its run, and outputs would be missing.
    """
    has_ended = any(step.status is StepStatus.COMPLETED for step in steps)
    wanted = [step for step in steps if step.node_type == "end" or step.node_id in nodes]
    if not has_ended or any(step.status in _GOING_ON for step in wanted):
        raise _lagging(run)


def _lagging(run: WorkflowRun) -> errors.UnreadableAnswerError:
    text = "the run is completed, but the list of its steps does not show it yet"
    return errors.UnreadableAnswerError(text, run_id=run.id)


async def _explained(session: Session, run: WorkflowRun) -> WorkflowRun:
    """Return the run with the category, stage and message of the step that failed, where it has none of its own."""
    error = run.error or RunError()
    if error.category is not None:
        return run
    try:
        steps = await list_steps(session, run.id)
    except errors.ApiError:
        return run  # the run's own failure counts, not this one
    named = [step for step in steps if error.failing_step_id in {step.step_id, step.node_id}]
    failed = [step for step in named or steps if step.status is StepStatus.ERROR]
    if not failed:
        return run
    step = failed[0]
    known = {
        "message": error.message or step.error,
        "stage": error.stage or step.error_stage,
        "category": step.error_category,
        "details": error.details or step.error_details,
        "failing_step_id": error.failing_step_id or step.node_id,
    }
    return run.model_copy(update={"error": error.model_copy(update=known)})


async def _of_named_nodes(session: Session, run: WorkflowRun, nodes: tuple[str, ...]) -> WorkflowRun:
    if all(node in run.final_outputs for node in nodes):
        return run.with_outputs({node: run.final_outputs[node] for node in nodes})
    steps = await list_steps(session, run.id)
    if run.status is RunStatus.COMPLETED:
        _check_ended(run, steps, nodes)
    known = sorted({step.node_id for step in steps} | set(run.final_outputs))
    missing = [node for node in nodes if node not in known]
    if missing and run.status is RunStatus.COMPLETED:
        if _may_lag(session, run) and not nodes_of(await _edges(session, run) or ()).isdisjoint(missing):
            raise _lagging(run)
        raise errors.InvalidInputError(
            f"run {run.id} has no node {', '.join(missing)}; output_nodes may name {', '.join(known) or 'nothing yet'}",
            run_id=run.id,
        )
    found = {**run.final_outputs, **outputs_from_steps(steps, nodes)}
    return run.with_outputs({node: found[node] for node in nodes if node in found})


async def _edges(session: Session, run: WorkflowRun) -> list[Mapping[str, Any]] | None:
    """Read the graph's edges; None where the key or the server does not give them, and the steps have to do."""
    workflow_id = run.workflow_id or ""
    if not is_id(workflow_id):
        return None
    calls = classic.list_edges if await session.family() == "classic" else current.list_edges
    try:
        return await everything(session, lambda after: calls(workflow_id, after))
    except (errors.PermissionDeniedError, errors.NotFoundError):
        return None
