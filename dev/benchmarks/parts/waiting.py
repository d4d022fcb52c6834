"""Part 1: what it costs to wait for many runs in one event loop, ours and dbt Cloud's trigger."""

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from dev.benchmarks.lab import Lab, Server, median, share
from dev.benchmarks.part import Part, Plot, Results, Target, number, table

INTERVAL = 5.0
# So many wait already when memory is first measured, so that what a process needs once is not told as a run's.
VANGUARD = 100
SIDES = ("ours", "dbt")
NAMES = {"ours": "ours", "dbt": "dbt Cloud"}
# Ours looks often at first; its gaps have grown to 5 s after 17 s.
WARMUP = {"ours": 18.0, "dbt": 7.0}


@dataclass(frozen=True)
class Cell:
    """So many waiting runs with bodies of one size."""

    count: int
    body: int
    processes: int = 1
    """How often a fresh process measures it, each side."""
    intervals: int = 5
    """How many intervals each process measures."""
    tls: bool = False
    theirs: int = 5
    """How many intervals of the peer's are measured: fewer where it cannot keep up, none where that is known."""


# These cost so little that they are measured side by side.
SMALL = tuple(Cell(count, body) for count in (10, 100) for body in (400, 8_000, 200_000))
LARGE = (
    Cell(1_000, 400, processes=5, intervals=1, theirs=1, tls=True),
    Cell(1_000, 400),
    Cell(1_000, 8_000),
    Cell(1_000, 200_000, theirs=2),
    Cell(5_000, 400, theirs=2),
    Cell(5_000, 8_000, theirs=0),
)
TRACED = Cell(1_000, 400, intervals=1, theirs=1, tls=True)
QUICK = (Cell(50, 400, intervals=2, theirs=2), Cell(50, 400, intervals=2, theirs=2, tls=True))


def measure(lab: Lab) -> dict[str, Any]:
    """Measure every cell, ours and the peer's in turn."""
    pace = 0.2 if lab.quick else 1.0
    cells: list[dict[str, Any]] = []
    if not lab.quick:
        for side in SIDES:
            lab.say(f"{len(SMALL)} small cells side by side, {NAMES[side]}")
            cells += _together(lab, SMALL, side)
    for cell in QUICK if lab.quick else LARGE:
        sides = SIDES if cell.theirs else SIDES[:1]
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        for turn in range(lab.times(cell.processes)):
            for side in sides:
                over = " over TLS" if cell.tls else ""
                lab.say(
                    f"{cell.count} runs of {cell.body} bytes{over}, {NAMES[side]}, {turn + 1} of {cell.processes}"
                )
                found[side] += _alone(lab, cell, side, pace)
        cells += [_summary(cell, side, found[side]) for side in sides]
    traced = QUICK[0] if lab.quick else TRACED
    return {
        "interval": INTERVAL * pace,
        "cells": cells,
        "page": _page(lab),
        "traced": {side: _traced(lab, traced, side, pace) for side in SIDES},
        "traced_count": traced.count,
    }


def _page(lab: Lab) -> dict[str, float]:
    lab.say("a page of a hundred runs, with httpx alone")
    with lab.server() as server:
        server.plan(watched=1_000, body_bytes=400)
        found: dict[str, float] = lab.run(
            "bench-airflow", "pages", {"url": server.secure_url}, env=_trust(server)
        )
        return found


def _spec(server: Server, cell: Cell, side: str, pace: float) -> dict[str, Any]:
    server.plan(watched=cell.count, body_bytes=cell.body)
    intervals = cell.intervals if side == "ours" else cell.theirs
    return {
        "url": server.secure_url if cell.tls else server.url,
        "control": server.url,
        "side": side,
        "count": cell.count,
        "first": server.told()["first"],
        "interval": INTERVAL * pace,
        "warmup": WARMUP[side] * pace * (2 if cell.count > 1_000 else 1),
        "intervals": intervals,
        "ends_over": (2 if cell.count > 1_000 else 1) * INTERVAL * pace,
        "vanguard": _vanguard(cell),
    }


def _alone(lab: Lab, cell: Cell, side: str, pace: float) -> list[dict[str, Any]]:
    with lab.server() as server:
        spec = _spec(server, cell, side, pace)
        result = lab.run("bench-airflow", "waiting", spec, env=_trust(server))
        return [_read(spec, result, server.told())]


def _together(lab: Lab, cells: Sequence[Cell], side: str) -> list[dict[str, Any]]:
    """Measure several cells at the same time, each with a server of its own."""
    with ExitStack() as stack:
        servers = [stack.enter_context(lab.server()) for _ in cells]
        # Until all have imported what they need.
        start = {"start_at": time.monotonic() + 25.0}
        specs = [_spec(server, cell, side, 1.0) | start for server, cell in zip(servers, cells, strict=True)]
        results = lab.run_together("bench-airflow", "waiting", specs)
        return [
            _summary(cell, side, [_read(spec, result, server.told())])
            for cell, spec, result, server in zip(cells, specs, results, servers, strict=True)
        ]


def _traced(lab: Lab, cell: Cell, side: str, pace: float) -> list[float]:
    """Return the bytes per waiting run that Python itself allocated, at rest and at the peak."""
    with lab.server() as server:
        lab.say(f"memory of {cell.count} runs as Python counts it, {NAMES[side]}")
        spec = _spec(server, cell, side, pace) | {"trace": True, "ends_over": pace}
        result = lab.run("bench-airflow", "waiting", spec, env=_trust(server))
    before, rest, peak = result["traced"]
    later = cell.count - _vanguard(cell)
    return [(rest - before) / later, (peak - before) / later]


def _trust(server: Server) -> dict[str, str]:
    return {"SSL_CERT_FILE": str(server.authority)}


def _vanguard(cell: Cell) -> int:
    return VANGUARD if cell.count >= 1_000 else 0


def _read(spec: dict[str, Any], result: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Return what one process cost in each of its steady intervals, and how late it noticed the ends."""
    steady = result["steady"]
    intervals = []
    for (start, cpu), (end, later) in pairwise(steady):
        seen = [size for at, size in zip(told["moments"], told["sizes"], strict=True) if start <= at < end]
        # Who asks for each run by itself has looked as often as it has asked; whoever asks for many at once looks at
        # every run once in an interval, or is caught by the lag.
        looks = (
            spec["count"] * (end - start) / spec["interval"] if spec["side"] == "ours" else max(len(seen), 1)
        )
        intervals.append(
            {
                "cpu_us": 1e6 * (later - cpu) / looks,
                "busy": (later - cpu) / (end - start),
                "requests": len(seen) * spec["interval"] / (end - start),
                "bytes": sum(seen) * spec["interval"] / (end - start),
            }
        )
    noticed, later = result["noticed"], spec["count"] - spec["vanguard"]
    return {
        "intervals": intervals,
        "lags": [noticed[run] - told["ends"][run] for run in noticed],
        "lost": spec["count"] - len(noticed) + result["bad_count"],
        "resident": (result["resident"][1] - result["resident"][0]) / later,
        "peak": (result["resident"][2] - result["resident"][0]) / later,
        "blocks": result["blocks"],
        "end_us": 1e6 * result["ending_cpu"] / spec["count"],
    }


def _summary(cell: Cell, side: str, processes: list[dict[str, Any]]) -> dict[str, Any]:
    intervals = [each for process in processes for each in process["intervals"]]
    lags = [lag for process in processes for lag in process["lags"]]
    large = cell.count >= 1_000
    return {
        "side": side,
        "count": cell.count,
        "body": cell.body,
        "tls": cell.tls,
        "processes": len(processes),
        "measured_intervals": len(intervals),
        **{name: median([each[name] for each in intervals]) for name in intervals[0]},
        "cpu_us_each": [round(each["cpu_us"], 2) for each in intervals],
        # Of a few runs it would be the memory of the process, not of the runs.
        **{
            name: median([each[name] for each in processes]) if large else None
            for name in ("resident", "peak")
        },
        **{
            f"{what}_{name}": max(each["blocks"][name][place] for each in processes)
            for name in ("start", "steady", "ending")
            for place, what in enumerate(("block", "collector"))
        },
        "end_us": median([each["end_us"] for each in processes]),
        "lag_p50": share(lags, 0.5) if lags else None,
        "lag_p99": share(lags, 0.99) if lags else None,
        "lag_max": max(lags, default=None),
        "lost": sum(each["lost"] for each in processes),
    }


def _block(cell: dict[str, Any], what: str = "block") -> float:
    return float(max(cell[f"{what}_steady"], cell[f"{what}_ending"]))


def find(results: Results, count: int, body: int, side: str, *, tls: bool = False) -> dict[str, Any] | None:
    """Return one cell's summary."""
    wanted = {"count": count, "body": body, "side": side, "tls": tls}
    return next((each for each in results["cells"] if each.items() >= wanted.items()), None)


def section(results: Results) -> str:
    """Return the text of this part."""
    rows = [_row(cell) for cell in _ordered(results)]
    head = (
        "runs",
        "body",
        "trigger",
        "CPU us",
        "requests",
        "MB",
        "KB a run",
        "at peak",
        "start ms",
        "block ms",
        "gc ms",
        "lag p50 s",
        "lag p99 s",
        "lost",
    )
    ours, dbt = (" and ".join(number(each / 1e3) for each in results["traced"][side]) for side in SIDES)
    return (
        f"{_INTRODUCTION.format(interval=number(results['interval']))}\n{table(head, rows, left=3)}\n"
        f"Of the memory, Python itself counts (tracemalloc, {number(results['traced_count'])} runs) "
        f"{ours} KB a run for ours, at rest and at the peak, and {dbt} KB for dbt Cloud's.\n"
    )


def _row(cell: dict[str, Any]) -> tuple[object, ...]:
    return (
        number(cell["count"]),
        f"{number(cell['body'] / 1000)} KB{', TLS' if cell['tls'] else ''}",
        NAMES[cell["side"]],
        number(cell["cpu_us"]),
        number(cell["requests"]),
        number(cell["bytes"] / 1e6),
        number(cell["resident"] and cell["resident"] / 1e3),
        number(cell["peak"] and cell["peak"] / 1e3),
        number(1000 * cell["block_start"]),
        number(1000 * _block(cell)),
        number(1000 * _block(cell, "collector")),
        number(cell["lag_p50"]),
        number(cell["lag_p99"]),
        cell["lost"],
    )


_INTRODUCTION = """
Triggers in one event loop, as a triggerer holds them: `RetabRunTrigger` and `DbtCloudRunJobTrigger`, both with a poll
interval of {interval} s and on bodies of the same size. The rows with TLS are as it is in production, with both as they
are. dbt Cloud's hook speaks https only, with a handshake for every look; for the other rows it was made to speak plain
http, which spares it that. Neither writes log lines.

* **CPU us**: CPU time of the waiting process per run and look.
* **requests**, **MB**: what the server saw in one interval when all was steady.
* **KB a run**: growth of the process's resident memory for each run more that is waited for, from 100 to all; what a
  process needs once is not in it. **at peak**, the most it was until then, as when all are looked at. dbt Cloud's
  depends on how many of its looks coincide, for each has a session and a socket of its own.
* **start ms**, **block ms**: the longest time the loop stood still: while all began to wait; and after that, in one
  interval of waiting and while all runs ended (within one interval, 5,000 within two), as a heartbeat of 5 ms tells.
  **gc ms**: the longest collection by Python's garbage collector in that time, which goes over all objects of the
  process, Airflow's as well.
* **lag**: seconds from the end of a run, as the server knows it, to the trigger's event.

Up to 100 runs, the six sizes were measured at the same time; five intervals in one process. 1,000 runs over TLS: one
interval in each of five processes. Else one process and five intervals, or two where dbt's trigger cannot keep up
with its own interval; 5,000 runs of 8 KB were not tried with it.
"""


def _ordered(results: Results) -> list[dict[str, Any]]:
    return sorted(
        results["cells"],
        key=lambda each: (each["count"], each["body"], not each["tls"], SIDES.index(each["side"])),
    )


def targets(results: Results) -> list[Target]:
    """Return what this part decides."""
    return [*_cost(results), *_smoothness(results)]


def _cost(results: Results) -> Iterable[Target]:
    ours, dbt = (find(results, 1_000, 400, side, tls=True) for side in SIDES)
    if ours is None or dbt is None:
        return
    page = results["page"]
    yield Target(
        "1",
        "1,000 waiting runs: requests per interval",
        "<= 15",
        number(ours["requests"]),
        ours["requests"] <= 15,
        f"{number(ours['requests'])} requests, where dbt Cloud's trigger sends {number(dbt['requests'])}",
    )
    yield Target(
        "1",
        "1,000 waiting runs: CPU per run and look, next to dbt Cloud's trigger",
        "<= 1/30",
        f"1/{number(dbt['cpu_us'] / ours['cpu_us'])} ({number(ours['cpu_us'])} of {number(dbt['cpu_us'])} us)",
        ours["cpu_us"] * 30 <= dbt["cpu_us"],
        f"a row's share of its page takes {number(page['httpx'])} us in httpx and {number(page['json'])} us as JSON",
    )
    yield from _memory(results, ours, dbt)


def _memory(results: Results, ours: dict[str, Any], dbt: dict[str, Any]) -> Iterable[Target]:
    later = ""
    plain = [cell["resident"] for side in SIDES if (cell := find(results, 1_000, 400, side))]
    if len(plain) == len(SIDES):
        mine, theirs = plain
        later = (
            f"; after five intervals, and without TLS, it is 1/{number(theirs / mine)} "
            f"({number(mine / 1e3)} of {number(theirs / 1e3)} KB)"
        )
    for name, told in (("resident", "waiting"), ("peak", "at the peak")):
        yield Target(
            "1",
            f"1,000 waiting runs: memory per run, {told}, next to dbt Cloud's trigger",
            "<= 1/3",
            f"1/{number(dbt[name] / ours[name])} ({number(ours[name] / 1e3)} of {number(dbt[name] / 1e3)} KB)",
            ours[name] * 3 <= dbt[name],
            f"of Python objects alone each trigger holds {number(results['traced']['ours'][0] / 1e3)} KB, dbt Cloud's "
            f"{number(results['traced']['dbt'][0] / 1e3)} KB: tasks and coroutines, which any trigger has{later}",
        )


def _smoothness(results: Results) -> Iterable[Target]:
    for body in (400, 8_000):
        if (cell := find(results, 5_000, body, "ours")) is None:
            continue
        size = f"5,000 waiting runs of {number(body / 1000)} KB"
        block, collector = 1000 * _block(cell), 1000 * _block(cell, "collector")
        start = number(1000 * cell["block_start"])
        yield Target(
            "3",
            f"{size}: longest block of the loop",
            "<= 20 ms",
            f"{number(block)} ms ({start} ms as all begin)",
            block <= 20,
            f"the longest collection by Python's garbage collector alone took {number(collector)} ms",
        )
        limit = results["interval"] + 1
        yield Target(
            "3",
            f"{size}: p99 lag; lost",
            f"<= {number(limit)} s; none",
            f"{number(cell['lag_p99'])} s; {cell['lost']}",
            cell["lag_p99"] is not None and cell["lag_p99"] <= limit and not cell["lost"],
            f"500 runs end in a second, and each is confirmed by a request of its own, "
            f"{number(cell['end_us'] / 1e3)} ms of CPU: those of one interval take "
            f"{number(500 * results['interval'] * cell['end_us'] / 1e6)} s",
        )


def plots(results: Results) -> list[Plot]:
    """Draw how each cost grows with the runs, on bodies of 0.4 KB and without TLS."""
    cells = [cell for cell in _ordered(results) if cell["body"] == 400 and not cell["tls"]]

    def lines(name: str) -> dict[str, list[tuple[float, float]]]:
        return {
            NAMES[side]: [(cell["count"], cell[name]) for cell in cells if cell["side"] == side]
            for side in SIDES
        }

    return [
        Plot(
            "waiting-requests",
            "Requests per interval of 5 s",
            "waiting runs",
            "requests",
            lines("requests"),
        ),
        Plot("waiting-cpu", "Share of one core spent on waiting", "waiting runs", "of a core", lines("busy")),
    ]


PART = Part(
    1,
    "Waiting for many runs",
    14.0,
    measure,
    section,
    targets,
    plots,
)
