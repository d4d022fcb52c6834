"""`python -m dev.benchmarks.scaling`: the measured figures in docs/scaling.md, out of docs/performance.json."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dev.benchmarks.growth import LATENCY, RUNS, TRIGGERERS, Costs, size
from dev.benchmarks.lab import ROOT
from dev.benchmarks.part import number, table
from dev.benchmarks.parts.triggerer import NAMES as TRIGGERS
from retab_orchestration import PollPolicy

DOCS = ROOT / "docs"

# What stands between these two is written by us.
_BLOCK = re.compile(r"(<!-- measured: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, told: Mapping[str, Any] | None) -> str:
    """Return a page with the figures of this measurement between its marks.

    Args:
        page: The page, with `<!-- measured: NAME -->` and `<!-- end -->` around each block.
        told: What `make bench` wrote; None before it was run.
    """
    parts = {} if told is None else told["parts"]
    results = {int(name): part["results"] for name, part in parts.items()}

    def block(found: re.Match[str]) -> str:
        part, write = BLOCKS[found["name"]]
        text = write(results[part]) if part in results else f"Not measured yet: `make bench PARTS={part}`.\n"
        return f"{found[1]}{text}{found[3]}"

    return _BLOCK.sub(block, page)


def _triggerer(results: Mapping[str, Any]) -> str:
    """How many triggers one triggerer holds at what cost."""
    count, idle = results["count"], results["idle"]["busy"]
    rows = [
        (
            TRIGGERS[side],
            number(found["requests"]),
            f"{number(100 * (found['busy'] - idle))} %",
            f"{number(found['memory'] / 1e6)} MB",
            f"{number(found['start_seconds'])} s",
        )
        for side, found in results["sides"].items()
    ]
    head = (
        f"{number(count)} deferred tasks",
        "requests per interval",
        "of a core",
        "memory",
        "until all wait",
    )
    return table(head, rows)


def _endtoend(results: Mapping[str, Any]) -> str:
    """What deferring spares the workers."""
    ways = results["ways"]
    return (
        f"Measured on {results['parallelism']} slots: {results['count']} mapped runs of "
        f"{number(results['seconds'])} s held slots for {number(ways['deferred']['slot_seconds'])} s in all and were "
        f"done after {number(ways['deferred']['wall'])} s; with `deferrable=False` it was "
        f"{number(ways['held']['slot_seconds'])} s and {number(ways['held']['wall'])} s.\n"
    )


def _fleet(results: Mapping[str, Any]) -> str:
    """What the measured fleet needed."""
    fleet = results["fleet"]
    rate = number((results["pages"] + results["gets"]) / results["seconds"])
    return (
        f"Measured: {fleet['processes']} processes that wait for {number(fleet['waited'], 6)} runs together, of "
        f"{number(fleet['tagged'], 6)} that carry our tag and {number(fleet['every'], 6)} that are active, every "
        f"{number(results['interval'])} s: {rate} requests per second at the server, of all together; "
        f"{number(100 * results['busy'])} % of a core and {number(results['memory'] / 1e6)} MB in each process; an end "
        f"was noticed after {number(results['lag_p50'])} s at the median, {number(results['lag_p99'])} s at the 99th "
        "percentile.\n"
    )


def _growth(results: Mapping[str, Any]) -> str:
    """What larger ones would need, worked out."""
    costs = Costs.read(results["costs"])
    rows = []
    for runs in RUNS:
        for count in TRIGGERERS:
            found = size(costs, count, runs)
            rows.append(
                (
                    number(runs, 7),
                    count,
                    number(found.requests, 2),
                    number(found.pages, 6) if found.pages else "-",
                    f"{number(found.sweep, 2)} s" if found.pages else "-",
                    f"{number(100 * found.busy, 2)} %",
                    f"{number(found.memory / 1e6, 2)} MB",
                    found.bound,
                )
            )
    head = (
        "waiting runs",
        "triggerers",
        "requests/s",
        "pages",
        "a reading",
        "CPU each",
        "memory each",
        "bound by",
    )
    return (
        f"At the default interval of {number(PollPolicy().interval)} s, with runs of "
        f"{number(costs.row_bytes / 1e3, 2)} KB in the list and a server that answers within "
        f"{number(1000 * LATENCY)} ms:\n\n{table(head, rows)}"
    )


BLOCKS: Mapping[str, tuple[int, Callable[[Mapping[str, Any]], str]]] = {
    "triggerer": (2, _triggerer),
    "endtoend": (7, _endtoend),
    "fleet": (8, _fleet),
    "growth": (8, _growth),
}
"""By its name, the part that a block is taken from, and what writes it."""


def main() -> None:
    """Write the figures into docs/scaling.md."""
    measured = DOCS / "performance.json"
    page = DOCS / "scaling.md"
    told = json.loads(measured.read_text()) if measured.exists() else None
    page.write_text(filled(page.read_text(), told))
    print(f"written: {page.relative_to(Path.cwd()) if page.is_relative_to(Path.cwd()) else page}")


if __name__ == "__main__":
    main()
