"""Waits of one account in one event loop, where the answers about one run are bad: that costs nobody else anything."""

import asyncio
import time

import pytest

from retab_orchestration import AsyncRetabClient, WorkflowRun
from tests.hostile.answers import said
from tests.hostile.core.clients import ONCE, SOON
from tests.hostile.harness import Case
from tests.hostile.lost import LOST, SLOW
from tests.hostile.retab import good, page, run

OTHERS = [f"run_good_{number}" for number in range(9)]
# Seconds in which every other run is to be seen as completed; a look at one of those takes no time.
AT_ONCE = 8.0


def answered(answer):
    def look(request, _):
        return answer if request.path.endswith("run_bad") else good(request)

    return {"look": look, "list": said(200, page(run()))}


def waiting(timeout):
    async def waits(world):
        settings = {"api": "current", "auth": "bearer", "timeout": timeout, "retry": ONCE}
        async with AsyncRetabClient(world.key, world.url, **settings) as client:

            async def wait(run_id):
                found = await client.wait_for_run(run_id, timeout=2, poll=SOON, outputs=False)
                return found, time.monotonic() - began

            began = time.monotonic()
            bad = asyncio.create_task(wait("run_bad"))
            found = await asyncio.gather(*map(wait, OTHERS), return_exceptions=True)
            await asyncio.gather(bad, return_exceptions=True)
            return found

    return lambda world: asyncio.run(waits(world))


def are_unharmed(found, _):
    """Whether each of the others has its own run, in time."""
    if not all(isinstance(each, tuple) and isinstance(each[0], WorkflowRun) for each in found):
        return False
    return [each.id for each, _ in found] == OTHERS and all(seconds < AT_ONCE for _, seconds in found)


def cases():
    for name, answer in LOST.items():
        yield Case(name, waiting(5.0), answered(answer), right=are_unharmed, seconds=20.0)
    for name, answer in SLOW.items():
        yield Case(name, waiting(0.5), answered(answer), right=are_unharmed, seconds=20.0)


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_a_neighbour(case, check):
    check(case)
