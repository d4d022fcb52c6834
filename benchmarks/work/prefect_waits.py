"""Part 6: many waits in one flow, ours and prefect-databricks', and what as many tasks cost that do nothing."""

import asyncio
import json
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import urlsplit

from benchmarks.work.meters import resident

Flow = Callable[[], Awaitable[Any]]
Waits = Callable[[dict[str, Any]], Flow]
"""From the spec to a flow."""


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Run one flow and return what its process used, second by second.

    Args:
        spec: `side` (`ours`, `databricks` or `nothing`), `url`, `count`, `first`, `interval` (seconds), `seconds` from
            the start of the flow until all runs end.
    """
    flow = SIDES[spec["side"]](spec)
    samples: list[tuple[float, float]] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(0.5):
            samples.append((time.monotonic(), time.process_time()))

    if spec["side"] != "nothing":
        _plan_end(spec)
    memory, cpu, began = resident(), time.process_time(), time.monotonic()
    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    asyncio.run(_run(flow))
    used, ended = time.process_time() - cpu, time.monotonic()
    over.set()
    sampler.join()
    return {
        "cpu": used,
        "began": began,
        "ended": ended,
        "samples": samples,
        "resident": resident() - memory,
    }


async def _run(flow: Flow) -> None:
    await flow()


def _plan_end(spec: dict[str, Any]) -> None:
    body = json.dumps({"after": spec["seconds"], "over": 0.01}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(f"{spec['url']}/_bench/end", body, timeout=10).close()


def _numbers(spec: dict[str, Any]) -> range:
    return range(spec["first"], spec["first"] + spec["count"])


def _ours(spec: dict[str, Any]) -> Flow:
    from prefect import flow

    from prefect_collection import RetabCredentials
    from prefect_collection.tasks import await_for_run

    account = RetabCredentials(api_key="rt_test_bench", base_url=spec["url"])

    @flow
    async def waits() -> None:
        await asyncio.gather(
            *(
                await_for_run(f"run_{number}", poll_interval_seconds=spec["interval"], credentials=account)
                for number in _numbers(spec)
            )
        )

    return cast("Flow", waits)


def _databricks(spec: dict[str, Any]) -> Flow:
    """Its client speaks https only; here it speaks plain http, once it has been made as ever."""
    from httpx import AsyncClient
    from prefect import flow
    from prefect_databricks import DatabricksCredentials
    from prefect_databricks.flows import jobs_runs_wait_for_completion

    class Plain(DatabricksCredentials):
        _block_type_slug = "plain-databricks"

        def get_client(self) -> AsyncClient:
            client: AsyncClient = super().get_client()
            client.base_url = str(client.base_url).replace("https://", "http://", 1)
            return client

    account = Plain(databricks_instance=urlsplit(spec["url"]).netloc, token="token")  # noqa: S106

    @flow
    async def waits() -> None:
        await asyncio.gather(
            *(
                jobs_runs_wait_for_completion(
                    multi_task_jobs_runs_id=number,
                    databricks_credentials=account,
                    poll_frequency_seconds=int(spec["interval"]),
                )
                for number in _numbers(spec)
            )
        )

    return cast("Flow", waits)


def _nothing(spec: dict[str, Any]) -> Flow:
    from prefect import flow, task

    @task
    async def nothing(number: int) -> int:
        return number

    @flow
    async def waits() -> None:
        await asyncio.gather(*(nothing(number) for number in range(spec["count"])))

    return cast("Flow", waits)


SIDES: dict[str, Waits] = {"ours": _ours, "databricks": _databricks, "nothing": _nothing}
