"""Cancelling the run of a task that was stopped: from its worker, which has a few seconds, or from the triggerer."""

import asyncio
import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import XCom
from airflow.triggers.base import BaseTrigger

from airflow_provider._core import core, import_core
from airflow_provider._create_once.earlier_attempts import existing, what_became_of
from airflow_provider.hooks import RetabHook

if TYPE_CHECKING:
    from collections.abc import Callable

    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun

TRIGGERS_ARE_KILLED = hasattr(BaseTrigger, "on_kill")
"""Whether this Airflow tells a trigger that its task was stopped: from 3.3 on."""

# Seconds for cancelling from a worker whose process ends: Airflow kills it 5 s after it has asked it to end.
_TIME_LIMIT = 4.0
# Seconds for the same where the process goes on.
_LONG_TIME_LIMIT = 60.0
# Seconds between two requests to cancel a run, after an error that may pass.
_PAUSE = 0.5
_LONG_PAUSE = 5.0
# How often Airflow is asked for a task's state and a connection, `_LONG_PAUSE` apart: for about a minute.
_ASKED = 12

# A task in one of these states does not wait any more. In any other state its run is still needed: by another
# triggerer, to which the trigger moved (deferred), or by an attempt after a clear (none, scheduled, queued, running).
_STOPPED = frozenset({"failed", "success", "skipped", "removed", "upstream_failed"})

_ENDED = frozenset({"failed", "success", "skipped"})  # which a task reaches without being stopped as well

_NAMES = ("dag_id", "run_id", "task_id", "map_index")

# An event loop only keeps weak references to its tasks.
_cancelling: set["asyncio.Task[None]"] = set()

_log = logging.getLogger(__name__)


def cancel_in_time(
    hook: RetabHook, run_id: str, *, spare_review: bool = False, is_killed: bool = True
) -> None:
    """Cancel a run from the worker of a task that ends, within its few seconds; never raise.

    Args:
        hook: The account, which the worker has used before, so that its connection is already read.
        run_id: The run.
        spare_review: Whether a run goes on that waits for a human.
        is_killed: Whether Airflow ends the process in a moment; a task that only took too long has more time.
    """

    def cancel(client: "RetabClient") -> None:
        cancel_unless_reviewed(client, run_id, spare_review=spare_review)

    _in_time(hook, f"Run {run_id}", cancel, is_killed=is_killed)


def cancel_unheard_of(
    hook: RetabHook,
    identity: "RunIdentity",
    run_id: str | None,
    *,
    is_cleared: bool = False,
    spare_review: bool,
    is_killed: bool,
) -> None:
    """Cancel, as `cancel_in_time` does, the runs of a task that ends while it creates one, or searches for its own.

    Args:
        hook: The account.
        identity: The identity of the run; with its `begun`, the search goes on until the list cannot lag any more.
        run_id: The run of an earlier attempt, where that is known.
        is_cleared: Whether there may be runs from before a clear, which the attempt was about to cancel or to adopt.
        spare_review: Whether a run goes on that waits for a human.
        is_killed: Whether Airflow ends the process in a moment.
    """

    def cancel(client: "RetabClient") -> None:
        if is_cleared:
            family = replace(identity, since=None, begun=None)
            _cancel_living(client, client.find_runs(family, any_generation=True), spare_review=spare_review)
        runs = client.find_runs(identity)
        if run_id is not None and run_id not in {run.id for run in runs}:
            known = existing(client, run_id)
            runs += [known] if known else []
        _cancel_living(client, runs, spare_review=spare_review)
        has_ended_badly = [run.is_terminal and run.status.value != "completed" for run in runs]
        if all(has_ended_badly) and identity.begun is not None:
            _log.warning(
                "The task ended while it started a run. None is to be found, so if there is one it goes on: look in "
                "Retab for what was started since %s",
                identity.begun.isoformat(timespec="seconds"),
            )

    _in_time(hook, "A run of this task", cancel, is_killed=is_killed)


def _in_time(hook: RetabHook, name: str, cancel: "Callable[[RetabClient], None]", *, is_killed: bool) -> None:
    """Run `cancel` in a thread, within the time that the task has.

    In a thread, because a signal may have interrupted the client in the middle of a request, whose lock is held.
    """
    seconds = _TIME_LIMIT if is_killed else _LONG_TIME_LIMIT
    until = time.monotonic() + seconds - _PAUSE
    # Three tries at most, half a second apart, where there are only seconds.
    retry = core.RetryPolicy(attempts=3, base=0.25, cap=0.5) if is_killed else core.RetryPolicy()

    def attempt() -> None:
        with hook.get_conn(timeout=_TIME_LIMIT, retry=retry) as client:
            cancel(client)

    def work() -> None:
        try:
            _attempt_until(until, hook, attempt)
        except Exception as error:  # noqa: BLE001  the task ends anyway, and this is all it can say
            _log.warning("%s may go on, cancelling it failed: %s", name, _redacted(error))

    thread = threading.Thread(target=work, daemon=True, name=f"cancel: {name}")
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        _log.warning("%s may go on: Retab did not say in time that it is cancelled", name)


def _attempt_until(until: float, hook: RetabHook, attempt: "Callable[[], None]") -> None:
    """Call `attempt` until it succeeds, raises a permanent error, or fails after a moment of `time.monotonic()`."""
    while True:
        try:
            return attempt()
        except core.RetabError as error:
            has_new_key = isinstance(error, core.AuthenticationError) and hook.has_another_key()
            if time.monotonic() > until or not (error.retryable or has_new_key):
                raise
        time.sleep(_PAUSE)  # noqa: TID251  in a thread of its own


def cancel_unless_reviewed(client: "RetabClient", run_id: str, *, spare_review: bool) -> str:
    """Cancel a run, unless it waits for a human and is spared; return what became of it."""
    if spare_review and client.get_run(run_id, outputs=False).is_waiting:
        _log.info("Run %s waits for a human, and goes on", run_id)
        return "it goes on, for it waits for a human"
    _log.info("Run %s: cancelling it", run_id)
    return what_became_of(client.cancel_run(run_id))


def _cancel_living(client: "RetabClient", runs: "list[WorkflowRun]", *, spare_review: bool) -> None:
    for run in runs:
        if not run.is_terminal:
            cancel_unless_reviewed(client, run.id, spare_review=spare_review)


async def cancel_if_stopped(
    task_instance: Any, retab_conn_id: str, run_id: str, *, spare_review: bool = False
) -> None:
    """Cancel a trigger's run if its task was stopped, even if the caller is cancelled meanwhile.

    Airflow 3.3 cancels a trigger that is being killed about every second; the request goes on.

    Args:
        task_instance: The trigger's.
        retab_conn_id: The account.
        run_id: The run.
        spare_review: Whether a run that waits for a human goes on: a task that ends then without being stopped keeps
            its run, and a triggerer that was taken for dead may still have its trigger.
    """
    work = asyncio.ensure_future(_cancel_if_stopped(task_instance, retab_conn_id, run_id, spare_review))
    _cancelling.add(work)
    work.add_done_callback(_cancelling.discard)
    await asyncio.shield(work)


def is_inline() -> bool:
    """Return whether this is a trigger inside `dag.test()`, whose own task Ctrl-C cancels."""
    task: Any = asyncio.current_task()
    return getattr(task.get_coro(), "__name__", "") in {"_run_inline_trigger_main", "_run_trigger"}


async def cancel_interrupted(retab_conn_id: str, run_id: str) -> None:
    """Cancel the run of a trigger whose `dag.test()` is ended by Ctrl-C; never raise."""
    _log.info("Run %s: cancelling it, as its task was interrupted", run_id)
    try:
        async with asyncio.timeout(_TIME_LIMIT), await RetabHook(retab_conn_id).aget_conn() as client:
            await client.cancel_run(run_id)
    except Exception as error:  # noqa: BLE001  the process ends anyway
        _log.warning("Run %s may go on, cancelling it failed: %s", run_id, _redacted(error))


async def _cancel_if_stopped(task_instance: Any, retab_conn_id: str, run_id: str, spare_review: bool) -> None:
    try:
        await import_core()
        await _cancel_with_retries(task_instance, retab_conn_id, run_id, spare_review)
    except Exception as error:  # noqa: BLE001  nobody awaits this any more who could handle it
        _log.warning("Run %s may go on, cancelling it failed: %s", run_id, _redacted(error))


async def _cancel_with_retries(
    task_instance: Any, retab_conn_id: str, run_id: str, spare_review: bool
) -> None:
    """Cancel the run of a task that was stopped, trying for as long as polls may fail and the task stays stopped."""
    budget, unanswered = core.policies.ErrorBudget(core.PollPolicy().error_budget), 0
    while True:
        try:
            return await _cancel_unless_moved(task_instance, retab_conn_id, run_id, spare_review)
        except core.RetabError as error:
            if not error.retryable or not budget.failed(core.policies.Trouble.OUTAGE, time.monotonic()):
                raise
            _log.warning("Run %s is not cancelled yet, trying on: %s", run_id, error)
        except Exception as error:
            unanswered += 1
            if unanswered >= _ASKED:
                raise
            told = "Run %s is not cancelled yet: Airflow does not answer (%s), trying on"
            _log.log(logging.WARNING if unanswered == 1 else logging.DEBUG, told, run_id, _redacted(error))
        await asyncio.sleep(_LONG_PAUSE)  # noqa: TID251  nothing is being waited for meanwhile


async def _cancel_unless_moved(
    task_instance: Any, retab_conn_id: str, run_id: str, spare_review: bool
) -> None:
    state = await _state(task_instance)
    if state in _STOPPED:
        await _cancel_once(task_instance, retab_conn_id, run_id, state, spare_review)
    else:
        _log.info("Run %s goes on: its task is %s, not stopped", run_id, state)


async def _cancel_once(
    task_instance: Any, retab_conn_id: str, run_id: str, state: str, spare_review: bool
) -> None:
    async with await RetabHook(retab_conn_id).aget_conn() as client:
        if spare_review and state in _ENDED:
            is_waiting = (await client.get_run(run_id, outputs=False)).is_waiting
            if is_waiting or await _has_ended_at_review(task_instance):
                _log.info("Run %s was left to a human, and goes on; its task is %s", run_id, state)
                return
        run = await client.cancel_run(run_id)
    _log.info("Run %s: cancelling it, as its task is %s", run_id, state)
    what_became_of(run)


async def _has_ended_at_review(task_instance: Any) -> bool:
    """Return whether a task that does not wait through reviews has left its run at one, which may be decided by now.

    Its XCom says so: a task that is stopped while it is deferred has left another state.
    """
    from asgiref.sync import sync_to_async

    names = {name: getattr(task_instance, name) for name in _NAMES}
    try:
        left: Any = await sync_to_async(XCom.get_one)(key="status", **names)
    except Exception as error:  # noqa: BLE001  whatever Airflow raises
        _log.info("How the task ended is not known: Airflow does not answer (%s)", _redacted(error))
        return False
    return bool(left == "waiting_for_human")


def _redacted(error: Exception) -> str:
    # What Airflow or a secrets backend says may be the connection, with the key.
    return str(error) if isinstance(error, core.RetabError) else type(error).__name__


def _is_gone(task_instance: Any) -> bool:
    """Return whether Airflow 2 has no such task instance any more, as after its DAG run was deleted."""
    from airflow.models.taskinstance import TaskInstance  # noqa: TID251  Airflow 2 alone comes here
    from airflow.utils.session import create_session

    with create_session() as session:
        found = session.query(TaskInstance.task_id).filter_by(
            **{name: getattr(task_instance, name) for name in _NAMES}
        )
        return found.first() is None


async def _state(task_instance: Any) -> str | None:
    if hasattr(task_instance, "current_state"):  # Airflow 2.11's task instance reads the database
        state = await asyncio.to_thread(task_instance.current_state)
        if state is None and await asyncio.to_thread(_is_gone, task_instance):
            return "removed"
        return None if state is None else str(state)
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    from asgiref.sync import sync_to_async

    ti = task_instance
    is_mapped = ti.map_index is not None and ti.map_index >= 0
    found = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=ti.dag_id, task_ids=[ti.task_id], run_ids=[ti.run_id], map_index=ti.map_index
    )
    # A missing one was deleted, most often with its DAG run; one that was cleared exists, without a state.
    name = f"{ti.task_id}_{ti.map_index}" if is_mapped else ti.task_id
    state = found.get(ti.run_id, {}).get(name, "removed")
    return None if state is None else str(getattr(state, "value", state))
