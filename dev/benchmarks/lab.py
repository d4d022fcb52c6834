"""What a part measures with: fresh processes in the venv that it names, servers, and a folder that goes away."""

import json
import os
import statistics
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev.hosts.processes import Process, wait_until

ROOT = Path(__file__).parents[2]


@dataclass
class Lab:
    """One run of `make bench`.

    Attributes:
        folder: For whatever is written on the way; it is removed afterwards.
        quick: Whether to measure little, once, only to see that it works.
    """

    folder: Path
    quick: bool = False
    _count: int = field(default=0, init=False)

    def times(self, wanted: int = 5) -> int:
        """Return how often to repeat a measurement: `wanted`, or once when it is quick."""
        return 1 if self.quick else wanted

    def say(self, text: str) -> None:
        """Tell whoever waits what is going on."""
        print(f"  {text}", flush=True)

    def run(
        self,
        venv: str,
        work: str,
        spec: Mapping[str, Any],
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = 300.0,
    ) -> Any:
        """Do a piece of work in a process of its own and return its result.

        Args:
            venv: The folder below `.venvs`.
            work: The module below `dev/benchmarks/work`; its `main(spec)` returns what JSON can hold.
            spec: What it is given.
            env: Further environment.
            timeout: Seconds.

        Raises:
            ProcessError: It failed, or took too long; the message ends with the last lines that it wrote.
        """
        return self.run_together(venv, work, [spec], env=env, timeout=timeout)[0]

    def run_together(
        self,
        venv: str,
        work: str,
        specs: Sequence[Mapping[str, Any]],
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = 300.0,
    ) -> list[Any]:
        """Do several pieces of work at the same time, each in a process of its own; see `run`."""
        with ExitStack() as stack:
            processes = []
            for spec in specs:
                command: list[str | Path] = [
                    self.python(venv),
                    "-m",
                    "dev.benchmarks.child",
                    work,
                    json.dumps(spec),
                ]
                process = self._process(work, command, self.environment(env))
                stack.callback(process.kill)
                processes.append(process)
            for process in processes:
                process.wait(timeout)
        return [json.loads(process.output.read_text().splitlines()[-1]) for process in processes]

    @contextmanager
    def server(self) -> Iterator["Server"]:
        """Run a bare server in a process of its own, on another core than what is measured."""
        authority = self.folder / f"{self._count:04}-authority.pem"
        command: list[str | Path] = [self.python("bench-core"), "-m", "dev.benchmarks.server", authority]
        process = self._process("server", command, self.environment(None))
        try:
            process.wait_until(lambda: process.output.read_text().endswith("\n"), timeout=30.0)
            plain, secure = process.output.read_text().split()
            yield Server(plain, secure, authority)
        finally:
            process.kill()

    @contextmanager
    def emulator(self, *options: str) -> Iterator[str]:
        """Run an emulator in a process of its own, and yield its address."""
        command: list[str | Path] = [
            self.python("bench-core"),
            "-m",
            "retab_orchestration.emulator",
            "--port",
            "0",
        ]
        process = self._process("emulator", [*command, *options], self.environment(None))
        try:
            process.wait_until(lambda: process.output.read_text().endswith("\n"), timeout=30.0)
            yield process.output.read_text().split()[-1]
        finally:
            process.kill()

    def python(self, venv: str) -> Path:
        """Return the interpreter of a venv below `.venvs`."""
        return ROOT / ".venvs" / venv / "bin" / "python"

    def environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        """Return a clean environment with an Airflow home of its own, which writes no log."""
        leaks = ("AIRFLOW", "PREFECT", "PYTHON", "RETAB", "VIRTUAL_ENV")
        proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(leaks) and name.lower() not in proxies
        }
        home = self.folder / "airflow"
        return {
            **inherited,
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__FERNET_KEY": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            **(env or {}),
        }

    def _process(self, name: str, command: Sequence[str | Path], env: Mapping[str, str]) -> Process:
        self._count += 1
        place = self.folder / f"{self._count:04}-{name}"
        return Process(
            name,
            command,
            output=place.with_suffix(".out"),
            errors=place.with_suffix(".err"),
            env=env,
            cwd=ROOT,
        )


@dataclass
class Server:
    """A bare server that runs, and what is asked of it besides what the measured process asks.

    Attributes:
        url: Its address.
        secure_url: Its address over TLS.
        authority: The certificate authority to trust then; SSL_CERT_FILE names it to whatever uses Python's `ssl`.
    """

    url: str
    secure_url: str
    authority: Path

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.url.rpartition(":")[2])

    def plan(self, **plan: Any) -> None:
        """Begin anew with the runs of a `dev.benchmarks.server.runs.Plan`."""
        self.ask("plan", plan)

    def told(self) -> dict[str, Any]:
        """Return every request since the plan, and when each watched run ends; all on `time.monotonic`."""
        told: dict[str, Any] = self.ask("told", {})
        return told

    def ask(self, command: str, body: Mapping[str, Any]) -> Any:
        """Send one command."""
        request = urllib.request.Request(f"{self.url}/_bench/{command}", json.dumps(body).encode())  # noqa: S310
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def share(values: Sequence[float], part: float) -> float:
    """Return the value below which this part of the values lies: 0.99 is the 99th percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


__all__ = ["ROOT", "Lab", "Server", "median", "share", "wait_until"]
