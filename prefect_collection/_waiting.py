"""How a wait is asked for, what it logs, and what its end means: the same for tasks, flows and blocks."""

import time
from collections.abc import Callable, Sequence
from logging import Logger, LoggerAdapter
from typing import Any, Literal, get_args

from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger

from retab_orchestration import (
    ApiError,
    InvalidInputError,
    PollPolicy,
    ReviewRequiredError,
    WaitTimeoutError,
    WorkflowRun,
)
from retab_orchestration.models import is_id

__all__ = [
    "OnReview",
    "RunLogger",
    "Waiting",
    "cancel_failed_error",
    "cancelled_error",
    "check_wait",
    "ended_before",
    "outage_log",
    "outcome_of",
    "run_logger",
    "status_log",
]

# Seconds in which a wait looks once.
_ONE_POLL = 0.001

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


class Waiting:
    """What a client's `wait_for_run` takes for settings in Prefect's words, as often as the wait has to begin again.

    Args:
        run_id: The run.
        on_review: What it means that a human is asked.
        timeout_seconds: Seconds it may take, a human's time not counted; None for any.
        poll_interval_seconds: Seconds between two looks, at the most.

    Raises:
        InvalidInputError: `on_review` is none that there is, or the interval is not more than 0.
    """

    def __init__(
        self,
        run_id: str,
        on_review: OnReview,
        timeout_seconds: float | None,
        poll_interval_seconds: float,
    ) -> None:
        if on_review not in get_args(OnReview):
            raise InvalidInputError(
                f"on_review must be one of {', '.join(get_args(OnReview))}, and is something else"
            )
        logger = run_logger()
        self._log_status, self._log_outage = status_log(logger), outage_log(run_id, logger)
        self._poll = _poll_policy(poll_interval_seconds)
        self._on_review = "wait" if on_review == "wait" else "return"
        self._timeout = timeout_seconds
        self._since: float | None = None
        """When the clock was looked at last; None before it runs."""
        self._is_asked = False

    def arguments(self) -> dict[str, Any]:
        """Return them, with what is left of the time."""
        self._pass_time()
        return {
            "timeout": self._timeout,
            "poll": self._poll,
            "on_review": self._on_review,
            "on_change": self._saw,
            "on_outage": self._log_outage,
        }

    def _saw(self, run: WorkflowRun) -> None:
        self._pass_time()
        self._is_asked = run.is_waiting
        self._log_status(run)

    def _pass_time(self) -> None:
        before, self._since = self._since, time.monotonic()
        if before is not None and self._timeout is not None and not self._is_asked:
            self._timeout = max(self._timeout - (self._since - before), _ONE_POLL)


def check_wait(poll_interval_seconds: Any, output_nodes: Any) -> None:
    """Refuse before a run is created what its wait would refuse once it is there.

    Raises:
        InvalidInputError: The interval is none, or what should be node ids is something else; the message names it.
    """
    _poll_policy(poll_interval_seconds)
    if output_nodes is None:
        return
    listed = (
        isinstance(output_nodes, Sequence) and not isinstance(output_nodes, str) and len(output_nodes) > 0
    )
    if not listed or not all(isinstance(node, str) and node and is_id(node) for node in output_nodes):
        raise InvalidInputError(
            "output_nodes must be a list of node ids, or None for the workflow's own outputs; copy the ids from Retab"
        )


def _poll_policy(poll_interval_seconds: Any) -> PollPolicy:
    try:
        return PollPolicy(interval=poll_interval_seconds)
    except InvalidInputError as error:
        text = str(error).replace("PollPolicy.interval", "poll_interval_seconds")
        raise InvalidInputError(text) from None


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


def ended_before(run: WorkflowRun) -> bool:
    """Return whether a run had ended before it was to be cancelled."""
    status = run.cancellation.status if run.cancellation else None
    return run.is_terminal and status == "cancellation_failed"


def cancelled_error(expired: WaitTimeoutError, run: WorkflowRun) -> WaitTimeoutError:
    """Return the error of a wait whose run was cancelled because of it."""
    state = expired.run.status_name if expired.run is not None else "not to be seen"
    return WaitTimeoutError(
        f"run {run.id} was still {state} at the end of timeout_seconds, and was cancelled; give it more time, or let "
        "it go on with cancel_on_timeout=False",
        run=run,
    )


def cancel_failed_error(expired: WaitTimeoutError, refused: ApiError) -> WaitTimeoutError:
    """Return the error of a wait whose run should have been cancelled because of it."""
    return WaitTimeoutError(
        f"{expired} It could not be cancelled: {refused}", run=expired.run, run_id=expired.run_id
    )
