"""Tasks that create, read and cancel runs."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Unpack

from prefect_collection._account import acall_with_account, call_with_account
from prefect_collection._artifacts import AsyncProgressArtifacts, ProgressArtifacts
from prefect_collection._create_once.creation import creation_of_run
from prefect_collection._create_once.once import Creation, aonce, once
from prefect_collection._documents import DocumentInput, as_documents
from prefect_collection.credentials import Credentials, RetabCredentials, aload_credentials, load_credentials
from prefect_collection.tasks._kinds import creating, requesting, twin_of
from retab_orchestration import AsyncRetabClient, RetabClient, RunFilter, RunPage, Step, WorkflowRun

__all__ = [
    "acancel_run",
    "acreate_run",
    "aget_run",
    "alist_runs",
    "alist_steps",
    "arestart_run",
    "cancel_run",
    "create_run",
    "get_run",
    "list_runs",
    "list_steps",
    "restart_run",
]


def _inputs(
    workflow_id: str,
    json_inputs: Mapping[str, Any] | None,
    text_inputs: Mapping[str, str] | None,
    version: str | None,
) -> dict[str, Any]:
    return {
        "workflow_id": workflow_id,
        "json_inputs": json_inputs,
        "text_inputs": text_inputs,
        "version": version,
    }


@creating
def create_run(
    workflow_id: str,
    *,
    documents: Mapping[str, DocumentInput] | None = None,
    json_inputs: Mapping[str, Any] | None = None,
    text_inputs: Mapping[str, str] | None = None,
    version: str | None = None,
    metadata: Mapping[str, str] | None = None,
    credentials: Credentials = None,
    dedupe_key: str = "0",
) -> str:
    """Start a run and return its id; the same call again in the same flow run returns the same id.

    Args:
        workflow_id: The workflow, `wf_…`.
        documents: Start node id -> a local path, a URI such as `s3://bucket/a.pdf`, or a `FileReference`.
        json_inputs: JSON input node id -> any JSON value.
        text_inputs: Text input node id -> text; classic routes only.
        version: `production`, `draft` or a version id; current routes only.
        metadata: Tags of your own; current routes only.
        credentials: A block, the name of a saved one, or None for the environment's account.
        dedupe_key: Another key creates another run of the same inputs in the same flow run, as does another flow run.
            It is also needed to run one workflow on the same inputs in two accounts.

    Returns:
        The run's id.

    Raises:
        InvalidInputError: Something was refused before anything was sent: correct the call.
        CreateOutcomeUnknownError: The answer was lost, the run may exist: search for it, then change `dedupe_key`.
        ApiError: It was refused, or the server was not reached: nothing was created.
    """
    block = load_credentials(credentials)

    def create(client: RetabClient) -> str:
        return once(
            creation_of_run(
                client,
                "create_run",
                _inputs(workflow_id, json_inputs, text_inputs, version),
                block,
                documents=as_documents(documents),
                metadata=metadata,
                dedupe_key=dedupe_key,
                on_progress=ProgressArtifacts(),
            )
        )

    return call_with_account(block, create)


@twin_of(create_run)
async def acreate_run(
    workflow_id: str,
    *,
    documents: Mapping[str, DocumentInput] | None = None,
    json_inputs: Mapping[str, Any] | None = None,
    text_inputs: Mapping[str, str] | None = None,
    version: str | None = None,
    metadata: Mapping[str, str] | None = None,
    credentials: Credentials = None,
    dedupe_key: str = "0",
) -> str:
    """Do what `create_run` does, awaiting."""
    block = await aload_credentials(credentials)

    async def create(client: AsyncRetabClient) -> str:
        progress = AsyncProgressArtifacts()
        creation = creation_of_run(
            client,
            "create_run",
            _inputs(workflow_id, json_inputs, text_inputs, version),
            block,
            documents=as_documents(documents),
            metadata=metadata,
            dedupe_key=dedupe_key,
            on_progress=progress,
        )
        try:
            return await aonce(creation)
        finally:
            await progress.shown()

    return await acall_with_account(block, create)


@creating
def restart_run(run_id: str, *, credentials: Credentials = None, dedupe_key: str = "0") -> str:
    """Run the inputs of a run again, in the version that is published now, and return the new run's id.

    It is recorded as `create_run` records its run; the old run stays as it is.

    Args:
        run_id: The run to repeat, `run_…`.
        credentials: A block, the name of a saved one, or None for the environment's account.
        dedupe_key: Another key creates another run of it in the same flow run.

    Raises:
        NotFoundError: There is no such run for this key.
        CreateOutcomeUnknownError: The answer was lost, the run may exist: search for it, then change `dedupe_key`.
    """
    block = load_credentials(credentials)
    return call_with_account(block, lambda client: once(_restart(client, block, run_id, dedupe_key)))


@twin_of(restart_run)
async def arestart_run(run_id: str, *, credentials: Credentials = None, dedupe_key: str = "0") -> str:
    """Do what `restart_run` does, awaiting."""
    block = await aload_credentials(credentials)
    return await acall_with_account(block, lambda client: aonce(_restart(client, block, run_id, dedupe_key)))


def _restart(
    client: RetabClient | AsyncRetabClient, block: RetabCredentials | None, run_id: str, dedupe_key: str
) -> Creation:
    return Creation(
        "restart_run",
        {"run_id": run_id},
        block,
        lambda _, **which: client.restart_run(run_id, **which),
        read=partial(client.get_run, outputs=False),
        can_find=client.can_find_runs,
        find=client.find_runs,
        can_filter=client.can_filter_runs,
        target={"trigger_type": "restart"},
        dedupe_key=dedupe_key,
    )


@requesting
def get_run(
    run_id: str, *, output_nodes: Sequence[str] | None = None, credentials: Credentials = None
) -> WorkflowRun:
    """Read a run once, with its final outputs if it is completed.

    Args:
        run_id: The run, `run_…`.
        output_nodes: The nodes whose outputs to return; None takes the workflow's own final outputs.
        credentials: A block, the name of a saved one, or None for the environment's account.

    Raises:
        NotFoundError: There is no such run for this key.
    """
    return call_with_account(credentials, lambda client: client.get_run(run_id, output_nodes=output_nodes))


@twin_of(get_run)
async def aget_run(
    run_id: str, *, output_nodes: Sequence[str] | None = None, credentials: Credentials = None
) -> WorkflowRun:
    """Do what `get_run` does, awaiting."""
    return await acall_with_account(
        credentials, lambda client: client.get_run(run_id, output_nodes=output_nodes)
    )


@requesting
def list_runs(*, credentials: Credentials = None, **filters: Unpack[RunFilter]) -> RunPage:
    """Read one page of runs, newest first.

    Args:
        credentials: A block, the name of a saved one, or None for the environment's account.
        filters: Filters, order and cursors: `workflow_id`, `status`, `from_date`, `limit`, `after` and more, see
            `RunFilter`.

    Returns:
        The page: `data`, and in `after` the cursor of the next page, None on the last.

    Raises:
        InvalidInputError: A filter is unknown or out of range: nothing was sent.
    """
    return call_with_account(credentials, lambda client: client.list_runs(**filters))


@twin_of(list_runs)
async def alist_runs(*, credentials: Credentials = None, **filters: Unpack[RunFilter]) -> RunPage:
    """Do what `list_runs` does, awaiting."""
    return await acall_with_account(credentials, lambda client: client.list_runs(**filters))


@requesting
def list_steps(run_id: str, *, credentials: Credentials = None) -> list[Step]:
    """Read every step of a run, oldest first.

    Args:
        run_id: The run, `run_…`.
        credentials: A block, the name of a saved one, or None for the environment's account.

    Raises:
        NotFoundError: There is no such run for this key.
    """
    return call_with_account(credentials, lambda client: client.list_steps(run_id))


@twin_of(list_steps)
async def alist_steps(run_id: str, *, credentials: Credentials = None) -> list[Step]:
    """Do what `list_steps` does, awaiting."""
    return await acall_with_account(credentials, lambda client: client.list_steps(run_id))


@requesting
def cancel_run(run_id: str, *, credentials: Credentials = None) -> WorkflowRun:
    """Ask for a run to be cancelled; asking twice does no harm.

    Args:
        run_id: The run, `run_…`.
        credentials: A block, the name of a saved one, or None for the environment's account.

    Returns:
        The run as it was then. `cancellation.status` is `cancelled`, `cancellation_requested` (read it again), or
        `cancellation_failed` (it had ended already, or goes on: see its status).
    """
    return call_with_account(credentials, lambda client: client.cancel_run(run_id))


@twin_of(cancel_run)
async def acancel_run(run_id: str, *, credentials: Credentials = None) -> WorkflowRun:
    """Do what `cancel_run` does, awaiting."""
    return await acall_with_account(credentials, lambda client: client.cancel_run(run_id))
