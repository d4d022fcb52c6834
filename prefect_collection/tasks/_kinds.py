"""The two kinds of task: the result of one that creates at Retab is stored, that of any other never is."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from inspect import signature
from typing import Any, ParamSpec, TypeVar, cast

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectDistributedFuture

from prefect_collection._identity import CREATING, full_name
from prefect_collection._outputs import refuse_one_file
from prefect_collection._parameters import check_parameters
from retab_orchestration import RetabError, RunCancelledError, RunFailedError

__all__ = ["creating", "requesting", "twin_of"]

P = ParamSpec("P")
R = TypeVar("R")


class RetabTask(Task[P, R]):
    """A task that refuses bytes, open files and keys before Prefect has stored them for a task worker."""

    def apply_async(
        self,
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        *given: Any,
        **options: Any,
    ) -> PrefectDistributedFuture[R]:
        """Create a task run for a task worker, as `prefect.Task.apply_async` does; `delay` and `map` call it.

        Raises:
            InvalidInputError: A parameter contains bytes or an open file, or `credentials` is a dict.
            ConfigurationError: `credentials` is a string, and no name of a block.
        """
        with suppress(TypeError):  # which Prefect tells
            check_parameters(signature(self.fn).bind(*(args or ()), **(kwargs or {})).arguments)
        return super().apply_async(args, kwargs, *given, **options)

    def map(self, *args: Any, **kwargs: Any) -> Any:
        """Submit a task for each of many inputs, as `prefect.Task.map` does.

        Raises:
            InvalidInputError: `output_path` is one file for all of them.
        """
        refuse_one_file(kwargs.get("output_path"))
        return super().map(*args, **kwargs)

    def with_options(self, **options: Any) -> "RetabTask[P, R]":
        """Return a copy of this task with other options, as `prefect.Task.with_options` takes them."""
        changed = super().with_options(**options)
        changed.__class__ = type(self)  # Prefect makes a plain Task, which would store anything
        return cast("RetabTask[P, R]", changed)


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
    return RetabTask(fn, persist_result=True, cache_policy=NO_CACHE, retry_condition_fn=_may_pass)


def requesting(fn: Callable[P, R]) -> Task[P, R]:
    """Decorate a function as a task that reads, cancels or decides: not stored, retried after transient errors."""
    return RetabTask(fn, persist_result=False, cache_policy=NO_CACHE, retry_condition_fn=_may_pass)


def twin_of(
    blocking: Task[P, R],
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Task[P, Coroutine[Any, Any, R]]]:
    """Decorate a function as the async twin of a task, with the same docstring, storage and retries."""

    def _decorate(fn: Callable[P, Coroutine[Any, Any, R]]) -> Task[P, Coroutine[Any, Any, R]]:
        fn.__doc__ = blocking.fn.__doc__
        kind = creating if blocking.persist_result else requesting
        return kind(fn)

    return _decorate
