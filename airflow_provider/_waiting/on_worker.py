"""Waiting for a run on the worker, to its end or for as long as a task may before it defers."""

import time
from functools import partial
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Context

from airflow_provider._cancelling.on_kill import RunStopper
from airflow_provider._connection import through_key_changes
from airflow_provider._core import core
from airflow_provider._waiting.deadlines import Visibility, Wait
from airflow_provider._waiting.events import is_settled, log_outage, poll_policy
from airflow_provider._waiting.resume import RunWait, log

if TYPE_CHECKING:
    from retab_orchestration import ApiError, RetabClient, WorkflowRun


def wait_on_worker(
    client: "RetabClient",
    waiting: RunWait,
    stopper: RunStopper,
    run: "WorkflowRun",
    wait: Wait,
    *,
    context: Context,
    seconds: float | None,
) -> tuple["WorkflowRun", Wait]:
    """Wait on the worker, if at all; return the run, and the wait with its clock as it is then.

    Args:
        client: The account.
        waiting: What to ask for.
        stopper: Ends a run whose time is over.
        run: The run, as it was seen a moment ago.
        wait: The wait when this begins.
        context: The task's.
        seconds: After how many to defer; None waits for the end here.

    Raises:
        WaitTimeoutError: The time is over; the message says what became of the run.
    """
    if is_settled(run, waiting.on_review):
        return client.get_run(run.id, output_nodes=waiting.nodes), wait
    if seconds == 0:
        return run, wait
    until = None if seconds is None else time.time() + seconds
    here = _Here(run, wait, waiting, context)
    while True:
        try:
            return through_key_changes(waiting.hook, partial(_wait, waiting, here, until)), here.wait
        except core.WaitTimeoutError as error:
            last: WorkflowRun = error.run if isinstance(error.run, core.WorkflowRun) else run
            if until is not None and (here.wait.deadline is None or here.wait.deadline > until):
                return last, here.wait
            last = stopper.end_if_late(context, last, error)
        if not last.is_waiting or is_settled(last, waiting.on_review):
            return last, here.wait
        # A human was asked while nobody could poll, and so perhaps before the time was over.
        here.changed(last)
        if until is not None:
            return last, here.wait


def _wait(waiting: RunWait, here: "_Here", until: float | None, client: "RetabClient") -> "WorkflowRun":
    return client.wait_for_run(
        here.run_id,
        timeout=here.wait.left(time.time(), until),
        poll=poll_policy(waiting.poll_interval),
        # A review may take days, which is nothing for a worker to wait for.
        on_review="wait" if waiting.on_review == "wait" and until is None else "return",
        output_nodes=waiting.nodes,
        on_change=here.changed,
        on_outage=here.lost_or_found,
    )


class _Here:
    """A wait on the worker, and what was seen in it.

    Args:
        run: The run, as it was seen a moment ago.
        wait: The wait when this begins.
        waiting: What leaves the run's state as XComs, and in the log.
        context: The task's.
    """

    def __init__(self, run: "WorkflowRun", wait: Wait, waiting: RunWait, context: Context) -> None:
        self.run_id = run.id
        self.wait = wait
        self._waiting, self._context = waiting, context
        self._visibility = Visibility()
        self._visibility.changed(time.time())

    def changed(self, run: "WorkflowRun") -> None:
        """Take note of a run that has another state; the wait must not fail where Airflow does not."""
        now = time.time()
        self._visibility.changed(now)
        if not run.is_terminal:
            self.wait = self.wait.saw(is_waiting=run.is_waiting, at=now, since=self._visibility.news_since)
        self._waiting.log_state(run)
        try:
            self._waiting.push(self._context, run)
        except Exception:  # noqa: BLE001
            log.warning("Airflow did not take the state of run %s", run.id, exc_info=True)

    def lost_or_found(self, error: "ApiError | None") -> None:
        """Take note of an outage that begins or ends."""
        self._visibility.outage_changed(is_lost=error is not None, now=time.time())
        log_outage(self.run_id, log, error)
