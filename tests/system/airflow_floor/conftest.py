"""A real Airflow 2: its scheduler, which runs one task at a time, on SQLite; a Retab for each of the DAGs."""

import json
import os
import shutil
import sqlite3
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from dev.hosts.processes import Process
from retab_orchestration.emulator import Emulator

AIRFLOW = Path(__file__).parents[3] / ".venvs" / "airflow-floor" / "bin" / "airflow"
KEY = "rt_test_floor"
CREATE = "POST /v1/workflows/wf_echo/run"
LOOK = "GET /v1/workflows/runs/*"
HELD = {"before": (CREATE, "hold_before"), "after": (CREATE, "hold_after"), "look": (LOOK, "hold_before")}
"""DAG -> the request that is held, and when."""


class Airflow:
    """The home and the scheduler."""

    def __init__(self, home, env):
        self.home = home
        self._env = env

    def start(self, *arguments):
        return Process(
            f"airflow {arguments[0]}",
            [AIRFLOW, *arguments],
            output=self.home / f"{arguments[0]}.log",
            env=self._env,
            cwd=self.home,
        )

    def python(self, script):
        """Run a script in this Airflow."""
        process = Process(
            "python",
            [AIRFLOW.with_name("python"), "-c", script],
            output=self.home / "python.log",
            env=self._env,
        )
        try:
            process.wait(60)
        finally:
            process.kill()

    def task(self, dag_id):
        """Return the state, the try and the pid of a DAG's task; nothing of all that before there is one."""
        asked = "SELECT state, try_number, pid FROM task_instance WHERE dag_id = ?"
        with closing(
            sqlite3.connect(f"file:{self.home}/airflow.db?mode=ro", uri=True, timeout=30)
        ) as database:
            return database.execute(asked, [dag_id]).fetchone() or (None, 0, None)

    def logs(self, dag_id):
        return "".join(path.read_text() for path in sorted(self.home.glob(f"logs/dag_id={dag_id}/**/*.log")))


@pytest.fixture(scope="session")
def emulators():
    """DAG -> its Retab, where the request of that DAG will be held."""
    with ExitStack() as stack:
        found = {
            name: stack.enter_context(Emulator(api="classic", api_key=KEY, idempotency="ignored"))
            for name in HELD
        }
        for name, (match, kind) in HELD.items():
            found[name].post_faults([{"match": match, "kind": kind}])
        yield found


@pytest.fixture(scope="session")
def airflow(emulators):
    home = Path(tempfile.mkdtemp(prefix="airflow-floor-"))
    running = []
    try:
        host = Airflow(home, environment(home, emulators, Path(__file__).with_name("dags")))
        migration = host.start("db", "migrate")
        running.append(migration)
        migration.wait(180)
        running.append(host.start("scheduler"))
        yield host
    finally:
        for process in running:
            process.kill()
        shutil.rmtree(home, ignore_errors=True)


def environment(home, emulators, dags, api="classic"):
    """Return the settings of an Airflow, with a connection for each Retab."""
    # Another Airflow's settings, or another venv's Python, must not leak into this one.
    leaks = ("AIRFLOW", "_AIRFLOW", "PYTHON", "VIRTUAL_ENV")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(leaks)}
    settings = {
        "core__dags_folder": dags,
        "core__load_examples": "False",
        "core__dags_are_paused_at_creation": "False",
        "database__sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}",
        "scheduler__scheduler_idle_sleep_time": "0.2",
        # Airflow is to notice within seconds what it takes minutes to notice by default.
        "scheduler__scheduler_zombie_task_threshold": "20",
        "scheduler__zombie_detection_interval": "5",
    }
    return {
        **inherited,
        **{f"AIRFLOW__{name.upper()}": str(value) for name, value in settings.items()},
        **{f"AIRFLOW_CONN_RETAB_{name.upper()}": _connection(each, api) for name, each in emulators.items()},
        "AIRFLOW_HOME": str(home),
        "NO_PROXY": "127.0.0.1,localhost",
        "PATH": f"{AIRFLOW.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


def _connection(emulator, api):
    extra = {"api": api, "auth": "api-key"}
    return json.dumps({"conn_type": "retab", "host": emulator.url, "password": KEY, "extra": extra})
