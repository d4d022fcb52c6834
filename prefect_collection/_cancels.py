"""Cancelling runs and test runs at Retab by their ids, and what is told of those that could not be cancelled."""

import asyncio
from dataclasses import dataclass

from prefect_collection._waiting import run_logger
from retab_orchestration import AsyncRetabClient, NotFoundError, RetabError, WorkflowRun

__all__ = ["OUTAGE", "PAUSES", "Problem", "cancel_runs", "cancel_test_runs"]

_AT_ONCE = 10
PAUSES = (5.0, 10.0, 20.0, 40.0, 75.0, 150.0, 300.0)
"""Seconds between two tries during an outage: ten minutes in all, as long as a wait would go on."""
OUTAGE = sum(PAUSES)
# Seconds for which a run is asked for again that is not found, as by a wait: it may be too new for a replica.
_NOT_FOUND = 60.0


@dataclass(frozen=True)
class Problem:
    """A run that could not be cancelled."""

    text: str
    may_pass_for: float = 0.0
    """Seconds from the first request on for which another one may succeed."""

    @classmethod
    def of(cls, run: str, error: RetabError) -> "Problem":
        """Return what an error means for a run."""
        passes = _NOT_FOUND if isinstance(error, NotFoundError) else OUTAGE if error.retryable else 0.0
        return cls(f"{run}: {error}", passes)


async def cancel_runs(client: AsyncRetabClient, run_ids: set[str], problems: list[Problem]) -> list[str]:
    """Cancel those of the runs that have not ended; return their ids, and add what could not be cancelled."""
    turns, answered = asyncio.Semaphore(_AT_ONCE), list[bool]()  # for each run, whether Retab has answered

    async def cancel(run_id: str) -> WorkflowRun | None:
        async with turns:
            if len(answered) >= _AT_ONCE and not any(answered):
                problems.append(Problem(f"{run_id}: Retab does not answer", OUTAGE))
                return None
            try:
                run = await client.get_run(run_id, outputs=False)
                last = None if run.is_terminal else await client.cancel_run(run_id)
            except RetabError as error:
                problems.append(problem := Problem.of(run_id, error))
                answered.append(problem.may_pass_for < OUTAGE)
                return None
            answered.append(True)
            return last

    answers = [run for run in await asyncio.gather(*map(cancel, sorted(run_ids))) if run is not None]
    problems += [Problem(f"{run.id}: Retab refused") for run in answers if run.is_cancel_refused]
    requested = [run.id for run in answers if not run.is_cancel_refused]
    for run_id in requested:
        run_logger().info("Cancelled run %s", run_id)
    return requested


async def cancel_test_runs(
    client: AsyncRetabClient, test_run_ids: set[str], problems: list[Problem]
) -> list[str]:
    """Do what `cancel_runs` does, with test runs, of which a flow run has few."""
    requested: list[str] = []
    for test_run_id in sorted(test_run_ids):
        try:
            if not (await client.get_test_run(test_run_id)).is_terminal:
                await client.cancel_test_run(test_run_id)
                requested.append(test_run_id)
                run_logger().info("Cancelled test run %s", test_run_id)
        except RetabError as error:
            problems.append(Problem.of(test_run_id, error))
    return requested
