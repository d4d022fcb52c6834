"""RunWait: what every task does alike with the run it waits for: defer, resume, leave XComs, end as the run did."""

import json
import logging
import time
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, Context, TaskDeferred

from airflow_provider._arguments import OnReview, check_nodes, check_text
from airflow_provider._core import core
from airflow_provider._waiting.deadlines import Wait
from airflow_provider._waiting.events import (
    OUT_OF_TIME,
    TIMEOUT,
    WAIT_FAILED,
    KeptWait,
    RunEvent,
    conclude,
    is_settled,
    log_deferral,
    log_review,
    push_run,
    push_state,
)
from airflow_provider.hooks import RetabHook

if TYPE_CHECKING:
    from collections.abc import Sequence

    from retab_orchestration import RetabClient, RetabError, WorkflowRun

log = logging.getLogger(__name__)


class Action(Enum):
    """What a resumed task does."""

    FINISH = "finish"
    """End as the run did, or as `on_review` says."""
    DEFER = "defer"
    """Wait on: a review began or ended, so that the clock was stopped or goes on; or a human decided a moment ago."""
    START_ANEW = "start_anew"
    """Start a run in place of one that was cancelled, late, on behalf of the attempt before this one."""
    TIMED_OUT = "timed_out"
    """The time is over, and the run goes on."""
    TIMED_OUT_UNSEEN = "timed_out_unseen"
    """The time is over, and the run cannot be read."""
    WAIT_FAILED = "wait_failed"
    """Fail as the trigger did."""
    RAISE = "raise"
    """Fail with the error of the poll."""


def action_after(
    status: str, *, is_settled: bool, is_cancelled: bool, reattached: bool, is_clock_stopped: bool
) -> Action:
    """Decide what a resumed task does after it has read its run.

    Args:
        status: That of the trigger's event.
        is_settled: Whether there is nothing to wait for any more.
        is_cancelled: Whether the run was cancelled.
        reattached: Whether an earlier attempt had started the run.
        is_clock_stopped: Whether the time does not run, because a human is asked.
    """
    if is_cancelled and reattached:
        return Action.START_ANEW
    if is_settled:
        return Action.FINISH
    if status == OUT_OF_TIME or (status == TIMEOUT and not is_clock_stopped):
        return Action.TIMED_OUT
    return Action.WAIT_FAILED if status == WAIT_FAILED else Action.DEFER


def action_after_failed_poll(status: str, *, may_go_on: bool, owns_run: bool) -> Action:
    """Decide what a resumed task does that cannot read its run.

    Args:
        status: That of the trigger's event.
        may_go_on: Whether another deferral may mend it, and resuming has not failed for too long.
        owns_run: Whether the task would cancel the run, which it has to read for that.
    """
    if status == OUT_OF_TIME and not owns_run:
        return Action.TIMED_OUT_UNSEEN
    if may_go_on:
        return Action.DEFER
    return Action.WAIT_FAILED if status == WAIT_FAILED else Action.RAISE


class Ending(Enum):
    """Why Airflow has ended a deferral itself, without an event of its trigger."""

    BACKSTOP = "backstop"
    """It was long, and no deadline of the task has passed: the run is polled once, and waited for again."""
    LATE = "late"
    """A deadline of the task has passed, and its trigger did not say so: the run is cancelled, if it is to be."""
    BROKEN = "broken"
    """The trigger failed, or nobody knows what it waited for: the task fails, and the run goes on for a retry."""


def ending_of(error: str, *, is_kept: bool, is_bounded: bool) -> Ending:
    """Return why Airflow has ended a deferral.

    Args:
        error: What Airflow says of it: `Trigger timeout`, `Trigger/execution timeout`, or something else.
        is_kept: Whether the task has what it left before that deferral.
        is_bounded: Whether a deadline of the task was the deferral's own.
    """
    if "timeout" not in error.lower():
        return Ending.BROKEN
    if is_bounded:
        return Ending.LATE
    return Ending.BACKSTOP if is_kept else Ending.BROKEN


@dataclass(frozen=True)
class Resumed:
    """Where a resumed task stands."""

    action: Action
    """Never `WAIT_FAILED` or `RAISE`, which `RunWait.resume` raises itself."""
    wait: Wait
    nodes: "Sequence[str]" = ()
    """Where a human is asked."""
    run: "WorkflowRun | None" = None
    """None where it could not be read: at `DEFER`, if that is why, and at `TIMED_OUT_UNSEEN`."""


class RunWait:
    """A task's wait for its run: what it asks for, what it leaves as XComs, how it defers and is resumed.

    Args:
        task: The task, for its `on_review`, `output_nodes` and `do_xcom_push`; for its `cancel_on_kill` and `backstop`
            if it owns the run; and for its `workflow_id` if it has one: the answer to a create may hold no more than an
            id and a state.
        hook: The account.
        poll_interval: Seconds between two polls, at most.
        owns_run: Whether the run ends with the task.
    """

    def __init__(self, task: Any, hook: RetabHook, *, poll_interval: float, owns_run: bool) -> None:
        self.hook = hook
        self.on_review: OnReview = task.on_review
        self.poll_interval = poll_interval
        self.run_url = ""
        """Where to see the run; empty until this process has seen it."""
        self._output_nodes = task.output_nodes
        self._is_pushed: bool = task.do_xcom_push
        self._owns_run = owns_run
        self._cancel_on_kill: bool = owns_run and task.cancel_on_kill
        self._backstop: float | None = task.backstop if owns_run else None
        self._workflow_id: str | None = getattr(task, "workflow_id", None)
        self._logged_review: tuple[str, ...] | None = None

    @property
    def nodes(self) -> list[str] | None:
        """The nodes whose outputs to fetch.

        Raises:
            InvalidInputError: The template has come out as something else.
        """
        return check_nodes(self._output_nodes)

    def check(self, wait: Wait) -> None:
        """Refuse what no deferral could be made of."""
        check_nodes(self._output_nodes)
        check_text(retab_conn_id=self.hook.retab_conn_id)
        _, kwargs = self._deferral("run", wait).trigger.serialize()
        json.dumps(kwargs)

    def push(self, context: Context, run: "WorkflowRun") -> None:
        """Leave the run's ids and state as XComs; without `do_xcom_push`, only what the link needs."""
        self.run_url = self.hook.run_url(run.workflow_id or self._workflow_id, run.id)
        push_run(context, run, self.run_url, is_link_only=not self._is_pushed)

    def log_state(self, run: "WorkflowRun") -> None:
        """Log the run's state; a review as a WARNING, once."""
        if not run.is_waiting:
            self._logged_review = None
            log.info("Run %s is %s", run.id, run.status_name)
            return
        url = self.hook.run_url(run.workflow_id or self._workflow_id, run.id)
        log_review(log, run, url, is_news=run.waiting_for_node_ids != self._logged_review)
        self._logged_review = run.waiting_for_node_ids

    def finish(self, context: Context, run: "WorkflowRun") -> dict[str, Any]:
        """End the wait as the run did, and return its outputs."""
        self.push(context, run)
        self.log_state(run)
        return conclude(run, self.on_review)

    def defer(
        self, context: Context, run_id: str, wait: Wait, nodes: "Sequence[str] | None" = None
    ) -> TaskDeferred:
        """Leave what Airflow may drop of a deferral as an XCom, and return the deferral."""
        if self._owns_run:  # Airflow ends the deferral of a sensor when its time is over, and not before
            KeptWait(run_id, wait, tuple(nodes or ())).push(context)
        return self.deferral(run_id, wait, nodes)

    def deferral(self, run_id: str, wait: Wait, nodes: "Sequence[str] | None" = None) -> TaskDeferred:
        """Return what hands the wait to the triggerer, and log that it does.

        Args:
            run_id: The run.
            wait: For how long.
            nodes: Where a human is asked now.
        """
        log_deferral(run_id, wait)
        return self._deferral(run_id, wait, nodes)

    def _deferral(self, run_id: str, wait: Wait, nodes: "Sequence[str] | None" = None) -> TaskDeferred:
        from airflow_provider.triggers import SHORTEST_DEFERRAL, RetabRunTrigger

        through_review = self.on_review == "wait"
        return TaskDeferred(
            trigger=RetabRunTrigger(
                run_id,
                retab_conn_id=self.hook.retab_conn_id,
                deadline=wait.deadline,
                strict_deadline=wait.strict_deadline,
                not_before=time.time() + SHORTEST_DEFERRAL,
                poll_interval=self.poll_interval,
                on_review=self.on_review,
                watch=wait.watch(through_review=through_review),
                cancel_on_kill=self._cancel_on_kill,
                nodes=nodes,
                not_found_until=wait.not_found_until,
            ),
            method_name="execute_complete",
            kwargs={"run_id": run_id, **asdict(wait)},
            timeout=wait.backstop(SHORTEST_DEFERRAL, self._backstop, through_review=through_review),
        )

    def resume(self, client: "RetabClient", context: Context, outcome: RunEvent, wait: Wait) -> Resumed:
        """Read the run that the trigger waited for, leave its state as XComs, and return what to do.

        Raises:
            AirflowException: The trigger could not wait for the run; AirflowFailException where nobody could.
            RetabError: The run cannot be read.
        """
        wait = outcome.applied_to(wait)
        if outcome.is_waiting:  # the trigger's log has it
            self._logged_review = outcome.nodes
        try:
            run = client.get_run(outcome.run_id, output_nodes=self.nodes)
        except core.RetabError as error:
            return self._unread(context, outcome, wait, error)
        if wait.failing_since is not None:
            log.warning("Run %s can be read again", run.id)
        now = time.time()
        if not run.is_terminal:
            wait = wait.saw(is_waiting=run.is_waiting, at=now, since=wait.seen_at)
        wait = replace(wait, failing_since=None, seen_at=now)
        action = action_after(
            outcome.status,
            is_settled=is_settled(run, self.on_review),
            is_cancelled=was_cancelled(run),
            reattached=wait.reattached,
            is_clock_stopped=wait.seconds_left is not None,
        )
        if action not in {Action.FINISH, Action.START_ANEW}:
            self.push(context, run)
        if action is Action.WAIT_FAILED:
            raise _wait_failed(outcome)
        return Resumed(action, wait, run.waiting_for_node_ids, run)

    def _unread(self, context: Context, outcome: RunEvent, wait: Wait, error: "RetabError") -> Resumed:
        # The trigger reads the connection anew, and knows for how long a run may not be there.
        is_news = (
            isinstance(error, core.AuthenticationError | core.NotFoundError) and outcome.status != WAIT_FAILED
        )
        again = wait.failed_to_resume(time.time()) if error.retryable or is_news else None
        action = action_after_failed_poll(
            outcome.status, may_go_on=again is not None, owns_run=self._owns_run
        )
        if action is Action.WAIT_FAILED:
            raise _wait_failed(outcome) from error
        if action is Action.RAISE:
            raise error
        if action is Action.DEFER:
            if wait.failing_since is None:
                log.warning("Run %s cannot be read, deferring again: %s", outcome.run_id, error)
            if outcome.is_state and self._is_pushed:  # which may be that of the run for days
                push_state(context, outcome.status, outcome.nodes)
        return Resumed(action, again or wait, outcome.nodes)


def _wait_failed(outcome: RunEvent) -> Exception:
    kind: type[Exception] = AirflowFailException if outcome.is_final else AirflowException
    return kind(f"The triggerer could not wait for run {outcome.run_id}: {outcome.message}")


def was_cancelled(run: "WorkflowRun") -> bool:
    """Whether the run was cancelled."""
    return run.status.value == "cancelled"
