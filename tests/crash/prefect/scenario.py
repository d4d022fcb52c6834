"""One flow run on its way through one case."""

import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from dev.hosts.processes import Process, wait_until
from tests.crash.record import Result

PATIENCE = 240.0
EXECUTE = Path(__file__).with_name("execute.py")
_ENDED = {"COMPLETED", "FAILED", "CANCELLED"}


class Scenario:
    """One flow run on its way through one case."""

    def __init__(self, case, world, account):
        self.host = world.host
        self.account = account
        self.emulator = account.emulator
        self.result = Result(case)
        self._world = world
        self._began = time.monotonic()
        self._token = f"{case}-{time.time_ns()}"
        self._output = world.outputs / f"{time.time_ns()}.json"
        self._process = None
        account.emulator.reset()

    def begin(self, deployment, *, seconds=15.0):
        """Create the flow run: scheduled where the deployment is served, else pending until it is started by hand."""
        given = {"json_inputs": {"json-node-1": {"seconds": seconds, "token": self._token}}}
        given["output_path"] = str(self._output)
        if deployment == "suspends":
            given = {"account": self.account.name}
        elif deployment == "parent":
            given["account"] = self.account.name
        else:
            given |= {"workflow_id": "wf_echo", "credentials": self.account.name, "poll_interval_seconds": 1}
        state = "PENDING" if deployment.startswith("plain") else "SCHEDULED"
        path = f"/deployments/{self._world.deployments[deployment]}/create_flow_run"
        body = {"parameters": given, "state": {"type": state}, "idempotency_key": self._token}
        self.id = self._world.post(path, body)["id"]

    def start(self, **env):
        """Start the flow run by hand."""
        self._process = self.host.start_script(EXECUTE, self.id, env=env)

    def kill_process(self):
        """SIGKILL the process that was started by hand."""
        self._process.kill()
        self.result.killed.append("flow run's process")

    def kill_served(self, number=signal.SIGKILL):
        """Send a signal to the process that the runner started for this flow run."""
        os.kill(self._world.process_of(self.id), number)
        self.result.killed.append("flow run's process")

    def set_state(self, kind, name=None):
        """Set the state as the UI does."""
        body = {"state": {"type": kind, "name": name}, "force": kind != "CANCELLING"}
        self._world.post(f"/flow_runs/{self.id}/set_state", body)

    def resume(self):
        """Resume the flow run as the UI does."""
        self._world.post(f"/flow_runs/{self.id}/resume", {})

    def decide(self):
        """Approve what its run waits for, as a human does at Retab."""
        [run] = self.account.active
        self.account.retab.decide_review(run.id, run.waiting_for_node_ids[0], approved=True)
        self._wait(lambda: not self.account.active, "to have its run decided")

    def cancel(self):
        self.set_state("CANCELLING")
        self.result.asked.append("cancelled")

    @property
    def state(self):
        return self._world.state_of(self.id)

    def hold(self, match, when):
        self.emulator.post_faults([{"match": match, "kind": f"hold_{when}"}])

    def wait_until_held(self):
        self._wait(lambda: self.emulator.stats()["held"], "to send a request that is held")

    def wait_until_looked_at(self):
        requests = "GET /v1/workflows/runs/{run_id}"
        self._wait(lambda: self.emulator.stats()["requests"].get(requests), "to look at its run")

    def wait_for_state(self, *states):
        self._wait(lambda: self.state in states, f"to be {' or '.join(states)}")

    def finish(self):
        """Wait for the end of the flow run and of its runs, and write down what came of them."""
        self.wait_for_state(*_ENDED)
        with suppress(TimeoutError):
            wait_until(
                lambda: not self.account.active, timeout=PATIENCE, what="the runs to end", interval=0.5
            )
        self._look()

    def close(self):
        """Leave nothing behind that would disturb the next case."""
        self.emulator.post_faults([])
        self.emulator.release()
        with suppress(Exception):
            self._look()
        with suppress(Exception):
            if isinstance(self._process, Process):
                self._process.kill()
            if self.state not in _ENDED:
                self.set_state("CANCELLED")

    def _look(self):
        self.account.look(self.result)
        self.result.outcome = str(self.state).lower()
        self.result.tries = self._world.run_count_of(self.id)
        self.result.returned = self.result.outcome == "completed" and self._returned() == self._token
        self.result.seconds = round(time.monotonic() - self._began, 1)

    def _returned(self):
        with suppress(Exception):
            return json.loads(self._output.read_text())["end-node-1"]["json_data"]["json-node-1"]["token"]

    def _wait(self, condition, what):
        def holds():
            ended = self.state in _ENDED
            if condition():
                return True
            if ended:
                raise RuntimeError(f"{self.result.case} is {self.state}, and was waited for {what}")
            return False

        wait_until(holds, timeout=PATIENCE, what=f"{self.result.case} {what}", interval=0.5)
