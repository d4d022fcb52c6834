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
    def does(shot):
        shot.hold(CREATE, when)
        shot.begin("plain")
        shot.start()
        shot.wait_until_held()
        shot.kill_process()
        shot.emulator.release()
        run_again(shot)

    return does


def killed_and_storage_is_lost(deployment):
    def does(shot):
        shot.begin(deployment)
        shot.start()
        shot.wait_until_looked_at()
        shot.kill_process()
        run_again(shot, PREFECT_LOCAL_STORAGE_PATH=str(shot.host.home / f"empty-{shot.id}"))

    return does


def run_again(shot, **env):
    shot.set_state("PENDING")
    shot.start(**env)
    shot.finish()


def killed_while_served(deployment, number):
    def does(shot):
        shot.begin(deployment, seconds=30)
        shot.wait_until_looked_at()
        shot.kill_served(number)
        shot.wait_for_state("CRASHED")
        shot.set_state("SCHEDULED", "AwaitingRetry")
        shot.finish()

    return does


def cancelled(deployment):
    def does(shot):
        shot.begin(deployment, seconds=LONG)
        shot.wait_until_looked_at()
        shot.cancel()
        shot.finish()

    return does


def cancelled_while_suspended(shot):
    shot.begin("suspends")
    shot.wait_for_state("PAUSED")
    shot.cancel()
    shot.finish()


def resumed(shot):
    shot.begin("suspends")
    shot.wait_for_state("PAUSED")
    shot.decide()
    shot.resume()
    shot.finish()


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
