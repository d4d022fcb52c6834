"""The numbers on performance are what was measured: nobody has written one by hand."""

import json
from pathlib import Path

import pytest

from dev.benchmarks.report import page, plots

DOCS = Path(__file__).parents[2] / "docs"
# None before the first `make bench`.
MEASURED = sorted(DOCS.glob("performance.json"))


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.name)
def test_the_page_is_what_the_measurements_make_of_it(path):
    assert (DOCS / "performance.md").read_text() == page(json.loads(path.read_text()))


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.name)
def test_every_plot_is_there(path):
    names = {f"performance-{plot.name}.svg" for plot in plots(json.loads(path.read_text()))}

    assert names == {image.name for image in (DOCS / "images").glob("performance-*.svg")}
