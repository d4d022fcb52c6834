"""RunOwner: the operators that start a run, and own it whatever happens to them."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, Context, TaskDeferred

from airflow_provider._arguments import (
    CHECKS,
    Checks,
    OnReview,
    by_name,
    check_choice,
    check_each,
    check_seconds,
    checked_partial,
    given,
)
from airflow_provider._cancelling.on_kill import CancelOnTimeout, RunStopper, heeding_interrupts
from airflow_provider._core import core
from airflow_provider._create_once.ownership import OnClear, Owned, Ownership
from airflow_provider._documents import check_documents
from airflow_provider._outputs import check_output_path, check_place, is_one_file, is_place, write_outputs
from airflow_provider._waiting.deadlines import Wait
from airflow_provider._waiting.events import (
    OUT_OF_TIME,
    KeptWait,
    RunEvent,
    failing_well,
    failing_well_if_mapped,
    is_settled,
    waited_for,
)
from airflow_provider._waiting.on_worker import wait_on_worker
from airflow_provider._waiting.resume import Action, RunWait, was_cancelled
from airflow_provider.hooks import RetabHook
from airflow_provider.links import RetabRunLink

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun


class RunOwner(BaseOperator):
    """An operator that starts one run and waits for it, over its retries, crashes and deferrals.

    Its attributes are arguments of each such operator, which ends its `__init__` with `check_own_arguments`. It has a
    wait for the run and what stops the run, made when they are first needed, when templates are rendered.
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
    backstop: float | None
    wait_for_completion: bool
    on_review: OnReview
    on_clear: OnClear
    cancel_on_timeout: CancelOnTimeout
    cancel_on_kill: bool
    _context: Context | None = None
    _given_path: Any = None  # `output_path` before it is rendered

    @cached_property
    def hook(self) -> RetabHook:
        """The hook of `retab_conn_id`."""
        return RetabHook(self.retab_conn_id)

    @cached_property
    def _waiting(self) -> RunWait:
        return RunWait(self, self.hook, poll_interval=self.poll_interval, owns_run=True)

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

    @classmethod
    def partial(cls, **kwargs: Any) -> Any:
        """Begin to map the operator, refusing invalid literals while the DAG file is parsed."""
        return checked_partial(super().partial(**kwargs), check_arguments, _check_shared)

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
        with failing_well(self.retab_conn_id), heeding_interrupts(self._stopper, context):
            _check_own_file(_shared_path(self, self._given_path) if _is_mapped(context) else None)
            self._check_rendered(wait)
            with self.hook.get_conn() as client:
                owned = self._begin(client, context)
                if not self.wait_for_completion:
                    return dict(owned.run.final_outputs)
                return self._see_through(client, context, owned, wait)

    def execute_complete(
        self, context: Context, event: dict[str, Any] | None = None, run_id: str | None = None, **clocks: Any
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
        with failing_well(self.retab_conn_id), heeding_interrupts(self._stopper, context):
            known, wait = waited_for(context, run_id, clocks)
            outcome = RunEvent.read(event, run_id=known)
            self._stopper.resume(outcome.run_id)
            with self.hook.get_conn_through_outages() as client:
                resumed = self._waiting.resume(client, context, outcome, wait)
                run = resumed.run
                if run is None or resumed.action is Action.DEFER:
                    raise self._deferral(context, outcome.run_id, resumed.wait, resumed.nodes)
                if resumed.action is Action.TIMED_OUT:
                    raise self._stopper.timed_out(client, run, is_strict=outcome.status == OUT_OF_TIME)
                if resumed.action is Action.START_ANEW:
                    return self._start_anew(context, run, resumed.wait)
                return self._finish(context, run)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume; where Airflow itself ended the deferral, poll the run: wait on, or cancel it if its time is over."""
        if next_method == "__fail__":
            with failing_well(self.retab_conn_id):
                found = self._stopper.after_deferral(context, next_kwargs or {})
                if isinstance(found, KeptWait):
                    return self.execute_complete(context, **found.resumption)
                if found is not None:
                    return self._finish(context, found)
        return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Cancel the run, if Retab answers at once: Airflow ends the process 5 s after this begins."""
        self._stopper.kill(self._context)

    def _begin(self, client: "RetabClient", context: Context) -> Owned:
        hook, stopper = self.hook, self._stopper
        ownership = Ownership(
            context, self, namespace=hook.namespace(), is_shared=hook.has_shared_namespace()
        )
        with stopper.cancelling_if_cut_off(client, ownership), heeding_interrupts(stopper, context):
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
        raise self._deferral(context, run.id, wait, run.waiting_for_node_ids)

    def _start_anew(self, context: Context, run: "WorkflowRun", wait: Wait) -> dict[str, Any]:
        """Start a run in place of one that was cancelled, late, on behalf of the attempt before this one; only once."""
        self._stopper.stop_if_killed()
        self.log.info("Run %s was cancelled after this attempt had taken it up; starting it anew", run.id)
        with self.hook.get_conn() as client:  # the key may be another one by now
            again = replace(self._begin(client, context), reattached=False)
            return self._see_through(client, context, again, wait)

    def _deferral(self, context: Context, run_id: str, wait: Wait, nodes: Sequence[str]) -> TaskDeferred:
        deferral = self._waiting.defer(context, run_id, wait, nodes)
        self._stopper.stop_if_killed()
        return deferral

    def _finish(self, context: Context, run: "WorkflowRun") -> dict[str, Any]:
        self._stopper.stop_if_killed()
        outputs = self._waiting.finish(context, run)
        return write_outputs(self.output_path, outputs, run) if is_place(self.output_path) else outputs

    def _check_rendered(self, wait: Wait) -> None:
        """Refuse before the run exists what would fail once it does."""
        check_place(self.output_path)
        self._waiting.check(wait)


def _check_cancel_on_timeout(value: Any) -> None:
    if not isinstance(value, bool) and value != "always":
        raise core.InvalidInputError(f"cancel_on_timeout must be True, False or 'always', not {given(value)}")


_CHECKS: Checks = {
    **CHECKS,
    **by_name(check_seconds, "poll_interval", "timeout", "backstop"),
    **by_name(partial(check_seconds, zero={"defer_after"}), "defer_after"),
    "documents": check_documents,
    "output_path": check_output_path,
    "on_clear": partial(check_choice, "on_clear", allowed=OnClear),
    "cancel_on_timeout": _check_cancel_on_timeout,
}

_INPUTS = ("documents", "json_inputs", "text_inputs")

check_arguments = partial(check_each, _CHECKS)
"""Refuse invalid arguments of an operator that starts a run: all of them, or those that are known."""


def check_own_arguments(task: RunOwner) -> None:
    """Refuse invalid arguments of a task; of a mapped one without a retry, which would end alike."""
    with failing_well_if_mapped(task):
        check_arguments(vars(task))


def _shared_path(task: BaseOperator, output_path: Any) -> Any:
    """Return the path that mapped tasks may share with a task, None for none.

    Of those of a mapped operator, `partial` has seen all literals but the defaults of the DAG, or of a task group.
    """
    if not getattr(task, "_BaseOperator__from_mapped", False):
        return output_path
    dag = task.dag if task.has_dag() else None
    mapped = dag.task_dict.get(task.task_id) if dag else None  # of Airflow 2, it alone has the group
    groups = (dag, getattr(mapped, "task_group", None))
    defaults = [(getattr(group, "default_args", None) or {}).get("output_path") for group in groups]
    return output_path if output_path in defaults else None


def _check_shared(arguments: Mapping[str, Any]) -> None:
    _check_own_file(arguments.get("output_path"))
    for group in (arguments.get("dag"), arguments.get("task_group")):  # Airflow stores their defaults as well
        defaults = getattr(group, "default_args", None) or {}
        check_arguments({name: defaults[name] for name in _INPUTS if name in defaults})


def _is_mapped(context: Context) -> bool:
    map_index = context["ti"].map_index
    return map_index is not None and map_index >= 0


def _check_own_file(shared: Any) -> None:
    if is_one_file(shared):
        raise core.InvalidInputError(
            "output_path is one file, and mapped tasks would overwrite each other's: end it with a slash, which is a "
            "folder with a file for each run, or put {{ ti.map_index }} in it"
        )
