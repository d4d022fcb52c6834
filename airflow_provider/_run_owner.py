"""RunOwner: the operators that start a run, and own it whatever happens to them."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskDeferred

from airflow_provider._arguments import (
    OnReview,
    check_choice,
    check_flags,
    check_nodes,
    check_on_review,
    check_seconds,
    check_text,
    given,
)
from airflow_provider._cancelling.on_kill import CancelOnTimeout, RunStopper
from airflow_provider._core import core
from airflow_provider._create_once.ownership import OnClear, Owned, Ownership
from airflow_provider._outputs import check_output_path, find_place, write_outputs
from airflow_provider._waiting.deadlines import Wait
from airflow_provider._waiting.events import OUT_OF_TIME, RunEvent, failing_well, is_settled, own_run_id
from airflow_provider._waiting.on_worker import wait_on_worker
from airflow_provider._waiting.resume import Action, RunWait, was_cancelled
from airflow_provider.hooks import RetabHook
from airflow_provider.links import RetabRunLink

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun


class RunOwner(BaseOperator):
    """An operator that starts one run and waits for it, over its retries, crashes and deferrals.

    Its attributes are arguments of each such operator, which ends its `__init__` with `check_waiting`. It has a wait
    for the run and what stops the run, made when they are first needed, when templates are rendered.
    """

    template_ext: Sequence[str] = ()
    """None: an input that ends in .json or .sql is an input, not the name of a template."""
    operator_extra_links = (RetabRunLink(),)
    ui_color = "#e5e0fb"
    may_start_again = False
    """Whether starting does no harm when it is repeated after an answer was lost."""

    retab_conn_id: str
    output_nodes: Any
    output_path: Any
    deferrable: bool
    defer_after: float
    poll_interval: float
    timeout: float | None
    wait_for_completion: bool
    on_review: OnReview
    on_clear: OnClear
    cancel_on_timeout: CancelOnTimeout
    cancel_on_kill: bool
    _context: Context | None = None

    @cached_property
    def hook(self) -> RetabHook:
        """The hook of `retab_conn_id`."""
        return RetabHook(self.retab_conn_id)

    @cached_property
    def _waiting(self) -> RunWait:
        return RunWait(
            self.hook,
            on_review=self.on_review,
            output_nodes=self.output_nodes,
            poll_interval=self.poll_interval,
            owns_run=True,
            cancel_on_kill=self.cancel_on_kill,
            workflow_id=getattr(self, "workflow_id", None),
        )

    @cached_property
    def _stopper(self) -> RunStopper:
        return RunStopper(
            partial(getattr, self, "_waiting"),
            timeout=self.timeout,
            execution_timeout=self.execution_timeout,
            cancel_on_timeout=self.cancel_on_timeout,
            cancel_on_kill=self.cancel_on_kill,
        )

    @property
    def run_url(self) -> str:
        """Where to see the run; empty until this process has seen it."""
        return self._waiting.run_url

    def start(self, client: "RetabClient", identity: "RunIdentity", adopt: bool) -> "WorkflowRun":
        """Start the run.

        Args:
            client: The account.
            identity: What marks the run as this task's.
            adopt: Whether a run of this identity may be there already.
        """
        raise NotImplementedError

    def pre_execute(self, context: Any) -> None:
        """Keep what `on_kill` is not given."""
        self._context = context
        super().pre_execute(context)  # Airflow 2 calls the author's `pre_execute` there

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the run or take it up, wait for it here as long as asked to, then defer until it has settled."""
        wait = Wait.begin(self.timeout, self.execution_timeout)
        with failing_well():
            self._check_rendered(wait)
            with self.hook.get_conn() as client:
                owned = self._begin(client, context)
                if not self.wait_for_completion:
                    return dict(owned.run.final_outputs)
                return self._see_through(client, context, owned, wait)

    def execute_complete(
        self,
        context: Context,
        event: dict[str, Any] | None = None,
        run_id: str | None = None,
        **clocks: Any,
    ) -> dict[str, Any]:
        """Fetch the run that the trigger waited for, and end the task as it did.

        Args:
            context: The task's.
            event: What the trigger fired.
            run_id: The run that the task deferred for; `airflow dags test` loses it, then the XCom tells.
            clocks: The fields of the `Wait` that the task deferred with.

        Raises:
            AirflowFailException: Another attempt would end as this one did.
        """
        wait = Wait(**clocks)
        with failing_well():
            outcome = RunEvent.read(event, run_id=run_id or own_run_id(context))
            self._stopper.resume(outcome.run_id)
            with self.hook.get_conn_through_outages() as client:
                resumed = self._waiting.resume(client, context, outcome, wait)
                run = resumed.run
                if run is None or resumed.action is Action.DEFER:
                    raise self._deferral(outcome.run_id, resumed.wait, resumed.nodes)
                if resumed.action is Action.TIMED_OUT:
                    raise self._stopper.timed_out(client, run, is_strict=outcome.status == OUT_OF_TIME)
                if resumed.action is Action.START_ANEW:
                    return self._start_anew(context, run, resumed.wait)
                return self._finish(context, run)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; where Airflow itself ended the deferral, poll the run and cancel it if its time is over."""
        if next_method == "__fail__":
            with failing_well():
                if (run := self._stopper.settled_after_all(context, next_kwargs or {})) is not None:
                    return self._finish(context, run)
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Cancel the run, if Retab answers at once: Airflow ends the process 5 s after this begins."""
        self._stopper.kill(self._context)

    def _begin(self, client: "RetabClient", context: Context) -> Owned:
        hook, stopper = self.hook, self._stopper
        ownership = Ownership(
            context, self, namespace=hook.namespace(), is_shared=hook.has_shared_namespace()
        )
        with stopper.cancelling_if_cut_off(ownership):
            start = stopper.unless_killed(partial(self.start, client))
            owned = ownership.acquire(client, start, may_start_again=self.may_start_again)
        stopper.run_id, stopper.is_superseded = owned.run.id, owned.is_successors
        self._waiting.push(context, owned.run)
        stopper.cancel_if_killed(owned.run.id)
        return owned

    def _see_through(
        self, client: "RetabClient", context: Context, owned: Owned, wait: Wait
    ) -> dict[str, Any]:
        seconds = self.defer_after if self.deferrable else None
        run, wait = wait_on_worker(
            client, self._waiting, self._stopper, owned.run, wait, context=context, seconds=seconds
        )
        if owned.reattached and was_cancelled(run):
            return self._start_anew(context, run, wait)
        if is_settled(run, self.on_review):
            return self._finish(context, run)
        wait = replace(wait, reattached=owned.reattached, seen_at=time.time())
        raise self._deferral(run.id, wait, run.waiting_for_node_ids)

    def _start_anew(self, context: Context, run: "WorkflowRun", wait: Wait) -> dict[str, Any]:
        """Start a run in place of one that was cancelled, late, on behalf of the attempt before this one; only once."""
        self._stopper.stop_if_killed()
        self.log.info("Run %s was cancelled after this attempt had taken it up; starting it anew", run.id)
        with self.hook.get_conn() as client:  # the key may be another one by now
            again = replace(self._begin(client, context), reattached=False)
            return self._see_through(client, context, again, wait)

    def _deferral(self, run_id: str, wait: Wait, nodes: Sequence[str] | None = None) -> TaskDeferred:
        self._stopper.stop_if_killed()
        return self._waiting.deferral(run_id, wait, nodes)

    def _finish(self, context: Context, run: "WorkflowRun") -> dict[str, Any]:
        self._stopper.stop_if_killed()
        outputs = self._waiting.finish(context, run)
        return write_outputs(self.output_path, outputs, run) if _is_place(self.output_path) else outputs

    def _check_rendered(self, wait: Wait) -> None:
        """Refuse before the run exists what would fail once it does."""
        if _is_place(self.output_path):
            find_place(self.output_path)
        self._waiting.check(wait)


def _is_place(output_path: Any) -> bool:
    """Whether outputs go to it; a template that comes out empty names none."""
    return output_path is not None and output_path != ""


def check_waiting(task: RunOwner) -> None:
    """Refuse what is wrong with the arguments that every owner of a run has.

    Raises:
        InvalidInputError: The message names the argument.
    """
    check_on_review(task.on_review)
    check_choice("on_clear", task.on_clear, OnClear)
    check_text(retab_conn_id=task.retab_conn_id)
    check_nodes(task.output_nodes, is_rendered=False)
    check_output_path(task.output_path)
    check_seconds(poll_interval=task.poll_interval, timeout=task.timeout)
    check_seconds(defer_after=task.defer_after, zero={"defer_after"})
    check_flags(
        deferrable=task.deferrable,
        wait_for_completion=task.wait_for_completion,
        cancel_on_kill=task.cancel_on_kill,
    )
    if not isinstance(task.cancel_on_timeout, bool) and task.cancel_on_timeout != "always":
        raise core.InvalidInputError(
            f"cancel_on_timeout must be True, False or 'always', not {given(task.cancel_on_timeout)}"
        )
