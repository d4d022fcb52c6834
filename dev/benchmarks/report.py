"""docs/performance.md out of docs/performance.json: nobody writes a number by hand."""

from collections.abc import Mapping
from typing import Any

from dev.benchmarks.part import Part, Plot, Target, table
from dev.benchmarks.parts import PARTS

HEAD = """# Performance

<!-- Written by `make bench`; change dev/benchmarks/ instead. -->

Written by `make bench` on {date} from its own measurements; the numbers behind it are in
[performance.json](performance.json). Every measurement ran in a fresh process, ours and the others' in turn in the
same run, against a server on loopback that costs them all the same; what is told is the median, of five where nothing
else is said. Sizes are in powers of ten. Numbers of another machine differ, their ratios much less.
"""
PROMISES = """
## What was asked, and what was measured

"""
BOUNDS = """
Where a number was not reached, this is what bounds it:

"""


def page(told: Mapping[str, Any]) -> str:
    """Return the page for people."""
    known = [(part, told["parts"][str(part.number)]) for part in PARTS if str(part.number) in told["parts"]]
    text = HEAD.format(date=told["date"])
    targets = [target for part, measured in known for target in part.targets(measured["results"])]
    text += _promises(sorted(targets, key=lambda target: target.point))
    text += _surroundings(told)
    return text + "".join(_section(part, measured) for part, measured in known)


def plots(told: Mapping[str, Any]) -> list[Plot]:
    """Return all that is drawn."""
    return [
        plot
        for part in PARTS
        if str(part.number) in told["parts"]
        for plot in part.plots(told["parts"][str(part.number)]["results"])
    ]


def _promises(targets: list[Target]) -> str:
    rows = [
        (each.point, each.what, each.asked, each.measured, "yes" if each.met else "**no**")
        for each in targets
    ]
    text = PROMISES + table(("", "what", "asked", "measured", "met"), rows, left=5)
    missed = [each for each in targets if not each.met]
    if missed:
        text += BOUNDS + "".join(f"* {each.point}, {each.what}: {each.bound}\n" for each in missed)
    return text


def _surroundings(told: Mapping[str, Any]) -> str:
    machine = told["machine"]
    text = "\n## Machine and versions\n\n"
    text += (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB of memory, "
        f"{machine['system']}. What is measured keeps to one core, the server to another.\n\n"
    )
    rows = [
        (venv, ", ".join(f"{name} {version}" for name, version in found.items()))
        for venv, found in told["versions"].items()
    ]
    return text + table(("venv", "holds"), rows, left=2)


def _section(part: Part, measured: Mapping[str, Any]) -> str:
    text = f"\n## {part.number}. {part.title}\n\n{part.section(measured['results']).strip()}\n"
    for plot in part.plots(measured["results"]):
        text += f"\n![{plot.title}](images/performance-{plot.name}.svg)\n"
    return f"{text}\nMeasured on {measured['date']} in {measured['seconds']:.0f} s.\n"
