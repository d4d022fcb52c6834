"""Waiting for many runs at once: everyone who waits on one connection in one event loop shares the looks."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from retab_orchestration._core import runs
from retab_orchestration._core.session import Session
from retab_orchestration._core.waiting import Patience
from retab_orchestration._http import SharedRuntime
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
        InvalidInputError: `on_change` is a coroutine function, which nobody would await.
    """
    runtime = session.runtime.apart()
    wait = None if runtime is None else partial(_wait_together, session, runtime)
    return await runs.wait_for_run(
        session, run_id, patience, outputs=outputs, nodes=nodes, on_change=on_change, wait=wait
    )


async def _wait_together(
    session: Session,
    runtime: SharedRuntime,
    run_id: str,
    patience: Patience,
    on_change: Callable[[WorkflowRun], Any] | None,
) -> WorkflowRun:
    """Wait on the account's watcher; the first to come brings its runtime, the last to go closes it."""
    watchers = _watchers.setdefault(asyncio.get_running_loop(), {})
    watcher = watchers.get(session.settings)
    if watcher is None:
        watcher = watchers[session.settings] = RunWatcher(session.over(runtime), runtime)
    try:
        return await watcher.wait(run_id, patience, on_change)
    finally:
        if watcher.is_idle and watchers.get(session.settings) is watcher:
            del watchers[session.settings]  # whoever comes from now on brings another
            # To the end, even if whoever waits is cancelled once more meanwhile.
            await asyncio.shield(watcher.aclose())
