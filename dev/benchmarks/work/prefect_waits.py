"""Part 6: many waits in one flow, ours and prefect-databricks', and what as many tasks cost that do nothing."""

import asyncio
import json
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from dev.benchmarks.work.meters import resident

Wait = Callable[[int], Awaitable[Any]]


@dataclass
class Flow:
    """What is known of the one flow that runs, from its start on."""

    began: float = field(default_factory=time.monotonic)
    cpu: float = field(default_factory=time.process_time)
    memory: int = field(default_factory=resident)
    samples: list[tuple[float, float]] = field(default_factory=list)
    ended_well: int = 0
    failures: list[str] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        """Return all of it as JSON holds it."""
        return {
            "began": self.began,
            "ended": time.monotonic(),
            "cpu": time.process_time() - self.cpu,
            "resident": resident() - self.memory,
            "samples": self.samples,
            "ended_well": self.ended_well,
            "failed": len(self.failures),
            "failures": self.failures[:3],
        }


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Run one flow and return what its process used, twice a second.

    Args:
        spec: `side` (`ours`, `databricks` or `nothing`), `url`, `count`, `first`, `interval` (seconds), `over` (seconds
            in which the waits begin), `seconds` from the start of the flow until all runs end, `limit` (seconds, after
            which the flow is given up as it is).
    """
    wait = SIDES[spec["side"]](spec)
    if spec["side"] != "nothing":
        _plan_end(spec)
    flow = Flow()
    # A thread, for a flow that blocks its loop could not be given up from within.
    threading.Thread(target=_sample, args=(flow, spec["limit"]), daemon=True).start()
    asyncio.run(_run(wait, flow, spec))
    return flow.told()


def _sample(flow: Flow, limit: float) -> None:
    while time.monotonic() < flow.began + limit:
        flow.samples.append((time.monotonic(), time.process_time()))
        time.sleep(0.5)
    sys.stdout.write(f"\n{json.dumps(flow.told())}\n")
    sys.stdout.flush()
    os._exit(0)


async def _run(wait: Wait, seen: Flow, spec: dict[str, Any]) -> None:
    from prefect import flow

    async def one(place: int) -> None:
        await asyncio.sleep(spec["over"] * place / spec["count"])
        try:
            await wait(spec["first"] + place)
            seen.ended_well += 1
        except Exception as error:  # noqa: BLE001  it is part of the result
            seen.failures.append(f"{type(error).__name__}: {error}"[:200])

    @flow
    async def waits() -> None:
        await asyncio.gather(*(one(place) for place in range(spec["count"])))

    await waits()


def _plan_end(spec: dict[str, Any]) -> None:
    body = json.dumps({"after": spec["seconds"], "over": 0.01}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(f"{spec['url']}/_bench/end", body, timeout=10).close()


def _ours(spec: dict[str, Any]) -> Wait:
    from prefect_collection import RetabCredentials
    from prefect_collection.tasks import await_for_run

    account = RetabCredentials(api_key="rt_test_bench", base_url=spec["url"])
    return lambda number: await_for_run(
        f"run_{number}", poll_interval_seconds=spec["interval"], credentials=account
    )


def _databricks(spec: dict[str, Any]) -> Wait:
    """Its client speaks https only; here it speaks plain http, once it has been made as ever."""
    from httpx import AsyncClient
    from prefect_databricks import DatabricksCredentials
    from prefect_databricks.flows import jobs_runs_wait_for_completion

    class Plain(DatabricksCredentials):
        _block_type_slug = "plain-databricks"

        def get_client(self) -> AsyncClient:
            client: AsyncClient = super().get_client()
            client.base_url = str(client.base_url).replace("https://", "http://", 1)
            return client

    account = Plain(databricks_instance=urlsplit(spec["url"]).netloc, token="token")  # noqa: S106

    async def wait(number: int) -> None:
        await jobs_runs_wait_for_completion(
            multi_task_jobs_runs_id=number,
            databricks_credentials=account,
            poll_frequency_seconds=int(spec["interval"]),
        )

    return wait


def _nothing(_: dict[str, Any]) -> Wait:
    from prefect import task

    @task
    async def nothing(number: int) -> int:
        return number

    return cast("Wait", nothing)


SIDES: dict[str, Callable[[dict[str, Any]], Wait]] = {
    "ours": _ours,
    "databricks": _databricks,
    "nothing": _nothing,
}
