"""Part 3: how often each looks at a run, and how late it notices its end, as it comes: in virtual time."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from dev.benchmarks.server.protocol import listen
from dev.benchmarks.server.runs import FIRST, Plan, Runs
from dev.benchmarks.server.site import Site
from dev.benchmarks.work.triggers import SIDES, connect, is_good
from dev.benchmarks.work.virtual import Clock, VirtualLoop

Wait = Callable[[int], Awaitable[None]]
"""Waits for the run of a number."""


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Wait for runs one after the other, or for many at once, and return every request and every lag.

    Args:
        spec: `side`; `interval` (seconds) where it has one; and either `runs`, a list of the seconds that each of them
            takes, or `crowd` runs that all take `seconds`.
    """
    random.seed(4711)
    clock = Clock()
    site = Site(clock.now, clock.wall)
    # Airbyte's trigger blocks the loop while it asks, so for it the server needs a loop of its own.
    apart = spec["side"] == "airbyte"
    port = _serve_apart(site) if apart else 0
    clock.install()
    loop = VirtualLoop(clock)
    return loop.run_until_complete(_measure(spec, site, clock, port))


def _serve_apart(site: Site) -> int:
    ready = threading.Event()
    ports: list[int] = []

    async def serve() -> None:
        server = await listen(lambda: site)
        ports.append(server.sockets[0].getsockname()[1])
        ready.set()
        await server.serve_forever()

    threading.Thread(target=asyncio.run, args=(serve(),), daemon=True).start()
    ready.wait(30)
    return ports[0]


async def _measure(spec: dict[str, Any], site: Site, clock: Clock, port: int) -> dict[str, Any]:
    if not port:
        server = await listen(lambda: site)
        port = server.sockets[0].getsockname()[1]
    async with _waiting(spec, f"http://127.0.0.1:{port}") as wait:
        # What is found out or imported once in a process is no part of waiting for a run.
        await _one(site, clock, wait, 1.0)
        if "crowd" in spec:
            return await _crowd(site, clock, wait, spec["crowd"], spec["seconds"])
        return {"runs": [await _one(site, clock, wait, seconds) for seconds in spec["runs"]]}


async def _one(site: Site, clock: Clock, wait: Wait, seconds: float) -> dict[str, float]:
    site.runs = Runs(Plan(watched=1, age=0.0, lasting=seconds), clock=clock.now, wall=clock.wall)
    site.forget()
    await wait(FIRST)
    return {
        "seconds": seconds,
        "requests": len(site.kinds),
        "lag": clock.now() - site.runs.ends[FIRST],
    }


async def _crowd(site: Site, clock: Clock, wait: Wait, count: int, seconds: float) -> dict[str, Any]:
    site.runs = Runs(Plan(watched=count, age=1.0, lasting=seconds), clock=clock.now, wall=clock.wall)
    site.forget()
    began = clock.now()
    lags = []

    async def one(number: int) -> None:
        await wait(number)
        lags.append(clock.now() - site.runs.ends[number])

    await asyncio.gather(*(one(number) for number in site.runs.watched))
    return {"moments": [round(moment - began, 3) for moment in site.moments], "lags": lags}


@asynccontextmanager
async def _waiting(spec: dict[str, Any], url: str) -> AsyncIterator[Wait]:
    side = spec["side"]
    if side in {"client", "fixed"}:
        async with _core(url) if side == "client" else _fixed(url, spec["interval"]) as wait:
            yield wait
        return
    connect(url)
    make = SIDES[side]()

    async def fire(number: int) -> None:
        async for event in make(number, spec["interval"]).run():
            if not is_good(event):
                raise RuntimeError(f"{side} said {event.payload}")

    yield fire


@asynccontextmanager
async def _core(url: str) -> AsyncIterator[Wait]:
    """Our client, with nothing set."""
    from retab_orchestration import AsyncRetabClient

    async with AsyncRetabClient("rt_test_bench", url) as client:

        async def wait(number: int) -> None:
            run = await client.wait_for_run(f"run_{number}", outputs=False)
            run.raise_for_status()

        yield wait


@asynccontextmanager
async def _fixed(url: str, interval: float) -> AsyncIterator[Wait]:
    """What one writes oneself: look, sleep, look again."""
    import httpx

    async with httpx.AsyncClient(base_url=url) as client:

        async def wait(number: int) -> None:
            while True:
                run = (await client.get(f"/v1/workflows/runs/run_{number}")).json()
                if run["lifecycle"]["status"] == "completed":
                    return
                await asyncio.sleep(interval)

        yield wait
