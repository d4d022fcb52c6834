"""The numbers on reliability are what was measured: nobody has written one by hand."""

import json
from pathlib import Path

from tests.crash.report import CASES, page, report

DOCS = Path(__file__).parents[2] / "docs"
TOLD = json.loads((DOCS / "reliability.json").read_text())


def test_the_page_is_what_the_measurements_make_of_it():
    assert (DOCS / "reliability.md").read_text() == page(TOLD)


def test_the_sums_are_those_of_the_tasks():
    assert report(TOLD["date"], TOLD["hosts"]) == TOLD


def test_every_case_was_measured():
    measured = {host["host"]: {case["case"] for case in host["cases"]} for host in TOLD["hosts"]}

    assert measured == {host: set(cases) for host, cases in CASES.items()}
