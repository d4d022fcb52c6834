"""Every case of what a resumed task does: of its run, its clock, and what the trigger said."""

from itertools import product

import pytest

from airflow_provider._waiting.events import OUT_OF_TIME, TIMEOUT, WAIT_FAILED
from airflow_provider._waiting.resume import Step, step_after, step_after_failed_poll

EVENTS = ("running", "waiting_for_human", "completed", TIMEOUT, OUT_OF_TIME, WAIT_FAILED)
BOOLS = (False, True)


def after(event, settled=False, cancelled=False, reattached=False, stopped=False):
    return step_after(
        event,
        is_settled=settled,
        is_cancelled=cancelled,
        reattached=reattached,
        is_clock_stopped=stopped,
    )


@pytest.mark.parametrize(("event", "stopped"), product(EVENTS, BOOLS))
def test_a_run_that_has_settled_ends_the_task_whatever_the_trigger_said(event, stopped):
    for cancelled, reattached in product(BOOLS, BOOLS):
        anew = cancelled and reattached
        expected = Step.START_ANEW if anew else Step.FINISH
        assert after(event, True, cancelled, reattached, stopped) is expected


@pytest.mark.parametrize(
    ("event", "clock_runs", "clock_stopped"),
    [
        ("running", Step.DEFER, Step.DEFER),
        ("waiting_for_human", Step.DEFER, Step.DEFER),
        ("completed", Step.DEFER, Step.DEFER),
        (TIMEOUT, Step.TIMED_OUT, Step.DEFER),
        (OUT_OF_TIME, Step.TIMED_OUT, Step.TIMED_OUT),
        (WAIT_FAILED, Step.WAIT_FAILED, Step.WAIT_FAILED),
    ],
)
def test_a_run_that_goes_on(event, clock_runs, clock_stopped):
    for reattached in BOOLS:
        assert after(event, reattached=reattached) is clock_runs
        assert after(event, reattached=reattached, stopped=True) is clock_stopped


@pytest.mark.parametrize(
    ("event", "of_an_owner", "of_a_sensor", "for_too_long", "of_a_sensor_for_too_long"),
    [
        ("running", Step.DEFER, Step.DEFER, Step.RAISE, Step.RAISE),
        ("waiting_for_human", Step.DEFER, Step.DEFER, Step.RAISE, Step.RAISE),
        ("completed", Step.DEFER, Step.DEFER, Step.RAISE, Step.RAISE),
        (TIMEOUT, Step.DEFER, Step.DEFER, Step.RAISE, Step.RAISE),
        (OUT_OF_TIME, Step.DEFER, Step.TIMED_OUT_UNSEEN, Step.RAISE, Step.TIMED_OUT_UNSEEN),
        (WAIT_FAILED, Step.DEFER, Step.DEFER, Step.WAIT_FAILED, Step.WAIT_FAILED),
    ],
)
def test_a_run_that_cannot_be_read(event, of_an_owner, of_a_sensor, for_too_long, of_a_sensor_for_too_long):
    assert step_after_failed_poll(event, may_go_on=True, owns_run=True) is of_an_owner
    assert step_after_failed_poll(event, may_go_on=True, owns_run=False) is of_a_sensor
    assert step_after_failed_poll(event, may_go_on=False, owns_run=True) is for_too_long
    assert step_after_failed_poll(event, may_go_on=False, owns_run=False) is of_a_sensor_for_too_long
