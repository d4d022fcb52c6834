import pytest

from retab_orchestration import InvalidInputError, PollPolicy, RetryPolicy
from retab_orchestration.policies import Pace


def test_gaps_grow_with_the_time_waited_and_stop_at_the_interval():
    policy = PollPolicy(jitter=0.0)

    gaps = [policy.gap(waited, in_review=False, chance=0) for waited in (0, 2, 8, 60, 3600)]

    assert gaps == pytest.approx([0.5, 0.6, 2.4, 18.0, 30.0])


def test_a_human_is_looked_after_at_the_review_interval():
    assert PollPolicy(jitter=0.0).gap(3600, in_review=True, chance=0) == 60.0


def test_jitter_shortens_a_gap_by_no_more_than_its_share():
    policy = PollPolicy(jitter=0.2)

    assert policy.gap(3600, in_review=False, chance=0) == 30.0
    assert policy.gap(3600, in_review=False, chance=1) == pytest.approx(24.0)


def test_failed_looks_back_off_up_to_the_interval():
    policy = PollPolicy(jitter=0.0, interval=5)

    assert [policy.gap_after_failure(failures, chance=0) for failures in (1, 2, 3, 9)] == [1.0, 2.0, 4.0, 5.0]


def test_an_hour_of_waiting_at_defaults_costs_a_fifth_of_a_look_every_five_seconds():
    policy = PollPolicy()
    waited, looks = policy.first, 1
    while waited < 3600:
        waited += policy.gap(waited, in_review=False, chance=0.5)
        looks += 1

    assert looks <= 3600 / 5 / 5


@pytest.mark.parametrize(
    "wrong",
    [
        {"interval": 0},
        {"interval": -1},
        {"interval": True},
        {"interval": "5"},
        {"growth": 0},
        {"shortest": 0},
        {"review_interval": -3},
        {"error_budget": 0},
        {"first": -1},
        {"jitter": 1.0},
        {"jitter": -0.1},
        {"jitter": None},
        {"first": "x"},
        {"interval": float("inf")},
        {"error_budget": "10"},
        {"not_found_grace": -1},
    ],
)
def test_a_poll_policy_that_cannot_be_followed_is_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        PollPolicy(**wrong)


@pytest.mark.parametrize("wrong", [{"attempts": 0}, {"attempts": 0.5}, {"base": 0}, {"cap": -1}])
def test_a_retry_policy_that_cannot_be_followed_is_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        RetryPolicy(**wrong)


def test_a_pace_spreads_a_burst_over_its_seconds():
    pace = Pace(4)

    assert [pace.reserve(100.0) for _ in range(5)] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_a_pace_saves_nothing_up_while_nobody_sends():
    pace = Pace(4)
    pace.reserve(100.0)

    assert [pace.reserve(200.0) for _ in range(2)] == [0.0, 0.25]


def test_a_moment_that_is_given_back_is_the_next_ones():
    pace = Pace(4)
    moments = [100.0 + pace.reserve(100.0) for _ in range(5)]
    for at in moments[1:4]:
        pace.give_back(at)

    assert [pace.reserve(100.0) for _ in range(2)] == [0.25, 0.5]
    assert [pace.reserve(101.0) for _ in range(2)] == [0.25, 0.5]  # what is past is nobody's


def test_a_gap_after_thousands_of_failures_is_the_longest():
    assert PollPolicy().gap_after_failure(4000, chance=0.0) == PollPolicy().interval
