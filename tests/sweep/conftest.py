"""Counts the cases of the sweep and says how many there were."""

import pytest

_cases = pytest.StashKey[dict[str, int]]()


@pytest.fixture
def count(request):
    """Count cases under a name: `count("client")`."""
    cases = request.config.stash.setdefault(_cases, {})

    def add(leg, number=1):
        cases[leg] = cases.get(leg, 0) + number

    return add


def pytest_terminal_summary(terminalreporter, config):
    cases = config.stash.get(_cases, {})
    if cases:
        legs = ", ".join(f"{leg} {number}" for leg, number in sorted(cases.items()))
        terminalreporter.write_line(f"sweep: {sum(cases.values())} cases ({legs})")
