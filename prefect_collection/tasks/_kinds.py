"""The two kinds of task: what creates something at Retab is remembered, what looks at it never is."""

from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import INPUTS, NO_CACHE, RUN_ID
from prefect.client.schemas.objects import State, TaskRun

from retab_orchestration import (
    ApiConnectionError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    CreateOutcomeUnknownError,
    InvalidInputError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    ReviewRequiredError,
    RunCancelledError,
    RunFailedError,
)

__all__ = ["asking", "creating", "twin_of"]

P = ParamSpec("P")
R = TypeVar("R")

# Asking again gets the same answer.
_FINAL = (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    CreateOutcomeUnknownError,
    InvalidInputError,
    PermissionDeniedError,
    RequestRejectedError,
    ReviewRequiredError,
    RunCancelledError,
    RunFailedError,
)


def _nothing_was_created(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001
    error = state.data
    if isinstance(error, ApiConnectionError):
        return not error.sent
    return isinstance(error, RateLimitedError)


def _may_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001
    return not isinstance(state.data, _FINAL)


def creating(fn: Callable[P, R]) -> Task[P, R]:
    """Make a task that creates something at Retab and returns its id.

    The id is stored, so that a retry or a resume of the same flow run finds it instead of creating again. The key
    leaves the account out: Prefect hashes the keys of all accounts alike. Retries that a user sets are spent only
    on answers that prove that nothing was created.
    """
    return Task(
        fn,
        persist_result=True,
        cache_policy=RUN_ID + INPUTS - "credentials",
        retry_condition_fn=_nothing_was_created,
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
