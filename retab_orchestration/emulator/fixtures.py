"""A pytest fixture: write `pytest_plugins = ["retab_orchestration.emulator.fixtures"]` in your `conftest.py`."""

from collections.abc import Iterator

import pytest

from retab_orchestration.emulator.embedded import Emulator

__all__ = ["retab_emulator"]


@pytest.fixture
def retab_emulator() -> Iterator[Emulator]:
    """Run an emulator for one test, ten times faster than real time; it accepts any key.

    Override the fixture in your own `conftest.py` to start it with other arguments.
    """
    with Emulator(speed=10) as emulator:
        yield emulator
