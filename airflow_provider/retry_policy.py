"""RetabRetryPolicy: when to try a task again that Retab turned away. Airflow 3.3 and later."""

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
    """Tries again when Retab said, and not at all where that would change nothing; `retry_policy=RetabRetryPolicy()`.

    Other errors, and how often at most, are decided by the task's `retries` and `retry_delay`.

    Args:
        longest: The longest that `Retry-After` may put a try off.

    Raises:
        InvalidInputError: It is no time of more than 0.
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
        """Decide what follows a failure."""
        if isinstance(exception, core.RetabError) and not exception.retryable:
            return RetryDecision.fail(reason=f"{type(exception).__name__}: another try ends as this one did")
        if isinstance(exception, core.ApiError) and exception.retry_after:
            delay = timedelta(seconds=min(exception.retry_after, self.longest.total_seconds()))
            return RetryDecision.retry(delay, reason=f"Retab asked to wait for {delay.total_seconds():g} s")
        return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """Return what rebuilds it."""
        return {"longest": self.longest.total_seconds()}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> "RetabRetryPolicy":
        """Rebuild it from what `serialize` returned."""
        return cls(timedelta(seconds=data["longest"]))
