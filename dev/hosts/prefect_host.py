"""A real Prefect server, in a temporary home on SQLite, on a free loopback port."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from dev.hosts.processes import Process, free_port, stop_all

# Seconds. Prefect's server lets a request wait for SQLite for 60 s, behind one that writes; then it says so.
_LONGEST_ANSWER = 90.0


class PrefectHost:
    """A Prefect server and the Python processes that run flows against it; `with` starts and stops them."""

    def __init__(
        self, venv: Path, *, env: Mapping[str, str] | None = None, start_timeout: float = 180.0
    ) -> None:
        """Describe the host; `start` or `with` starts it.

        Args:
            venv: The virtual environment that holds Prefect, this project and what the flows import.
            env: Further environment of the server and of every script: `RETAB_API_KEY`, other settings.
            start_timeout: Seconds that the server may take to be ready.
        """
        self._venv = venv
        self._env = dict(env or {})
        self._start_timeout = start_timeout
        self._home: Path | None = None
        self._environment: dict[str, str] = {}
        self._processes: list[Process] = []
        self._http = httpx.Client()

    @property
    def home(self) -> Path:
        """PREFECT_HOME: the database, the results, and the output of the server and of every script."""
        if self._home is None:
            raise RuntimeError("this Prefect is not started: use `with PrefectHost(...) as host:`")
        return self._home

    @property
    def api_url(self) -> str:
        """What flows find in PREFECT_API_URL."""
        return str(self._http.base_url).rstrip("/")

    def start(self) -> Self:
        """Start the server and wait until it is healthy."""
        self._home = Path(tempfile.mkdtemp(prefix="prefect-"))
        try:
            self._start(self._home)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self, grace: float = 5.0) -> None:
        """Stop the scripts and the server, kill what is left after `grace` seconds, remove the home."""
        try:
            self._http.close()
            # The server last: a script that is stopped still tells it so.
            stop_all(self._processes[1:], grace)
            stop_all(self._processes[:1], grace)
        finally:
            self._processes.clear()
            if self._home is not None:
                shutil.rmtree(self._home, ignore_errors=True)
                self._home = None

    def start_script(self, script: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Process:
        """Start a Python file of the user's against this server; `output` is its stdout, `errors` its log.

        Args:
            script: The file; it runs in a directory of its own below the home.
            arguments: Its command line.
            env: Further environment of this script alone.
        """
        place = self.home / f"{script.stem}-{secrets.token_hex(4)}"
        place.mkdir()
        process = Process(
            script.name,
            [self._venv / "bin" / "python", script.resolve(), *arguments],
            output=place / "output.txt",
            errors=place / "log.txt",
            env={**self._environment, **(env or {})},
            cwd=place,
        )
        self._processes.append(process)
        return process

    def run(
        self, script: Path, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 300.0
    ) -> str:
        """Run a Python file of the user's against this server to its end and return what it wrote to stdout.

        Raises:
            ProcessError: It failed, or still ran after `timeout` seconds; the message has the end of its log.
        """
        process = self.start_script(script, *arguments, env=env)
        try:
            process.wait(timeout)
        finally:
            process.kill()
        return process.output.read_text()

    def flow_runs(self, flow_name: str) -> list[dict[str, Any]]:
        """Return the runs of a flow by its name, oldest first, as Prefect's API gives them."""
        found: list[dict[str, Any]] = self.post(
            "/flow_runs/filter",
            {"flows": {"name": {"any_": [flow_name]}}, "sort": "EXPECTED_START_TIME_ASC", "limit": 200},
        )
        return found

    def task_runs(self, flow_run_id: str) -> list[dict[str, Any]]:
        """Return the task runs of a flow run, as Prefect's API gives them."""
        found: list[dict[str, Any]] = self.post(
            "/task_runs/filter", {"flow_runs": {"id": {"any_": [flow_run_id]}}, "limit": 200}
        )
        return found

    def log(self, flow_run_id: str) -> str:
        """Return what a flow run and its tasks have logged, one message a line."""
        lines: list[dict[str, Any]] = self.post(
            "/logs/filter",
            {"logs": {"flow_run_id": {"any_": [flow_run_id]}}, "sort": "TIMESTAMP_ASC", "limit": 200},
        )
        return "\n".join(str(line["message"]) for line in lines)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """POST to a path below the API's address and return the JSON of its answer."""
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, home: Path) -> None:
        port = free_port()
        address = f"http://127.0.0.1:{port}/api"
        # No proxy from the environment: this is loopback.
        self._http = httpx.Client(base_url=address, timeout=_LONGEST_ANSWER, trust_env=False)
        self._environment = {**_inherited(), **_settings(home, address, self._venv), **self._env}
        server = Process(
            "prefect server",
            [self._venv / "bin" / "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            output=home / "server.log",
            env=self._environment,
            cwd=home,
        )
        self._processes.append(server)
        server.wait_until(self._is_healthy, timeout=self._start_timeout)

    def _is_healthy(self) -> bool:
        try:
            return self._http.get("/health").status_code == 200
        except httpx.TransportError:
            return False


def _inherited() -> dict[str, str]:
    # Another Prefect's settings, or another venv's Python, must not leak into this one.
    leaks = ("PREFECT", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(leaks)}


def _settings(home: Path, address: str, venv: Path) -> dict[str, str]:
    no_proxy = ",".join(filter(None, ["127.0.0.1", "localhost", os.environ.get("NO_PROXY")]))
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": address,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_CLI_PROMPT": "false",
        # Nobody looks at a temporary server with a browser, and the UI's files are copied at every start.
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PYTHONUNBUFFERED": "1",
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
    }
