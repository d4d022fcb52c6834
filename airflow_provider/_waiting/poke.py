"""A poke of a sensor: a poll of its run, and which of those that fail are forgiven."""

import logging
import math
import time
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Context

from airflow_provider._arguments import check_nodes, check_pulled
from airflow_provider._connection import through_key_changes
from airflow_provider._core import core
from airflow_provider._waiting.events import log_outage

if TYPE_CHECKING:
    from airflow_provider.sensors import RetabRunSensor
    from retab_orchestration import WorkflowRun
    from retab_orchestration.policies import ErrorBudget, Trouble

_log = logging.getLogger(__name__)

Poll = Callable[[], "WorkflowRun"]


def poke(sensor: "RetabRunSensor", context: Context, errors: "ErrorBudget") -> "WorkflowRun | None":
    """Return the run of a sensor; None where it could not be seen, which is forgiven this time.

    Args:
        sensor: The sensor.
        context: The task's.
        errors: Which of the pokes in this process have failed.

    Raises:
        RetabError: The poll was refused, or polls have failed for too long.
    """
    nodes = check_nodes(sensor.output_nodes)
    check_pulled(run_id=sensor.run_id)

    def poll() -> "WorkflowRun":
        return through_key_changes(
            sensor.hook, lambda client: client.get_run(sensor.run_id, output_nodes=nodes)
        )

    if sensor.deferrable or not sensor.reschedule:
        return _poll_once(poll, sensor.run_id, errors)
    retries = sensor.retries or 0
    return _poll_alone(
        poll, sensor.run_id, lambda: sensor.not_found_grace - _seconds_since_first_poke(context, retries)
    )


def _poll_once(poll: Poll, run_id: str, errors: "ErrorBudget") -> "WorkflowRun | None":
    try:
        run = poll()
    except core.RetabError as error:
        was_troubled, trouble = errors.is_troubled, _trouble_of(error)
        if trouble is None or not errors.failed(trouble, time.monotonic()):
            raise
        if not was_troubled:
            log_outage(run_id, _log, error)
        return None
    if errors.is_troubled:
        log_outage(run_id, _log, None)
    errors.understood(time.monotonic())
    return run


def _poll_alone(poll: Poll, run_id: str, seconds_of_grace: Callable[[], float]) -> "WorkflowRun | None":
    """Poll in a process that makes no other poke, and knows of none.

    It forgives any outage, which the sensor's own timeout ends, and polls again by itself where the run is not found.
    """
    errors = core.policies.ErrorBudget(math.inf, not_found_grace=0.0)
    while True:
        run = _poll_once(poll, run_id, errors)
        if run is not None or errors.outage_since is not None or seconds_of_grace() > 0:
            return run
        now = time.monotonic()
        pause = errors.next_at(core.policies.Trouble.MISSING, now, 0.0) - now
        time.sleep(pause)  # noqa: TID251  nothing is being waited for meanwhile


def _seconds_since_first_poke(context: Context, retries: int) -> float:
    """Return how long ago a sensor that is rescheduled poked first, by what Airflow keeps; 0 for its first poke."""
    ti: Any = context["ti"]
    if hasattr(ti, "get_first_reschedule_date"):
        first = ti.get_first_reschedule_date(context)
    else:  # Airflow 2, which does not change any more
        first = import_module("airflow.sensors.base")._orig_start_date(  # noqa: SLF001
            dag_id=ti.dag_id,
            task_id=ti.task_id,
            run_id=ti.run_id,
            map_index=ti.map_index,
            try_number=(ti.max_tries or 0) - retries + 1,
        )
    return 0.0 if first is None else time.time() - first.timestamp()


def _trouble_of(error: Exception) -> "Trouble | None":
    if isinstance(error, core.NotFoundError):  # a run that was created a moment ago may not be found yet
        return core.policies.Trouble.MISSING
    is_transient = isinstance(error, core.RetabError) and error.retryable
    return core.policies.Trouble.OUTAGE if is_transient else None
