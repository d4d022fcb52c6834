"""The errors about the state of a run."""

from typing import TYPE_CHECKING, Generic, TypeVar

from retab_orchestration.errors.api import ApiError
from retab_orchestration.errors.base import RetabError

if TYPE_CHECKING:
    from retab_orchestration.models.run import WorkflowRun
    from retab_orchestration.models.test_run import WorkflowTestRun

__all__ = [
    "CreateOutcomeUnknownError",
    "InputsChangedError",
    "OutputsUnavailableError",
    "ReviewNotResumedError",
    "ReviewRequiredError",
    "RunCancelledError",
    "RunFailedError",
    "WaitTimeoutError",
]


class CreateOutcomeUnknownError(RetabError):
    """A create got no readable answer: the run may exist. Search for it before creating it again.

    Attributes:
        workflow_id: The workflow of the run.
        since: The earliest time at which the run can have been created, ISO 8601 in UTC.
        until: The latest.
        status: The HTTP status of the answer that could not be read, None when there was none.
        code: The server's own error code, if it named one.
        request_id: The `x-request-id` of that answer, for Retab's support.
    """

    _is_final = True

    def __init__(
        self,
        message: str,
        *,
        workflow_id: str | None = None,
        since: str | None = None,
        until: str | None = None,
        cause: ApiError | None = None,
    ) -> None:
        super().__init__(message)
        self.status = cause.status if cause else None
        self.code = cause.code if cause else None
        self.request_id = cause.request_id if cause else None
        self.workflow_id = workflow_id
        self.since = since
        self.until = until


_Run = TypeVar("_Run", bound="WorkflowRun | WorkflowTestRun")


class _RunStateError(RetabError, Generic[_Run]):
    """An error about a run.

    Attributes:
        run: The run as last seen, None if it was never seen.
    """

    def __init__(self, message: str, *, run: _Run | None = None, run_id: str | None = None) -> None:
        super().__init__(message, run_id=run_id if run is None else run.id)
        self.run = run


class InputsChangedError(_RunStateError["WorkflowRun"]):
    """There is a run of the same identity with other inputs: create it under a new identity, or restore the inputs."""

    _is_final = True


class RunFailedError(_RunStateError["WorkflowRun"]):
    """The run ended in error: read why, then run it again or fix the workflow."""

    @property
    def retryable(self) -> bool:
        """Whether another run of the same inputs may succeed: unless Retab says that the cause is permanent."""
        error = self.run.error if self.run else None
        return error is None or error.category != "permanent"


class RunCancelledError(_RunStateError["WorkflowRun"]):
    """The run was cancelled: run it again if that was not meant."""


class OutputsUnavailableError(_RunStateError["WorkflowRun"]):
    """The run has ended, and its outputs could not be read: wait for it again, which reads them without waiting."""


class ReviewRequiredError(_RunStateError["WorkflowRun"]):
    """The run waits for a human, and the caller asked not to: decide the review, then go on."""


class ReviewNotResumedError(_RunStateError["WorkflowRun"]):
    """All reviews that the run waits for are decided, and it does not go on: check it in Retab, then restart it."""

    _is_final = True


class WaitTimeoutError(_RunStateError["WorkflowRun | WorkflowTestRun"]):
    """The deadline passed while the run went on: wait again with its id, or cancel it."""
