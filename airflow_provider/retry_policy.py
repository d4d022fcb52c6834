"""RetabRetryPolicy: when to retry a task whose request Retab refused. Airflow 3.3 and later."""

from datetime import timedelta
from typing import Any

from airflow_provider._arguments import given
from airflow_provider._core import core

try:
    from airflow.sdk import RetryDecision, RetryPolicy
except ImportError as error:
    raise ImportError(
        "RetabRetryPolicy needs Airflow 3.3 or later; leave retry_policy out, retries and retry_delay count then"
    ) from error


class RetabRetryPolicy(RetryPolicy):
    """Retries after Retab's `Retry-After`, and not at all after permanent errors; `retry_policy=RetabRetryPolicy()`.

    The task's `retries` and `retry_delay` decide on other errors, and on how often at most.

    Args:
        longest: The longest `Retry-After` that is waited for.

    Raises:
        InvalidInputError: It is not a time above 0.
    """

    def __init__(self, longest: timedelta = timedelta(hours=1)) -> None:
        if not isinstance(longest, timedelta) or longest <= timedelta():
            raise core.InvalidInputError(f"longest must be a timedelta of more than 0, not {given(longest)}")
        self.longest = longest

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002  Airflow gives it
        max_tries: int,  # noqa: ARG002
        context: Any = None,  # noqa: ARG002
    ) -> RetryDecision:
        """Return what follows a failure."""
        if isinstance(exception, core.RetabError) and not exception.retryable:
            return RetryDecision.fail(reason=f"{type(exception).__name__}: another try ends as this one did")
        if isinstance(exception, core.ApiError) and exception.retry_after:
            delay = timedelta(seconds=min(exception.retry_after, self.longest.total_seconds()))
            return RetryDecision.retry(delay, reason=f"Retab asked to wait for {delay.total_seconds():g} s")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return the arguments that rebuild the policy."""
        return {"longest": self.longest.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> "RetabRetryPolicy":
        """Rebuild the policy from what `serialize` returned."""
        return cls(timedelta(seconds=data["longest"]))
