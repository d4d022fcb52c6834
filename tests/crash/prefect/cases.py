"""What is done to a flow run at which moment, and what has to come of it."""

import signal
from collections.abc import Callable
from dataclasses import dataclass

CREATE = "POST /v1/workflows/runs"
LONG = 600.0


@dataclass(frozen=True)
class Case:
    """What is done, and what has to be seen in the end."""

    does: Callable
    told: str
    """For the page."""
    outcome: str = "completed"
    remote: tuple = ("completed",)
    asks: bool = False
    writes: bool = True
    """Whether the flow writes its outputs where they are looked for."""

    @property
    def expected(self):
        """What a result has to look like, as `Result.seen`."""
        return len(self.remote), self.outcome, self.writes and self.outcome == "completed", self.remote


def killed_at_its_create(when):
    def does(scenario):
        scenario.hold(CREATE, when)
        scenario.begin("plain")
        scenario.start()
        scenario.wait_until_held()
        scenario.kill_process()
        scenario.emulator.release()
        run_again(scenario)

    return does


def killed_and_storage_is_lost(deployment):
    def does(scenario):
        scenario.begin(deployment)
        scenario.start()
        scenario.wait_until_looked_at()
        scenario.kill_process()
        run_again(scenario, PREFECT_LOCAL_STORAGE_PATH=str(scenario.host.home / f"empty-{scenario.id}"))

    return does


def run_again(scenario, **env):
    scenario.set_state("PENDING")
    scenario.start(**env)
    scenario.finish()


def killed_while_served(deployment, number):
    def does(scenario):
        scenario.begin(deployment, seconds=30)
        scenario.wait_until_looked_at()
        scenario.kill_served(number)
        scenario.wait_for_state("CRASHED")
        scenario.set_state("SCHEDULED", "AwaitingRetry")
        scenario.finish()

    return does


def cancelled(deployment):
    def does(scenario):
        scenario.begin(deployment, seconds=LONG)
        scenario.wait_until_looked_at()
        scenario.cancel()
        scenario.finish()

    return does


def cancelled_while_suspended(scenario):
    scenario.begin("suspends")
    scenario.wait_for_state("PAUSED")
    scenario.cancel()
    scenario.finish()


def resumed(scenario):
    scenario.begin("suspends")
    scenario.wait_for_state("PAUSED")
    scenario.decide()
    scenario.resume()
    scenario.finish()


ENDED = {"outcome": "cancelled", "remote": ("cancelled",), "asks": True}
CASES = {
    "create held before": Case(
        killed_at_its_create("before"),
        "the process, while its create is on its way, which arrives without it",
    ),
    "create held after": Case(
        killed_at_its_create("after"), "the process, while the answer to its create is on its way"
    ),
    "storage lost": Case(
        killed_and_storage_is_lost("plain"),
        "the process, while it waits; it is started again with an empty result storage",
    ),
    "served, waiting": Case(
        killed_while_served("ready", signal.SIGKILL),
        "the process that `serve()` started, while it waits; a user runs it again",
    ),
    "cancelled": Case(cancelled("ready"), "a user cancels the flow run", **ENDED),
    "cancelled as subflow": Case(
        cancelled("parent"), "a user cancels the flow run that calls the ready-made flow", **ENDED
    ),
    "cancelled while suspended": Case(
        cancelled_while_suspended, "a user cancels the flow run while it is suspended for a review", **ENDED
    ),
}
# Done once, and not told on the page: what is no SIGKILL, and what the page tells already of blocking flows.
ASIDE = {
    "storage lost, async": Case(
        killed_and_storage_is_lost("plain-async"), "as above, and the flow is the async one"
    ),
    "terminated as subflow": Case(
        killed_while_served("parent", signal.SIGTERM),
        "SIGTERM, as at an eviction, while the inner flow waits",
    ),
    "cancelled, async": Case(cancelled("ready-async"), "a user cancels the async flow", **ENDED),
    "resumed": Case(resumed, "a user decides, and resumes the suspended flow run", writes=False),
}
