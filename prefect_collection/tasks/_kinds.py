"""The two kinds of task: what creates something at Retab is remembered, what looks at it never is."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import INPUTS, NO_CACHE, RUN_ID, CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from retab_orchestration import RetabError, RunCancelledError, RunFailedError

__all__ = ["ATTEMPT", "asking", "creating", "twin_of"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass
class _Attempt(CachePolicy):
    """Which start of the flow run it is: a suspended flow run goes on with its attempt, a retry is another one."""

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],  # noqa: ARG002
        flow_parameters: dict[str, Any],  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> str:
        """Return what is the same for as long as the attempt lasts."""
        return f"attempt-{task_ctx.task_run.flow_run_run_count}"


ATTEMPT = _Attempt()


def _may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001
    error = state.data
    # A run that has ended stays as it is; only another run may do better, and that takes another create.
    if isinstance(error, RunFailedError | RunCancelledError):
        return False
    return not isinstance(error, RetabError) or error.retryable


def creating(fn: Callable[P, R]) -> Task[P, R]:
    """Make a task that creates something at Retab and returns its id.

    The id is stored, so that the same call in the same attempt, resumed or not, is not even made again. In another
    attempt of the flow run the task looks what became of its run. The key leaves the account out: Prefect hashes the
    keys of all accounts alike.
    """
    return Task(
        fn,
        persist_result=True,
        cache_policy=RUN_ID + ATTEMPT + INPUTS - "credentials",
        retry_condition_fn=_may_pass,
    )


def asking(fn: Callable[P, R]) -> Task[P, R]:
    """Make a task that reads or steers: never cached, never stored, retried only where asking again may help."""
    return Task(fn, persist_result=False, cache_policy=NO_CACHE, retry_condition_fn=_may_pass)


def twin_of(
    blocking: Task[P, R],
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Task[P, Coroutine[Any, Any, R]]]:
    """Make the async twin of a task: the same docstring, storage and retries."""

    def _decorate(fn: Callable[P, Coroutine[Any, Any, R]]) -> Task[P, Coroutine[Any, Any, R]]:
        fn.__doc__ = blocking.fn.__doc__
        kind = creating if blocking.persist_result else asking
        return kind(fn)

    return _decorate
