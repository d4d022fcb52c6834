"""What test folders share that cost too much to have twice."""

import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_airflow():
    """The Airflow of tests/system/airflow and tests/crash/airflow, booted once for both."""
    from tests.real_airflow import booted

    with booted() as airflow:
        yield airflow


@pytest.fixture(scope="session")
def prefect_host():
    """The Prefect server of tests/system/prefect and tests/crash/prefect; scripts run in this environment."""
    from hosts.prefect_host import PrefectHost

    with PrefectHost(Path(sys.prefix)) as host:
        yield host
        if "prefect.logging.handlers" in sys.modules:
            # At the end of this process Prefect would try for a minute to send these to a server that is gone.
            sys.modules["prefect.logging.handlers"].APILogHandler().flush()
