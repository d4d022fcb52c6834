"""Flow runs that are killed, cancelled and suspended under a real `serve()`, all at once: one run at Retab each."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.states import Cancelling, Scheduled

from hosts.processes import wait_until
from prefect_collection import RetabCredentials, cancellation_automation
from retab_orchestration import RetabClient
from retab_orchestration.emulator import Emulator
from tests.prefect_collection.conftest import API_KEY

pytestmark = pytest.mark.system

SERVED = Path(__file__).with_name("flows") / "served.py"
SOON, NEVER = 45.0, 3600.0
PATIENCE = 240.0


class Cases:
    """The flow runs of the cases, and what was done to them."""

    def __init__(self, place, clients):
        self.place = place
        self.clients = clients
        self.flow_runs = {}

    def start(self, case, flow, seconds, **parameters):
        with get_client(sync_client=True) as client:
            deployment = client.read_deployment_by_name(f"{flow}/served")
            flow_run = client.create_flow_run_from_deployment(
                deployment.id, parameters={"case": case, "seconds": seconds, **parameters}
            )
        self.flow_runs[case] = flow_run.id

    def state(self, case):
        with get_client(sync_client=True) as client:
            return client.read_flow_run(self.flow_runs[case]).state.name

    def starts(self, case):
        with get_client(sync_client=True) as client:
            return client.read_flow_run(self.flow_runs[case]).run_count

    def move(self, case, state):
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(self.flow_runs[case], state, force=True)

    def runs(self, case):
        """Return the runs of a case at Retab, as the emulator has them."""
        found = [run for client in self.clients for run in client.iter_runs(order="asc")]
        full = [self._of(run.id) for run in found]
        return [run for run in full if run.inputs.json_data["json-node-1"]["case"] == case]

    def _of(self, run_id):
        for client in self.clients:
            if any(run.id == run_id for run in client.iter_runs()):
                return client.get_run(run_id)
        raise LookupError(run_id)

    def signal(self, case, number):
        os.kill(int((self.place / f"{self.flow_runs[case]}.pid").read_text()), number)

    def until(self, case, *states):
        wait_until(lambda: self.state(case) in states, timeout=PATIENCE, what=f"{case} to be {states}")

    def until_run(self, case, *statuses):
        wait_until(
            lambda: [run.status.value for run in self.runs(case)] in ([status] for status in statuses),
            timeout=PATIENCE,
            what=f"the run of {case} to be {statuses}",
        )


@pytest.fixture(scope="module")
def cases(host, tmp_path_factory):
    """Everything that is done, to all flow runs at once."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    place = tmp_path_factory.mktemp("served")
    with (
        Emulator(idempotency=False) as emulator,
        Emulator(idempotency=False) as holding,
        temporary_settings({PREFECT_API_URL: host.api_url}),
    ):
        account = {"RETAB_API_KEY": API_KEY, "RETAB_API_BASE_URL": emulator.url}
        RetabCredentials(api_key=API_KEY, base_url=holding.url).save("holding", overwrite=True)
        clients = [RetabClient(API_KEY, emulator.url), RetabClient(API_KEY, holding.url)]
        env = account | {"PREFECT_RUNNER_POLL_FREQUENCY": "1"}
        serving = host.start_script(SERVED, str(place), env=env)
        try:
            wait_until(_all_are_served, timeout=PATIENCE, what="the deployments")
            yield _done(Cases(place, clients), holding)
            print(json.dumps({"runs_created": emulator.stats()["runs_created"]}))  # noqa: T201
        finally:
            serving.stop()
            for client in clients:
                client.close()


def _all_are_served():
    with get_client(sync_client=True) as client:
        return sum(deployment.name == "served" for deployment in client.read_deployments()) == 5


def _done(cases, holding):
    _automate()
    holding.post_faults([{"match": "POST /v1/workflows/runs", "kind": "hold_after"}])
    cases.start("killed while creating", "waits", SOON, account="holding")
    cases.start("killed", "waits", SOON)
    cases.start("killed, storage lost", "awaits", SOON)
    cases.start("terminated", "calls", SOON)
    cases.start("cancelled", "waits", NEVER)
    cases.start("cancelled in async code", "awaits", NEVER)
    cases.start("cancelled as subflow", "calls", NEVER)
    cases.start("cancelled while suspended", "suspends", NEVER)
    cases.start("resumed", "suspends", NEVER)
    wait_until(lambda: holding.stats()["held"] == 1, timeout=PATIENCE, what="a create that is held")
    cases.signal("killed while creating", signal.SIGKILL)
    for case, number in [
        ("killed", signal.SIGKILL),
        ("killed, storage lost", signal.SIGKILL),
        ("terminated", signal.SIGTERM),
    ]:
        cases.until_run(case, "running")
        cases.signal(case, number)
    for case in list(cases.flow_runs):
        if case.startswith("cancelled") and case != "cancelled while suspended":
            cases.until_run(case, "running")
            cases.move(case, Cancelling())
    cases.until("cancelled while suspended", "Suspended")
    cases.move("cancelled while suspended", Cancelling())
    cases.until("resumed", "Suspended")
    with get_client(sync_client=True) as client:
        client.resume_flow_run(cases.flow_runs["resumed"])
    holding.release()
    for case in ("killed while creating", "killed", "killed, storage lost", "terminated"):
        cases.until(case, "Crashed", "Failed")
    shutil.rmtree(cases.place / "results")
    for case in ("killed while creating", "killed", "killed, storage lost", "terminated"):
        assert cases.runs(case)[0].status.value in {"running", "completed"}
        cases.move(case, Scheduled())
    return cases


def _automate():
    with get_client(sync_client=True) as client:
        deployments = {
            client.read_flow(found.flow_id).name: found.id
            for found in client.read_deployments()
            if found.name == "served"
        }
    # Where a hook is to do it, the automation must not do it instead.
    cancellation_automation(
        deployments=[deployments["suspends"]], cleanup=deployments["retab-cancel-runs"]
    ).create()


@pytest.mark.parametrize("case", ["killed while creating", "killed", "killed, storage lost", "terminated"])
def test_a_flow_run_that_is_killed_goes_on_with_its_run(cases, case):
    cases.until(case, "Completed", "Failed", "Crashed")

    assert cases.state(case) == "Completed"
    assert cases.starts(case) == 2
    assert [run.status.value for run in cases.runs(case)] == ["completed"]


@pytest.mark.parametrize(
    "case",
    ["cancelled", "cancelled in async code", "cancelled as subflow", "cancelled while suspended"],
)
def test_a_flow_run_that_is_cancelled_cancels_its_run(cases, case):
    cases.until(case, "Cancelled")
    cases.until_run(case, "cancelled")

    assert len(cases.runs(case)) == 1


def test_a_flow_run_that_is_resumed_has_its_run_still(cases):
    cases.until("resumed", "Completed", "Failed", "Crashed")

    assert cases.state("resumed") == "Completed"
    assert [run.status.value for run in cases.runs("resumed")] == ["running"]
