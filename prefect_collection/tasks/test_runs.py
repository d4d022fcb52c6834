"""The task that runs a workflow's saved tests."""

from collections.abc import Awaitable, Callable
from typing import Any

from prefect_collection._account import acall_with_account, call_with_account
from prefect_collection._create_once.once import Creation, aonce, once
from prefect_collection.credentials import Credentials, RetabCredentials, aload_credentials, load_credentials
from prefect_collection.tasks._kinds import creating, twin_of
from retab_orchestration import AsyncRetabClient, RetabClient

__all__ = ["acreate_test_run", "create_test_run"]


@creating
def create_test_run(
    workflow_id: str,
    *,
    test_id: str | None = None,
    block_id: str | None = None,
    n_consensus: int | None = None,
    credentials: Credentials = None,
    dedupe_key: str = "0",
) -> str:
    """Run the saved tests of a workflow's draft and return the test run's id, the same one in a retry of the flow run.

    Args:
        workflow_id: The workflow, `wf_…`.
        test_id: One test only.
        block_id: The tests of one node only; neither runs every test of the workflow.
        n_consensus: 3, 5 or 7: how many answers extract, split and classifier nodes compare.
        credentials: A block, the name of a saved one, or None for the environment's account.
        dedupe_key: Another key creates another test run in the same flow run.

    Returns:
        The test run's id; `RetabClient.wait_for_test_run` and `list_test_results` take it.

    Raises:
        InvalidInputError: Two targets, or an invalid consensus: nothing was sent.
        CreateOutcomeUnknownError: The answer was lost, the test run may exist: search for it, then change `dedupe_key`.
    """
    block = load_credentials(credentials)
    given = {"test_id": test_id, "block_id": block_id, "n_consensus": n_consensus}
    return call_with_account(
        block, lambda client: once(_test_run(client, block, workflow_id, dedupe_key, given=given))
    )


@twin_of(create_test_run)
async def acreate_test_run(
    workflow_id: str,
    *,
    test_id: str | None = None,
    block_id: str | None = None,
    n_consensus: int | None = None,
    credentials: Credentials = None,
    dedupe_key: str = "0",
) -> str:
    """Do what `create_test_run` does, awaiting."""
    block = await aload_credentials(credentials)
    given = {"test_id": test_id, "block_id": block_id, "n_consensus": n_consensus}

    def create(client: AsyncRetabClient) -> Awaitable[str]:
        return aonce(_test_run(client, block, workflow_id, dedupe_key, given=given, can_find=_anever))

    return await acall_with_account(block, create)


def _test_run(
    client: RetabClient | AsyncRetabClient,
    block: RetabCredentials | None,
    workflow_id: str,
    dedupe_key: str,
    *,
    given: dict[str, Any],
    can_find: Callable[[], Any] = lambda: False,  # test runs have no metadata
) -> Creation:
    return Creation(
        "create_test_run",
        {"workflow_id": workflow_id, **given},
        block,
        lambda _, **__: client.create_test_run(workflow_id, **given),
        read=client.get_test_run,
        can_find=can_find,
        find=client.find_runs,
        target={"workflow_id": workflow_id},
        dedupe_key=dedupe_key,
    )


async def _anever() -> bool:
    return False
