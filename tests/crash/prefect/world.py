"""A real Prefect, the flows that it serves, and what they are asked about."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from httpx import HTTPStatusError, TimeoutException

from tests.crash.account import KEY

SERVED = Path(__file__).with_name("served.py")
DEPLOYMENTS = {"plain", "plain-async", "ready", "ready-async", "parent", "suspends", "crash-cleanup"}


class World:
    """The server, the process that serves for as long as the `with` block lasts, and the folder that flows write to."""

    def __init__(self, host, accounts, folder):
        self.host = host
        self.outputs = folder
        known = folder / "accounts.json"
        known.write_text(json.dumps({account.name: (KEY, account.emulator.url) for account in accounts}))
        self._accounts = known

    def __enter__(self):
        env = {"PREFECT_RUNNER_POLL_FREQUENCY": "1"}
        self._runner = self.host.start_script(SERVED, str(self._accounts), env=env)
        self._runner.wait_until(lambda: self._found().keys() >= DEPLOYMENTS, timeout=180, what="serving")
        self.deployments = self._found()
        return self

    def __exit__(self, *raised):
        self._runner.stop()

    def post(self, path, body):
        """POST to Prefect's API, again while its SQLite is locked by another writer."""
        for _ in range(20):
            with suppress(TimeoutError):
                return self._post(path, body)
            time.sleep(0.5)
        return self._post(path, body)

    def _post(self, path, body):
        try:
            return self.host.post(path, body)
        except HTTPStatusError as error:
            if error.response.status_code == 503:
                raise TimeoutError(f"Prefect is too busy for {path}") from error
            raise
        except TimeoutException as error:
            if path.endswith("/filter"):  # nothing else may be asked for twice
                raise TimeoutError(f"Prefect is too busy for {path}") from error
            raise

    def state_of(self, flow_run_id):
        return self._flow_run(flow_run_id)["state_type"]

    def run_count_of(self, flow_run_id):
        return self._flow_run(flow_run_id)["run_count"]

    def process_of(self, flow_run_id):
        """Return the pid of the process that the runner started for a flow run."""
        [pid] = [pid for pid in _pids() if self._executes(pid, flow_run_id)]
        return pid

    def _executes(self, pid, flow_run_id):
        with suppress(OSError):
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            told = f"PREFECT__FLOW_RUN_ID={flow_run_id}".encode()
            return told in environment and os.getsid(pid) == self._runner.pid
        return False

    def _flow_run(self, flow_run_id):
        [found] = self.post("/flow_runs/filter", {"flow_runs": {"id": {"any_": [flow_run_id]}}})
        return found

    def _found(self):
        return {each["name"]: each["id"] for each in self.post("/deployments/filter", {})}


def _pids():
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
