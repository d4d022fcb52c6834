"""The plots, as SVG that is the same whenever the numbers are."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from dev.benchmarks.part import Plot, number

COLOURS = ("#0b6e4f", "#c8553d", "#3d5a80", "#8d6a9f", "#b08900", "#6c757d")
MARKS = "osD^vP"


def draw(plot: Plot, folder: Path) -> None:
    """Write one plot into a folder."""
    mpl.rcParams.update({"svg.hashsalt": plot.name, "svg.fonttype": "none", "font.family": "sans-serif"})
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for place, (label, points) in enumerate(plot.lines.items()):
        drawn = [(x, y) for x, y in points if y > 0]
        axes.plot(
            [x for x, _ in drawn],
            [y for _, y in drawn],
            label=label,
            color=COLOURS[place % len(COLOURS)],
            marker=MARKS[place % len(MARKS)],
        )
    axes.set(title=plot.title, xlabel=plot.x, ylabel=plot.y, xscale="log", yscale="log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.grid(visible=True, which="major", color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    folder.mkdir(parents=True, exist_ok=True)
    # Without a date, so that the same numbers give the same file.
    figure.savefig(folder / f"performance-{plot.name}.svg", metadata={"Date": None})
