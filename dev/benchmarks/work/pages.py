"""What a page of a hundred runs costs before anybody looks at it: httpx alone, and reading its JSON."""

import asyncio
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

ROWS = 100
PAGES, TIMES = 40, 5


def main(spec: dict[str, Any]) -> dict[str, float]:
    """Fetch pages from `url` and return CPU microseconds a row: `httpx`, and `json` on top of that."""
    return asyncio.run(_measure(spec["url"]))


async def _measure(url: str) -> dict[str, float]:
    async with httpx.AsyncClient() as client:

        async def fetch() -> bytes:
            headers = {"authorization": "Bearer rt_test_bench"}
            answer = await client.get(f"{url}/v1/workflows/runs?limit={ROWS}&order=desc", headers=headers)
            return answer.content

        page = await fetch()

        async def read() -> None:
            json.loads(page)

        return {"httpx": await _cost(fetch), "json": await _cost(read)}


async def _cost(work: Callable[[], Awaitable[object]]) -> float:
    taken = []
    for _ in range(TIMES):
        before = time.process_time()
        for _ in range(PAGES):
            await work()
        taken.append((time.process_time() - before) / PAGES / ROWS * 1e6)
    return statistics.median(taken)
