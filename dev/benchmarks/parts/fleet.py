"""Part 8: past one process: several that wait for their shares of a large organisation's runs."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dev.benchmarks.growth import RUNS, TRIGGERERS, Costs, size
from dev.benchmarks.lab import Lab, Server, median, share
from dev.benchmarks.part import Part, Plot, Results, number, table

INTERVAL = 5.0


@dataclass(frozen=True)
class Crowd:
    """Runs of an organisation, and the processes that wait for some of them."""

    every: int
    """All runs that are active."""
    tagged: int
    """Those of them that carry our tag."""
    waited: int
    """Those of them that somebody waits for."""
    processes: int

    @property
    def each(self) -> int:
        """How many runs one process waits for."""
        return self.waited // self.processes


FLEET = Crowd(every=100_000, tagged=30_000, waited=20_000, processes=4)
# One of them, if it had the organisation to itself: what a row costs that nobody waits for is the difference.
ALONE = Crowd(every=5_000, tagged=5_000, waited=5_000, processes=1)
QUICK = (
    Crowd(every=2_000, tagged=600, waited=400, processes=4),
    Crowd(every=100, tagged=100, waited=100, processes=1),
)


@dataclass(frozen=True)
class Times:
    """Seconds of each phase."""

    importing: float = 4.0
    warmup: float = 24.0
    """Until the gaps between looks have grown to the interval, and what begins in step has parted."""
    steady: float = 30.0
    ending: float = 40.0
    """In which all runs end."""
    patience: float = 12.0
    """Until all of those have been noticed."""


def measure(lab: Lab) -> dict[str, Any]:
    """Measure the fleet as often as time allows, and one process by itself."""
    fleet, alone = QUICK if lab.quick else (FLEET, ALONE)
    times = Times(3.0, 18.0, 8.0, 6.0, 8.0) if lab.quick else Times()
    found = []
    for turn in range(lab.times(2)):
        lab.say(f"{fleet.processes} processes wait for {fleet.waited:,} of {fleet.every:,} runs, {turn + 1}")
        found.append(_one(lab, fleet, times))
    lab.say(f"one process waits for {alone.waited:,} of {alone.every:,} runs")
    single = _one(
        lab, alone, Times(times.importing, times.warmup, times.steady, times.ending / 4, times.patience)
    )
    summary = _summary(found)
    return {
        "interval": INTERVAL,
        "fleet": asdict(fleet),
        "alone": asdict(alone),
        "times": len(found),
        "ending": times.ending,
        **summary,
        "single": _summary([single]),
        "costs": _costs(fleet, alone, summary, _summary([single])),
    }


def _one(lab: Lab, crowd: Crowd, times: Times) -> dict[str, Any]:
    with lab.server() as server:
        others = crowd.every - crowd.tagged
        server.plan(watched=crowd.tagged, others=others, others_active=others, age=3600.0)
        numbers = [int(text) for text in server.told()["ends"]]
        # Those that are waited for lie evenly among the others, as runs do that many have started.
        chosen = [numbers[place * crowd.tagged // crowd.waited] for place in range(crowd.waited)]
        path = lab.folder / "fleet-runs.json"
        path.write_text(json.dumps(chosen))
        begin = time.monotonic() + times.importing
        steady = begin + times.warmup
        ending = steady + times.steady
        phases = {
            "begin": begin,
            "steady": steady,
            "ending": ending,
            "end": ending + times.ending + times.patience,
        }
        # Planned now, so that nobody has to be there to let them end.
        server.ask("end", {"after": ending - time.monotonic(), "over": times.ending})
        results = _run(lab, server, crowd, str(path), phases)
        return _read(phases, server.told(), results, chosen)


def _run(
    lab: Lab, server: Server, crowd: Crowd, path: str, phases: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return what each process tells, and last what one tells that looked on."""
    specs: list[dict[str, Any]] = [
        {"url": server.url, "runs": path, "share": [place, crowd.processes], "interval": INTERVAL, **phases}
        for place in range(crowd.processes)
    ]
    found: list[dict[str, Any]] = lab.run_together("bench-core", "fleet", [*specs, dict(phases)])
    return found


def _read(
    phases: Mapping[str, float],
    told: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    chosen: Sequence[int],
) -> dict[str, Any]:
    *waiting, onlooker = results
    noticed = {run: at for each in waiting for run, at in each["noticed"].items()}
    lags = [at - told["ends"][run] for run, at in noticed.items()]
    requests = list(zip(told["moments"], told["kinds"], told["sizes"], strict=True))

    def seen(kind: str, start: str, end: str) -> list[int]:
        return [size for at, name, size in requests if name == kind and phases[start] <= at < phases[end]]

    steady, ending = ("steady", "ending"), ("ending", "end")
    return {
        "seconds": phases["ending"] - phases["steady"],
        "pages": len(seen("list", *steady)),
        "page_bytes": sum(seen("list", *steady)),
        "gets": len(seen("get", *steady)),
        "ending_pages": len(seen("list", *ending)),
        "ending_bytes": sum(seen("list", *ending)),
        "ending_gets": len(seen("get", *ending)),
        "lag_p50": share(lags, 0.5) if lags else None,
        "lag_p99": share(lags, 0.99) if lags else None,
        "lag_max": max(lags, default=None),
        "lost": len(chosen) - len(noticed),
        "failures": sum(each["failures"] for each in waiting),
        "failed": [text for each in waiting for text in each["failed"]][:3],
        "early": sum(lag < 0 for lag in lags),
        "busy": median([_used(each["samples"], 0)["busy"] for each in waiting]),
        # Without the first, whose heartbeat costs something itself, if there are others.
        "ending_cpu": len(waiting)
        * median([_used(each["samples"], 1)["cpu"] for each in waiting[1:] or waiting]),
        "memory": median([each["samples"][1]["memory"] for each in waiting]),
        "memory_before": median([each["before"] for each in waiting]),
        "block": max(each["block"] for each in waiting),
        "collector": max(each["collector"] for each in waiting),
        **_looked_on(onlooker["samples"]),
    }


def _used(samples: Sequence[Mapping[str, float]], phase: int) -> dict[str, float]:
    first, last = samples[phase], samples[phase + 1]
    cpu = last["cpu"] - first["cpu"]
    return {"cpu": cpu, "busy": cpu / (last["at"] - first["at"])}


def _looked_on(samples: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
    """Return how busy the server was while it was steady, and how many cores had nothing to do."""
    first, last = samples[0], samples[1]
    seconds = last["at"] - first["at"]

    def rate(name: str) -> float | None:
        return None if first[name] is None or last[name] is None else (last[name] - first[name]) / seconds

    return {"server_busy": rate("server"), "idle_cores": rate("idle")}


def _summary(found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the median of each number; of what must not happen, all of it."""
    bad = {"lost", "failures", "early"}
    told: dict[str, Any] = {"failed": [text for each in found for text in each["failed"]][:3]}
    for name in found[0]:
        values = [each[name] for each in found if isinstance(each[name], (int, float))]
        if name != "failed":
            told[name] = (sum(values) if name in bad else median(values)) if values else None
    return told


def _costs(fleet: Crowd, alone: Crowd, many: Mapping[str, Any], one: Mapping[str, Any]) -> dict[str, float]:
    """Tell apart what a row of the list costs, what it costs besides to wait for it, and what a single look does.

    Of the rows that one process read alone, all were its own; of those that each of the fleet read, a part.
    """
    row_bytes = one["page_bytes"] / max(one["pages"], 1) / 100
    part = fleet.each / fleet.tagged
    row = watched = get = 0.0
    # Each is what is left of a measured sum without the two others; single looks are few until the runs end.
    for _ in range(50):
        both = _per_row(one, 1, row_bytes, get)
        mixed = _per_row(many, fleet.processes, row_bytes, get)
        watched = max(0.0, (both - mixed) / (1 - part))
        row = max(0.0, both - watched)
        rest = 1e6 * many["ending_cpu"] - many["ending_bytes"] / row_bytes * (row + part * watched)
        get = max(0.0, rest / max(many["ending_gets"], 1))
    return {
        "row_us": row,
        "watched_us": watched,
        "get_us": get,
        "row_bytes": row_bytes,
        "memory_base": one["memory_before"],
        "memory_run": (one["memory"] - one["memory_before"]) / alone.each,
        "sweeps": one["page_bytes"] / row_bytes / alone.tagged * INTERVAL / one["seconds"],
    }


def _per_row(found: Mapping[str, Any], processes: int, row_bytes: float, get: float) -> float:
    """Return the microseconds of CPU for each row that was read, once single looks are paid for."""
    cpu = 1e6 * found["busy"] * found["seconds"] * processes - found["gets"] * get
    return float(max(0.0, cpu) / max(found["page_bytes"] / row_bytes, 1))


def section(results: Results) -> str:
    """Return the text of this part."""
    fleet, alone, single = results["fleet"], results["alone"], results["single"]
    rows = [_row(f"{fleet['processes']} processes", fleet, results), _row("1 process", alone, single)]
    head = (
        "",
        "waits for",
        "of ours",
        "of all",
        "requests/s",
        "CPU % each",
        "MB each",
        "lag p50 s",
        "lag p99 s",
        "block ms",
        "lost",
    )
    costs = results["costs"]
    text = _INTRODUCTION.format(
        interval=number(results["interval"]),
        times=results["times"],
        ending=number(results["ending"]),
        ending_alone=number(results["ending"] / 4),
    )
    return (
        f"{text}\n{table(head, rows)}\n{_bounds(results)}\n"
        f"Both together tell what each thing costs a process: {number(costs['row_us'])} us of CPU to read past a row "
        f"of the list, {number(costs['watched_us'])} us more where somebody waits for that run, "
        f"{number(costs['get_us'])} us to ask for a run by itself, and {number(costs['memory_run'] / 1e3)} KB for each "
        f"run waited for. It reads the list {number(costs['sweeps'])} times in an interval. What larger fleets would "
        f"need by that is worked out in [scaling.md](scaling.md).\n"
    )


def _row(name: str, crowd: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[object, ...]:
    return (
        name,
        number(crowd["waited"], 6),
        number(crowd["tagged"], 6),
        number(crowd["every"], 6),
        number((found["pages"] + found["gets"]) / found["seconds"]),
        number(100 * found["busy"]),
        number(found["memory"] / 1e6),
        number(found["lag_p50"]),
        number(found["lag_p99"]),
        number(1000 * found["block"]),
        found["lost"] + found["failures"],
    )


def _bounds(results: Results) -> str:
    busy, idle = results["server_busy"], results["idle_cores"]
    if busy is None or idle is None:
        return ""
    bound = "The machine had cores to spare, so the figures are those of the waiting itself."
    if idle < 0.15:
        bound = "The machine had none to spare: with more cores the lag would be shorter, the rest as it is."
    return (
        f"Until the runs ended, the server used {number(100 * busy)} % of a core, and {number(idle, 2)} cores had "
        f"nothing to do. {bound}\n"
    )


_INTRODUCTION = """
Several processes, each with one `AsyncRetabClient` whose `wait_for_run` is called for its share of the runs, poll
interval {interval} s, bodies of 0.4 KB, {times} times. Nobody tells them of each other, and they know no filter that
would part their runs: each reads the list of all active runs that carry our tag (*of ours*) and takes what it waits
for. The other runs of the organisation are active as well. For comparison one process, with all runs its own.

* **requests/s**: what the server saw, of all together, before the runs ended; **CPU %**: of one core, meanwhile.
* **MB**: resident memory of a process, with Python and all that it has imported.
* **lag**: from the end of a run to the return of `wait_for_run`, while all runs ended within {ending} s (the single
  process: {ending_alone} s); **block ms**: the longest time that a loop stood still meanwhile, in one of the processes.

All processes share the machine's cores with the server.
"""


def plots(results: Results) -> list[Plot]:
    """Draw how the requests grow, worked out and not measured."""
    costs = Costs.read(results["costs"])
    lines = {
        f"{count} triggerer{'s' if count > 1 else ''}": [
            (float(runs), size(costs, count, runs).requests) for runs in RUNS
        ]
        for count in TRIGGERERS
    }
    return [
        Plot(
            "fleet-requests", "Requests per second of a fleet, worked out", "waiting runs", "a second", lines
        )
    ]


PART = Part(8, "Past one process", 5.0, measure, section, plots=plots)
