"""docs/scaling.md holds the figures of the last measurement, and what is worked out from them is worked out right."""

import json
from pathlib import Path

import pytest

from dev.benchmarks import scaling
from dev.benchmarks.growth import RUNS, TRIGGERERS, Costs, size

DOCS = Path(__file__).parents[2] / "docs"
COSTS = Costs(
    row_us=10.0,
    watched_us=10.0,
    get_us=500.0,
    row_bytes=400.0,
    memory_base=50e6,
    memory_run=5e3,
    sweeps=1.0,
)


def test_the_page_holds_the_figures_of_the_last_measurement():
    measured = DOCS / "performance.json"
    told = json.loads(measured.read_text()) if measured.exists() else None
    page = (DOCS / "scaling.md").read_text()

    assert page == scaling.filled(page, told), "run `python -m dev.benchmarks.scaling`"


def test_each_block_is_on_the_page_and_says_how_to_measure_it():
    page = (DOCS / "scaling.md").read_text()
    bare = scaling.filled(page, None)

    for name, (part, _) in scaling.BLOCKS.items():
        block = bare.split(f"<!-- measured: {name} -->\n")[1].split("<!-- end -->")[0]
        assert block == f"Not measured yet: `make bench PARTS={part}`.\n"


def test_one_triggerer_reads_a_page_for_each_hundred_runs():
    found = size(COSTS, 1, 10_000, interval=30.0)

    assert found.pages == 100
    assert found.sweep == pytest.approx(100 * 0.05 + 10_000 * 20e-6)
    assert found.requests == pytest.approx(100 / 30)
    assert found.busy == pytest.approx(0.2 / 30)
    assert found.memory == pytest.approx(100e6)


def test_a_second_triggerer_reads_the_whole_list_once_more():
    one, four = (size(COSTS, count, 10_000, interval=30.0) for count in (1, 4))

    assert four.requests == pytest.approx(4 * one.requests)
    assert four.busy == pytest.approx((0.1 + 0.025) / 30)
    assert four.bound == "every triggerer reads the whole list; capacity"


def test_runs_are_asked_for_one_by_one_where_few_of_the_list_are_its_own():
    found = size(COSTS, 100, 10_000, interval=30.0)

    assert found.pages == 0
    assert found.requests == pytest.approx(10_000 / 30)
    assert found.busy == pytest.approx(100 / 30 * 500e-6)


def test_a_list_that_takes_longer_than_the_interval_is_read_half_the_time():
    found = size(COSTS, 1, 100_000, interval=30.0)

    assert found.sweep == pytest.approx(52.0)
    assert found.requests == pytest.approx(1_000 / 104)
    assert found.bound == "pages come one after the other; capacity"


@pytest.mark.parametrize("triggerers", TRIGGERERS)
def test_more_runs_never_cost_less(triggerers):
    found = [size(COSTS, triggerers, runs) for runs in RUNS]

    assert [each.memory for each in found] == sorted(each.memory for each in found)
    assert all(0 < each.busy < 1 for each in found)


@pytest.mark.parametrize(("count", "interval"), [(1_000, 5.0)])
def test_the_blocks_quote_what_was_measured(count, interval):
    told = {"parts": {"2": {"results": _triggerer(count, interval)}}}

    page = scaling.filled("<!-- measured: triggerer -->\nold\n<!-- end -->\n", told)

    assert "old" not in page
    assert "| `RetabRunTrigger` | 12 | 3.5 % | 150 MB | 20 s |" in page


def _triggerer(count, interval):
    side = {"requests": 12.0, "busy": 0.045, "memory": 150e6, "start_seconds": 20.0}
    return {
        "count": count,
        "interval": interval,
        "idle": {"busy": 0.01},
        "sides": {"nothing": side, "ours": side, "dbt": side},
    }
