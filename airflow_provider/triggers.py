"""RetabRunTrigger: waits for one run off the worker and fires one event; never a blocking call."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider.hooks import RetabHook, import_core
from airflow_provider.inputs import OnReview
from airflow_provider.outcomes import TIMEOUT, WAIT_FAILED, poll_policy

if TYPE_CHECKING:
    from retab_orchestration import AsyncRetabClient, WorkflowRun

# Airflow 3.3 fails a task that is resumed before its executor has reported that the deferring process ended. Its
# supervisor may notice that end as late as [workers] min_heartbeat_interval (5 s) after it; twice that is safe.
SHORTEST_DEFERRAL = 10.0
"""Seconds from the deferral to the event, at least."""

# Seconds past a strict deadline in which the last look, which is at the deadline itself, may still be answered.
_GRACE = 5.0


class RetabRunTrigger(BaseTrigger):
    """Waits until a run has ended, or waits for a human, or a deadline has passed.

    Args:
        run_id: The run.
        retab_conn_id: The connection; never a key.
        deadline: Seconds since the epoch; None waits as long as it takes.
        not_before: Seconds since the epoch before which no event fires.
        poll_interval: Seconds between two looks, at most; twice that while a human is asked.
        on_review: `wait` goes on while a human is asked, anything else fires then.
        pause_in_review: Whether the time in which a human is asked moves the deadline.
    """

    def __init__(
        self,
        run_id: str,
        *,
        retab_conn_id: str = RetabHook.default_conn_name,
        deadline: float | None = None,
        not_before: float = 0.0,
        poll_interval: float = 30.0,
        on_review: OnReview = "return",
        pause_in_review: bool = True,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.run_id = run_id
        self.retab_conn_id = retab_conn_id
        self.deadline = deadline
        self.not_before = not_before
        self.poll_interval = poll_interval
        self.on_review = on_review
        self.pause_in_review = pause_in_review

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments that rebuild this trigger in any triggerer."""
        names = (
            "run_id",
            "retab_conn_id",
            "deadline",
            "not_before",
            "poll_interval",
            "on_review",
            "pause_in_review",
        )
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in names
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Fire one event, `{"run_id", "status"}`: the run's status, or `timeout`, or `wait_failed` and a `message`."""
        yield TriggerEvent({"run_id": self.run_id, **await self._outcome()})

    async def _outcome(self) -> dict[str, Any]:
        await import_core()
        from retab_orchestration import RetabError, WaitTimeoutError

        try:
            async with await RetabHook(self.retab_conn_id).aget_conn() as client:
                run = await self._wait(client)
        except (WaitTimeoutError, TimeoutError):
            return {"status": TIMEOUT}
        except RetabError as error:
            return {"status": WAIT_FAILED, "message": str(error)}
        return {"status": run.status.value, "waiting_for_node_ids": list(run.waiting_for_node_ids)}

    async def _wait(self, client: "AsyncRetabClient") -> "WorkflowRun":
        first = min(max(self.not_before - time.time(), 0.0), SHORTEST_DEFERRAL)
        left = await self._seconds_left(client)
        # At least one look, and not before `first`: a run that ended in time is not late because we are.
        limit = None if left is None else max(left, first, 0.001)
        strict = None if limit is None or self.pause_in_review else limit + _GRACE
        async with asyncio.timeout(strict):
            return await client.wait_for_run(
                self.run_id,
                timeout=limit,
                poll=poll_policy(self.poll_interval, first=first),
                on_review="wait" if self.on_review == "wait" else "return",
                outputs=False,
                on_change=self._log_change,
            )

    async def _seconds_left(self, client: "AsyncRetabClient") -> float | None:
        if self.deadline is None:
            return None
        left = self.deadline - time.time()
        if self.on_review == "wait" and self.pause_in_review:
            # This may be another triggerer than the one that saw the review begin.
            timing = (await client.get_run(self.run_id, outputs=False)).timing
            left += timing.human_waiting_duration_ms / 1000
        return left

    def _log_change(self, run: "WorkflowRun") -> None:
        self.log.info("Run %s is %s", run.id, run.status_name)
