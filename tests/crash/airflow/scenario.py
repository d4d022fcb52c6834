"""One task of Airflow on its way through one case."""

import os
import signal
import threading
import time
from contextlib import suppress
from http.client import CONFLICT
from pathlib import Path

from httpx import HTTPStatusError, TransportError

from dev.hosts.processes import wait_until
from tests.crash.record import Result

TASK = "run"
NODE = "end-node-1"
PATIENCE = 300.0
_ENDED = {"success", "failed", "skipped"}
_one_writer = threading.Lock()


class Scenario:
    """One task on its way through one case."""

    def __init__(self, case, host, states, account):
        self.host = host
        self.account = account
        self.emulator = account.emulator
        self.result = Result(case)
        self._states = states
        self._began = time.monotonic()
        self._token = f"{case}-{time.time_ns()}".replace(" ", "-").replace(",", "")
        account.emulator.reset()

    def begin(self, dag_id="defers", *, seconds=20.0):
        """Start the DAG run: its run at Retab takes so many seconds."""
        self.dag_id = dag_id
        conf = {"connection": self.account.name, "seconds": seconds, "token": self._token}
        self.run_id = self._token
        body = {"dag_run_id": self.run_id, "logical_date": None, "conf": conf}
        self._send("POST", f"/dags/{dag_id}/dagRuns", body)

    @property
    def instance(self):
        return self._states.of(self.dag_id, self.run_id)

    @property
    def state(self):
        return (self.instance or {}).get("state")

    def wait_for_state(self, *states):
        self._wait(lambda: self.state in states, f"to be {' or '.join(states)}")

    def _wait(self, condition, what):
        def holds():
            ended = self.state in _ENDED
            if condition():
                return True
            if ended:
                raise RuntimeError(f"{self.result.case} is {self.state}, and was waited for {what}")
            return False

        wait_until(holds, timeout=PATIENCE, what=f"{self.result.case} {what}", interval=0.3)

    def hold(self, match, when):
        self.emulator.post_faults([{"match": match, "kind": f"hold_{when}"}])

    def wait_until_held(self):
        self._wait(lambda: self.emulator.stats()["held"], "to send a request that is held")
        # The supervisor says which process it is before that process may send anything, but our view may be older.
        self.wait_for_state("running")

    def wait_until_waited_for(self):
        """Wait until the task is deferred and a triggerer has looked at its run."""
        self.wait_for_state("deferred")
        self._wait(
            lambda: self.requests("GET /v1/workflows/runs/{run_id}"), "to be looked at by the triggerer"
        )

    def requests(self, call):
        return self.emulator.stats()["requests"].get(call, 0)

    def kill_task(self):
        """SIGKILL the process of the task, whose pid Airflow knows."""
        os.kill(self._pid(), signal.SIGKILL)
        self.result.killed.append("task")

    def kill_worker(self):
        """SIGKILL the executor's worker process, which supervises the task, and the task with it."""
        pid = self._pid()
        for each in (_parent(pid), pid):
            os.kill(each, signal.SIGKILL)
        self.result.killed.append("worker")

    def wait_until_stopped(self):
        """Wait until the task has stopped itself."""
        self.wait_for_state("running")

        def is_stopped():
            pid = self.instance["pid"]
            with suppress(FileNotFoundError, ProcessLookupError):
                return pid and _stat(pid)[0] == "T"
            return False

        self._wait(is_stopped, "to stop itself")

    def mark(self, state):
        """Do what the button of Airflow's UI does."""
        path = f"/dags/{self.dag_id}/dagRuns/{self.run_id}/taskInstances/{TASK}"
        self._send("PATCH", path, {"new_state": state})
        self.result.asked.append(f"marked {state}")

    def clear(self):
        body = {"dry_run": False, "only_failed": False, "dag_run_id": self.run_id, "task_ids": [TASK]}
        self._send("POST", f"/dags/{self.dag_id}/clearTaskInstances", body)
        self.result.asked.append("cleared")

    def finish(self):
        """Wait for the end of the task and of its runs, and write down what came of them."""
        self.wait_for_state(*_ENDED)
        with suppress(TimeoutError):
            wait_until(lambda: not self.account.active, timeout=90.0, what="the runs to end", interval=0.5)
        self._look()

    def close(self):
        """Leave nothing behind that would disturb the next case."""
        self.emulator.post_faults([])
        self.emulator.release()
        with suppress(Exception):
            self._look()
        with suppress(Exception):
            if self.state not in _ENDED:
                self.mark("failed")

    def _send(self, method, path, body):
        # On SQLite the api-server refuses to write, or has nothing to say, while another writer keeps it locked.
        for _ in range(10):
            with suppress(TransportError, HTTPStatusError), _one_writer:
                return self._sent(method, path, body)
            time.sleep(1.0)
        return self._sent(method, path, body)

    def _sent(self, method, path, body):
        try:
            return self.host.api.send(method, path, body)
        except HTTPStatusError as error:
            if error.response.status_code == CONFLICT:
                return None  # it was written, and only not said so
            raise

    def _look(self):
        result, instance = self.result, self.instance
        self.account.look(result)
        result.outcome = instance["state"]
        result.tries = instance["try_number"]
        result.returned = instance["state"] == "success" and self._returned() == self._token
        result.seconds = round(time.monotonic() - self._began, 1)

    def _returned(self):
        try:
            value = self.host.api.xcom(self.dag_id, self.run_id, TASK)
            return value[NODE]["json_data"]["json-node-1"]["token"]
        except Exception:  # noqa: BLE001  there is no XCom, or another one
            return None

    def _pid(self):
        pid = self.instance["pid"]
        if os.getsid(pid) != self.host.processes["scheduler"].pid:
            raise RuntimeError(f"process {pid} is none of this Airflow's workers")
        return pid


def _stat(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid):
    return int(_stat(pid)[1])
