import pytest

from retab_orchestration import PollPolicy, RunStatus
from retab_orchestration._core.schedule import Expire, GiveUp, LookAgain, Schedule, Settle

POLICY = PollPolicy(jitter=0.0, first=1.0, interval=10.0, error_budget=30.0)


def schedule(*, timeout=None, through_review=False):
    return Schedule(POLICY, started=100.0, timeout=timeout, through_review=through_review)


def test_the_first_look_comes_when_the_policy_says():
    assert schedule().first() == LookAgain(101.0)


def test_the_first_look_is_not_after_the_deadline():
    assert schedule(timeout=0.5).first() == LookAgain(100.5)


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.ERROR, RunStatus.CANCELLED])
def test_a_run_that_has_ended_settles(status):
    assert schedule().saw(status, 105.0, 0) == Settle()


@pytest.mark.parametrize(
    "status", [RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.UNKNOWN]
)
def test_a_run_that_has_not_ended_is_looked_at_again(status):
    assert schedule().saw(status, 110.0, 0) == LookAgain(113.0)


def test_a_waiting_run_settles_unless_the_wait_goes_through_reviews():
    assert schedule().saw(RunStatus.WAITING_FOR_HUMAN, 101.0, 0) == Settle()
    assert schedule(through_review=True).saw(RunStatus.WAITING_FOR_HUMAN, 101.0, 0) == LookAgain(161.0)


def test_the_last_look_is_at_the_deadline_and_then_the_wait_expires():
    wait = schedule(timeout=6.0)

    assert wait.saw(RunStatus.RUNNING, 105.8, 0) == LookAgain(106.0)
    assert wait.saw(RunStatus.RUNNING, 106.0, 0) == Expire()


def test_a_run_that_is_found_ended_at_the_deadline_settles():
    assert schedule(timeout=6.0).saw(RunStatus.COMPLETED, 200.0, 0) == Settle()


def test_the_timeout_stands_still_while_a_human_is_asked():
    wait = schedule(timeout=20.0, through_review=True)

    wait.saw(RunStatus.RUNNING, 110.0, 0)
    wait.saw(RunStatus.WAITING_FOR_HUMAN, 115.0, 0)
    assert wait.deadline is None
    assert isinstance(wait.saw(RunStatus.WAITING_FOR_HUMAN, 1115.0, 0), LookAgain)

    wait.saw(RunStatus.RUNNING, 1215.0, 0)
    assert wait.deadline == 100.0 + 20.0 + 1100.0


def test_looks_are_frequent_again_after_a_decision():
    wait = schedule(through_review=True)
    wait.saw(RunStatus.WAITING_FOR_HUMAN, 1000.0, 0)

    assert wait.saw(RunStatus.RUNNING, 2000.0, 0) == LookAgain(2000.5)


def test_it_gives_up_when_looks_have_failed_for_as_long_as_the_policy_allows():
    wait = schedule()

    assert wait.failed(101.0, 0) == LookAgain(102.0)
    assert wait.failed(102.0, 0) == LookAgain(104.0)
    assert wait.failed(130.9, 0) == LookAgain(131.0)
    assert wait.failed(131.0, 0) == GiveUp()


def test_a_look_that_succeeds_forgives_the_failures_before_it():
    wait = schedule()
    wait.failed(101.0, 0)
    wait.failed(130.0, 0)

    wait.saw(RunStatus.RUNNING, 130.5, 0)

    assert isinstance(wait.failed(160.0, 0), LookAgain)
    assert isinstance(wait.failed(189.0, 0), LookAgain)


def test_a_server_that_asks_for_more_time_gets_it_up_to_the_deadline():
    assert schedule().failed(101.0, 0, retry_after=30.0) == LookAgain(131.0)
    assert schedule(timeout=10.0).failed(101.0, 0, retry_after=30.0) == LookAgain(110.0)


def test_failures_past_the_deadline_expire():
    assert schedule(timeout=5.0).failed(105.0, 0) == Expire()


def test_a_review_that_an_outage_hid_counts_from_the_beginning_of_the_outage():
    wait = schedule(timeout=20.0, through_review=True)
    wait.saw(RunStatus.RUNNING, 105.0, 0)
    wait.failed(107.0, 0)
    wait.failed(112.0, 0)

    wait.saw(RunStatus.WAITING_FOR_HUMAN, 118.0, 0)
    wait.saw(RunStatus.RUNNING, 218.0, 0)

    assert wait.deadline == 100.0 + 20.0 + (218.0 - 107.0)
