"""The two kinds of task: the result of one that creates at Retab is stored, that of any other never is."""

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
    # A run that has ended stays as it is; only a run of another create may succeed.
    if isinstance(error, RunFailedError | RunCancelledError):
        return False
    return not isinstance(error, RetabError) or error.retryable


def creating(fn: Callable[P, R]) -> Task[P, R]:
    """Decorate a function as a task that creates something at Retab and returns its id.

    What it has started is recorded with the flow run. Prefect's cache cannot do that: its key has the path of a
    document, not the content.
    """
    CREATING.add(full_name(fn))
    return Task(fn, persist_result=True, cache_policy=NO_CACHE, retry_condition_fn=_may_pass)


def requesting(fn: Callable[P, R]) -> Task[P, R]:
    """Decorate a function as a task that reads, cancels or decides: not stored, retried after transient errors."""
    return Task(fn, persist_result=False, cache_policy=NO_CACHE, retry_condition_fn=_may_pass)


def twin_of(
    blocking: Task[P, R],
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Task[P, Coroutine[Any, Any, R]]]:
    """Decorate a function as the async twin of a task, with the same docstring, storage and retries."""

    def _decorate(fn: Callable[P, Coroutine[Any, Any, R]]) -> Task[P, Coroutine[Any, Any, R]]:
        fn.__doc__ = blocking.fn.__doc__
        kind = creating if blocking.persist_result else requesting
        return kind(fn)

    return _decorate
