"""The matrix on the Airflow of all tests; its processes are killed, so it comes after whatever else runs there."""

import pytest

from tests.crash.airflow import matrix
from tests.crash.record import repetitions, save, summary

_SUMMARY = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def results(request, real_airflow):
    """Case -> the results of its tasks."""
    for dag_id in ("defers", "looks", "stops"):
        real_airflow.host.api.wait_for_dag(dag_id)
    found = matrix.run(real_airflow.host, real_airflow.accounts, repetitions())
    request.config.stash[_SUMMARY] = f"Airflow on {real_airflow.database}: {summary(found)}"
    save("airflow", real_airflow.versions, found)
    by_case = {}
    for result in found:
        by_case.setdefault(result.case, []).append(result)
    return by_case


def pytest_terminal_summary(terminalreporter, config):
    if told := config.stash.get(_SUMMARY, None):
        terminalreporter.write_line(told)
