"""Part 1, one cell: so many triggers of one provider in one loop, steady and then with their runs ending."""

import asyncio
import gc
import json
import time
import tracemalloc
from typing import Any
from urllib.parse import urlsplit

from dev.benchmarks.work.meters import Collector, Heartbeat, peak_since_reset, reset_peak, resident
from dev.benchmarks.work.triggers import SIDES, Make, connect, is_good


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Wait for runs and return what that cost.

    Args:
        spec: `url`, `control` (the address that takes commands), `side`, `count`, `first`, `interval` (seconds),
            `warmup` (seconds until it is steady), `intervals` (how many to measure), `ends_over` (seconds in which the
            runs end), `vanguard` (how many wait already when memory is first measured), and optionally `patience`
            (seconds that the last may take to be noticed), `start_at` (on `time.monotonic`), `trace` (whether to count
            the memory that Python allocates, which makes everything slow).
    """
    connect(spec["url"])
    make = SIDES[spec["side"]]()
    time.sleep(max(0.0, spec.get("start_at", 0.0) - time.monotonic()))
    return asyncio.run(_measure(make, spec))


class Waits:
    """Triggers that wait, and what they fired."""

    def __init__(self, make: Make, first: int, interval: float) -> None:
        self.noticed: dict[int, float] = {}
        """When each run's end was."""
        self.bad: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._make, self._first, self._interval = make, first, interval

    async def begin(self, count: int) -> None:
        """Let more begin, until there are so many."""
        while len(self.tasks) < count:
            self.tasks.append(asyncio.create_task(self._wait(self._first + len(self.tasks))))
            await asyncio.sleep(0)  # as a triggerer does

    async def _wait(self, number: int) -> None:
        async for event in self._make(number, self._interval).run():
            self.noticed[number] = time.monotonic()
            if not is_good(event):
                self.bad.append(str(event.payload)[:200])


async def _measure(make: Make, spec: dict[str, Any]) -> dict[str, Any]:
    heart, collector = Heartbeat(), Collector()
    waits = Waits(make, spec["first"], spec["interval"])
    if spec.get("trace"):
        tracemalloc.start()
    if spec["vanguard"]:
        await waits.begin(spec["vanguard"])
        await asyncio.sleep(2 * spec["interval"])
    gc.collect()
    reset_peak()
    before = resident(), tracemalloc.get_traced_memory()[0]
    began = time.monotonic()
    heart.start()
    await waits.begin(spec["count"])
    await asyncio.sleep(began + spec["warmup"] - spec["interval"] - time.monotonic())
    begun = time.monotonic()
    await asyncio.sleep(began + spec["warmup"] - time.monotonic())
    # What it costs to wait is measured without the heartbeat, how long the loop stands still before and after that.
    heart.stop()
    steady = await _samples(spec["intervals"], spec["interval"])
    peak = peak_since_reset(), tracemalloc.get_traced_memory()[1]
    gc.collect()
    after = resident(), tracemalloc.get_traced_memory()[0]
    await asyncio.sleep(0.1)  # the collection above is ours
    ending, used = time.monotonic(), time.process_time()
    heart.start()
    await _let_end(spec["control"], spec["ends_over"])
    patience = spec["ends_over"] + spec.get("patience", 6 * spec["interval"])
    done, _ = await asyncio.wait(waits.tasks, timeout=patience)
    failures = [error for each in done if (error := each.exception()) is not None]
    if failures:
        raise failures[0]
    return {
        "began": began,
        "steady": steady,
        "ending": ending,
        "ending_cpu": time.process_time() - used,
        "noticed": waits.noticed,
        "bad": waits.bad[:5],
        "bad_count": len(waits.bad),
        "resident": [before[0], after[0], peak[0]],
        "traced": [before[1], after[1], peak[1]],
        "blocks": {
            name: [heart.longest(start, end), collector.longest(start, end)]
            for name, start, end in (
                ("start", began, begun),
                ("steady", begun, steady[0][0]),
                ("ending", ending, time.monotonic()),
            )
        },
    }


async def _samples(count: int, apart: float) -> list[tuple[float, float]]:
    """Return moments and the CPU seconds used until then."""
    taken = [(time.monotonic(), time.process_time())]
    for number in range(1, count + 1):
        await asyncio.sleep(max(0.0, taken[0][0] + number * apart - time.monotonic()))
        taken.append((time.monotonic(), time.process_time()))
    return taken


async def _let_end(url: str, over: float) -> None:
    body = json.dumps({"after": 0.5, "over": over}).encode()
    reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
    head = f"POST /_bench/end HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await reader.read()
    writer.close()
