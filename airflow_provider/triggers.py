"""RetabRunTrigger: waits for one run off the worker and fires one event; never a blocking call."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider._arguments import OnReview
from airflow_provider._cancelling.cancel import (
    TRIGGERS_ARE_KILLED,
    cancel_if_stopped,
    cancel_interrupted,
    is_inline,
)
from airflow_provider._core import core, import_core
from airflow_provider._waiting.deadlines import Visibility, Watch
from airflow_provider._waiting.events import (
    OUT_OF_TIME,
    TIMEOUT,
    WAIT_FAILED,
    log_outage,
    log_review,
    poll_policy,
)
from airflow_provider.hooks import RetabHook

if TYPE_CHECKING:
    from retab_orchestration import ApiError, AsyncRetabClient, AuthenticationError, RetabError, WorkflowRun
    from retab_orchestration.policies import KeyRefusals

# Airflow 3.3 fails a task that is resumed before its executor has reported the end of the deferring process. Its
# supervisor may notice that end [workers] min_heartbeat_interval (5 s) late; twice that is safe.
SHORTEST_DEFERRAL = 10.0
"""Seconds from the deferral to the event, at least."""

# Seconds after a strict deadline for the answer to the last poll, which is made at the deadline itself.
_GRACE = 5.0

_NO_LIMIT = nullcontext()


_ARGUMENTS = (
    "run_id",
    "retab_conn_id",
    "deadline",
    "strict_deadline",
    "not_before",
    "poll_interval",
    "on_review",
    "watch",
    "cancel_on_kill",
    "nodes",
    "not_found_until",
)


class _ReviewMovedError(Exception):
    """One review has followed another, which ends a wait for the end of the first one."""

    def __init__(self, run: "WorkflowRun") -> None:
        super().__init__(run.id)
        self.run = run


class RetabRunTrigger(BaseTrigger):
    """Waits until a run has ended, or waits for a human, or a deadline has passed.

    Args:
        run_id: The run.
        retab_conn_id: The connection; never a key.
        deadline: Seconds since the epoch; None for no limit. A review moves it.
        strict_deadline: Seconds since the epoch; a review does not move it.
        not_before: Seconds since the epoch before which no event fires.
        poll_interval: Seconds between two polls, at most; twice that during a review.
        on_review: `wait` goes on during a review, anything else fires then.
        watch: What else fires: `review_begin`, a review; `review_end`, the end of a review, or one at other nodes than
            `nodes`; `end`, nothing.
        cancel_on_kill: Whether to cancel the run when the task is stopped; only for the task that has started it.
        nodes: The nodes of the review that the task knows; None where it does not say.
        not_found_until: Seconds since the epoch until which a 404 is forgiven; None for a minute from the first poll.
    """

    def __init__(
        self,
        run_id: str,
        *,
        retab_conn_id: str = RetabHook.default_conn_name,
        deadline: float | None = None,
        strict_deadline: float | None = None,
        not_before: float = 0.0,
        poll_interval: float = 30.0,
        on_review: OnReview = "return",
        watch: str | None = None,
        cancel_on_kill: bool = False,
        nodes: Sequence[str] | None = None,
        not_found_until: float | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id = run_id
        self.retab_conn_id = retab_conn_id
        self.deadline = deadline
        self.strict_deadline = strict_deadline
        self.not_before = not_before
        self.poll_interval = poll_interval
        self.on_review = on_review
        self.watch = None if watch is None else str(watch)
        self.cancel_on_kill = cancel_on_kill
        self.nodes = None if nodes is None else list(nodes)
        self.not_found_until = not_found_until
        self._visibility = Visibility()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that rebuild this trigger in any triggerer."""
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in _ARGUMENTS
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire one event, `{"run_id", "status"}`.

        The status is the run's; or `timeout` or `out_of_time`, as either deadline passed; or `wait_failed`, with a
        `message`, and `is_final` where another attempt would fail as well.
        """
        held_until = time.monotonic() + self._held_for()
        try:
            try:
                outcome = await self._outcome()
            except _ReviewMovedError as moved:
                outcome = _seen(moved.run, self._visibility.news_since)
            # The polls of others, or a connection that is wrong, may have told sooner.
            await asyncio.sleep(held_until - time.monotonic())  # noqa: TID251  the event is there
        except asyncio.CancelledError:
            if is_inline():
                if self.cancel_on_kill:
                    await cancel_interrupted(self.retab_conn_id, self.run_id)
            elif not TRIGGERS_ARE_KILLED:  # Airflow does not call it
                await self.on_kill()
            raise
        yield TriggerEvent({"run_id": self.run_id, **outcome})

    async def on_kill(self) -> None:
        """Cancel the run if the task was stopped; Airflow also calls this when it only moves the trigger."""
        if self.cancel_on_kill and self.task_instance is not None:
            await cancel_if_stopped(
                self.task_instance, self.retab_conn_id, self.run_id, spare_review=self.on_review != "wait"
            )

    def _held_for(self) -> float:
        """Return the seconds in which no event fires; a clock that is far off makes them no more than usual."""
        return min(max(self.not_before - time.time(), 0.0), SHORTEST_DEFERRAL)

    async def _outcome(self) -> dict[str, Any]:
        # A thousand of these wait in one process, so there are as few coroutines, timers and loggers as possible.
        await import_core()

        hook, refusals = RetabHook(self.retab_conn_id), None
        limit: asyncio.Timeout | None = None
        while True:
            try:
                async with await hook.aget_conn_through_outages() as client:
                    first = self._held_for()
                    left = await self._seconds_left(client)
                    strict = None if self.strict_deadline is None else self.strict_deadline - time.time()
                    nearest = min((each for each in (left, strict) if each is not None), default=None)
                    limit = None if strict is None else asyncio.timeout(max(strict, first) + _GRACE)
                    async with limit or _NO_LIMIT:
                        run = await client.wait_for_run(
                            self.run_id,
                            # At least one poll, and not before `first`: a run that ended in time must not be late
                            # because of us.
                            timeout=None if nearest is None else max(nearest, first, 0.001),
                            poll=poll_policy(self.poll_interval, first, self.not_found_until),
                            on_review=self._until(),
                            outputs=False,
                            on_change=partial(self._log_change, hook),
                            on_outage=self._log_outage,
                        )
            except core.WaitTimeoutError:
                return {"status": TIMEOUT if nearest == left else OUT_OF_TIME, **self._known()}
            except TimeoutError:
                return _out_of_time(limit, self.retab_conn_id)
            except core.AuthenticationError as error:
                refusals = refusals or core.policies.KeyRefusals()
                self._visibility.outage_changed(is_lost=True, now=time.time())
                if (wrong := await _after_refusal(hook, refusals, error)) is not None:
                    return {**wrong, **self._known()}
            except core.RetabError as error:
                return {**_failed(error, self.retab_conn_id), **self._known()}
            else:
                return _seen(run, self._visibility.news_since)

    def _known(self) -> dict[str, Any]:
        """Return when the run was last seen, for an event without a state."""
        return _since(self._visibility.known_until(time.time()))

    def _until(self) -> Literal["return", "wait", "until_decided"]:
        """Return the `on_review` of the client's wait."""
        if self.watch == Watch.REVIEW_END:
            return "until_decided"
        return "wait" if self.on_review == "wait" and self.watch != Watch.REVIEW_BEGIN else "return"

    async def _seconds_left(self, client: "AsyncRetabClient") -> float | None:
        if self.deadline is None:
            return None
        left = self.deadline - time.time()
        if self.on_review == "wait" and self.watch is None:
            # Deferred by an older version, before the clock was ours. Another triggerer may have seen the review begin.
            left += await _seconds_in_review(client, self.run_id)
        return left

    def _log_change(self, hook: RetabHook, run: "WorkflowRun") -> None:
        self._visibility.changed(time.time())
        if not run.is_waiting:
            self.logger().info("Run %s is %s", run.id, run.status_name)
            return
        nodes = list(run.waiting_for_node_ids)
        url = hook.run_url(run.workflow_id, run.id)
        log_review(self.logger(), run, url, is_news=not self.nodes or self.nodes != nodes)
        if self.watch == Watch.REVIEW_END and self.nodes and nodes and self.nodes != nodes:
            raise _ReviewMovedError(run)

    def _log_outage(self, error: "ApiError | None") -> None:
        self._visibility.outage_changed(is_lost=error is not None, now=time.time())
        log_outage(self.run_id, self.logger(), error)


async def _seconds_in_review(client: "AsyncRetabClient", run_id: str) -> float:
    """Return how long the run's reviews took, trying for as long as polls may fail."""
    policy = core.PollPolicy()
    budget = core.policies.ErrorBudget(policy.error_budget)
    while True:
        try:
            return (await client.get_run(run_id, outputs=False)).timing.human_waiting_duration_ms / 1000
        except core.RetabError as error:
            if not error.retryable or not budget.failed(core.policies.Trouble.OUTAGE, time.monotonic()):
                raise
            await asyncio.sleep(policy.gap_after_failure(budget.failures, chance=0.5))  # noqa: TID251


async def _after_refusal(
    hook: RetabHook, refusals: "KeyRefusals", error: "AuthenticationError"
) -> dict[str, Any] | None:
    """Wait until the key, or a new one, may be tried again; return the event if it is wrong."""
    pause = refusals.pause_after(time.monotonic(), is_changed=await hook.ahas_another_key())
    if pause is None:
        return _failed(hook.refused(error), hook.retab_conn_id)
    await asyncio.sleep(pause)  # noqa: TID251  nothing is being waited for meanwhile
    return None


def _out_of_time(limit: asyncio.Timeout | None, retab_conn_id: str) -> dict[str, Any]:
    """Return the event for a deadline that has passed: the task's, or that of a secrets backend."""
    if limit is not None and limit.expired():
        return {"status": OUT_OF_TIME}
    message = (
        f"connection {retab_conn_id!r} was not read in time; see that it exists, and look at the secrets backend that "
        "keeps it"
    )
    return {"status": WAIT_FAILED, "message": message, "is_final": False}


def _seen(run: "WorkflowRun", since: float | None) -> dict[str, Any]:
    nodes = list(run.waiting_for_node_ids)
    return {
        "status": run.status.value,
        "waiting_for_node_ids": nodes,
        "at": time.time(),
        **_since(since),
    }


def _since(moment: float | None) -> dict[str, float]:
    # Where this trigger has not seen the run before, the task knows when it was seen.
    return {} if moment is None else {"since": moment}


def _failed(error: "RetabError", retab_conn_id: str) -> dict[str, Any]:
    from airflow_provider._errors import final_error

    message = str(final_error(error, retab_conn_id))
    return {"status": WAIT_FAILED, "message": message, "is_final": not error.retryable}
