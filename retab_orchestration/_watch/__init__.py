"""Waiting for many runs at once: everyone who waits on one connection in one event loop shares the looks."""

import asyncio
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from retab_orchestration._core import runs
from retab_orchestration._core.session import Session
from retab_orchestration._core.waiting import Patience
from retab_orchestration._inputs import checked_flag
from retab_orchestration._watch.watcher import RunWatcher
from retab_orchestration.models import WorkflowRun
from retab_orchestration.settings import Settings

__all__ = ["RunWatcher", "wait_for_run"]

_watchers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Settings, RunWatcher]] = WeakKeyDictionary()


async def wait_for_run(
    session: Session,
    run_id: str,
    patience: Patience,
    *,
    outputs: bool,
    nodes: tuple[str, ...] | None,
    on_change: Callable[[WorkflowRun], Any] | None,
) -> WorkflowRun:
    """Wait with everyone else who waits, or alone where nothing goes on side by side.

    Raises:
        InvalidInputError: `on_change` is a coroutine function, which nobody would await; or `outputs` is no boolean.
    """
    checked_flag("outputs", outputs)
    watcher = _join(session)
    if watcher is None:
        return await runs.wait_for_run(
            session, run_id, patience, outputs=outputs, nodes=nodes, on_change=on_change
        )
    try:
        waiter = watcher.begin(run_id, patience, runs.checked_on_change(on_change))
        try:
            run = await waiter.settled
        finally:
            watcher.end(waiter)
    finally:
        await _leave(session, watcher)
    return (
        await runs.details_of_settled(session, run, nodes, patience, waiter.wait.schedule.started)
        if outputs
        else run
    )


def _join(session: Session) -> RunWatcher | None:
    """Return the account's watcher in this loop; the first to come brings it a runtime of its own."""
    try:
        watchers = _watchers.setdefault(asyncio.get_running_loop(), {})
    except RuntimeError:
        return None
    if session.settings not in watchers:
        runtime = session.runtime.apart()
        if runtime is None:
            return None
        watchers[session.settings] = RunWatcher(session.over(runtime), runtime)
    return watchers[session.settings]


async def _leave(session: Session, watcher: RunWatcher) -> None:
    """Close the watcher if nobody waits any more."""
    watchers = _watchers[asyncio.get_running_loop()]
    if watcher.is_idle and watchers.get(session.settings) is watcher:
        del watchers[session.settings]  # whoever comes from now on brings another
        # To the end, even if whoever waits is cancelled once more meanwhile.
        await asyncio.shield(watcher.aclose())
