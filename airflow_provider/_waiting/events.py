"""What a task does with its run: the XComs that it pushes, the event that resumes it, and how it ends."""

import logging
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import AirflowSkipException, Context

from airflow_provider._arguments import LONGEST, OnReview, given
from airflow_provider._core import core
from airflow_provider._waiting.deadlines import Wait

if TYPE_CHECKING:
    from retab_orchestration import PollPolicy, RetabError, WorkflowRun

_log = logging.getLogger(__name__)

TIMEOUT = "timeout"
"""The event's status when the deadline passed."""

OUT_OF_TIME = "out_of_time"
"""The event's status when the strict deadline passed, that of `execution_timeout`."""

WAIT_FAILED = "wait_failed"
"""The event's status when the trigger could not see the run any more."""

BACKSTOP = "backstop"
"""The status where Airflow has ended a deferral after a long time, and there is no event of the trigger."""

_NO_STATES = (TIMEOUT, OUT_OF_TIME, WAIT_FAILED, BACKSTOP)

# The key of what a task leaves for itself.
_KEPT = "retab_deferral"


@dataclass(frozen=True)
class RunEvent:
    """The event with which a trigger resumes a task: ids and states, nothing else."""

    run_id: str
    status: str
    """The run's, or `TIMEOUT`, `OUT_OF_TIME`, `WAIT_FAILED` or `BACKSTOP`."""
    message: str = ""
    """Why, for `WAIT_FAILED`."""
    at: float | None = None
    """When the trigger saw it, seconds since the epoch; None from older triggers."""
    since: float | None = None
    """The moment after which it may have begun unseen, or up to which the run was seen; None where nobody knows."""
    nodes: tuple[str, ...] = ()
    """Where a human was asked."""
    is_final: bool = False
    """Whether another attempt would fail as this one did, for `WAIT_FAILED`."""

    @property
    def is_state(self) -> bool:
        """Whether the status is the run's."""
        return self.status not in _NO_STATES

    @property
    def is_waiting(self) -> bool:
        """Whether a human was asked."""
        return self.status == "waiting_for_human"

    def applied_to(self, wait: Wait) -> Wait:
        """Return a wait with its clock as the trigger saw it."""
        since = wait.seen_at if self.since is None else self.since
        if self.at is None or not self.is_state:
            return replace(wait, seen_at=since)
        return replace(wait.saw(is_waiting=self.is_waiting, at=self.at, since=since), seen_at=self.at)

    @classmethod
    def read(cls, event: Any, *, run_id: str | None) -> "RunEvent":
        """Check an event that crossed Airflow's database.

        Args:
            event: What the task was resumed with.
            run_id: The run that the task waits for.

        Raises:
            InvalidInputError: It is missing, of another trigger, or about another run.
        """
        if not isinstance(event, dict) or not {"run_id", "status"} <= set(event):
            raise core.InvalidInputError(
                f"resumed without the event of a RetabRunTrigger, but with another ({given(event)}); clear the task"
            )
        nodes = event.get("waiting_for_node_ids")
        found = cls(
            event["run_id"],
            event["status"],
            event.get("message") or "",
            _moment(event.get("at")),
            _moment(event.get("since")),
            tuple(nodes) if isinstance(nodes, list | tuple) else (),
            event.get("is_final") is True,
        )
        if run_id is None or found.run_id != run_id:
            raise core.InvalidInputError(
                f"resumed with the event of run {found.run_id!r}, but this task waits for {run_id!r}"
            )
        if found.status not in (*_NO_STATES, *core.RunStatus):  # no set: what was stored may have no hash
            raise core.InvalidInputError(
                f"resumed with the unknown status {found.status!r} of run {run_id}; clear the task"
            )
        return found


def _moment(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class KeptWait:
    """What a task leaves for itself before it is deferred, as the XCom `retab_deferral`.

    Airflow drops the arguments of a deferral that it ends itself.
    """

    run_id: str
    wait: Wait
    nodes: tuple[str, ...] = ()
    """Where a human is asked."""

    def push(self, context: Context) -> None:
        """Leave it in place of what was left before."""
        value = {"run_id": self.run_id, "nodes": list(self.nodes), **asdict(self.wait)}
        context["ti"].xcom_push(key=_KEPT, value=value)

    @classmethod
    def pull(cls, context: Context) -> Self | None:
        """Return what this attempt of the task left last; None where there is nothing, or somebody has changed it."""
        value = _pull(context, _KEPT)
        if not isinstance(value, dict) or not isinstance(value.get("run_id"), str):
            return None
        clocks = {each.name: value[each.name] for each in fields(Wait) if each.name in value}
        if not all(each is None or isinstance(each, int | float) for each in clocks.values()):
            return None
        return cls(value["run_id"], Wait(**clocks), tuple(map(str, value.get("nodes") or ())))

    @property
    def resumption(self) -> dict[str, Any]:
        """The arguments of `execute_complete` for a task whose trigger has said nothing."""
        event = {"run_id": self.run_id, "status": BACKSTOP, "waiting_for_node_ids": list(self.nodes)}
        return {"event": event, "run_id": self.run_id, **asdict(self.wait)}


def waited_for(context: Context, run_id: str | None, clocks: dict[str, Any]) -> tuple[str | None, Wait]:
    """Return the run that a task was deferred for, and the wait.

    Args:
        context: The task's.
        run_id: What the deferral kept; `airflow dags test` loses it, and the clocks: then the XCom tells.
        clocks: The fields of the wait that the deferral kept.
    """
    kept = KeptWait.pull(context) if run_id is None else None
    return (run_id or own_run_id(context), Wait(**clocks)) if kept is None else (kept.run_id, kept.wait)


def own_run_id(context: Context) -> str | None:
    """Return the run id that this task left as an XCom, before it deferred or when the run was there."""
    kept = KeptWait.pull(context)
    run_id: str | None = _pull(context, "run_id") if kept is None else kept.run_id
    return run_id


class failing_well(AbstractContextManager[None]):  # noqa: N801  it reads as what it does
    """Fail a task in one line of its log, and without a retry where another attempt would fail as well.

    Args:
        conn_id: The connection of the client.
        level: That of the line.
    """

    # No generator: contextlib would restore the frames that are dropped.

    def __init__(self, conn_id: str, level: int = logging.ERROR) -> None:
        self._conn_id, self._level = conn_id, level

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Log what an error says, and raise it without the frames of the client."""
        if isinstance(error, Exception):
            from airflow_provider._errors import fail

            fail(error, self._conn_id, self._level)


def failing_well_if_mapped(task: Any) -> AbstractContextManager[None]:
    """Return `failing_well` for a mapped task, whose arguments are checked when it runs, and not in the DAG file."""
    is_mapped = getattr(task, "_BaseOperator__from_mapped", False)
    return failing_well(task.retab_conn_id) if is_mapped else nullcontext()


def poll_policy(
    poll_interval: float, first: float = 0.5, not_found_until: float | None = None
) -> "PollPolicy":
    """Return the poll policy: a poll at least every `poll_interval` seconds, half as often while a human is asked.

    Args:
        poll_interval: Seconds.
        first: Seconds until the first poll.
        not_found_until: Until when a 404 is forgiven, seconds since the epoch; None for a minute from the first poll.
    """
    interval = min(poll_interval, LONGEST / 4)  # twice that is a time as well
    policy = core.PollPolicy(first=first, interval=interval, review_interval=2 * interval)
    if not_found_until is None:
        return policy
    return replace(policy, not_found_grace=min(max(not_found_until - time.time() - first, 0.0), LONGEST / 4))


def log_outage(run_id: str, log: Any, error: "RetabError | None") -> None:
    """Log once that a run cannot be polled, and once that it can again."""
    if error is None:
        log.warning("Run %s can be polled again", run_id)
    else:
        from airflow_provider._errors import with_labels

        log.warning("Run %s cannot be polled, trying on: %s", run_id, with_labels(str(error)))


def log_deferral(run_id: str, wait: Wait) -> None:
    """Log who waits from here on, for how long, and what it means if nothing follows."""
    now = time.time()
    limits = {"without the time that a human takes": wait.deadline, "in all": wait.strict_deadline}
    told = [f"at most {at - now:.0f} s {what}" for what, at in limits.items() if at is not None]
    _log.info(
        "Run %s goes on, and a triggerer waits for it from here on, %s. If nothing follows this line, no triggerer is "
        "running: start one with `airflow triggerer`",
        run_id,
        " and ".join(told) or "for as long as it takes",
    )


def log_review(log: Any, run: "WorkflowRun", url: str, *, is_news: bool) -> None:
    """Log that a run waits for a human; a review that is news is a WARNING that says where, and how, to decide it."""
    if not is_news:
        log.info("Run %s is %s", run.id, run.status.value)
    else:
        log.warning(
            "Run %s is %s at %s: decide it in Retab (%s), or with decide_review of the client of a RetabHook",
            run.id,
            run.status.value,
            ", ".join(run.waiting_for_node_ids) or "a node that Retab does not name",
            url,
        )


def is_settled(run: "WorkflowRun", on_review: OnReview) -> bool:
    """Return whether there is nothing to wait for any more."""
    return run.is_terminal or (run.is_waiting and on_review != "wait")


def push_run(context: Context, run: "WorkflowRun", url: str, *, is_link_only: bool) -> None:
    """Push the run's ids and state as XComs, always all four and of the same types.

    Args:
        context: The task's.
        run: The run.
        url: Where to see it.
        is_link_only: Whether to push nothing but the address, without which there is no link.
    """
    if not is_link_only:
        context["ti"].xcom_push(key="run_id", value=run.id)
        push_state(context, run.status.value, run.waiting_for_node_ids)
    context["ti"].xcom_push(key="run_url", value=url)


def push_state(context: Context, status: str, nodes: Sequence[str]) -> None:
    """Push those of the XComs that change while a run goes on."""
    context["ti"].xcom_push(key="status", value=status)
    context["ti"].xcom_push(key="waiting_for_node_ids", value=list(nodes))


def _pull(context: Context, key: str) -> Any:
    ti = context["ti"]
    return ti.xcom_pull(task_ids=ti.task_id, key=key, map_indexes=ti.map_index)


def conclude(run: "WorkflowRun", on_review: OnReview) -> dict[str, Any]:
    """End the task as its run did.

    Returns:
        The run's outputs so far, node id -> `{"label", "json_data"}`; `{}` when there are none.

    Raises:
        RunFailedError: The run ended in error.
        RunCancelledError: The run was cancelled.
        ReviewRequiredError: It waits for a human, and `on_review` is `fail`.
        AirflowSkipException: It waits for a human, and `on_review` is `skip`.
    """
    run.raise_for_status()
    if run.is_waiting and on_review in {"fail", "skip"}:
        nodes = ", ".join(run.waiting_for_node_ids) or "a review"
        told = f"Run {run.id} waits for a human at {nodes}; decide it in Retab or with decide_review"
        if on_review == "skip":
            raise AirflowSkipException(told)
        raise core.ReviewRequiredError(f"{told}, or set on_review='wait' or 'return'", run=run)
    return dict(run.final_outputs)
