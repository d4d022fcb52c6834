"""What a part of the benchmark consists of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dev.benchmarks.lab import Lab

Results = Mapping[str, Any]
"""What a part measured, as JSON holds it."""


@dataclass(frozen=True)
class Target:
    """One promise about cost, and what became of it."""

    point: str
    """Which of the promises, `1`; one may have several targets."""
    what: str
    asked: str
    measured: str
    met: bool
    bound: str = ""
    """What bounds it, where it is not met."""


@dataclass(frozen=True)
class Plot:
    """A drawing of how a cost grows; both axes are logarithmic."""

    name: str
    """The file in docs/images is `performance-NAME.svg`."""
    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def _no_targets(_: Results) -> list[Target]:
    return []


def _no_plots(_: Results) -> list[Plot]:
    return []


@dataclass(frozen=True)
class Part:
    """One part: `measure` measures, the rest only tells what it returned.

    Attributes:
        number: Its number on the page.
        title: Its heading.
        minutes: About how long it takes.
        measure: Measures; what it returns goes through JSON to the rest.
        section: Returns the Markdown below the heading, without the plots.
        targets: Returns the promises that it decides.
        plots: Returns what to draw.
    """

    number: int
    title: str
    minutes: float
    measure: Callable[[Lab], dict[str, Any]] = field(repr=False)
    section: Callable[[Results], str] = field(repr=False)
    targets: Callable[[Results], list[Target]] = field(default=_no_targets, repr=False)
    plots: Callable[[Results], list[Plot]] = field(default=_no_plots, repr=False)


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, left: int = 1) -> str:
    """Return a Markdown table; all but the first `left` columns are numbers, to the right."""
    marks = ["---" if place < left else "---:" for place in range(len(head))]
    lines = [head, marks, *rows]
    return "".join("| " + " | ".join(str(cell) for cell in line) + " |\n" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with so many digits that say something: 1,520, 27.3, 0.042; a dash for none."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    size = abs(value)
    whole = len(str(int(size))) if size >= 1 else 0
    decimals = max(0, digits - whole) if size >= 1 else digits + _zeros(size)
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _zeros(size: float) -> int:
    """Count the zeros between the point and the first digit."""
    count = 0
    while size < 0.1:
        size, count = size * 10, count + 1
    return count


def ratio(theirs: float, own: float) -> str:
    """Write how many times as much theirs is: `56x`."""
    return f"{number(theirs / own, 2)}x" if own > 0 else "-"
