"""What test folders share that cost too much to have twice."""

import faulthandler
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

BOOTING, STRIKING = 900, 1500
"""Seconds that a test may take that boots a host, or for which all of a crash matrix is run; others: pyproject.toml."""

LEAVING = 300
"""Seconds from the last test's end to the end of the process, for which a thread that a test left behind may wait."""


def pytest_configure():
    if threading.current_thread() is threading.main_thread():
        # As Ctrl-C does: whoever ends the tests ends the hosts that they have started as well.
        signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("system") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(limit_of(item.path)))


def limit_of(path):
    if Path(__file__).parent / "crash" not in path.parents:
        return BOOTING
    return STRIKING * int(os.environ.get("CRASH_REPETITIONS", "1"))


def pytest_unconfigure():
    faulthandler.dump_traceback_later(LEAVING, exit=True, file=sys.__stderr__)


@pytest.fixture(scope="session")
def real_airflow():
    """The Airflow of tests/system/airflow and tests/crash/airflow, booted once for both."""
    from tests.real_airflow import booted

    with booted() as airflow:
        yield airflow


@pytest.fixture(scope="session")
def prefect_host():
    """The Prefect server of tests/system/prefect and tests/crash/prefect; scripts run in this environment."""
    from dev.hosts.prefect_host import PrefectHost

    with PrefectHost(Path(sys.prefix)) as host:
        yield host
        if "prefect.logging.handlers" in sys.modules:
            # At the end of this process Prefect would try for a minute to send these to a server that is gone.
            sys.modules["prefect.logging.handlers"].APILogHandler().flush()
