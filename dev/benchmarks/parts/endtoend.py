"""Part 7: many runs through a whole Airflow, waited for in the triggerer and on the workers."""

import json
from datetime import datetime
from itertools import pairwise
from typing import Any

from dev.benchmarks.lab import ROOT, Lab, Server
from dev.benchmarks.part import Part, Results, number, ratio, table
from dev.hosts.airflow_host import AirflowHost

COUNT = 60
SECONDS = 20.0
PARALLELISM = 8
WAYS = {"deferred": "`deferrable=True`", "held": "`deferrable=False`"}
# A task holds a worker's slot from the first until one of the others.
_BEGINS = "running"
_ENDS = ("deferred", "success", "failed")


def measure(lab: Lab) -> dict[str, Any]:
    """Run the same mapped task both ways on one Airflow, in turn."""
    count, seconds, parallelism = (6, 12.0, 3) if lab.quick else (COUNT, SECONDS, PARALLELISM)
    with lab.server() as server:
        lab.say("starting Airflow")
        with _airflow(server, count, parallelism) as host:
            found = {}
            for way in WAYS:
                lab.say(f"{count} runs of {seconds:g} s, {way}")
                found[way] = _one(host, server, way, seconds)
    return {"count": count, "seconds": seconds, "parallelism": parallelism, "ways": found}


def _airflow(server: Server, count: int, parallelism: int) -> AirflowHost:
    connection = {"conn_type": "retab", "password": "rt_test_bench", "host": server.url}
    env = {
        "AIRFLOW_CONN_RETAB_DEFAULT": json.dumps(connection),
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(10 * count),
        "BENCH_RUNS": str(count),
        "PYTHONPATH": str(ROOT),
    }
    dags = ROOT / "dev" / "benchmarks" / "work" / "dags"
    return AirflowHost(ROOT / ".venvs" / "bench-airflow", dags, env=env, parallelism=parallelism)


def _one(host: AirflowHost, server: Server, way: str, seconds: float) -> dict[str, Any]:
    server.plan(created_last=seconds)
    run_id = host.api.trigger(way)
    state = host.api.wait_for_dag_run(way, run_id, timeout=900)
    told = host.api.get(f"/dags/{way}/dagRuns/{run_id}")
    stays = _stays(host, way, run_id)
    kinds = server.told()["kinds"]
    return {
        "state": state,
        "wall": _moment(told["end_date"]) - _moment(told["start_date"]),
        "slot_seconds": sum(end - start for start, end in stays),
        "most_slots": _most(stays),
        "stays": len(stays),
        "created": kinds.count("create"),
        "requests": len(kinds),
    }


def _stays(host: AirflowHost, dag_id: str, run_id: str) -> list[tuple[float, float]]:
    """Return from when to when tasks held a slot, as Airflow's own audit log tells."""
    entries: list[dict[str, Any]] = []
    while True:
        page = host.api.get(
            "/eventLogs",
            dag_id=dag_id,
            run_id=run_id,
            included_events=[_BEGINS, *_ENDS],
            order_by="event_log_id",
            limit=100,
            offset=len(entries),
        )
        entries += page["event_logs"]
        if len(entries) >= page["total_entries"]:
            break
    by_task: dict[int, list[tuple[float, str]]] = {}
    for each in entries:
        by_task.setdefault(each["map_index"], []).append((_moment(each["when"]), each["event"]))
    return [
        (start, end)
        for events in by_task.values()
        for (start, began), (end, ended) in pairwise(events)
        if began == _BEGINS and ended in _ENDS
    ]


def _most(stays: list[tuple[float, float]]) -> int:
    """Return how many slots were held at the same time, at most."""
    changes = sorted([(start, 1) for start, _ in stays] + [(end, -1) for _, end in stays])
    held = most = 0
    for _, change in changes:
        held += change
        most = max(most, held)
    return most


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def section(results: Results) -> str:
    """Return the text of this part."""
    rows = []
    for way, name in WAYS.items():
        found = results["ways"][way]
        rows.append(
            (
                name,
                found["state"],
                number(found["wall"]),
                number(found["slot_seconds"]),
                number(found["slot_seconds"] / results["count"]),
                found["most_slots"],
                found["created"],
                number(found["requests"]),
            )
        )
    head = (
        "waits",
        "DAG run",
        "wall s",
        "slot s",
        "slot s a run",
        "slots at once",
        "runs created",
        "requests",
    )
    deferred, held = results["ways"]["deferred"], results["ways"]["held"]
    text = _INTRODUCTION.format(
        count=results["count"],
        seconds=number(results["seconds"]),
        parallelism=results["parallelism"],
        least=number(results["count"] * results["seconds"] / results["parallelism"]),
    )
    return (
        f"{text}\n{table(head, rows, left=2)}\n"
        f"Waited for on the worker, the runs hold {ratio(held['slot_seconds'], deferred['slot_seconds'])} the "
        f"worker's slots, and the DAG run takes {ratio(held['wall'], deferred['wall'])} the time.\n"
    )


_INTRODUCTION = """
A mapped `RetabRunWorkflowOperator` starts {count} runs of {seconds} s each, at its defaults, on an Airflow of four
processes on SQLite (LocalExecutor, parallelism {parallelism}) with all cores of the machine, which the server shares.
Both ways in turn, once each. Tasks that hold a slot while they wait cannot be done before {least} s, whatever the
machine; deferred ones are held up by how fast it starts task processes, two for each run.

* **wall s**: from the start to the end of the DAG run.
* **slot s**: time that tasks held a worker's slot, together: from `running` to `deferred` or the end, and again from
  when they were resumed, as Airflow's audit log tells.
"""


PART = Part(7, "End to end on Airflow", 6.0, measure, section)
