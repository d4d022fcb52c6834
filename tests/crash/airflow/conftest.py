"""One Airflow of its own for the matrix, on PostgreSQL where there is one, for its processes are killed."""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from hosts.airflow_host import AirflowHost
from tests.crash import postgres
from tests.crash.airflow import matrix
from tests.crash.lane import KEY, lanes
from tests.crash.record import repetitions, save, summary

ROOT = Path(__file__).parents[3]
_SUMMARY = pytest.StashKey[str]()


@pytest.fixture(scope="session")
def results(request):
    """Case -> the results of its tasks."""
    with ExitStack() as stack:
        open_lanes = stack.enter_context(lanes(matrix.LANES))
        settings, database = _database(stack)
        env = {
            **settings,
            **_impatience(),
            **{f"AIRFLOW_CONN_{lane.name.upper()}": _connection(lane) for lane in open_lanes},
        }
        host = AirflowHost(
            ROOT / ".venvs" / "airflow", Path(__file__).with_name("dags"), env=env, parallelism=8
        )
        stack.enter_context(host)
        for dag_id in ("defers", "looks", "stops"):
            host.api.wait_for_dag(dag_id)
        found = matrix.run(host, open_lanes, repetitions())
    request.config.stash[_SUMMARY] = f"Airflow on {database}: {summary(found)}"
    save("airflow", _versions(database), found)
    by_case = {}
    for result in found:
        by_case.setdefault(result.case, []).append(result)
    return by_case


def pytest_terminal_summary(terminalreporter, config):
    if told := config.stash.get(_SUMMARY, None):
        terminalreporter.write_line(told)


def _connection(lane):
    return json.dumps({"conn_type": "retab", "host": lane.emulator.url, "password": KEY})


def _database(stack):
    bin_dir = postgres.programs()
    if bin_dir is None:
        return {}, "SQLite"
    url, version = stack.enter_context(postgres.cluster(bin_dir))
    return {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url}, version


def _impatience():
    """Let Airflow notice within seconds what it takes minutes to notice by default."""
    settings = {
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 30,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 5,
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 20,
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 5,
        "TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": 20,
    }
    return {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}


def _versions(database):
    from importlib.metadata import version

    return {"Airflow": version("apache-airflow"), "database": database}
