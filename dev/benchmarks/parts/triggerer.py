"""Part 2: what an Airflow triggerer needs for the triggers of many deferred tasks, ours and dbt Cloud's."""

from itertools import pairwise
from typing import Any

from dev.benchmarks.lab import ROOT, Lab, median
from dev.benchmarks.part import Part, Results, number, ratio, table

INTERVAL = 5.0
COUNT = 500
# Airflow's own trigger that only sleeps tells what as many cost whatever they do.
SIDES = ("nothing", "ours", "dbt")
NAMES = {"nothing": "`DateTimeTrigger`", "ours": "`RetabRunTrigger`", "dbt": "`DbtCloudRunJobTrigger`"}
# Ours looks often at first; its gaps have grown to 5 s after 17 s.
WARMUP = {"nothing": 1.0, "ours": 18.0, "dbt": 6.0}


def measure(lab: Lab) -> dict[str, Any]:
    """Measure one triggerer for each side, in turn."""
    count = 40 if lab.quick else COUNT
    interval = 2.0 if lab.quick else INTERVAL
    found = {}
    for side in SIDES:
        lab.say(f"a triggerer with {count} deferred tasks: {NAMES[side]}")
        found[side] = _one(lab, side, count, interval)
    return {"count": count, "interval": interval, "idle": found["nothing"]["idle"], "sides": found}


def _one(lab: Lab, side: str, count: int, interval: float) -> dict[str, Any]:
    home = lab.folder / f"triggerer-{side}"
    env = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
        "PYTHONPATH": str(ROOT),
    }
    pace = 0.3 if lab.quick else 1.0
    with lab.server() as server:
        server.plan(watched=count)
        spec = {
            "url": server.url,
            "side": side,
            "count": count,
            "first": server.told()["first"],
            "interval": interval,
            "idle": (20.0 if side == "nothing" else 2.0) * pace,
            "warmup": WARMUP[side] * pace,
            "stretches": 2 if lab.quick or side == "nothing" else 6,
            "stretch": 10.0 * pace,
            "patience": 120.0,
        }
        return _read(spec, lab.run("bench-airflow", "triggerer", spec, env=env, timeout=600), server.told())


def _read(spec: dict[str, Any], result: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
    """Return what the triggerer used in each stretch, and what it used before."""
    stretches = [_used(first, last) for first, last in pairwise(result["steady"])]
    start, end = result["steady"][0], result["steady"][-1]
    steady = [at for at in told["moments"] if start["at"] <= at < end["at"]]
    idle, before = result["idle"]
    return {
        "idle": _used(idle, before),
        "busy": median([each["busy"] for each in stretches]),
        "busy_in_loop": median([each["busy_in_loop"] for each in stretches]),
        "busy_each": [round(each["busy"], 4) for each in stretches],
        "requests": len(steady) * spec["interval"] / (end["at"] - start["at"]),
        "memory": median([each["memory"] for each in result["steady"]]) - before["memory"],
        "resident": median([each["resident"] for each in result["steady"]]) - before["resident"],
        "memory_before": before["memory"],
        "start_cpu": start["cpu"] - before["cpu"],
        "start_seconds": result["took"],
        "lost": None if result["noticed"] is None else spec["count"] - result["noticed"],
    }


def _used(first: dict[str, float], last: dict[str, float]) -> dict[str, float]:
    seconds = last["at"] - first["at"]
    return {
        "busy": (last["cpu"] - first["cpu"]) / seconds,
        "busy_in_loop": (last["cpu_of_loop"] - first["cpu_of_loop"]) / seconds,
    }


def section(results: Results) -> str:
    """Return the text of this part."""
    idle = results["idle"]["busy"]
    rows: list[tuple[object, ...]] = []
    for side in SIDES:
        found = results["sides"][side]
        rows.append(
            (
                NAMES[side],
                number(found["requests"]),
                number(100 * (found["busy"] - idle)),
                number(100 * (found["busy_in_loop"] - results["idle"]["busy_in_loop"])),
                number(found["memory"] / 1e6),
                number(found["start_seconds"]),
                number(found["start_cpu"]),
                "-" if found["lost"] is None else found["lost"],
            )
        )
    head = ("trigger", "requests", "CPU %", "of it in the loop %", "MB", "start s", "start CPU s", "lost")
    ours, dbt = results["sides"]["ours"], results["sides"]["dbt"]
    text = _INTRODUCTION.format(
        count=number(results["count"]),
        interval=number(results["interval"]),
        idle=number(100 * idle),
        idle_memory=number(results["sides"]["nothing"]["memory_before"] / 1e6),
    )
    bare = results["sides"]["nothing"]["busy"]
    return (
        f"{text}\n{table(head, rows)}\n"
        f"Beyond what Airflow itself needs to hold {number(results['count'])} triggers, dbt Cloud's take "
        f"{ratio(dbt['busy'] - bare, ours['busy'] - bare)} the CPU of ours and "
        f"{ratio(dbt['requests'], ours['requests'])} the requests.\n"
    )


_INTRODUCTION = """
One real `airflow triggerer` at its defaults (a capacity of 1,000) on a database of its own (SQLite), log level INFO,
its two processes on one core. It is given {count} deferred tasks of one DAG run, all at once, with a poll interval of
{interval} s. What is real: the triggerer, the database, the DAG and its run, the mapped tasks, the connections, which
it reads from the database, the triggers' logs, and that it resumes the tasks when their runs end. What is not: no
worker started the tasks; their rows were written as Airflow writes them when a worker reports that it has deferred.

Told is what it used in a minute (median of six stretches of 10 s; two for `DateTimeTrigger`), without what it used with
nothing to do: {idle} % of a core and {idle_memory} MB. One triggerer each, started anew, in turn.

* **requests**: what the server saw in one interval.
* **CPU %**: of one core, the triggerer and the process that it starts for the loop. `DateTimeTrigger` is Airflow's own
  and only sleeps: so much it costs Airflow to hold as many triggers, whatever they do.
* **MB**: memory of both, what they share counted once. Airflow loads part of itself when the first trigger asks for a
  connection; that is in it.
* **start s**, **start CPU s**: from when the tasks were deferred until all were being waited for and the triggerer was
  calm again; it looks the connection up for each trigger by itself.
* **lost**: tasks that it did not resume after their runs had ended.
"""


PART = Part(2, "The real triggerer", 5.5, measure, section)
