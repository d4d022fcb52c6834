"""The arguments, the log lines and the outcome of a wait: the same for tasks, flows and blocks."""

import time
from collections.abc import Callable, Sequence
from logging import Logger, LoggerAdapter
from typing import Any, Literal, get_args

from prefect.exceptions import MissingContextError
from prefect.logging import get_logger, get_run_logger

from prefect_collection._interruptions import interruption_here
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

# Seconds that are enough for one poll.
_ONE_POLL = 0.001

RunLogger = Logger | LoggerAdapter[Any]

OnReview = Literal["return", "wait", "fail"]
"""What a run that waits for a human means for the wait: its end, nothing, or a failure."""


def run_logger() -> RunLogger:
    """Return the logger of the current flow or task run, or one of the process outside of both."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("retab")


def status_log(logger: RunLogger) -> Callable[[WorkflowRun], None]:
    """Return a callback that logs each change of a run's state, a review as a WARNING."""

    def _log(run: WorkflowRun) -> None:
        if run.is_waiting:
            nodes = ", ".join(run.waiting_for_node_ids) or "a node that Retab does not name"
            how = "decide it in Retab, or with the task decide_review"
            logger.warning("Run %s is %s at %s: %s", run.id, run.status.value, nodes, how)
        else:
            logger.info("Run %s is %s", run.id, run.status_name)

    return _log


class Waiting:
    """The arguments of the client's `wait_for_run` for those of a task, each time that the wait has to begin again.

    Args:
        run_id: The run.
        on_review: What a run that waits for a human means.
        timeout_seconds: Seconds it may take, without the time in which it waits for a human; None for any number.
        poll_interval_seconds: Seconds between two polls, at most.

    Raises:
        InvalidInputError: `on_review` is not one of its values, or the interval is not more than 0.
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
        self.on_tick = interruption_here()
        """Called every second during the wait; None where nothing could interrupt it."""
        self._on_review = "wait" if on_review == "wait" else "return"
        self._timeout = timeout_seconds
        self._since: float | None = None
        """When the clock was last read; None before it runs."""
        self._is_asked = False

    def arguments(self) -> dict[str, Any]:
        """Return the arguments, with the rest of the time."""
        self._pass_time()
        return {
            "timeout": self._timeout,
            "poll": self._poll,
            "on_review": self._on_review,
            "on_change": self._saw,
            "on_outage": self._log_outage,
            "on_tick": self.on_tick,
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
    """Refuse the arguments of a wait before its run is created.

    Raises:
        InvalidInputError: The interval is not a time, or the nodes are not node ids; the message names the argument.
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
    """Return a callback that logs the begin and the end of an outage, once each."""

    def _log(error: ApiError | None) -> None:
        if error is None:
            logger.warning("Run %s can be polled again", run_id)
        else:
            logger.warning("Run %s cannot be polled, trying on: %s", run_id, error)

    return _log


def outcome_of(run: WorkflowRun, on_review: OnReview) -> WorkflowRun:
    """Return the settled run of a wait, or raise if its state is a failure.

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
    """Return the error of a wait whose run was to be cancelled at its deadline."""
    if run.is_cancel_refused:
        return WaitTimeoutError(f"{expired} It could not be cancelled: Retab refused", run=run, run_id=run.id)
    state = expired.run.status_name if expired.run is not None else "not to be seen"
    return WaitTimeoutError(
        f"run {run.id} was still {state} at the end of timeout_seconds, and was cancelled; give it more time, or let "
        "it go on with cancel_on_timeout=False",
        run=run,
    )


def cancel_failed_error(expired: WaitTimeoutError, refused: ApiError) -> WaitTimeoutError:
    """Return the error of a wait whose run could not be cancelled at its deadline."""
    return WaitTimeoutError(
        f"{expired} It could not be cancelled: {refused}", run=expired.run, run_id=expired.run_id
    )
