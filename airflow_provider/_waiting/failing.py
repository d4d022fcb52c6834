"""What a failure of a sensor does to its task: the same in every mode, and on every Airflow.

Airflow's sensors heed `soft_fail`, `never_fail` and `silent_fail` in one way around a poke and in another where they
resume, and Airflow 2 in another way than 3.
"""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
)

from airflow_provider._core import core

_log = logging.getLogger(__name__)


class Failure(Enum):
    """Why a sensor does not succeed."""

    FINAL = "final"
    """Another poll changes nothing: the run has failed, the sensor's time is over, Retab refuses the request."""
    PASSING = "passing"
    """Another poll may succeed: an outage was longer than its budget, Airflow does not give the connection."""
    NONE = "none"
    """It is none, or none of the flags': the task defers, is skipped already, or is past its `execution_timeout`."""


class Effect(Enum):
    """What becomes of the task."""

    RAISE = "raise"
    SKIP = "skip"
    POLL_ON = "poll_on"


def effect_of(failure: Failure, *, soft_fail: bool, never_fail: bool, silent_fail: bool) -> Effect:
    """Decide what a failure does to the task, as Airflow does around a poke."""
    if failure is Failure.FINAL and (soft_fail or never_fail):
        return Effect.SKIP
    if failure is Failure.PASSING and silent_fail:
        return Effect.POLL_ON
    return Effect.SKIP if failure is Failure.PASSING and never_fail else Effect.RAISE


@contextmanager
def heeding_flags(
    sensor: BaseSensorOperator,
    poll_on: Callable[[], BaseException] | None = None,
    *,
    failures: Any = Exception,
) -> Iterator[None]:
    """Skip the task, or poll on, where the author of the DAG wants no failure.

    Args:
        sensor: The sensor, with its flags.
        poll_on: Returns what to raise for the sensor to poll on; None where it cannot.
        failures: The exceptions that are failures.
    """
    try:
        yield
    except failures as error:
        raised = _raised_for(sensor, error, poll_on)
        if raised is error:
            raise
        raise raised from raised.__cause__


def limit_of(sensor: BaseSensorOperator) -> tuple[float, str]:
    """Return the seconds that a deferred sensor may wait, and the setting that says so: Airflow 3 heeds but one."""
    execution = sensor.execution_timeout.total_seconds() if sensor.execution_timeout else math.inf
    return (sensor.timeout, "timeout") if sensor.timeout <= execution else (execution, "execution_timeout")


def too_late(sensor: BaseSensorOperator, what: str) -> BaseException:
    """Return the error of a sensor whose time is over.

    As in the other modes: after `timeout` there is no other try, after `execution_timeout` there may be, and nothing
    that fails softly.

    Args:
        sensor: The sensor.
        what: What is the matter with its run, and `after`.
    """
    seconds, name = limit_of(sensor)
    kind: type[BaseException] = AirflowSensorTimeout if name == "timeout" else AirflowTaskTimeout
    return kind(f"{what} {seconds:g} s ({name})")


def _failure_of(error: BaseException) -> Failure:
    if isinstance(error, AirflowFailException | AirflowSensorTimeout):
        return Failure.FINAL
    is_none = isinstance(error, AirflowSkipException) or not isinstance(error, Exception)
    return Failure.NONE if is_none else Failure.PASSING


def _raised_for(
    sensor: BaseSensorOperator, error: BaseException, poll_on: Callable[[], BaseException] | None
) -> BaseException:
    is_late = isinstance(error.__cause__, AirflowTaskTimeout)
    if is_late and error.__cause__ is not None:
        # It is chance whether that passes in a poke, where Airflow would skip the task, or between two.
        return error.__cause__
    effect = effect_of(
        _failure_of(error),
        soft_fail=sensor.soft_fail,
        never_fail=sensor.never_fail,
        silent_fail=sensor.silent_fail and poll_on is not None,
    )
    if effect is Effect.POLL_ON and poll_on is not None:
        # Another error's text may contain the connection, with the key.
        what = error if isinstance(error, core.RetabError) else type(error).__name__
        _log.error("The poll failed, polling on (silent_fail): %s", what)
        return _raised_for(sensor, poll_on(), poll_on)
    if effect is not Effect.SKIP:
        return error
    setting = "soft_fail" if sensor.soft_fail else "never_fail"
    skip: BaseException = AirflowSkipException(f"Skipping due to {setting} is set to True: {error}")
    skip.__cause__ = error
    return skip
