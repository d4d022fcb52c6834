"""Part 9: many creates in one flow, ours and a persisted task that calls the client and records nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

Create = Callable[[str], Awaitable[str]]


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Run a flow for each side, by turns, and return the seconds and the CPU seconds that one create took in each.

    Args:
        spec: `url`, `count`, `turns`, `document` (a path), `at_once` (whether the creates of a flow are gathered, or
            awaited one after the other).
    """
    return asyncio.run(_measured(spec))


async def _measured(spec: dict[str, Any]) -> dict[str, Any]:
    from prefect_collection import RetabCredentials

    account = RetabCredentials(api_key="rt_test_bench", base_url=spec["url"])
    found: dict[str, Any] = {"wall": {}, "cpu": {}, "runs": 0}
    async with account.get_async_client() as client:
        sides: dict[str, Create] = {"bare": _bare(client), "ours": _ours(account)}
        for side, create in sides.items():
            await _flow(create, {**spec, "count": 5}, f"warm-{side}")
        for turn in range(spec["turns"]):
            # The server of Prefect has more to do with each flow: each side is the first as often as the other.
            for side in sorted(sides, reverse=bool(turn % 2)):
                wall, cpu, runs = await _flow(sides[side], spec, f"{side}-{turn}")
                found["wall"].setdefault(side, []).append(wall / spec["count"])
                found["cpu"].setdefault(side, []).append(cpu / spec["count"])
                found["runs"] += runs
    return found


async def _flow(create: Create, spec: dict[str, Any], name: str) -> tuple[float, float, int]:
    from prefect import flow

    paths = _written(Path(spec["document"]), name, spec["count"])

    @flow
    async def creates() -> tuple[float, float, int]:
        began, used = time.monotonic(), time.process_time()
        if spec["at_once"]:
            run_ids = await asyncio.gather(*(create(str(path)) for path in paths))
        else:
            run_ids = [await create(str(path)) for path in paths]
        return time.monotonic() - began, time.process_time() - used, len(set(run_ids))

    measured: tuple[float, float, int] = await creates()
    return measured


def _written(document: Path, name: str, count: int) -> list[Path]:
    """Write documents that are like one and differ."""
    folder = document.parent / name
    folder.mkdir()
    paths = [folder / f"{number}.txt" for number in range(count)]
    for path in paths:
        path.write_bytes(document.read_bytes() + path.name.encode())
    return paths


def _ours(account: Any) -> Create:
    from prefect_collection import acreate_run

    return lambda path: acreate_run("wf_invoice", documents={"start-node-1": path}, credentials=account)


def _bare(client: Any) -> Create:
    from prefect import task
    from prefect.cache_policies import NO_CACHE

    @task(persist_result=True, cache_policy=NO_CACHE)
    async def create(path: str) -> str:
        run = await client.create_run("wf_invoice", documents={"start-node-1": Path(path)})
        return str(run.id)

    return cast("Create", create)
