"""Part 3: how many requests a run costs with nothing set, and how late its end is noticed."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any

from dev.benchmarks.lab import Lab, median
from dev.benchmarks.part import Part, Plot, Results, Target, number, table

DURATIONS = {"3 s": (3.0, 21), "30 s": (30.0, 21), "5 min": (300.0, 11), "1 h": (3600.0, 5)}
"""Seconds that a run takes, and how many such runs are waited for."""
LONGEST_SPREAD = 60.0

SIDES = {"client": None, "deferred": 30.0, "dbt": 60.0, "databricks": 30.0, "airbyte": 60.0, "fixed": 5.0}
"""The default interval of each, seconds; the client has more than one."""
NAMES = {
    "client": "ours: `wait_for_run`, on Prefect as well",
    "deferred": "ours: a deferred Airflow task's trigger",
    "dbt": "dbt Cloud's trigger, every 60 s",
    "databricks": "Databricks' trigger, every 30 s",
    "airbyte": "Airbyte's trigger, every 60 s",
    "prefect": "prefect-databricks, every 10 s (reckoned)",
    "fixed": "GET and sleep of 5 s",
}
# Airbyte's own interval of 60 s is fixed in its operator.
PREFECT_INTERVAL, PREFECT_LIMIT = 10.0, 900.0
CROWD = 1_000
CROWD_SECONDS = 120.0
CROWDED = ("client", "dbt")
WINDOW, SETTLED = 40.0, 20.0


def measure(lab: Lab) -> dict[str, Any]:
    """Drive each trigger, and our client, in virtual time."""
    durations = _durations(lab)
    found: dict[str, dict[str, Any]] = {}
    for side, interval in SIDES.items():
        lab.say(f"runs of {', '.join(durations)}: {NAMES[side]}")
        found[side] = {
            name: _summary(_runs(lab, side, interval, seconds)) for name, seconds in durations.items()
        }
    found["prefect"] = {name: _summary(_reckoned(seconds)) for name, seconds in durations.items()}
    return {"sides": found, "crowd": _crowds(lab)}


def _durations(lab: Lab) -> dict[str, list[float]]:
    """Return how long the runs of each kind take: evenly spread, so that no poller's interval always fits."""
    if lab.quick:
        return {"3 s": [3.0, 3.3], "30 s": [30.0, 33.0]}
    spread = {name: min(0.2 * seconds, LONGEST_SPREAD) for name, (seconds, _) in DURATIONS.items()}
    return {
        name: [seconds + spread[name] * (place + 0.5) / count for place in range(count)]
        for name, (seconds, count) in DURATIONS.items()
    }


def _runs(lab: Lab, side: str, interval: float | None, seconds: list[float]) -> list[dict[str, float]]:
    spec = {"side": side, "interval": interval, "runs": seconds}
    found: list[dict[str, float]] = lab.run("bench-airflow", "defaults", spec)["runs"]
    return found


def _reckoned(durations: Sequence[float]) -> list[dict[str, float]]:
    found = []
    for seconds in durations:
        sleeps = -(-min(seconds, PREFECT_LIMIT) // PREFECT_INTERVAL)
        late = sleeps * PREFECT_INTERVAL - seconds
        found.append({"requests": sleeps + 1, **({"lag": late} if late >= 0 else {})})
    return found


def _summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    lags = [each["lag"] for each in runs if "lag" in each]
    return {
        "requests": median([each["requests"] for each in runs]),
        "lag_p50": median(lags) if lags else None,
        "lag_max": max(lags, default=None),
        "runs": len(runs),
    }


def _crowds(lab: Lab) -> dict[str, Any]:
    count = 50 if lab.quick else CROWD
    found: dict[str, Any] = {"count": count}
    for side in CROWDED:
        lab.say(f"{count} runs of {CROWD_SECONDS:g} s at once: {NAMES[side]}")
        spec = {"side": side, "interval": SIDES[side], "crowd": count, "seconds": CROWD_SECONDS}
        seen = lab.run("bench-airflow", "defaults", spec)
        moments = sorted(seen["moments"])
        found[side] = {
            "window": _most(moments, SETTLED, CROWD_SECONDS),
            "start": bisect_left(moments, SETTLED),
            "end": len(moments) - bisect_left(moments, CROWD_SECONDS),
            "all": len(moments),
        }
    return found


def _most(moments: Sequence[float], start: float, end: float) -> int:
    """Return the most requests in any window between two moments."""
    inside = [moment for moment in moments if start <= moment < end]
    return max(
        (bisect_left(inside, moment + WINDOW) - place for place, moment in enumerate(inside)), default=0
    )


def section(results: Results) -> str:
    """Return the text of this part."""
    sides, crowd = results["sides"], results["crowd"]
    kinds = list(next(iter(sides.values())))
    head = ["", *(f"{kind}: requests" for kind in kinds), *(f"{kind}: lag s" for kind in kinds)]
    rows = [
        [NAMES[side]]
        + [number(sides[side][kind]["requests"]) for kind in kinds]
        + [_lag(sides[side][kind]) for kind in kinds]
        for side in NAMES
        if side in sides
    ]
    crowded = [
        (
            NAMES[side],
            *(number(crowd[side][name]) for name in ("start", "window", "end")),
        )
        for side in CROWDED
    ]
    return (
        f"{_INTRODUCTION}\n{table(head, rows)}\n"
        f"{number(crowd['count'])} runs of two minutes, all waited for at once with nothing set; when it has ended, "
        "each is confirmed by a request of its own:\n\n"
        + table(
            ("", "requests in the first 20 s", "in any 40 s after that", "from the end on"),
            crowded,
        )
    )


def _lag(found: dict[str, Any]) -> str:
    if found["lag_p50"] is None:
        return "gives up"
    return f"{number(found['lag_p50'])} ({number(found['lag_max'])})"


_INTRODUCTION = """
One run at a time, with nothing set: requests a run, and seconds from its end to its being noticed, the median and in
brackets the longest. 21 runs of 3 and of 30 s, 11 of 5 min, 5 of 1 h; of each kind they differ by up to a fifth, a
minute at most. All but one line is the real code, driven over real sockets in virtual time: a loop whose clock jumps to
the next timer. prefect-databricks' line is reckoned from its loop, `jobs_runs_wait_for_completion` with its default of
10 s; that gives up after 15 min. What is found out once in a process is not counted.

Airflow 3.3 fails a task that is resumed before its executor has reported the end of the deferring process, so a
deferred task of ours takes 10 s at least. `wait_for_run`, a task that is not deferred and Prefect notice a short run as
it ends.
"""


def targets(results: Results) -> Iterable[Target]:
    """Return what this part decides."""
    sides, crowd = results["sides"], results["crowd"]
    ours = sides["client"]
    if crowd["count"] == CROWD:
        window = crowd["client"]["window"]
        yield Target(
            "2",
            "1,000 runs of two minutes at defaults: requests in any 40 s after the first 20 s, while they run",
            "<= 150",
            f"{number(window)} (dbt Cloud {number(crowd['dbt']['window'])})",
            window <= 150,
            f"{number(crowd['client']['all'])} requests in all",
        )
    yield Target(
        "5",
        "A run of 3 s at defaults: lag at the median",
        "<= 1 s",
        f"{number(ours['3 s']['lag_p50'])} s",
        ours["3 s"]["lag_p50"] <= 1,
        "the interval at that age",
    )
    if "1 h" in ours:
        own, fixed = ours["1 h"]["requests"], sides["fixed"]["1 h"]["requests"]
        yield Target(
            "5",
            "A run of 1 h at defaults: requests, next to a look every 5 s",
            "<= 1/5",
            f"1/{number(fixed / own)} ({number(own)} of {number(fixed)})",
            own * 5 <= fixed,
            "a look every 30 s and the quick ones at the start",
        )


def plots(results: Results) -> list[Plot]:
    """Draw how the requests grow with the length of a run."""
    sides = results["sides"]
    lines = {
        NAMES[side].split(",")[0].replace("`", ""): [
            (DURATIONS[kind][0], found["requests"])
            for kind, found in sides[side].items()
            if found["lag_p50"] is not None
        ]
        for side in NAMES
        if side in sides and side != "airbyte"
    }
    return [Plot("defaults-requests", "Requests for one run, with nothing set", "seconds", "requests", lines)]


PART = Part(3, "With nothing set", 3.0, measure, section, lambda results: list(targets(results)), plots)
