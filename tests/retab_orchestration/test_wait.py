from dataclasses import dataclass

import pytest

from retab_orchestration import PollPolicy, RunStatus, ServerError, WaitTimeoutError
from retab_orchestration._polling.wait import Wait, WaitOptions

POLICY = PollPolicy(jitter=0.0, first=1.0, interval=10.0, error_budget=30.0)


@dataclass(frozen=True)
class Polled:
    """What a poll showed."""

    status: RunStatus
    id: str = "run_1"

    @property
    def status_name(self):
        return self.status.value


def wait(*, timeout=None, through_review=False):
    return Wait("run_1", WaitOptions(timeout, POLICY, "wait" if through_review else "return"), 100.0)


def settles(waits, status, now):
    return waits.saw(Polled(status), now, 0)


def next_after(waits, status, now):
    """Return when to poll next after a poll that showed this state."""
    assert not settles(waits, status, now)
    return waits.due


def next_after_failure(waits, now, retry_after=None):
    waits.failed(ServerError("out of order", retry_after=retry_after), now, 0)
    return waits.due


def test_the_first_poll_comes_when_the_policy_says():
    assert wait().due == 101.0


def test_the_first_poll_is_not_after_the_deadline():
    assert wait(timeout=0.5).due == 100.5


@pytest.mark.parametrize("status", [RunStatus.COMPLETED, RunStatus.ERROR, RunStatus.CANCELLED])
def test_a_run_that_has_ended_settles(status):
    assert settles(wait(), status, 105.0)


@pytest.mark.parametrize(
    "status", [RunStatus.PENDING, RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.UNKNOWN]
)
def test_a_run_that_has_not_ended_is_polled_again(status):
    assert next_after(wait(), status, 110.0) == 113.0


def test_a_waiting_run_settles_unless_the_wait_goes_through_reviews():
    assert settles(wait(), RunStatus.WAITING_FOR_HUMAN, 101.0)
    assert next_after(wait(through_review=True), RunStatus.WAITING_FOR_HUMAN, 101.0) == 161.0


def test_the_last_poll_is_at_the_deadline_and_then_the_wait_expires():
    waits = wait(timeout=6.0)

    assert next_after(waits, RunStatus.RUNNING, 105.8) == 106.0
    with pytest.raises(WaitTimeoutError):
        settles(waits, RunStatus.RUNNING, 106.0)


def test_a_run_that_is_found_ended_at_the_deadline_settles():
    assert settles(wait(timeout=6.0), RunStatus.COMPLETED, 200.0)


def test_the_timeout_stands_still_while_a_human_is_asked():
    waits = wait(timeout=20.0, through_review=True)

    settles(waits, RunStatus.RUNNING, 110.0)
    settles(waits, RunStatus.WAITING_FOR_HUMAN, 115.0)
    assert waits.seconds_left(115.0) is None
    assert next_after(waits, RunStatus.WAITING_FOR_HUMAN, 1115.0) == 1115.0 + 60.0

    settles(waits, RunStatus.RUNNING, 1215.0)
    assert waits.deadline == 100.0 + 20.0 + 1100.0


def test_polls_are_frequent_again_after_a_decision():
    waits = wait(through_review=True)
    settles(waits, RunStatus.WAITING_FOR_HUMAN, 1000.0)

    assert next_after(waits, RunStatus.RUNNING, 2000.0) == 2000.5


def test_it_gives_up_when_polls_have_failed_for_as_long_as_the_policy_allows():
    waits = wait()

    assert next_after_failure(waits, 101.0) == 102.0
    assert next_after_failure(waits, 102.0) == 104.0
    assert next_after_failure(waits, 130.9) == 131.0
    with pytest.raises(ServerError):
        next_after_failure(waits, 131.0)


def test_a_poll_that_succeeds_forgives_the_failures_before_it():
    waits = wait()
    next_after_failure(waits, 101.0)
    next_after_failure(waits, 130.0)

    settles(waits, RunStatus.RUNNING, 130.5)

    assert next_after_failure(waits, 160.0) > 160.0
    assert next_after_failure(waits, 189.0) > 189.0


def test_a_server_that_asks_for_more_time_gets_it_up_to_the_deadline():
    assert next_after_failure(wait(), 101.0, retry_after=30.0) == 131.0
    assert next_after_failure(wait(timeout=10.0), 101.0, retry_after=30.0) == 110.0


def test_failures_past_the_deadline_expire():
    with pytest.raises(WaitTimeoutError):
        next_after_failure(wait(timeout=5.0), 105.0)


def test_a_review_that_an_outage_hid_counts_from_the_beginning_of_the_outage():
    waits = wait(timeout=20.0, through_review=True)
    settles(waits, RunStatus.RUNNING, 105.0)
    next_after_failure(waits, 107.0)
    next_after_failure(waits, 112.0)

    settles(waits, RunStatus.WAITING_FOR_HUMAN, 118.0)
    settles(waits, RunStatus.RUNNING, 218.0)

    assert waits.deadline == 100.0 + 20.0 + (218.0 - 107.0)
