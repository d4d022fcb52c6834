"""Part 6: many waits in one Prefect flow, ours and prefect-databricks'."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from benchmarks.lab import ROOT, Lab, median
from benchmarks.part import Part, Results, Target, number, table

COUNT, INTERVAL, SECONDS = 200, 5.0, 60.0
WINDOWS = 5
"""How many intervals before the end are looked at: all waits have begun by then."""
NAMES = {
    "nothing": "tasks that do nothing",
    "ours": "ours: `await_for_run`",
    "databricks": "prefect-databricks: `jobs_runs_wait_for_completion`",
}


def measure(lab: Lab) -> dict[str, Any]:
    """Run each flow against a Prefect server of its own."""
    count, seconds = (10, 15.0) if lab.quick else (COUNT, SECONDS)
    found: dict[str, Any] = {}
    for side, name in NAMES.items():
        times = lab.times(1 if side == "databricks" else 5 if side == "nothing" else 3)
        flows = []
        for turn in range(times):
            lab.say(f"{count} in one flow, {name}, {turn + 1} of {times}")
            flows.append(_flow(lab, side, count, seconds))
        found[side] = _summary(flows)
    return {"count": count, "seconds": seconds, "interval": INTERVAL, "sides": found}


def _flow(lab: Lab, side: str, count: int, seconds: float) -> dict[str, Any]:
    # It needs what this venv has and those in which the page is only checked need not.
    from hosts.prefect_host import PrefectHost

    with PrefectHost(ROOT / ".venvs" / "bench-prefect") as host, lab.server() as server:
        server.plan(watched=count)
        spec = {
            "side": side,
            "url": server.url,
            "count": count,
            "first": server.told()["first"],
            "interval": INTERVAL,
            "seconds": seconds,
        }
        env = {
            "PREFECT_API_URL": host.api_url,
            "PREFECT_HOME": str(host.home),
            "PREFECT_LOGGING_LEVEL": "WARNING",
        }
        result = lab.run("bench-prefect", "prefect_waits", spec, env=env, timeout=600.0)
        return _read(result, server.told(), seconds)


def _read(result: dict[str, Any], told: dict[str, Any], seconds: float) -> dict[str, Any]:
    end = result["began"] + seconds
    edges = [end - INTERVAL * place for place in range(WINDOWS, -1, -1)]
    steady = [
        {
            "cpu": _used(result["samples"], late) - _used(result["samples"], early),
            "requests": sum(early <= at < late for at in told["moments"]),
        }
        for early, late in pairwise(edges)
    ]
    return {
        "cpu": result["cpu"],
        "wall": result["ended"] - result["began"],
        "requests": len(told["moments"]),
        "resident": result["resident"],
        "steady": steady if result["samples"] and result["ended"] >= end else [],
    }


def _used(samples: Sequence[Sequence[float]], moment: float) -> float:
    """Return the CPU seconds used up to a moment, between the two samples around it."""
    for (early, before), (late, after) in pairwise(samples):
        if early <= moment <= late:
            return before + (after - before) * (moment - early) / (late - early)
    return samples[-1][1] if samples and moment > samples[-1][0] else samples[0][1] if samples else 0.0


def _summary(flows: list[dict[str, Any]]) -> dict[str, Any]:
    steady = [each for flow in flows for each in flow["steady"]]
    return {
        "flows": len(flows),
        **{name: median([flow[name] for flow in flows]) for name in ("cpu", "wall", "requests", "resident")},
        "steady_cpu": median([each["cpu"] for each in steady]) if steady else None,
        "steady_requests": median([each["requests"] for each in steady]) if steady else None,
    }


def section(results: Results) -> str:
    """Return the text of this part."""
    rows = [
        (
            NAMES[side],
            found["flows"],
            number(found["cpu"]),
            number(found["wall"]),
            number(found["requests"]),
            number(found["steady_cpu"]),
            number(found["steady_requests"]),
            number(found["resident"] / 1e6),
        )
        for side, found in results["sides"].items()
    ]
    head = ("", "flows", "CPU s", "wall s", "requests", "CPU s/interval", "requests/interval", "MB")
    text = _INTRODUCTION.format(
        count=number(results["count"]),
        seconds=number(results["seconds"]),
        interval=number(results["interval"]),
        windows=WINDOWS,
    )
    return f"{text}\n{table(head, rows)}"


_INTRODUCTION = """
{count} waits at the same time in one flow, on a Prefect server of its own with SQLite; all runs end {seconds} s after
the flow's start, and both look every {interval} s. **CPU s**, **wall s** and **requests** are those of the whole flow:
the starting of {count} task runs, or of {count} flow runs as prefect-databricks has them, is in them, as is the
fetching of outputs in ours. What {count} tasks cost that do nothing is in the first line. **CPU s/interval** and
**requests/interval** are medians of the {windows} intervals before the end, when all waits have begun.
prefect-databricks runs a task for every look, and cannot keep its interval here: one flow is measured. Its client makes
a TLS context for every look, as ever; the request itself goes over plain http. Neither writes log lines.
"""


def targets(results: Results) -> Iterable[Target]:
    """Return what this part decides."""
    ours, peer, nothing = (results["sides"][side] for side in ("ours", "databricks", "nothing"))
    if results["count"] != COUNT:
        return
    waiting = max(ours["cpu"] - nothing["cpu"], 0.0)
    yield Target(
        "7",
        "200 waits in one Prefect flow: CPU of the whole flow, next to prefect-databricks'",
        "<= 1/20",
        f"1/{number(peer['cpu'] / ours['cpu'])} ({number(ours['cpu'])} of {number(peer['cpu'])} s)",
        ours["cpu"] * 20 <= peer["cpu"],
        f"{number(nothing['cpu'])} s are what Prefect takes for 200 tasks that do nothing; waiting takes "
        f"{number(waiting)} s",
    )
    if ours["steady_cpu"] and peer["steady_cpu"]:
        yield Target(
            "7",
            "200 waits in one Prefect flow: CPU in an interval, all waits begun",
            "<= 1/20",
            f"1/{number(peer['steady_cpu'] / ours['steady_cpu'])} "
            f"({number(ours['steady_cpu'])} of {number(peer['steady_cpu'])} s)",
            ours["steady_cpu"] * 20 <= peer["steady_cpu"],
            "see part 6",
        )


PART = Part(6, "Waiting on Prefect", 7.0, measure, section, lambda results: list(targets(results)))
