"""The task that runs a workflow's saved tests."""

from prefect_collection.blocks import (
    Credentials,
    aload_credentials,
    aopen_client,
    load_credentials,
    open_client,
)
from prefect_collection.tasks._kinds import creating, twin_of
from prefect_collection.tasks._once import aonce, once

__all__ = ["acreate_test_run", "create_test_run"]


@creating
def create_test_run(
    workflow_id: str,
    *,
    test_id: str | None = None,
    block_id: str | None = None,
    n_consensus: int | None = None,
    credentials: Credentials = None,
    dedupe_key: str = "0",  # noqa: ARG001  it tells two calls apart
) -> str:
    """Run the saved tests of a workflow's draft and return the test run's id, the same one in a retry of the flow run.

    Args:
        workflow_id: The workflow, `wf_…`.
        test_id: One test only.
        block_id: The tests of one node only; neither runs every test of the workflow.
        n_consensus: 3, 5 or 7: how many answers extract, split and classifier nodes compare.
        credentials: A block, the name of a saved one, or None for the environment's account.
        dedupe_key: Another key makes another test run in the same flow run.

    Returns:
        The test run's id; `RetabClient.wait_for_test_run` and `list_test_results` take it.

    Raises:
        InvalidInputError: Two targets, or a consensus that there is not: nothing was sent.
        CreateOutcomeUnknownError: The answer was lost, the test run may exist: look for it, then change `dedupe_key`.
    """
    block = load_credentials(credentials)
    with open_client(block) as client:
        return once(
            block,
            lambda **_: client.create_test_run(
                workflow_id, test_id=test_id, block_id=block_id, n_consensus=n_consensus
            ),
            target={"workflow_id": workflow_id},
            look=client.get_test_run,
            can_find=lambda: False,  # test runs have no metadata
        )


@twin_of(create_test_run)
async def acreate_test_run(
    workflow_id: str,
    *,
    test_id: str | None = None,
    block_id: str | None = None,
    n_consensus: int | None = None,
    credentials: Credentials = None,
    dedupe_key: str = "0",  # noqa: ARG001  it tells two calls apart
) -> str:
    """Do what `create_test_run` does, awaiting."""
    block = await aload_credentials(credentials)
    async with await aopen_client(block) as client:
        return await aonce(
            block,
            lambda **_: client.create_test_run(
                workflow_id, test_id=test_id, block_id=block_id, n_consensus=n_consensus
            ),
            target={"workflow_id": workflow_id},
            look=client.get_test_run,
            can_find=_never,
        )


async def _never() -> bool:
    return False
