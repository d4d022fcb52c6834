"""`python -m dev.benchmarks [--parts 1,5] [--quick] [--into FOLDER]`: measure, and write the page."""

import argparse
import json
import shutil
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dev.benchmarks.drawing import draw
from dev.benchmarks.lab import ROOT, Lab
from dev.benchmarks.machine import machine, versions
from dev.benchmarks.part import Part
from dev.benchmarks.parts import PARTS
from dev.benchmarks.report import page, plots
from dev.hosts.processes import exit_on_terminate


def main() -> None:
    """Measure the parts that are asked for; the others stay on the page as they were measured before."""
    parser = argparse.ArgumentParser(prog="python -m dev.benchmarks", description=__doc__)
    parser.add_argument("--parts", default="", help="their numbers, `1,5`; all when empty")
    parser.add_argument("--quick", action="store_true", help="measure little, once, and write to build/bench")
    parser.add_argument("--into", type=Path, help="write here, and not to docs/")
    asked = parser.parse_args()
    chosen = {int(word) for word in asked.parts.replace(",", " ").split()}
    parts = [part for part in PARTS if not chosen or part.number in chosen]
    if unknown := chosen - {part.number for part in parts}:
        parser.error(f"there is no part {unknown}")
    into: Path = asked.into or (ROOT / "build" / "bench" if asked.quick else ROOT / "docs")
    exit_on_terminate()
    told = _before(into) | {"date": _today(), "machine": machine(), "versions": versions()}
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        for part in parts:
            # A folder each: what processes wrote is appended to, and their numbers begin anew with each part.
            own = folder / f"part-{part.number}"
            own.mkdir()
            told["parts"][str(part.number)] = _measured(part, Lab(own, quick=asked.quick))
            # After each part, so that a failure of the next one loses nothing.
            _write(told, into)
    except BaseException:
        print(f"what the processes wrote is in {folder}")
        raise
    shutil.rmtree(folder, ignore_errors=True)
    print(f"written: {into / 'performance.md'}")


def _measured(part: Part, lab: Lab) -> dict[str, Any]:
    print(f"{part.number}. {part.title}: about {part.minutes:g} min", flush=True)
    began = time.monotonic()
    results = part.measure(lab)
    # Through JSON at once, so that the page is made of the same things now and when it is checked.
    return {
        "date": _today(),
        "seconds": round(time.monotonic() - began, 1),
        "results": json.loads(json.dumps(results)),
    }


def _before(into: Path) -> dict[str, Any]:
    path = into / "performance.json"
    before: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"parts": {}}
    return before


def _write(told: dict[str, Any], into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    told["parts"] = dict(sorted(told["parts"].items()))
    (into / "performance.json").write_text(json.dumps(told, indent=1) + "\n")
    (into / "performance.md").write_text(page(told))
    for plot in plots(told):
        draw(plot, into / "images")


def _today() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}"


if __name__ == "__main__":
    main()
