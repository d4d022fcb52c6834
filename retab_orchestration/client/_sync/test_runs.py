# Written by `python -m dev.blocking_client` from client/_async; change that.
"""The operations on test runs."""

from retab_orchestration._arguments import checked_id
from retab_orchestration._blocking import run_blocking
from retab_orchestration._operations import test_runs
from retab_orchestration._polling import waiting
from retab_orchestration._polling.wait import WaitOptions
from retab_orchestration._transport.session import Session
from retab_orchestration.models import WorkflowTestResult, WorkflowTestRun
from retab_orchestration.policies import PollPolicy

__all__ = ["TestRunOperations"]


class TestRunOperations:
    """The operations on test runs."""

    __test__ = False  # its name would make pytest collect it
    _session: Session

    def create_test_run(
        self,
        workflow_id: str,
        *,
        test_id: str | None = None,
        block_id: str | None = None,
        n_consensus: int | None = None,
    ) -> WorkflowTestRun:
        """Run the saved tests of a workflow's draft, once.

        Args:
            workflow_id: The workflow.
            test_id: One test only.
            block_id: The tests of one node only; neither runs every test of the workflow.
            n_consensus: 3, 5 or 7: how many answers extract, split and classifier nodes compare in this run.

        Raises:
            InvalidInputError: Two targets, a consensus that there is not, or one on current routes, which have none:
                nothing was sent.
            CreateOutcomeUnknownError: The answer was lost, the test run may exist: search for it before creating it
                again.
        """
        scope = test_runs.TestScope.read(
            workflow_id, test_id=test_id, block_id=block_id, n_consensus=n_consensus
        )
        return run_blocking(test_runs.create_test_run(self._session, scope))

    def get_test_run(self, test_run_id: str) -> WorkflowTestRun:
        """Read a test run once. Completed does not mean passed: see `passed`."""
        return run_blocking(test_runs.get_test_run(self._session, checked_id("test_run_id", test_run_id)))

    def wait_for_test_run(
        self, test_run_id: str, *, timeout: float | None = None, poll: PollPolicy = PollPolicy()
    ) -> WorkflowTestRun:
        """Wait until a test run has ended.

        Args:
            test_run_id: The test run.
            timeout: Seconds it may take, None for any.
            poll: How often to poll.

        Raises:
            WaitTimeoutError: It goes on: wait again.
        """
        return run_blocking(
            waiting.wait_for_test_run(
                self._session, checked_id("test_run_id", test_run_id), WaitOptions.read(timeout, poll)
            )
        )

    def list_test_runs(self, workflow_id: str) -> list[WorkflowTestRun]:
        """Read every test run of a workflow, to the last page, newest first.

        Raises:
            UnsupportedRouteError: The server is older than test runs.
        """
        return run_blocking(test_runs.list_test_runs(self._session, checked_id("workflow_id", workflow_id)))

    def cancel_test_run(self, test_run_id: str) -> WorkflowTestRun:
        """Cancel a test run; one that has ended stays as it is.

        Returns:
            The test run as it is then.

        Raises:
            NotFoundError: There is no such test run for this key.
            UnsupportedRouteError: The server is older than test runs.
        """
        return run_blocking(test_runs.cancel_test_run(self._session, checked_id("test_run_id", test_run_id)))

    def list_test_results(self, test_run_id: str) -> list[WorkflowTestResult]:
        """Read the result of every test of a test run, to the last page."""
        return run_blocking(
            test_runs.list_test_results(self._session, checked_id("test_run_id", test_run_id))
        )

    def get_test_result(self, test_run_id: str, test_id: str) -> WorkflowTestResult:
        """Read the result of one test of a test run.

        Raises:
            NotFoundError: The run has no result of that test.
        """
        ids = checked_id("test_run_id", test_run_id), checked_id("test_id", test_id)
        return run_blocking(test_runs.get_test_result(self._session, *ids))
