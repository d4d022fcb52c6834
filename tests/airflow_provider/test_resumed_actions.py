"""Every case of what a resumed task does: of its run, its clock, and what the trigger, or Airflow, said."""

from itertools import product

import pytest

from airflow_provider._waiting.events import BACKSTOP, OUT_OF_TIME, TIMEOUT, WAIT_FAILED
from airflow_provider._waiting.resume import (
    Action,
    Ending,
    action_after,
    action_after_failed_poll,
    ending_of,
)

EVENTS = ("running", "waiting_for_human", "completed", TIMEOUT, OUT_OF_TIME, WAIT_FAILED, BACKSTOP)
BOOLS = (False, True)


def after(event, settled=False, cancelled=False, reattached=False, stopped=False):
    return action_after(
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
        expected = Action.START_ANEW if anew else Action.FINISH
        assert after(event, True, cancelled, reattached, stopped) is expected


@pytest.mark.parametrize(
    ("event", "clock_runs", "clock_stopped"),
    [
        ("running", Action.DEFER, Action.DEFER),
        ("waiting_for_human", Action.DEFER, Action.DEFER),
        ("completed", Action.DEFER, Action.DEFER),
        (TIMEOUT, Action.TIMED_OUT, Action.DEFER),
        (OUT_OF_TIME, Action.TIMED_OUT, Action.TIMED_OUT),
        (WAIT_FAILED, Action.WAIT_FAILED, Action.WAIT_FAILED),
        (BACKSTOP, Action.DEFER, Action.DEFER),
    ],
)
def test_a_run_that_goes_on(event, clock_runs, clock_stopped):
    for reattached in BOOLS:
        assert after(event, reattached=reattached) is clock_runs
        assert after(event, reattached=reattached, stopped=True) is clock_stopped


@pytest.mark.parametrize(
    ("event", "of_an_owner", "of_a_sensor", "for_too_long", "of_a_sensor_for_too_long"),
    [
        ("running", Action.DEFER, Action.DEFER, Action.RAISE, Action.RAISE),
        ("waiting_for_human", Action.DEFER, Action.DEFER, Action.RAISE, Action.RAISE),
        ("completed", Action.DEFER, Action.DEFER, Action.RAISE, Action.RAISE),
        (TIMEOUT, Action.DEFER, Action.DEFER, Action.RAISE, Action.RAISE),
        (OUT_OF_TIME, Action.DEFER, Action.TIMED_OUT_UNSEEN, Action.RAISE, Action.TIMED_OUT_UNSEEN),
        (WAIT_FAILED, Action.DEFER, Action.DEFER, Action.WAIT_FAILED, Action.WAIT_FAILED),
        (BACKSTOP, Action.DEFER, Action.DEFER, Action.RAISE, Action.RAISE),
    ],
)
def test_a_run_that_cannot_be_read(event, of_an_owner, of_a_sensor, for_too_long, of_a_sensor_for_too_long):
    assert action_after_failed_poll(event, may_go_on=True, owns_run=True) is of_an_owner
    assert action_after_failed_poll(event, may_go_on=True, owns_run=False) is of_a_sensor
    assert action_after_failed_poll(event, may_go_on=False, owns_run=True) is for_too_long
    assert action_after_failed_poll(event, may_go_on=False, owns_run=False) is of_a_sensor_for_too_long


ENDINGS = {
    # whether the task has what it left, whether a deadline of it was the deferral's -> why Airflow ended the deferral
    (True, True): Ending.LATE,
    (True, False): Ending.BACKSTOP,
    (False, True): Ending.LATE,  # an earlier version left nothing
    (False, False): Ending.BROKEN,
}


@pytest.mark.parametrize(("is_kept", "is_bounded"), product(BOOLS, BOOLS))
def test_why_airflow_ended_a_deferral(is_kept, is_bounded):
    facts = {"is_kept": is_kept, "is_bounded": is_bounded}

    for error in ("Trigger timeout", "Trigger/execution timeout"):  # of 3.3 and 2.11
        assert ending_of(error, **facts) is ENDINGS[is_kept, is_bounded]
    for error in ("Trigger failure", "None"):
        assert ending_of(error, **facts) is Ending.BROKEN
