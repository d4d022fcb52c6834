"""How a wait is asked for, what it logs, and what its end means: the same for tasks, flows and blocks."""

import time
from collections.abc import Callable
from logging import Logger, LoggerAdapter
from typing import Any, Literal, get_args

from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger

from retab_orchestration import (
    ApiError,
    AuthenticationError,
    InvalidInputError,
    PollPolicy,
    ReviewRequiredError,
    WaitTimeoutError,
    WorkflowRun,
)
from retab_orchestration.policies import KeyRefusals

__all__ = [
    "Keys",
    "OnReview",
    "RunLogger",
    "WaitClock",
    "cancelled",
    "ended_before",
    "not_cancelled",
    "outage_log",
    "outcome_of",
    "run_logger",
    "status_log",
    "wait_arguments",
]

RunLogger = Logger | LoggerAdapter[Any]

OnReview = Literal["return", "wait", "fail"]
"""What a run that waits for a human means: the end of the wait, nothing, or a failure."""


def run_logger() -> RunLogger:
    """Return the logger of the flow or task run that this is called in, or one of the process outside of any."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("retab")


def status_log(logger: RunLogger) -> Callable[[WorkflowRun], None]:
    """Return what logs a run's state each time that it has changed, and nothing in between."""

    def _log(run: WorkflowRun) -> None:
        nodes = f" at {', '.join(run.waiting_for_node_ids)}" if run.waiting_for_node_ids else ""
        logger.info("Run %s is %s%s", run.id, run.status_name, nodes)

    return _log


def wait_arguments(
    on_review: OnReview, timeout_seconds: float | None, poll_interval_seconds: float
) -> dict[str, Any]:
    """Return what a client's `wait_for_run` takes for settings in Prefect's words.

    Raises:
        InvalidInputError: `on_review` is none that there is, or the interval is not more than 0.
    """
    if on_review not in get_args(OnReview):
        raise InvalidInputError(
            f"on_review must be one of {', '.join(get_args(OnReview))}, not {on_review!r}"
        )
    return {
        "timeout": timeout_seconds,
        "poll": PollPolicy(interval=poll_interval_seconds),
        "on_review": "wait" if on_review == "wait" else "return",
        "on_change": status_log(run_logger()),
    }


class WaitClock:
    """What is left of `timeout_seconds` where a wait begins again with another key; a human's time does not count.

    Args:
        seconds: What there is at the beginning, None for any time.
    """

    def __init__(self, seconds: float | None) -> None:
        self._left = seconds
        self._since = time.monotonic()
        self._runs = True

    def saw(self, run: WorkflowRun) -> None:
        """Take note of a run whose state has changed."""
        self.left()
        self._runs = not run.is_waiting

    def left(self) -> float | None:
        """Return the seconds that are left, a little at the least, so that there is one more look."""
        now = time.monotonic()
        if self._left is not None and self._runs:
            self._left -= now - self._since
        self._since = now
        return None if self._left is None else max(self._left, 0.001)


class Keys:
    """The key of one wait, which may be changed while it goes on.

    Args:
        key: The one that the wait begins with.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._refusals = KeyRefusals()

    def pause_after(self, error: AuthenticationError, key: str, account: str | None) -> float:
        """Return the seconds until the next look after one that was refused.

        Args:
            error: The refusal.
            key: The key as it was read anew.
            account: The name of the block, None for the environment.

        Raises:
            AuthenticationError: It was refused every time; the message names the block.
        """
        pause = self._refusals.pause_after(time.monotonic(), is_changed=key != self._key)
        self._key = key
        if pause is not None:
            return pause
        name = f"the Retab Credentials block {account!r}" if account else "RETAB_API_KEY"
        raise AuthenticationError(
            f"Retab refuses the API key of {name}, also after it was read again: put the key that is good now there, "
            f"then wait for the run again. {error.message}",
            method=error.method,
            path=error.path,
            status=error.status,
            code=error.code,
            request_id=error.request_id,
            run_id=error.run_id,
        ) from error


def outage_log(run_id: str, logger: RunLogger) -> Callable[[ApiError | None], None]:
    """Return what logs once that a run cannot be looked at, and once that it can again."""

    def _log(error: ApiError | None) -> None:
        if error is None:
            logger.warning("Run %s can be looked at again", run_id)
        else:
            logger.warning("Run %s cannot be looked at, trying on: %s", run_id, error)

    return _log


def outcome_of(run: WorkflowRun, on_review: OnReview) -> WorkflowRun:
    """Return the run that a wait ended with, unless its state is a failure.

    Raises:
        RunFailedError: It ended in error.
        RunCancelledError: It was cancelled.
        ReviewRequiredError: It waits for a human, and `on_review` is `fail`.
    """
    if run.is_waiting and on_review == "fail":
        nodes = ", ".join(run.waiting_for_node_ids) or "a node that the server does not name"
        raise ReviewRequiredError(
            f"run {run.id} waits for a human at {nodes}: decide it with decide_review or in Retab, then wait again",
            run=run,
        )
    return run.raise_for_status()


def ended_before(asked: WorkflowRun) -> bool:
    """Whether a run that was asked to be cancelled had ended already."""
    status = asked.cancellation.status if asked.cancellation else None
    return asked.is_terminal and status == "cancellation_failed"


def cancelled(expired: WaitTimeoutError, run: WorkflowRun) -> WaitTimeoutError:
    """Return the error of a wait whose run was cancelled because of it."""
    state = expired.run.status_name if expired.run is not None else "not to be seen"
    return WaitTimeoutError(
        f"run {run.id} was still {state} at the end of timeout_seconds, and was cancelled; give it more time, or let "
        "it go on with cancel_on_timeout=False",
        run=run,
    )


def not_cancelled(expired: WaitTimeoutError, refused: ApiError) -> WaitTimeoutError:
    """Return the error of a wait whose run should have been cancelled because of it."""
    return WaitTimeoutError(
        f"{expired} It could not be cancelled: {refused}", run=expired.run, run_id=expired.run_id
    )
