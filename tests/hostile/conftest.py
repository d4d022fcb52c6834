"""Runs the cases of a module many at a time, gives each a test of its own, and prints how many are of which class."""

from collections import Counter
from pathlib import Path

import pytest

from tests.hostile.judge import CLASSES

# Seconds for all cases of a module, which the first of its tests runs.
ALL_CASES = 900

_counts = pytest.StashKey[Counter]()


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(ALL_CASES))


@pytest.fixture(scope="session")
def hostile_server():
    from tests.hostile.server import Server

    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def outcomes(request, hostile_server):
    """The classes of those cases of this module that are to run."""
    from tests.hostile.harness import Outcomes

    outcomes = Outcomes()
    here = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    cases = [item.callspec.params["case"] for item in here if hasattr(item, "callspec")]
    outcomes.run(hostile_server, cases)
    return outcomes


@pytest.fixture
def check(request, outcomes):
    """Fail unless a case is good, and count it."""

    def checked(case):
        kind, why = outcomes.by_case[case]
        request.config.stash.setdefault(_counts, Counter())[kind] += 1
        if kind != "good":
            pytest.fail(f"{kind}: {why}", pytrace=False)

    return checked


def pytest_terminal_summary(terminalreporter, config):
    counts = config.stash.get(_counts, Counter())
    if counts:
        told = ", ".join(f"{name} {counts[name]}" for name in CLASSES)
        terminalreporter.write_line(f"hostile: {sum(counts.values())} cases ({told})")
