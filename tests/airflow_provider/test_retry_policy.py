from datetime import timedelta

import pytest

from airflow_provider._cancelling.cancel import TRIGGERS_ARE_KILLED
from retab_orchestration import InvalidInputError, RateLimitedError, ServerError, WaitTimeoutError

HAS_POLICIES = TRIGGERS_ARE_KILLED  # both came with Airflow 3.3


@pytest.mark.skipif(HAS_POLICIES, reason="this Airflow has retry policies")
def test_older_airflow_is_told_what_to_do():
    with pytest.raises(ImportError, match=r"Airflow 3\.3"):
        import airflow_provider.retry_policy  # noqa: F401


@pytest.fixture
def policy():
    pytest.importorskip("airflow.sdk.definitions.retry_policy")
    from airflow_provider.retry_policy import RetabRetryPolicy

    return RetabRetryPolicy()


def decided(policy, error):
    decision = policy.evaluate(error, 1, 3)
    return decision.action.value, decision.retry_delay


@pytest.mark.parametrize("kind", [RateLimitedError, ServerError])
def test_retry_waits_as_long_as_retab_asked(policy, kind):
    assert decided(policy, kind("busy", retry_after=90)) == ("retry", timedelta(seconds=90))


def test_retry_does_not_wait_for_ever(policy):
    assert decided(policy, RateLimitedError("busy", retry_after=1e6)) == ("retry", timedelta(hours=1))


@pytest.mark.parametrize("error", [RateLimitedError("busy"), WaitTimeoutError("late"), ValueError("mine")])
def test_what_retab_says_nothing_about_is_the_task_s_own_matter(policy, error):
    assert decided(policy, error) == ("default", None)


def test_permanent_error_fails(policy):
    assert decided(policy, InvalidInputError("no")) == ("fail", None)


def test_policy_survives_serialisation(policy):
    policy.longest = timedelta(minutes=5)

    assert type(policy).deserialize(policy.serialize()).longest == policy.longest


def test_task_takes_it(policy):
    from airflow_provider.operators import RetabRunWorkflowOperator

    task = RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", retry_policy=policy)

    assert task.has_retry_policy
