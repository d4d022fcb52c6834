"""Wait for a run, or for a test run: poll it by itself, or share the polls of all waits in this event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from retab_orchestration import errors
from retab_orchestration._arguments import checked_flag
from retab_orchestration._endpoints import shared
from retab_orchestration._http import Runtime
from retab_orchestration._operations.outputs import with_details
from retab_orchestration._operations.test_runs import poll_test_run
from retab_orchestration._operations.usage import with_usage
from retab_orchestration._polling.resuming import check_resuming
from retab_orchestration._polling.shared_wait import SharedWait
from retab_orchestration._polling.wait import Wait, WaitOptions, trouble_of
from retab_orchestration._polling.watcher import RunWatcher
from retab_orchestration._transport.session import Session
from retab_orchestration.models import WorkflowRun, WorkflowTestRun
from retab_orchestration.settings import Settings

__all__ = ["wait_for_run", "wait_for_test_run"]

R = TypeVar("R", WorkflowRun, WorkflowTestRun)

# Seconds in which what a run has cost is read, or left out.
_USAGE = 30.0
# Seconds for which reading the outputs of a run may fail at least, even at the deadline of its wait.
_LEAST_FOR_OUTPUTS = 60.0

# Seconds between two calls of `on_tick`.
_TICK = 1.0

_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, RunWatcher]] = WeakKeyDictionary()


async def wait_for_run(
    session: Session,
    run_id: str,
    options: WaitOptions,
    *,
    outputs: bool,
    nodes: tuple[str, ...] | None,
    usage: bool = False,
) -> WorkflowRun:
    """Wait until a run has settled; on asyncio with shared polls.

    Raises:
        InvalidInputError: `outputs` is no boolean.
    """
    checked_flag("outputs", outputs)
    checked_flag("usage", usage)
    began = session.runtime.now()
    watcher = _join(session)
    if watcher is None:
        run = await _poll_until_settled(Wait(run_id, options, began), session, _poll_run(session, run_id))
    else:
        # Many waits are open at once, so there is no more than one coroutine between the caller and the future.
        try:
            wait = watcher.begin(run_id, options)
            try:
                run = await (wait.settled if options.on_tick is None else _settled(wait, options.on_tick))
            finally:
                watcher.end(wait)
        finally:
            await _leave(session, watcher)
    run = await _with_outputs(session, run, nodes, options, began) if outputs else run
    return await with_usage(session.within(_USAGE), run) if usage else run


async def wait_for_test_run(session: Session, test_run_id: str, options: WaitOptions) -> WorkflowTestRun:
    """Wait until a test run has ended."""

    async def poll(seconds: float | None) -> WorkflowTestRun:
        return await poll_test_run(session, test_run_id, seconds)

    return await _poll_until_settled(Wait(test_run_id, options, session.runtime.now()), session, poll)


def _join(session: Session) -> RunWatcher | None:
    """Return the account's watcher in this event loop; None where calls block."""
    runtime = session.runtime.hold_connections()
    if runtime is None:
        return None
    watchers = _watchers.setdefault(asyncio.get_running_loop(), {})
    if session.settings not in watchers:
        watchers[session.settings] = RunWatcher(session.over(runtime), runtime)
    return watchers[session.settings]


async def _leave(session: Session, watcher: RunWatcher) -> None:
    """Close the watcher if it has no wait any more."""
    watchers = _watchers[asyncio.get_running_loop()]
    if watcher.is_idle and watchers.get(session.settings) is watcher:
        del watchers[session.settings]  # a new wait gets a new watcher
        # Closed completely, even if the caller is cancelled once more meanwhile.
        await asyncio.shield(watcher.aclose())


async def _poll_until_settled(
    wait: Wait[R], session: Session, poll: Callable[[float | None], Awaitable[R]]
) -> R:
    """Poll one run whenever a poll is due, until its wait is over.

    Raises:
        WaitTimeoutError: The deadline passed.
        ReviewNotResumedError: Its reviews are decided, and the run does not go on.
        ApiError: A poll was refused, or polls have failed for too long; the last failure.
    """
    runtime = session.runtime
    while True:
        await _sleep_until_due(wait, runtime)
        try:
            run = await poll(wait.seconds_left(runtime.now()))
        except errors.ApiError as error:
            wait.failed(error, runtime.now(), runtime.chance())
            continue
        if wait.saw(run, runtime.now(), runtime.chance()):
            return run
        if isinstance(run, WorkflowRun) and (resuming := wait.resuming()) is not None:
            await check_resuming(session, run, resuming, wait.seconds_left(runtime.now()))


async def _sleep_until_due(wait: Wait[R], runtime: Runtime) -> None:
    """Sleep until the next poll is due, calling `on_tick` every second."""
    on_tick = wait.options.on_tick
    while on_tick is not None:
        on_tick()
        if wait.due - runtime.now() <= _TICK:
            break
        await runtime.sleep(_TICK)
    await runtime.sleep(max(0.0, wait.due - runtime.now()))


async def _settled(wait: SharedWait, on_tick: Callable[[], Any]) -> WorkflowRun:
    """Await a shared wait, calling `on_tick` every second; what it raises is the error of the wait."""
    timer: asyncio.TimerHandle | None = None

    def tick() -> None:
        nonlocal timer
        try:
            on_tick()
        except BaseException as error:  # noqa: BLE001  whatever a host stops its tasks with
            wait.fail(error)
        else:
            timer = asyncio.get_running_loop().call_later(_TICK, tick)

    tick()
    try:
        return await wait.settled
    finally:
        if timer is not None:
            timer.cancel()


def _poll_run(session: Session, run_id: str) -> Callable[[float | None], Awaitable[WorkflowRun]]:
    async def poll(seconds: float | None) -> WorkflowRun:
        return shared.checked_run(
            await session.exchange_once(shared.get_run(run_id), seconds=seconds), run_id
        )

    return poll


async def _with_outputs(
    session: Session, run: WorkflowRun, nodes: tuple[str, ...] | None, options: WaitOptions, began: float
) -> WorkflowRun:
    """Return a settled run with its outputs, or why it failed, trying again during an outage.

    Args:
        session: The account.
        run: The settled run.
        nodes: The nodes whose outputs are wanted, None for the end of the workflow.
        options: Those of the wait. An outage may last as long as in the wait, to its deadline, but at least a minute.
        began: When that wait began.

    Raises:
        OutputsUnavailableError: They could not be read in that time.
        ApiError: They were refused.
    """
    now = session.runtime.now()
    budget = options.poll.error_budget
    if options.timeout is not None:
        budget = min(budget, max(options.timeout - (now - began), _LEAST_FOR_OUTPUTS))
    poll = replace(options.poll, first=0, error_budget=budget)
    wait: Wait[WorkflowRun] = Wait(run.id, replace(options, timeout=None, poll=poll, on_change=None), now)
    wait.status_name = (
        run.status_name
    )  # the run is known, so an answer that only gateways give does not end the wait

    async def read(_seconds: float | None) -> WorkflowRun:
        return await with_details(session.within(budget), run, nodes)

    try:
        return await _poll_until_settled(wait, session, read)
    except errors.ApiError as error:
        if trouble_of(error, is_known=True) is None:
            raise
        raise errors.OutputsUnavailableError(
            f"run {run.id} is {run.status_name}, but its outputs could not be read: {error}. They are kept: wait for "
            "the run again, which reads them at once",
            run=run,
        ) from error
