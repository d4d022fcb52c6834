"""WorkerWaiter: waiting for a run on the worker, to its end or for as long as a task may before it defers."""

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Context

from airflow_provider._cancelling.on_kill import RunStopper
from airflow_provider._core import core
from airflow_provider._waiting.deadlines import Sight, Wait
from airflow_provider._waiting.events import is_settled, log_outage, poll_policy
from airflow_provider._waiting.resume import log, through_key_changes

if TYPE_CHECKING:
    from retab_orchestration import ApiError, RetabClient, WorkflowRun


class WorkerWaiter(RunStopper):
    """A task that can wait for its run on the worker; it is mixed into operators."""

    deferrable: bool
    defer_after: float
    poll_interval: float

    def _wait_here(
        self, client: "RetabClient", context: Context, run: "WorkflowRun", wait: Wait
    ) -> tuple["WorkflowRun", Wait]:
        """Wait on the worker for as long as asked to; return the run, and the wait with its clock as it is then."""
        if is_settled(run, self.on_review):
            return client.get_run(run.id, output_nodes=self._nodes()), wait
        if self.deferrable and not self.defer_after:
            return run, wait
        here_until = time.time() + self.defer_after if self.deferrable else None
        here = _Here(run, wait, partial(self._push, context))
        while True:
            try:
                return through_key_changes(self.hook, partial(self._look, here, here_until)), here.wait
            except core.WaitTimeoutError as error:
                last: WorkflowRun = error.run if isinstance(error.run, core.WorkflowRun) else run
                if here_until is not None and (here.wait.deadline is None or here.wait.deadline > here_until):
                    return last, here.wait
                last = self._late(context, last, error)
            if not last.is_waiting or is_settled(last, self.on_review):
                return last, here.wait
            # A human was asked while nobody could look, and so perhaps before the time was over.
            here.changed(last)
            if here_until is not None:
                return last, here.wait

    def _look(self, here: "_Here", here_until: float | None, client: "RetabClient") -> "WorkflowRun":
        return client.wait_for_run(
            here.run_id,
            timeout=here.wait.left(time.time(), here_until),
            poll=poll_policy(self.poll_interval),
            # A review may take days, which is nothing for a worker to wait for.
            on_review="wait" if self.on_review == "wait" and not self.deferrable else "return",
            output_nodes=self._nodes(),
            on_change=here.changed,
            on_outage=here.lost_or_found,
        )


class _Here:
    """A wait on the worker, and what was seen in it.

    Args:
        run: The run, as it was seen a moment ago.
        wait: The wait when this begins.
        push: Leaves the run's state as XComs.
    """

    def __init__(self, run: "WorkflowRun", wait: Wait, push: Callable[["WorkflowRun"], None]) -> None:
        self.run_id = run.id
        self.wait = wait
        self._push = push
        self._sight = Sight()
        self._sight.changed(time.time())

    def changed(self, run: "WorkflowRun") -> None:
        """Take note of a run that has another state; the wait must not fail where Airflow does not."""
        now = time.time()
        self._sight.changed(now)
        if not run.is_terminal:
            self.wait = self.wait.saw(is_waiting=run.is_waiting, at=now, since=self._sight.news_since)
        log.info("Run %s is %s", run.id, run.status_name)
        try:
            self._push(run)
        except Exception:  # noqa: BLE001
            log.warning("Airflow did not take the state of run %s", run.id, exc_info=True)

    def lost_or_found(self, error: "ApiError | None") -> None:
        """Take note of an outage that begins or ends."""
        self._sight.told(is_lost=error is not None, now=time.time())
        log_outage(self.run_id, log, error)
