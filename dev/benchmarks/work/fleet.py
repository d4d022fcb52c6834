"""Part 8: one of several processes that wait for their share of an organisation's runs, and one that looks on."""

import asyncio
import contextlib
import gc
import json
import os
import time
from pathlib import Path
from typing import Any

from dev.benchmarks.work.meters import Collector, Heartbeat, resident

_MOMENTS = ("steady", "ending", "end")


def main(spec: dict[str, Any]) -> dict[str, Any]:
    """Wait for runs and return what that cost, and when each end was noticed.

    Args:
        spec: `url`, `runs` (a file with their numbers), `share` (which part of them, `[2, 4]` is the third of four),
            `interval` (seconds), and on `time.monotonic`: `begin`, `steady`, `ending` and `end`. Without `share` it
            only tells what the server and the whole machine use meanwhile.
    """
    # Several of these share the machine, so none keeps to one core.
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    if "share" not in spec:
        return {"samples": [_look_on(spec[moment]) for moment in _MOMENTS]}
    place, of = spec["share"]
    numbers = json.loads(Path(spec["runs"]).read_text())[place::of]
    return asyncio.run(_measure(spec, numbers, place))


async def _measure(spec: dict[str, Any], numbers: list[int], place: int) -> dict[str, Any]:
    from retab_orchestration import AsyncRetabClient, PollPolicy

    noticed: dict[int, float] = {}
    states: dict[str, int] = {}
    heart, collector = Heartbeat(), Collector()
    async with AsyncRetabClient("rt_test_bench", spec["url"]) as client:
        poll = PollPolicy(interval=spec["interval"])

        async def wait(number: int) -> None:
            run = await client.wait_for_run(f"run_{number}", outputs=False, poll=poll)
            noticed[number] = time.monotonic()
            states[run.status_name] = states.get(run.status_name, 0) + 1

        await _until(spec["begin"])
        gc.collect()
        before = resident()
        waits = []
        for number in numbers:
            waits.append(asyncio.create_task(wait(number)))
            await asyncio.sleep(0)
        samples = []
        # The heartbeat costs CPU itself, so blocks are looked for while the runs end, and in one process of them all.
        for moment in _MOMENTS:
            await _until(spec[moment])
            samples.append({"at": time.monotonic(), "cpu": time.process_time(), "memory": resident()})
            if moment == "ending" and place == 0:
                heart.start()
        done, left = await asyncio.wait(waits, timeout=0)
        for each in left:
            each.cancel()
        await asyncio.gather(*left, return_exceptions=True)
    failures = [str(error)[:200] for each in done if (error := each.exception()) is not None]
    span = (spec["ending"], spec["end"])
    return {
        "noticed": noticed,
        "states": states,
        "left": len(left),
        "failures": len(failures),
        "failed": failures[:3],
        "before": before,
        "samples": samples,
        "block": heart.longest(*span),
        "collector": collector.longest(*span),
    }


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))


def _look_on(moment: float) -> dict[str, float | None]:
    """Return at a moment the CPU seconds of the server, and those of the machine that nobody has used."""
    time.sleep(max(0.0, moment - time.monotonic()))
    found = [each for each in Path("/proc").glob("[0-9]*") if _is_our_server(each)]
    tick = os.sysconf("SC_CLK_TCK")
    server = sum(sum(int(word) for word in _stat(each)[11:13]) / tick for each in found)
    machine = Path("/proc/stat")
    idle = machine.read_text().split()[4:6] if machine.exists() else []
    return {
        "at": time.monotonic(),
        "server": server if found else None,
        "idle": sum(int(word) for word in idle) / tick if idle else None,
    }


def _is_our_server(process: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        return b"dev.benchmarks.server" in words and int(_stat(process)[1]) == os.getppid()
    except (OSError, IndexError):
        return False


def _stat(process: Path) -> list[str]:
    return (process / "stat").read_text().rpartition(")")[2].split()
