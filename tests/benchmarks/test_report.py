"""The text of the benchmark's page: numbers that can be read, promises that are decided by what was measured."""

import pytest

from dev.benchmarks.part import number, table
from dev.benchmarks.parts import PARTS
from dev.benchmarks.parts.defaults import _most
from dev.benchmarks.parts.waiting import _read
from dev.benchmarks.report import page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0"),
        (1520.4, "1,520"),
        (27.34, "27.3"),
        (10.0, "10"),
        (0.04213, "0.0421"),
        (0.00004213, "0.0000421"),
        (-2730.2, "-2,730"),
    ],
)
def test_a_number_has_three_digits_that_say_something(value, text):
    assert number(value) == text


def test_a_table_puts_numbers_to_the_right():
    assert table(("a", "b"), [("x", 1)]) == "| a | b |\n| --- | ---: |\n| x | 1 |\n"


def test_parts_are_numbered_once_and_in_order():
    numbers = [part.number for part in PARTS]

    assert numbers == sorted(set(numbers))


@pytest.mark.parametrize(
    ("moments", "most"), [([], 0), ([5.0], 0), ([20, 30, 59.9, 60], 3), ([20, 61, 62, 100, 121], 3)]
)
def test_the_fullest_window_is_found(moments, most):
    assert _most(moments, 20.0, 120.0) == most


def measured(bound):
    cell = {"cpu": bound, "modules": 41, "outside": []}
    return {
        "date": "2026-01-01",
        "machine": {"processor": "P", "cores": 2, "memory_gb": 8.0, "system": "S"},
        "versions": {"bench-core": {"python": "3.11"}},
        "parts": {
            "5": {
                "date": "2026-01-01",
                "seconds": 1.0,
                "results": {
                    **dict.fromkeys(("ours", "Airbyte", "dbt Cloud", "Databricks", "example_dags/"), cell),
                    "files": 4,
                },
            }
        },
    }


def test_a_promise_that_is_not_kept_says_what_bounds_it():
    text = page(measured(0.05))

    assert "| <= 0.06 s | 0.05 s | yes |" in text
    assert "| <= 40 | 41 | **no** |" in text
    assert "modules: most of them are Airflow's own" in text


def test_parts_that_were_not_measured_are_left_out():
    text = page(measured(0.05))

    assert "## 5." in text
    assert "## 1." not in text


@pytest.mark.parametrize(("side", "looks"), [("ours", 10), ("dbt", 3)])
def test_a_look_costs_what_its_interval_cost(side, looks):
    spec = {"side": side, "count": 10, "vanguard": 0, "interval": 5.0}
    result = {
        "steady": [[100.0, 7.0], [105.0, 7.3]],
        "noticed": {"1": 121.5, "2": 123.0},
        "bad_count": 1,
        "resident": [1_000, 51_000, 91_000],
        "blocks": {},
        "ending_cpu": 0.5,
    }
    told = {
        "moments": [99.9, 100.0, 102.0, 104.9, 105.0],
        "sizes": [1, 10, 20, 30, 1],
        "ends": {"1": 120.0, "2": 120.0},
    }

    found = _read(spec, result, told)

    (interval,) = found["intervals"]
    assert interval["cpu_us"] == pytest.approx(0.3e6 / looks)
    assert (interval["requests"], interval["bytes"]) == (3, 60)
    assert found["lags"] == [1.5, 3.0]
    assert found["lost"] == 9
    assert (found["resident"], found["peak"]) == (5_000, 9_000)
