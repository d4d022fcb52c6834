"""The cases that strike one task: what is done to it at which moment, and what has to come of it."""

from collections.abc import Callable
from dataclasses import dataclass

CREATE = "POST /v1/workflows/runs"
LOOK = "GET /v1/workflows/runs/*"
OUTPUTS = "GET /v1/workflows/steps"
CANCEL = "POST /v1/workflows/runs/*/cancel"
LONG = 600.0
PATIENCE = 300.0


@dataclass(frozen=True)
class Case:
    """What is done, and what has to be seen in the end."""

    does: Callable
    told: str
    """For the page."""
    outcome: str = "success"
    remote: tuple = ("completed",)
    asks: bool = False
    """Whether a user does it, rather than an accident."""

    @property
    def expected(self):
        """What a result has to look like, as `Result.seen`."""
        returns = self.outcome == "success" and self.remote[-1] == "completed"
        return len(self.remote), self.outcome, returns, self.remote


def create_is_on_its_way(scenario):
    scenario.hold(CREATE, "before")
    scenario.begin()
    scenario.wait_until_held()
    scenario.kill_task()
    scenario.emulator.release()
    scenario.finish()


def create_is_done(scenario):
    scenario.hold(CREATE, "after")
    scenario.begin()
    scenario.wait_until_held()
    scenario.kill_task()
    scenario.emulator.release()
    scenario.finish()


def worker_is_lost(scenario):
    scenario.hold(CREATE, "after")
    scenario.begin()
    scenario.wait_until_held()
    scenario.kill_worker()
    scenario.emulator.release()
    scenario.finish()


def first_look(scenario):
    scenario.hold(LOOK, "before")
    scenario.begin("looks")
    scenario.wait_until_held()
    scenario.kill_task()
    scenario.emulator.release()
    scenario.finish()


def before_the_deferral(scenario):
    scenario.begin("stops")
    scenario.wait_until_stopped()
    scenario.kill_task()
    scenario.finish()


def resuming(scenario):
    scenario.begin(seconds=1)
    scenario.wait_until_waited_for()
    scenario.hold(OUTPUTS, "before")
    scenario.wait_until_held()
    scenario.kill_task()
    scenario.emulator.release()
    scenario.finish()


def marked_failed(scenario):
    scenario.begin(seconds=LONG)
    scenario.wait_until_waited_for()
    scenario.mark("failed")
    scenario.finish()


def marked_failed_with_a_slow_cancel(scenario):
    scenario.emulator.post_faults([{"match": CANCEL, "kind": "slow", "seconds": 3}])
    scenario.begin(seconds=LONG)
    scenario.wait_until_waited_for()
    scenario.mark("failed")
    scenario.finish()


def marked_success(scenario):
    scenario.begin(seconds=LONG)
    scenario.wait_until_waited_for()
    scenario.mark("success")
    scenario.finish()


def cleared(scenario):
    scenario.begin(seconds=30)
    scenario.wait_until_waited_for()
    scenario.clear()
    scenario.wait_for_state("scheduled", "queued", "running")
    scenario.finish()


ALONE = {
    "create held before": Case(
        create_is_on_its_way, "the task, while its create is on its way, which arrives without it"
    ),
    "create held after": Case(create_is_done, "the task, while the answer to its create is on its way"),
    "worker lost": Case(
        worker_is_lost, "the worker and its task, while the answer to the create is on its way"
    ),
    "first look held": Case(first_look, "the task, while it waits on the worker: the first look at the run"),
    "stored, not deferred": Case(before_the_deferral, "the task, between storing its run and deferring"),
    "resuming": Case(resuming, "the task, while it fetches the outputs after the deferral"),
    "marked failed": Case(
        marked_failed, "a user marks the deferred task failed", "failed", ("cancelled",), asks=True
    ),
    "marked failed, slow cancel": Case(
        marked_failed_with_a_slow_cancel,
        "a user marks the deferred task failed, and the cancel takes 3 s",
        "failed",
        ("cancelled",),
        asks=True,
    ),
    "marked success": Case(
        marked_success, "a user marks the deferred task successful", "success", ("cancelled",), asks=True
    ),
    "cleared": Case(
        cleared, "a user clears the deferred task", "success", ("cancelled", "completed"), asks=True
    ),
}
"""The cases that disturb nobody else, so that they go on at the same time."""
