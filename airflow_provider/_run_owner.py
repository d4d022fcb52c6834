"""RunOwner: the operators that start a run, and own it whatever happens to them."""

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider._arguments import (
    check_choice,
    check_flags,
    check_nodes,
    check_on_review,
    check_seconds,
    check_text,
    given,
)
from airflow_provider._cancelling.cancel import cancel_in_time
from airflow_provider._core import core
from airflow_provider._create_once.ownership import OnClear, Owned, Ownership
from airflow_provider._outputs import check_output_path, find_place, write_outputs
from airflow_provider._waiting.deadlines import Wait
from airflow_provider._waiting.events import RunEvent, failing_well, is_settled
from airflow_provider._waiting.on_worker import WorkerWaiter
from airflow_provider.links import RetabRunLink

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun


class RunOwner(WorkerWaiter, BaseOperator):
    """An operator that starts one run and waits for it, over its retries, crashes and deferrals.

    A retry takes the run up that an earlier attempt started, or returns its outputs; a new run is started only if
    that one ended in error or was cancelled.

    Its attributes are arguments of each such operator, which ends its `__init__` with `check_waiting`.
    """

    # An input that ends in .json or .sql is an input, not the name of a template.
    template_ext: Sequence[str] = ()
    operator_extra_links = (RetabRunLink(),)
    ui_color = "#e5e0fb"
    may_start_again = False
    """Whether starting does no harm when it is repeated after an answer was lost."""

    output_path: Any
    wait_for_completion: bool
    on_clear: OnClear

    def __init__(self, **kwargs: Any) -> None:
        # Behind a mixin Airflow wraps whatever `__init__` it finds: without this one BaseOperator's a second time.
        super().__init__(**kwargs)

    @property
    def seconds_between_looks(self) -> float:
        """`poll_interval`."""
        return self.poll_interval

    def start(self, client: "RetabClient", identity: "RunIdentity", adopt: bool) -> "WorkflowRun":
        """Start the run.

        Args:
            client: The account.
            identity: What marks the run as this task's.
            adopt: Whether a run of this identity may be there already.
        """
        raise NotImplementedError

    def execute(self, context: Context) -> dict[str, Any]:
        """Start the run or take it up, wait for it here as long as asked to, then defer until it has settled."""
        self.run_url = ""
        wait = Wait.begin(self.timeout, self.execution_timeout)
        with failing_well():
            self._check_rendered(wait)
            with self.hook.get_conn() as client:
                owned = self._begin(client, context)
                if not self.wait_for_completion:
                    return dict(owned.run.final_outputs)
                return self._see_through(client, context, owned, wait)

    @property
    def _is_written(self) -> bool:
        """Whether the outputs go to a place; a template that comes out empty names none."""
        return self.output_path is not None and self.output_path != ""

    def _begin(self, client: "RetabClient", context: Context) -> Owned:
        hook = self.hook
        ownership = Ownership(
            context, self, namespace=hook.namespace(), is_shared=hook.has_shared_namespace()
        )
        with self.cancelling_if_cut_off(ownership):
            owned = ownership.acquire(
                client, partial(self.start, client), may_start_again=self.may_start_again
            )
        self._run_id, self._is_superseded = owned.run.id, owned.is_successors
        self._push(context, owned.run)
        if self._killed and self.cancel_on_kill and not owned.is_successors:
            cancel_in_time(self.hook, owned.run.id)  # it did not exist yet when we were told
        self._stop_if_killed()
        return owned

    def _see_through(
        self, client: "RetabClient", context: Context, owned: Owned, wait: Wait
    ) -> dict[str, Any]:
        run, wait = self._wait_here(client, context, owned.run, wait)
        if owned.reattached and _was_cancelled(run):
            return self._start_anew(context, run, wait)
        if is_settled(run, self.on_review):
            return self._finish(context, run)
        wait = replace(wait, reattached=owned.reattached, seen_at=time.time())
        raise self._deferral(run.id, wait, run.waiting_for_node_ids)

    def _resume(
        self, client: "RetabClient", context: Context, run: "WorkflowRun", outcome: RunEvent, wait: Wait
    ) -> dict[str, Any]:
        if wait.reattached and _was_cancelled(run):
            return self._start_anew(context, run, wait)
        return super()._resume(client, context, run, outcome, wait)

    def _start_anew(self, context: Context, run: "WorkflowRun", wait: Wait) -> dict[str, Any]:
        """Start a run in place of one that was cancelled, late, on behalf of the attempt before this one; only once."""
        self._stop_if_killed()
        self.log.info("Run %s was cancelled after this attempt had taken it up; starting it anew", run.id)
        with self.hook.get_conn() as client:  # the key may be another one by now
            again = replace(self._begin(client, context), reattached=False)
            return self._see_through(client, context, again, wait)

    def _finish(self, context: Context, run: "WorkflowRun") -> dict[str, Any]:
        self._stop_if_killed()
        outputs = super()._finish(context, run)
        return write_outputs(self.output_path, outputs, run) if self._is_written else outputs

    def _check_rendered(self, wait: Wait) -> None:
        """Refuse before the run exists what would fail once it does."""
        self._nodes()
        if self._is_written:
            find_place(self.output_path)
        check_text(retab_conn_id=self.retab_conn_id)
        _, kwargs = self._deferral("run", wait).trigger.serialize()
        json.dumps(kwargs)


def _was_cancelled(run: "WorkflowRun") -> bool:
    return run.status.value == "cancelled"


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
