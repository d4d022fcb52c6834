"""What test folders share that cost too much to have twice."""

import pytest


@pytest.fixture(scope="session")
def real_airflow():
    """The Airflow of tests/system/airflow and tests/crash/airflow, booted once for both."""
    from tests.real_airflow import booted

    with booted() as airflow:
        yield airflow
