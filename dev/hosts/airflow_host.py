"""A real Airflow 3 of four processes, in a temporary home on SQLite, on free loopback ports."""

import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from dev.hosts.airflow_api import AirflowApi
from dev.hosts.processes import Process, ProcessError, free_port, stop_all, wait_until

_COMPONENTS = ("api-server", "scheduler", "triggerer", "dag-processor")


class AirflowHost:
    """Airflow's api-server, scheduler (LocalExecutor), triggerer and dag-processor, for the time of a `with`."""

    def __init__(
        self,
        venv: Path,
        dags: Path,
        *,
        env: Mapping[str, str] | None = None,
        parallelism: int = 4,
        start_timeout: float = 180.0,
    ) -> None:
        """Describe the host; `start` or `with` starts it.

        Args:
            venv: The virtual environment that holds Airflow, this project and what the DAGs import.
            dags: The DAGs folder.
            env: Further environment of all four processes: `AIRFLOW_CONN_RETAB_DEFAULT`, other settings.
            parallelism: Tasks that run at the same time.
            start_timeout: Seconds that the database and the four processes may take to be ready, each.
        """
        self.processes: dict[str, Process] = {}
        self._venv = venv
        self._dags = dags
        self._env = dict(env or {})
        self._parallelism = parallelism
        self._start_timeout = start_timeout
        self._home: Path | None = None
        self._api: AirflowApi | None = None
        self._environment: dict[str, str] = {}

    @property
    def home(self) -> Path:
        """AIRFLOW_HOME: the database, and a log file `<component>.log` for each process."""
        if self._home is None:
            raise RuntimeError("this Airflow is not started: use `with AirflowHost(...) as host:`")
        return self._home

    @property
    def api(self) -> AirflowApi:
        """Its REST API, logged in."""
        if self._api is None:
            raise RuntimeError("this Airflow is not started: use `with AirflowHost(...) as host:`")
        return self._api

    def start(self) -> Self:
        """Create the home and the database, start the four processes, wait until all are healthy."""
        self._home = Path(tempfile.mkdtemp(prefix="airflow-"))
        try:
            self._start(self._home)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, grace: float = 5.0) -> None:
        """Stop the four processes, kill what is left of them after `grace` seconds, remove the home."""
        try:
            if self._api is not None:
                self._api.close()
            stop_all(self.processes.values(), grace)
        finally:
            self.processes.clear()
            self._api = None
            if self._home is not None:
                _remove(self._home)
                self._home = None

    def run(self, *arguments: str, timeout: float = 120.0, env: Mapping[str, str] | None = None) -> str:
        """Run `airflow <arguments>` in this host's environment and return what it printed.

        Args:
            arguments: `dags`, `test`, ...
            timeout: Seconds that it may take.
            env: Further environment of this command alone.
        """
        output = self.home / f"command-{secrets.token_hex(4)}.log"
        process = Process(
            f"airflow {arguments[0]}",
            self._command(*arguments),
            output=output,
            env={**self._environment, **(env or {})},
        )
        try:
            process.wait(timeout)
        finally:
            process.kill()
        return output.read_text()

    def start_component(
        self, component: str, *, name: str | None = None, env: Mapping[str, str] | None = None
    ) -> Process:
        """Start one of the four processes (again), as after a crash; does not wait until it is ready.

        Args:
            component: `api-server`, `scheduler`, `triggerer` or `dag-processor`.
            name: What to call it in `processes`, for a second one of its kind; None is `component`.
            env: Further environment of this process alone.
        """
        name = name or component
        process = Process(
            name,
            self._command(component),
            output=self.home / f"{name}.log",
            env={**self._environment, **(env or {})},
            cwd=self.home,
        )
        self.processes[name] = process
        return process

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, home: Path) -> None:
        port, password = free_port(), secrets.token_urlsafe(24)
        passwords = home / "passwords.json"
        passwords.write_text(json.dumps({"admin": password}))
        self._environment = {
            **_inherited(),
            **_settings(home, self._dags, port, self._parallelism),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
            "PATH": f"{self._venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            **self._env,
        }
        self.run("db", "migrate", timeout=self._start_timeout)
        for name in _COMPONENTS:
            self.start_component(name)
        self._api = AirflowApi(f"http://127.0.0.1:{port}")
        self._wait_until_healthy(self._api)
        self._api.log_in("admin", password)

    def _wait_until_healthy(self, api: AirflowApi) -> None:
        def is_healthy() -> bool:
            for process in self.processes.values():
                process.check()
            return api.is_healthy()

        try:
            wait_until(is_healthy, timeout=self._start_timeout, what="Airflow to be healthy")
        except TimeoutError as error:
            tails = "\n".join(f"{name}:\n{process.tail(10)}" for name, process in self.processes.items())
            raise ProcessError(f"{error}:\n{tails}") from None

    def _command(self, *arguments: str) -> list[str]:
        return [str(self._venv / "bin" / "airflow"), *arguments]


def _remove(folder: Path) -> None:
    # A process that was killed a moment ago may still have written a last file.
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.1)


def _inherited() -> dict[str, str]:
    # Another Airflow's settings, or another venv's Python, must not leak into this one.
    leaks = ("AIRFLOW", "_AIRFLOW", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(leaks)}


def _settings(home: Path, dags: Path, port: int, parallelism: int) -> dict[str, str]:
    address = f"http://127.0.0.1:{port}"
    settings = {
        "core__dags_folder": str(dags.resolve()),
        "core__executor": "LocalExecutor",
        "core__parallelism": str(parallelism),
        "core__load_examples": "False",
        "core__dags_are_paused_at_creation": "False",
        "core__execution_api_server_url": f"{address}/execution/",
        "core__simple_auth_manager_users": "admin:admin",
        "core__max_active_tasks_per_dag": "1000",
        "database__sql_alchemy_conn": f"sqlite:///{home / 'airflow.db'}",
        "api__base_url": address,
        "api__host": "127.0.0.1",
        "api__port": str(port),
        "api__workers": "1",
        # Each process would make up its own secrets, and then refuse the others' tokens.
        "api__secret_key": secrets.token_urlsafe(24),
        "api_auth__jwt_secret": secrets.token_urlsafe(64),
        # A cold start of a task on a busy machine may take longer than the default allows.
        "execution_api__jwt_expiration_time": "3600",
        "logging__worker_log_server_port": str(free_port()),
        "logging__trigger_log_server_port": str(free_port()),
        "scheduler__scheduler_idle_sleep_time": "0.2",
        "dag_processor__refresh_interval": "2",
        "dag_processor__min_file_process_interval": "600",
        "dag_processor__parsing_processes": "1",
    }
    names = {f"AIRFLOW__{name.upper()}": value for name, value in settings.items()}
    no_proxy = ",".join(filter(None, ["127.0.0.1", "localhost", os.environ.get("NO_PROXY")]))
    return names | {"AIRFLOW_HOME": str(home), "NO_PROXY": no_proxy, "no_proxy": no_proxy}
