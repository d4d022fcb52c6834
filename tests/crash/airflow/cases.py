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


def create_is_on_its_way(shot):
    shot.hold(CREATE, "before")
    shot.begin()
    shot.wait_until_held()
    shot.kill_task()
    shot.emulator.release()
    shot.finish()


def create_is_done(shot):
    shot.hold(CREATE, "after")
    shot.begin()
    shot.wait_until_held()
    shot.kill_task()
    shot.emulator.release()
    shot.finish()


def worker_is_lost(shot):
    shot.hold(CREATE, "after")
    shot.begin()
    shot.wait_until_held()
    shot.kill_worker()
    shot.emulator.release()
    shot.finish()


def first_look(shot):
    shot.hold(LOOK, "before")
    shot.begin("looks")
    shot.wait_until_held()
    shot.kill_task()
    shot.emulator.release()
    shot.finish()


def before_the_deferral(shot):
    shot.begin("stops")
    shot.wait_until_stopped()
    shot.kill_task()
    shot.finish()


def resuming(shot):
    shot.begin(seconds=1)
    shot.wait_until_waited_for()
    shot.hold(OUTPUTS, "before")
    shot.wait_until_held()
    shot.kill_task()
    shot.emulator.release()
    shot.finish()


def marked_failed(shot):
    shot.begin(seconds=LONG)
    shot.wait_until_waited_for()
    shot.mark("failed")
    shot.finish()


def marked_failed_with_a_slow_cancel(shot):
    shot.emulator.post_faults([{"match": CANCEL, "kind": "slow", "seconds": 3}])
    shot.begin(seconds=LONG)
    shot.wait_until_waited_for()
    shot.mark("failed")
    shot.finish()


def marked_success(shot):
    shot.begin(seconds=LONG)
    shot.wait_until_waited_for()
    shot.mark("success")
    shot.finish()


def cleared(shot):
    shot.begin(seconds=30)
    shot.wait_until_waited_for()
    shot.clear()
    shot.wait_for_state("scheduled", "queued", "running")
    shot.finish()


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
