"""What every task does alike with the run it waits for: defer, resume, leave XComs, end as the run did."""

import logging
import time
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    Context,
    TaskDeferred,
)

from airflow_provider._arguments import OnReview, check_nodes
from airflow_provider._core import core
from airflow_provider._waiting.deadlines import Wait
from airflow_provider._waiting.events import (
    OUT_OF_TIME,
    TIMEOUT,
    WAIT_FAILED,
    RunEvent,
    conclude,
    failing_well,
    is_settled,
    push_run,
    push_state,
)
from airflow_provider.hooks import RetabHook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from retab_orchestration import RetabClient, RetabError, WorkflowRun

log = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds between two tries to look at a run whose time is over, or to cancel it.
_BETWEEN_LOOKS = 5.0


class RunWaiter:
    """A task that ends when a run has settled; it is mixed into operators and the sensor."""

    retab_conn_id: str
    output_nodes: Any
    on_review: OnReview
    cancel_on_kill: bool = False
    run_url: str | None = None
    """Where to look at the run; empty before there is one, None where only the XCom knows."""
    _run_id: str | None = None

    @cached_property
    def hook(self) -> RetabHook:
        """The hook of `retab_conn_id`."""
        return RetabHook(self.retab_conn_id)

    @property
    def seconds_between_looks(self) -> float:
        """Seconds between two looks at the run, at most."""
        raise NotImplementedError

    def timed_out(self, client: "RetabClient", run: "WorkflowRun", status: str) -> Exception:
        """Return what the task fails with when its time is over.

        Args:
            client: The account.
            run: The run, which goes on.
            status: `TIMEOUT` or `OUT_OF_TIME`.
        """
        raise NotImplementedError

    def late_unseen(self, run_id: str) -> Exception | None:  # noqa: ARG002
        """Return what the task fails with when its time is over and the run cannot be seen; None looks on for it."""
        return None

    def execute_complete(  # noqa: PLR0917  Airflow gives all by name
        self,
        context: Context,
        event: dict[str, Any] | None = None,
        run_id: str | None = None,
        deadline: float | None = None,
        strict_deadline: float | None = None,
        reattached: bool = False,
        seconds_left: float | None = None,
        failing_since: float | None = None,
        seen_at: float | None = None,
    ) -> dict[str, Any]:
        """Fetch the run that the trigger waited for, and end the task as it did.

        Args:
            context: The task's.
            event: What the trigger fired.
            run_id: The run that the task deferred for; `airflow dags test` loses it, then the XCom tells.
            deadline: When the wait has to end, seconds since the epoch.
            strict_deadline: The same, for the time in which a human is asked as well.
            reattached: Whether an earlier attempt had started the run.
            seconds_left: What is left of the time while its clock stands still, because a human is asked.
            failing_since: Since when the run could not be read at a resume, seconds since the epoch.
            seen_at: When the run was last seen, seconds since the epoch.

        Raises:
            AirflowFailException: Another attempt would end as this one did.
        """
        wait = Wait(deadline, strict_deadline, reattached, seconds_left, failing_since, seen_at)
        with failing_well():
            self._run_id = run_id or own_run_id(context)
            outcome = RunEvent.read(event, run_id=self._run_id)
            with self.hook.get_conn() as client:
                run, wait = self._read(client, context, outcome, wait)
                return self._resume(client, context, run, outcome, wait)

    def _read(
        self, client: "RetabClient", context: Context, outcome: RunEvent, wait: Wait
    ) -> tuple["WorkflowRun", Wait]:
        """Return the run, and the wait with its clock as the trigger and this look saw it; or defer again."""
        wait = outcome.told_to(wait)
        try:
            run = client.get_run(outcome.run_id, output_nodes=self._nodes())
        except core.RetabError as error:
            raise self._unreadable(context, outcome, wait, error) from error
        if wait.failing_since is not None:
            log.warning("Run %s can be read again", run.id)
        now = time.time()
        if not run.is_terminal:
            wait = wait.saw(is_waiting=run.is_waiting, at=now, since=wait.seen_at)
        return run, replace(wait, failing_since=None, seen_at=now)

    def _unreadable(
        self, context: Context, outcome: RunEvent, wait: Wait, error: "RetabError"
    ) -> BaseException:
        """Return what follows where the run cannot be read at a resume: another deferral, or a failure."""
        # The trigger reads the connection anew, and knows for how long a run may not be there.
        is_news = (
            isinstance(error, core.AuthenticationError | core.NotFoundError) and outcome.status != WAIT_FAILED
        )
        again = wait.failed_to_resume(time.time()) if error.retryable or is_news else None
        if outcome.status == OUT_OF_TIME and (late := self.late_unseen(outcome.run_id)) is not None:
            return late
        if again is None:
            return self._wait_failed(outcome) if outcome.status == WAIT_FAILED else error
        if wait.failing_since is None:
            log.warning("Run %s cannot be read, deferring again: %s", outcome.run_id, error)
        if outcome.is_state:  # which may be that of the run for days
            push_state(context, outcome.status, outcome.nodes)
        deferred: BaseException = self._deferral(outcome.run_id, again, outcome.nodes)
        return deferred

    def _resume(
        self, client: "RetabClient", context: Context, run: "WorkflowRun", outcome: RunEvent, wait: Wait
    ) -> dict[str, Any]:
        if is_settled(run, self.on_review):
            return self._finish(context, run)
        self._push(context, run)
        if outcome.status == OUT_OF_TIME or (outcome.status == TIMEOUT and wait.seconds_left is None):
            raise self.timed_out(client, run, outcome.status)
        if outcome.status == WAIT_FAILED:
            raise self._wait_failed(outcome)
        # A review began or ended, so that the clock was stopped or goes on; or a human decided a moment ago.
        raise self._deferral(run.id, wait, run.waiting_for_node_ids)

    @staticmethod
    def _wait_failed(outcome: RunEvent) -> Exception:
        kind: type[Exception] = AirflowFailException if outcome.is_final else AirflowException
        return kind(f"The triggerer could not wait for run {outcome.run_id}: {outcome.message}")

    def _deferral(self, run_id: str, wait: Wait, nodes: "Sequence[str] | None" = None) -> TaskDeferred:
        from airflow_provider.triggers import SHORTEST_DEFERRAL, RetabRunTrigger

        return TaskDeferred(
            trigger=RetabRunTrigger(
                run_id,
                retab_conn_id=self.retab_conn_id,
                deadline=wait.deadline,
                strict_deadline=wait.strict_deadline,
                not_before=time.time() + SHORTEST_DEFERRAL,
                poll_interval=self.seconds_between_looks,
                on_review=self.on_review,
                watch=wait.watch(through_review=self.on_review == "wait"),
                cancel_on_kill=self.cancel_on_kill,
                nodes=nodes,
            ),
            method_name="execute_complete",
            kwargs={"run_id": run_id, **asdict(wait)},
            timeout=wait.backstop(SHORTEST_DEFERRAL, through_review=self.on_review == "wait"),
        )

    def _finish(self, context: Context, run: "WorkflowRun") -> dict[str, Any]:
        self._push(context, run)
        log.info("Run %s is %s", run.id, run.status_name)
        return conclude(run, self.on_review)

    def _push(self, context: Context, run: "WorkflowRun") -> None:
        self.run_url = self.hook.run_url(run.workflow_id, run.id)
        push_run(context, run, self.run_url)

    def _nodes(self) -> list[str] | None:
        return check_nodes(self.output_nodes)


def own_run_id(context: Context) -> str | None:
    """Return the run id that this task left as an XCom before it deferred."""
    ti = context["ti"]
    run_id: str | None = ti.xcom_pull(task_ids=ti.task_id, key="run_id", map_indexes=ti.map_index)
    return run_id


def patiently(act: "Callable[[], T]") -> "T":
    """Look at a run, or cancel it, trying for as long as looks may fail.

    Raises:
        RetabError: What failed last.
    """
    budget = core.policies.ErrorBudget(core.PollPolicy().error_budget)
    while True:
        try:
            return act()
        except core.RetabError as error:
            if not error.retryable or not budget.failed(core.policies.Trouble.OUTAGE, time.monotonic()):
                raise
            time.sleep(_BETWEEN_LOOKS)  # noqa: TID251  nothing is being waited for meanwhile


def through_key_changes(hook: RetabHook, act: "Callable[[RetabClient], T]") -> "T":
    """Do something that only reads, again with the connection read anew where its key is refused.

    Raises:
        AuthenticationError: The key is refused every time; the message names the connection.
    """
    refusals = core.policies.KeyRefusals()
    while True:
        try:
            with hook.get_conn() as client:
                return act(client)
        except core.AuthenticationError as error:
            pause = refusals.pause_after(time.monotonic(), is_changed=hook.has_another_key())
            if pause is None:
                raise hook.refused(error) from error
            time.sleep(pause)  # noqa: TID251  nothing is being waited for meanwhile
