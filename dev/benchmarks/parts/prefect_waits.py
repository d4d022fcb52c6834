"""Part 6: many waits in one Prefect flow, ours and prefect-databricks'."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from dev.benchmarks.lab import ROOT, Lab, median
from dev.benchmarks.part import Part, Results, Target, number, table

COUNTS, INTERVAL = (20, 200), 5.0
COUNT = COUNTS[-1]
# Seconds in which the waits of a flow begin, until all runs end, and after which a flow is given up.
BEGINS, SECONDS, LIMIT = {20: 2.0, 200: 20.0}, {20: 45.0, 200: 75.0}, {20: 90.0, 200: 180.0}
WINDOWS = 5
"""How many intervals before the end are looked at: all waits have begun by then."""
NAMES = {
    "nothing": "tasks that do nothing",
    "ours": "ours: `await_for_run`",
    "databricks": "prefect-databricks: `jobs_runs_wait_for_completion`",
}


def measure(lab: Lab) -> dict[str, Any]:
    """Run each flow against a Prefect server of its own."""
    counts = COUNTS[:1] if lab.quick else COUNTS
    found = []
    for count in counts:
        for side, name in NAMES.items():
            times = lab.times(5) if side == "nothing" and count == COUNT else 1
            flows = []
            for turn in range(times):
                lab.say(f"{count} in one flow, {name}, {turn + 1} of {times}")
                flows.append(_flow(lab, side, count))
            found.append({"side": side, "count": count, **_summary(flows)})
    return {"interval": INTERVAL, "flows": found}


def _flow(lab: Lab, side: str, count: int) -> dict[str, Any]:
    # It needs what this venv has and those in which the page is only checked need not.
    from dev.hosts.prefect_host import PrefectHost

    # Patient, for SQLite has one writer, and two hundred flow runs are much for it.
    patience = {"PREFECT_SERVER_DATABASE_TIMEOUT": "60", "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60"}
    with PrefectHost(ROOT / ".venvs" / "bench-prefect", env=patience) as host, lab.server() as server:
        server.plan(watched=count)
        spec = {
            "side": side,
            "url": server.url,
            "count": count,
            "first": server.told()["first"],
            "interval": INTERVAL,
            "over": 0.0 if side == "nothing" else BEGINS[count],
            "seconds": SECONDS[count],
            "limit": LIMIT[count],
        }
        env = {
            "PREFECT_API_URL": host.api_url,
            "PREFECT_HOME": str(host.home),
            "PREFECT_LOGGING_LEVEL": "WARNING",
        }
        result = lab.run("bench-prefect", "prefect_waits", spec, env=env, timeout=LIMIT[count] + 60.0)
        return _read(result, server.told(), SECONDS[count], count)


def _read(result: dict[str, Any], told: dict[str, Any], seconds: float, count: int) -> dict[str, Any]:
    end = result["began"] + seconds
    missing = count - result["ended_well"]
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
        "missing": missing,
        "failures": result["failures"],
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
        "missing": sum(flow["missing"] for flow in flows),
        "failures": [failure for flow in flows for failure in flow["failures"]][:3],
        "steady_cpu": median([each["cpu"] for each in steady]) if steady else None,
        "steady_requests": median([each["requests"] for each in steady]) if steady else None,
    }


def _find(results: Results, side: str, count: int) -> dict[str, Any] | None:
    return next((each for each in results["flows"] if (each["side"], each["count"]) == (side, count)), None)


def section(results: Results) -> str:
    """Return the text of this part."""
    rows = [
        (
            number(found["count"]),
            NAMES[found["side"]],
            number(found["cpu"]),
            number(found["wall"]),
            number(found["requests"]),
            number(found["steady_cpu"]),
            number(found["steady_requests"]),
            number(found["resident"] / 1e6),
            found["missing"],
        )
        for found in results["flows"]
    ]
    head = (
        "waits",
        "",
        "CPU s",
        "wall s",
        "requests",
        "CPU s/interval",
        "requests/interval",
        "MB",
        "not well",
    )
    text = _INTRODUCTION.format(interval=number(results["interval"]), windows=WINDOWS)
    return f"{text}\n{table(head, rows, left=2)}"


_INTRODUCTION = """
Waits at the same time in one flow, on a Prefect server of its own with SQLite; all look every {interval} s. The
waits begin within the first 2 s (of 20) or 20 s (of 200) of the flow, all runs end 45 or 75 s after its start, and
after 90 or 180 s the flow is given up. **CPU s**, **wall s** and **requests** are those of the whole flow: the
starting of task runs, or of flow runs as prefect-databricks has them, is in them, as is the fetching of outputs in
ours. **CPU s/interval** and **requests/interval** are medians of the {windows} intervals before the end, when all
waits have begun; of 200 tasks that do nothing five flows are measured. **not well** counts waits that failed or had
not ended when the flow was given up. prefect-databricks runs a task for every look. Its client makes a TLS context
each time, as ever; the request itself goes over plain http. Neither writes log lines.
"""


def targets(results: Results) -> Iterable[Target]:
    """Return what this part decides, for each number of waits."""
    for count in sorted({found["count"] for found in results["flows"]}):
        ours, peer, nothing = (_find(results, side, count) for side in ("ours", "databricks", "nothing"))
        if ours is None or peer is None or nothing is None:
            continue
        cut = f"; {peer['missing']} of its waits had not ended well" if peer["missing"] else ""
        yield Target(
            "7",
            f"{count} waits in one Prefect flow: CPU of the whole flow, next to prefect-databricks'",
            "<= 1/20",
            f"1/{number(peer['cpu'] / ours['cpu'])} ({number(ours['cpu'])} of {number(peer['cpu'])} s{cut})",
            ours["cpu"] * 20 <= peer["cpu"],
            f"{number(nothing['cpu'])} s of ours are what Prefect takes for {count} tasks that do nothing; "
            f"the peer's flow took {number(peer['wall'])} s{cut}",
        )
        if ours["steady_cpu"] and peer["steady_cpu"]:
            yield Target(
                "7",
                f"{count} waits in one Prefect flow: CPU in an interval when all have begun",
                "<= 1/20",
                f"1/{number(peer['steady_cpu'] / ours['steady_cpu'])} "
                f"({number(ours['steady_cpu'])} of {number(peer['steady_cpu'])} s)",
                ours["steady_cpu"] * 20 <= peer["steady_cpu"],
                "see part 6",
            )


PART = Part(6, "Waiting on Prefect", 9.0, measure, section, lambda results: list(targets(results)))
