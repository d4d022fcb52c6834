"""Write docs/reliability.md and docs/reliability.json from the results of `make crash`: measured, never by hand.

`python -m tests.crash.report RESULTS DOCS`
"""

import json
import sys
from collections import Counter
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

from tests.crash.account import SERVERS
from tests.crash.airflow.cases import ALONE
from tests.crash.airflow.outages import OUTAGES
from tests.crash.prefect.cases import CASES as FLOWS

CASES = {"airflow": {**ALONE, **OUTAGES}, "prefect": FLOWS}
TITLES = {"airflow": "Airflow", "prefect": "Prefect"}
HEAD = """# Reliability

<!-- Written by `make crash`; change tests/crash/report.py instead. -->

Written by `make crash N={repetitions}` on {date} from its own results, failures as well; the numbers behind it are in
[reliability.json](reliability.json). It kills processes of real hosts with SIGKILL at the moments that hurt, and does
what users do to tasks and flow runs, on two kinds of [servers](servers.md) in turn: an [emulator](emulator.md) as it
comes, and one that ignores `Idempotency-Key`, filters no list by tags, and shows a new run in its list only after 10 s.
Only current routes are struck: classic ones have no tags, so there a create whose outcome is unknown fails and is not
sent again.
Each task has a Retab to itself, so every run there is its own. Airflow is set to notice a lost process within 30 s.

| | |
|---|---:|
| crashes injected | {crashes} |
| kills by a user | {asked} |
| tasks and flow runs struck | {tasks} |
| with more runs than asked for | {duplicates} |
| whose result was lost in a crash | {lost} |
| runs cancelled by a crash | {cancelled} |
| runs left running after a user's kill | {left} |
| that did not go as they should in any other way | {other} |
"""
HOST = """
## {title} {version}, its database on {database}

| case | killed or done | times | tasks | as expected | runs each | outcome | final state of the runs | seconds |
|---|---|---:|---:|---:|---|---|---|---|
"""


def main(results, docs):
    """Read the results of both hosts and write both pages."""
    hosts = [json.loads(path.read_text()) for path in sorted(Path(results).glob("*.json"))]
    if not hosts:
        sys.exit(f"there are no results in {results}")
    told = report(f"{datetime.now(UTC):%Y-%m-%d}", hosts)
    Path(docs, "reliability.json").write_text(json.dumps(told, indent=1) + "\n")
    Path(docs, "reliability.md").write_text(page(told))


def report(date, hosts):
    """Return all that the pages tell, reckoned from the tasks that were struck."""
    for host in hosts:
        for task in host["tasks"]:
            # What went wrong is for everybody, the paths of the machine that it went wrong on are not.
            task["error"] = task["error"] and task["error"].strip().splitlines()[-1]
    return {
        "date": date,
        "totals": totals(hosts),
        "hosts": [
            {
                "host": host["host"],
                "versions": host["versions"],
                "cases": cases(host),
                "tasks": host["tasks"],
            }
            for host in hosts
        ],
    }


def totals(hosts):
    """Count what may not happen, over all hosts."""
    struck = [(CASES[host["host"]][task["case"]], task) for host in hosts for task in host["tasks"]]
    crashed = [(case, task) for case, task in struck if not case.asks]
    killed = [(case, task) for case, task in struck if case.asks]
    bad = {
        "duplicates": [task for case, task in struck if (task["runs_created"] or 0) > case.expected[0]],
        "lost": [task for _, task in crashed if not task["returned"]],
        "cancelled": [task for _, task in crashed if task["cancels"] or "cancelled" in task["remote"]],
        "left": [
            task for _, task in killed if not set(task["remote"]) <= {"cancelled", "completed", "error"}
        ],
    }
    named = {id(task) for tasks in bad.values() for task in tasks}
    other = [task for case, task in struck if not went_well(case, task) and id(task) not in named]
    return {
        "repetitions": max(repetitions(host) for host in hosts),
        "crashes": sum(len(task["killed"]) for _, task in struck),
        "asked": sum(len(task["asked"]) for _, task in struck),
        "tasks": len(struck),
        **{name: len(tasks) for name, tasks in bad.items()},
        "other": len(other),
    }


def repetitions(host):
    """Return how often a host's matrix was repeated."""
    alone = [name for name in CASES[host["host"]] if name not in OUTAGES]
    return max(Counter(task["case"] for task in host["tasks"])[name] for name in alone) // len(SERVERS)


def went_well(case, task):
    """Whether a task came to what its case expects."""
    seen = (task["runs_created"], task["outcome"], task["returned"], tuple(task["remote"]))
    return seen == case.expected and not task["error"]


def cases(host):
    """Return a summary of each case of one host."""
    known = CASES[host["host"]]
    order = list(known)
    found = sorted(host["tasks"], key=lambda task: order.index(task["case"]))
    return [
        _case(name, known[name], list(tasks)) for name, tasks in groupby(found, lambda task: task["case"])
    ]


def _case(name, case, tasks):
    return {
        "case": name,
        "what": case.told,
        "by_a_user": case.asks,
        "injected": sum(len(task["killed"]) + len(task["asked"]) for task in tasks),
        "tasks": len(tasks),
        "as_expected": sum(went_well(case, task) for task in tasks),
        "runs_created_per_task": _counted(task["runs_created"] for task in tasks),
        "outcome": _counted(task["outcome"] for task in tasks),
        "final_states": _counted(", ".join(task["remote"]) for task in tasks),
        "seconds": [min(task["seconds"] for task in tasks), max(task["seconds"] for task in tasks)],
    }


def _counted(values):
    return {str(value): count for value, count in Counter(values).most_common()}


def page(told):
    """Return the page for people."""
    text = HEAD.format(date=told["date"], **told["totals"])
    for host in told["hosts"]:
        title = TITLES[host["host"]]
        versions = host["versions"]
        text += HOST.format(title=title, version=versions[title], database=versions["database"])
        text += "".join(_row(case) for case in host["cases"])
    return text


def _row(case):
    cells = [
        case["case"],
        case["what"],
        case["injected"],
        case["tasks"],
        case["as_expected"],
        *(_told(case[name]) for name in ("runs_created_per_task", "outcome", "final_states")),
        " to ".join(dict.fromkeys(f"{seconds:.0f}" for seconds in case["seconds"])),
    ]
    return "| " + " | ".join(map(str, cells)) + " |\n"


def _told(counted):
    if len(counted) == 1:
        return next(iter(counted))
    return "; ".join(f"{value} ({count}x)" for value, count in counted.items())


if __name__ == "__main__":
    main(*sys.argv[1:])
