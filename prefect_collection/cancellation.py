"""Cancelling the runs that a flow run has started at Retab, when the flow run itself is cancelled."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect import Flow
from prefect import flow as as_flow
from prefect.automations import Automation, EventTrigger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.events.actions import RunDeployment
from prefect.exceptions import ObjectNotFound

from prefect_collection._cancels import OUTAGE, PAUSES, Problem, cancel_runs, cancel_test_runs
from prefect_collection._create_once.announcements import read_announced
from prefect_collection._create_once.creates import Creates, read_creates
from prefect_collection._identity import is_stopped
from prefect_collection._labels import read_shared
from prefect_collection._state import CLOCKS_DIFFER, Started, runs_in
from prefect_collection._tags import Note, noted, short_id
from prefect_collection._waiting import run_logger
from prefect_collection.credentials import Credentials, aload_credentials, aopen_client, namespace_of
from retab_orchestration import (
    AsyncRetabClient,
    InvalidInputError,
    RetabError,
    RunIdentity,
)

__all__ = ["cancel_retab_runs", "cancel_runs_of_flow_run", "cancellation_automation"]

# How long a create is taken to be in flight whose run nothing but its answer can tell.
_ANSWERED = timedelta(seconds=10)
# Seconds between two questions whether a process is still creating, and after which its create is taken for lost.
_BETWEEN_QUESTIONS, _LONGEST_CREATE = 0.5, 45.0


async def cancel_retab_runs(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """Cancel every run at Retab that a flow run has started and that has not ended: a hook for your own flows.

    `@flow(on_cancellation=[cancel_retab_runs], on_failure=[cancel_retab_runs])`. Of failed flow runs it cancels only
    the runs of those that took longer than their flow's `timeout_seconds`.

    Args:
        flow: The flow.
        flow_run: Its run; its labels are read again, because the hook may run in another process.
        state: The state of the flow run.

    Raises:
        RetabError: A run could not be cancelled; all others were.
    """
    if not state.is_failed() or is_stopped(state):
        await _cancel_runs_of(flow_run.id, None)


@as_flow(name="retab-cancel-runs")
async def cancel_runs_of_flow_run(flow_run_id: UUID, credentials: Credentials = None) -> list[str]:
    """Cancel every run at Retab that a flow run has started and that has not ended.

    Deploy it for `cancellation_automation`: a flow run that is cancelled while it is suspended runs no hook.

    Args:
        flow_run_id: The flow run that was cancelled.
        credentials: The account for runs that were started with the environment's, or with a block that is not saved.

    Returns:
        The ids of the runs that were cancelled.

    Raises:
        RetabError: A run could not be cancelled; all others were.
    """
    return await _cancel_runs_of(flow_run_id, credentials)


def cancellation_automation(
    *,
    deployments: Sequence[UUID | str],
    cleanup: UUID | str,
    name: str = "Cancel Retab runs of cancelled flow runs",
) -> Automation:
    """Return an automation that cancels the runs of cancelled flow runs at Retab; `create()` creates it.

    Args:
        deployments: The ids of the deployments of these flow runs.
        cleanup: The id of a deployment of `cancel_runs_of_flow_run`.
        name: The name of the automation.

    Raises:
        InvalidInputError: No deployment was given, which would mean all of them, or one is not an id.
    """
    if isinstance(deployments, str | UUID) or not deployments:
        raise InvalidInputError("deployments must be a list with the id of at least one deployment")
    watched = [f"prefect.deployment.{_id('deployments', deployment)}" for deployment in deployments]
    return Automation(
        name=name,
        description="A flow run that is cancelled while it is suspended runs no hook that could do it.",
        trigger=EventTrigger(
            expect={"prefect.flow-run.Cancelled"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={
                "prefect.resource.role": "deployment",
                "prefect.resource.id": watched,
            },
            posture="Reactive",
            threshold=1,
        ),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=_id("cleanup", cleanup),
                parameters={"flow_run_id": {"__prefect_kind": "jinja", "template": "{{ flow_run.id }}"}},
            )
        ],
    )


def _id(name: str, given: UUID | str) -> UUID:
    try:
        return UUID(str(given))
    except ValueError:
        raise InvalidInputError(
            f"{name}: {str(given)[:60]!r} is no id of a deployment; take what its apply() returns"
        ) from None


async def _cancel_runs_of(flow_run_id: UUID, fallback: Credentials) -> list[str]:
    cancelled: dict[str, None] = {}  # in order, and each once
    passed = 0.0
    for pause in (*PAUSES, None):
        problems = await _cancel_recorded(flow_run_id, fallback, cancelled)
        if pause is None or all(problem.may_pass_for <= passed for problem in problems):
            break
        run_logger().warning("Not everything could be cancelled yet; asking again in %g s", pause)
        await asyncio.sleep(pause)  # noqa: TID251  nothing is being waited for meanwhile
        passed += pause
    if problems:
        raise RetabError(
            f"not everything that flow run {flow_run_id} has started could be cancelled: "
            + "; ".join(problem.text for problem in problems)
        )
    return list(cancelled)


async def _cancel_recorded(
    flow_run_id: UUID, fallback: Credentials, cancelled: dict[str, None]
) -> "list[Problem]":
    """Cancel the runs in a flow run's records, also those recorded meanwhile; return what could not be cancelled."""
    problems: list[Problem] = []
    done: dict[str | None, Started] | None = None
    while True:
        try:
            async with get_client() as prefect:
                flow_run = await prefect.read_flow_run(flow_run_id)
            announced = await asyncio.to_thread(read_announced, flow_run_id)
            recorded = runs_in(flow_run.labels | await asyncio.to_thread(read_shared, flow_run_id), announced)
        except ObjectNotFound:
            raise
        except Exception as error:  # noqa: BLE001  whatever Prefect's client raises in an outage of its server
            return [*problems, Problem(f"its records cannot be read ({type(error).__name__})", OUTAGE)]
        if recorded == done:
            return problems
        problems, done = [], recorded
        for account, started in recorded.items():
            cancelled |= dict.fromkeys(await _cancel_started(flow_run, account, fallback, started, problems))


async def _cancel_started(
    flow_run: FlowRun, name: str | None, fallback: Credentials, started: Started, problems: list[Problem]
) -> list[str]:
    """Cancel the runs that a flow run has started with one account, also those of creates that were cut off."""
    requested, recorded = list[str](), set(started.run_ids)
    try:
        creates = {family: await _creates_of(family[1]) for family in started.families}
        recorded.update(*(_reported(flow_run, name, each) for each in creates.values()))
        block = await aload_credentials(name or fallback)
        async with await aopen_client(block) as client:
            # The recorded ones first: they can be cancelled also where the list is out of order.
            requested += await cancel_runs(client, recorded, problems)
            requested += await cancel_test_runs(client, started.test_run_ids, problems)
            async for found in _searched(client, namespace_of(block), flow_run, started, creates):
                requested += await cancel_runs(client, found - recorded - {*requested}, problems)
            if started.begun and not await client.can_find_runs():
                problems += [_unknown(begun.at) for begun in started.begun]
    except RetabError as error:
        what = "what else it has started" if requested else ", ".join(sorted(recorded)) or "its runs"
        problems.append(Problem.of(what, error))
    return requested


async def _searched(
    client: AsyncRetabClient,
    namespace: str,
    flow_run: FlowRun,
    started: Started,
    creates: Mapping[tuple[str, UUID], Creates],
) -> AsyncIterator[set[str]]:
    """Yield the runs that have the tags of a flow run, and those of its creates that were cut off."""
    names, since = (namespace, "prefect"), flow_run.created - CLOCKS_DIFFER if flow_run.created else None
    # The tags of a child flow run name the outermost flow run, of whose runs it may cancel only its own.
    yield await _tagged(client, RunIdentity.of(*names, str(flow_run.id), since=since), any_generation=True)
    for (owner, _), each in creates.items():
        family = RunIdentity.of(*names, owner, on_mismatch="create", since=since, begun=each.cut_off)
        yield noted(flow_run.id, await client.find_runs(family, any_generation=True))
    for begun in started.begun:
        one = RunIdentity.of(*names, begun.owner, generation=begun.content, since=since, begun=begun.at)
        yield await _tagged(client, one)


async def _creates_of(flow_run_id: UUID) -> Creates:
    """Return what the processes of a flow run have reported of their creates, once none is on its way any more."""
    longest = time.monotonic() + _LONGEST_CREATE
    while True:
        try:
            creates = await asyncio.to_thread(read_creates, flow_run_id)
        except Exception as error:
            raise RetabError(f"the claims of the flow run cannot be read ({type(error).__name__})") from error
        if not creates.is_held:
            return creates
        if time.monotonic() > longest:
            return replace(creates, cut_off=datetime.now(UTC))
        await asyncio.sleep(_BETWEEN_QUESTIONS)  # noqa: TID251  nothing is being waited for at Retab


def _reported(flow_run: FlowRun, account: str | None, creates: Creates) -> set[str]:
    """Return the runs that a flow run has started with an account, as its processes have reported, listed or not."""
    own, found = short_id(flow_run.id), set()
    for run in creates.runs.values():
        note = Note.read(run.get("note"))
        if note is not None and own in note.flow_runs and run.get("account") == (account or ""):
            found.add(str(run.get("id")))
    return found


async def _tagged(
    client: AsyncRetabClient, identity: RunIdentity, *, any_generation: bool = False
) -> set[str]:
    """Return the runs of an identity that have not ended."""
    found = await client.find_runs(identity, any_generation=any_generation)
    return {run.id for run in found if not run.is_terminal}


def _unknown(begun: datetime) -> Problem:
    is_answered = datetime.now(UTC) - begun >= _ANSWERED
    return Problem(
        f"a create was cut off at {begun.isoformat(timespec='seconds')}, and this server has nothing to find its run "
        f"by: look for it with list_runs(from_date='{begun.date()}'), and cancel it",
        0.0 if is_answered else OUTAGE,
    )
