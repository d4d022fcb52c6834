"""Part 9: many creates in one Prefect flow, ours and those of a persisted task that calls the client."""

from collections.abc import Iterable
from typing import Any

from dev.benchmarks.lab import ROOT, Lab, median
from dev.benchmarks.part import Part, Results, Target, number, table

COUNT, TURNS = 150, 4
MOST = 2.0
"""How many times as long as the bare task's ours may take on current routes."""
SIDES = {"bare": "a persisted task that calls the client", "ours": "ours: `acreate_run`"}
HOW = {True: "gathered", False: "one after the other"}


def measure(lab: Lab) -> dict[str, Any]:
    """Run both sides in the flows of one process, for each kind of routes."""
    found = []
    for api, at_once in (("current", True), ("current", False), ("classic", True), ("classic", False)):
        lab.say(f"{COUNT} creates in one flow, {api} routes, {HOW[at_once]}")
        found.append({"api": api, "at_once": at_once, **_flows(lab, api, at_once=at_once)})
    return {"count": COUNT, "flows": found}


def _flows(lab: Lab, api: str, *, at_once: bool) -> dict[str, Any]:
    # It needs what this venv has and those in which the page is only checked need not.
    from dev.hosts.prefect_host import PrefectHost

    folder = lab.folder / f"{api}-{at_once}"
    folder.mkdir(parents=True)
    document = folder / "invoice.txt"
    document.write_text("Vendor: Acme Corp\n" * 50)
    turns = lab.times(TURNS)
    with PrefectHost(ROOT / ".venvs" / "bench-prefect") as host, lab.emulator("--api", api) as url:
        spec = {"url": url, "count": COUNT, "turns": turns, "document": str(document), "at_once": at_once}
        env = {
            "PREFECT_API_URL": host.api_url,
            "PREFECT_HOME": str(host.home),
            "PREFECT_LOGGING_LEVEL": "WARNING",
        }
        result = lab.run("bench-prefect", "prefect_creates", spec, env=env, timeout=900.0)
    return {
        "turns": turns,
        "missing": 2 * turns * COUNT - result["runs"],
        **{what: {side: median(result[what][side]) for side in SIDES} for what in ("wall", "cpu")},
    }


def section(results: Results) -> str:
    """Return the text of this part."""
    rows = [
        (
            found["api"],
            HOW[found["at_once"]],
            SIDES[side],
            number(1000 * found["wall"][side]),
            number(1000 * found["cpu"][side]),
            f"{number(found['wall'][side] / found['wall']['bare'], 2)}x",
        )
        for found in results["flows"]
        for side in SIDES
    ]
    head = ("routes", "creates", "", "ms a create", "CPU ms a create", "to the bare task")
    return f"{_INTRODUCTION.format(count=results['count'])}\n{table(head, rows, left=3)}"


_INTRODUCTION = """
{count} creates in one async flow, each with a document of its own of 1 KB, on a Prefect server of its own with SQLite
and the emulator, all on this machine. **ms a create** is the time of all of them, divided by their number, the median
of several flows; both sides are measured by turns in one process. The bare task stores its result and remembers
nothing: a retry of its flow creates again. Ours remembers its run with the run's own tags on current routes. On classic
ones, which have none, Prefect's server is told before each create and after it, once for all that wait for that.
"""


def targets(results: Results) -> Iterable[Target]:
    """Return what this part decides."""
    for found in results["flows"]:
        if found["api"] != "current" or not found["at_once"]:
            continue
        factor = found["wall"]["ours"] / found["wall"]["bare"]
        yield Target(
            "9",
            f"`acreate_run`, {results['count']} gathered on current routes, next to a task without a memory",
            f"<= {number(MOST)}x",
            f"{number(factor, 2)}x ({number(1000 * found['wall']['ours'])} of "
            f"{number(1000 * found['wall']['bare'])} ms)",
            factor <= MOST,
            "see part 9",
        )


PART = Part(9, "Creating on Prefect", 5.0, measure, section, lambda results: list(targets(results)))
