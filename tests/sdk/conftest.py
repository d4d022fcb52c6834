"""A table of what each release of the SDK passed, at the end of a session."""

import pytest

COUNTS = pytest.StashKey[dict[str, tuple[str, int, int]]]()


@pytest.fixture
def passed_calls(request):
    """Release -> its generation, how many calls passed, and how many were tried."""
    return request.config.stash.setdefault(COUNTS, {})


def pytest_terminal_summary(terminalreporter, config):
    """Print the table."""
    counts = config.stash.get(COUNTS, {})
    if counts:
        terminalreporter.section("calls of the official SDK")
        terminalreporter.write_line("release   generation   passed of tried")
    for release, (generation, passed, tried) in counts.items():
        terminalreporter.write_line(f"{release:<10}{generation:<13}{passed} of {tried}")
