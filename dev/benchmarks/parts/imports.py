"""Part 5: what a DAG file pays for naming an operator of ours, and of each peer's."""

from collections.abc import Iterable
from typing import Any

from dev.benchmarks.lab import ROOT, Lab, median
from dev.benchmarks.part import Part, Results, Target, number, table

MODULES = {
    "ours": ("airflow_provider.operators", "airflow_provider.sensors"),
    "Airbyte": ("airflow.providers.airbyte.operators.airbyte", "airflow.providers.airbyte.sensors.airbyte"),
    "dbt Cloud": ("airflow.providers.dbt.cloud.operators.dbt", "airflow.providers.dbt.cloud.sensors.dbt"),
    "Databricks": (
        "airflow.providers.databricks.operators.databricks",
        "airflow.providers.databricks.sensors.databricks",
    ),
}
PARSED = "example_dags/"


def measure(lab: Lab) -> dict[str, Any]:
    """Import everything in a fresh process, in turn."""
    work = {name: {"modules": list(modules)} for name, modules in MODULES.items()}
    work[PARSED] = {"files": sorted(map(str, (ROOT / "example_dags").glob("*.py")))}
    for spec in work.values():
        lab.run("bench-airflow", "imports", spec)  # so that everything is compiled and in the page cache
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in work}
    for turn in range(lab.times()):
        lab.say(f"imports, {turn + 1} of {lab.times()}")
        for name, spec in work.items():
            found[name].append(lab.run("bench-airflow", "imports", spec))
    return {name: _summary(results) for name, results in found.items()} | {
        "files": len(work[PARSED]["files"])
    }


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "cpu": median([each["cpu"] for each in results]),
        "cpu_each": [round(each["cpu"], 4) for each in results],
        "modules": max(each["modules"] for each in results),
        "outside": sorted({event for each in results for event in each["outside"]}),
    }


def section(results: Results) -> str:
    """Return the text of this part."""
    rows = [
        (name, number(found["cpu"]), found["modules"], _times(found["cpu"], results["ours"]["cpu"]))
        for name, found in results.items()
        if name in MODULES
    ]
    parsed = results[PARSED]
    events = ", ".join(parsed["outside"]) or "no socket, database or process is opened"
    return (
        "Operators and sensors of each provider, imported in a fresh process after `import airflow.sdk`. Everything "
        "was compiled before.\n\n"
        f"{table(('import', 'CPU s', 'modules', 'next to ours'), rows)}\n"
        f"Running the {results['files']} files of `example_dags/` takes {number(parsed['cpu'])} CPU s and "
        f"{parsed['modules']} modules more than a DAG file that uses Airflow alone; {events}.\n"
    )


def _times(theirs: float, own: float) -> str:
    return f"{number(theirs / own, 2)}x" if own else "-"


def targets(results: Results) -> Iterable[Target]:
    """Return what this part decides."""
    ours = results["ours"]
    yield Target(
        "6",
        "Importing our operators and sensors after `airflow.sdk`: CPU",
        "<= 0.06 s",
        f"{number(ours['cpu'])} s",
        ours["cpu"] <= 0.06,
        f"{ours['modules']} modules are imported, most of them Airflow's own",
    )
    yield Target(
        "6",
        "Importing our operators and sensors after `airflow.sdk`: modules",
        "<= 40",
        str(ours["modules"]),
        ours["modules"] <= 40,
        "most of them are Airflow's own",
    )
    yield Target(
        "6",
        "Parsing the example DAGs: sockets, databases and processes opened",
        "none",
        ", ".join(results[PARSED]["outside"]) or "none",
        not results[PARSED]["outside"],
        "see part 5",
    )


PART = Part(5, "Importing", 1.0, measure, section, lambda results: list(targets(results)))
