"""The two kinds of task: what creates something at Retab is remembered, what looks at it never is."""

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from prefect_collection._identity import CREATING, full_name
from retab_orchestration import RetabError, RunCancelledError, RunFailedError

__all__ = ["creating", "requesting", "twin_of"]

P = ParamSpec("P")
R = TypeVar("R")


def _may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001
    error = state.data
    # A run that has ended stays as it is; only another run may do better, and that takes another create.
    if isinstance(error, RunFailedError | RunCancelledError):
        return False
    return not isinstance(error, RetabError) or error.retryable


def creating(fn: Callable[P, R]) -> Task[P, R]:
    """Make a task that creates something at Retab and returns its id.

    What it has started is remembered with the flow run. Prefect's own cache would not do: its key is the path of a
    document, whatever is in it by now.
    """
    CREATING.add(full_name(fn))
    return Task(fn, persist_result=True, cache_policy=NO_CACHE, retry_condition_fn=_may_pass)


def requesting(fn: Callable[P, R]) -> Task[P, R]:
    """Make a task that reads or steers: never cached, never stored, retried only where asking again may help."""
    return Task(fn, persist_result=False, cache_policy=NO_CACHE, retry_condition_fn=_may_pass)


def twin_of(
    blocking: Task[P, R],
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Task[P, Coroutine[Any, Any, R]]]:
    """Make the async twin of a task: the same docstring, storage and retries."""

    def _decorate(fn: Callable[P, Coroutine[Any, Any, R]]) -> Task[P, Coroutine[Any, Any, R]]:
        fn.__doc__ = blocking.fn.__doc__
        kind = creating if blocking.persist_result else requesting
        return kind(fn)

    return _decorate
