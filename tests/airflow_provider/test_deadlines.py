"""The clocks of a deferred task: every state that they can be in, and what is seen in it."""

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from airflow_provider._waiting.deadlines import RESUME_BUDGET, Visibility, Wait, Watch

NONE, RUNNING, STOPPED = Wait(), Wait(deadline=1000.0), Wait(seconds_left=400.0)
STRICT = 5000.0

AFTER = {
    # the clock, whether a human is asked -> the clock after that was seen at 600
    ("none", False): {},
    ("none", True): {},
    ("running", False): {"deadline": 1000.0},
    ("running", True): {"seconds_left": 400.0},
    ("stopped", False): {"deadline": 1000.0},
    ("stopped", True): {"seconds_left": 400.0},
}
WATCHED = {
    ("none", False): Watch.END,
    ("none", True): Watch.END,
    ("running", False): Watch.END,
    ("running", True): Watch.REVIEW_BEGIN,
    ("stopped", False): Watch.END,
    ("stopped", True): Watch.REVIEW_END,
}
CLOCKS = {"none": NONE, "running": RUNNING, "stopped": STOPPED}
MORE = [
    {"strict_deadline": strict, "reattached": again}
    for strict, again in product((None, STRICT), (True, False))
]


@pytest.mark.parametrize(("clock", "is_waiting"), AFTER)
@pytest.mark.parametrize("more", MORE)
def test_what_is_seen_stops_the_clock_or_lets_it_go_on(clock, is_waiting, more):
    before = replace(CLOCKS[clock], **more)

    assert before.saw(is_waiting=is_waiting, at=600.0) == Wait(**AFTER[clock, is_waiting], **more)


@pytest.mark.parametrize(("clock", "through_review"), WATCHED)
@pytest.mark.parametrize("more", MORE)
def test_what_is_watched(clock, through_review, more):
    assert (
        replace(CLOCKS[clock], **more).watch(through_review=through_review) is WATCHED[clock, through_review]
    )


def test_a_review_of_days_costs_no_second_however_often_it_is_seen():
    wait = Wait(deadline=1000.0).saw(is_waiting=True, at=900.0)
    for at in (901.0, 5000.0, 500_000.0):  # a restart, another triggerer, a second trigger
        wait = wait.saw(is_waiting=True, at=at)

    assert wait.saw(is_waiting=False, at=600_000.0) == Wait(deadline=600_100.0)


def test_a_review_that_is_seen_after_the_deadline_leaves_nothing_and_no_less():
    assert Wait(deadline=1000.0).saw(is_waiting=True, at=1001.0) == Wait(seconds_left=0.0)


@pytest.mark.parametrize(
    ("since", "now", "goes_on"),
    [
        (None, 100.0, True),
        (100.0, 100.0 + RESUME_BUDGET - 1, True),
        (100.0, 100.0 + RESUME_BUDGET, False),
    ],
)
def test_for_how_long_a_resume_may_fail(since, now, goes_on):
    again = Wait(deadline=1.0, failing_since=since).failed_to_resume(now)

    assert (again is not None) is goes_on
    if again is not None:
        assert again == Wait(deadline=1.0, failing_since=100.0)


@pytest.mark.parametrize(
    ("since", "left"),
    [(None, 0.0), (2000.0, 0.0), (1500.0, 0.0), (700.0, 300.0)],
    ids=["seen at once", "seen before it was sent", "after the deadline", "before the deadline"],
)
def test_a_review_counts_from_the_moment_after_which_nobody_could_see_the_run(since, left):
    late = Wait(deadline=1000.0).saw(is_waiting=True, at=1600.0, since=since)

    assert late == Wait(seconds_left=left)


SIGHTS = {
    # what happened, at which second -> since when the review that is seen at 100 may have begun
    "nothing was seen before": ([], None),
    "only failures were seen before": ([("lost", 50), ("found", 100)], None),
    "every look was answered": ([("changed", 10)], 100),
    "the look that ended an outage showed it": ([("changed", 10), ("lost", 50), ("found", 100)], 50),
    "an outage is older than a look": ([("changed", 10), ("lost", 50), ("found", 70)], 100),
    "the second of two outages": ([("changed", 10), ("lost", 20), ("found", 30), ("lost", 60)], 60),
    "an outage of many looks": ([("changed", 10), ("lost", 50), ("lost", 60), ("found", 100)], 50),
    "a change ended the outage before": ([("changed", 10), ("lost", 20), ("changed", 30)], 100),
}


@pytest.mark.parametrize("name", SIGHTS)
def test_since_when_a_change_may_have_gone_unseen(name):
    events, since = SIGHTS[name]
    visibility = Visibility()
    for what, at in events:
        if what == "changed":
            visibility.changed(float(at))
        else:
            visibility.outage_changed(is_lost=what == "lost", now=float(at))

    assert visibility.known_until(100.0) == since
    visibility.changed(100.0)
    assert visibility.news_since == since


@pytest.mark.parametrize("seconds", [1e10, 1e14, float("inf")])
def test_time_that_no_calendar_has_is_any_time(seconds):
    wait = Wait.begin(seconds, timedelta.max)

    assert (wait.deadline, wait.strict_deadline) == (None, None)
    assert wait.bound(through_review=False) is None
    assert wait.backstop(10.0, None, through_review=False) is None
    assert wait.backstop(10.0, 3600.0, through_review=False) == timedelta(hours=1)


BOUNDS = {
    # the clock, whether a review moves it -> when the wait is over in any case, without and with a strict deadline
    ("none", False): (None, STRICT),
    ("none", True): (None, STRICT),
    ("running", False): (1000.0, 1000.0),
    ("running", True): (None, STRICT),
    ("stopped", False): (None, STRICT),
    ("stopped", True): (None, STRICT),
}


@pytest.mark.parametrize(("clock", "through_review"), BOUNDS)
def test_what_bounds_a_deferral(clock, through_review):
    without, with_strict = BOUNDS[clock, through_review]
    strict = replace(CLOCKS[clock], strict_deadline=STRICT)

    assert CLOCKS[clock].bound(through_review=through_review) == without
    assert strict.bound(through_review=through_review) == with_strict
