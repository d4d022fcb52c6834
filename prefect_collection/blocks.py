"""What Prefect stores of Retab: an account, a workflow with its inputs, and a run that goes on without us."""

from typing import Any, ClassVar, Literal, Self

from prefect.blocks.abstract import CredentialsBlock, JobBlock, JobRun
from prefect.settings import get_current_settings
from prefect.utilities.asyncutils import run_coro_as_sync
from pydantic import ConfigDict, Field, HttpUrl, PositiveFloat, SecretStr, model_validator

from prefect_collection.documents import DocumentInput, as_documents
from prefect_collection.waiting import outcome_of, wait_arguments
from retab_orchestration import (
    AsyncRetabClient,
    ConfigurationError,
    RetabClient,
    RetabError,
)

__all__ = [
    "Credentials",
    "RetabCredentials",
    "RetabRun",
    "RetabWorkflow",
    "aload_credentials",
    "aopen_client",
    "load_credentials",
    "namespace_of",
    "open_client",
]

_LOGO = HttpUrl("https://raw.githubusercontent.com/retab-dev/retab/refs/heads/main/assets/retab-logo.png")
_DOCUMENTATION = HttpUrl("https://docs.retab.com/get-started/introduction")


class RetabCredentials(CredentialsBlock):
    """An account at Retab.

    Example:
        Save an account once, then use it by its name or load it:
        ```python
        from prefect_collection import RetabCredentials

        credentials = RetabCredentials.load("BLOCK_NAME")
        with credentials.get_client() as client:
            page = client.list_runs(workflow_id="wf_invoice", limit=10)
        ```
    """

    # An error about one field would otherwise show the others, with the key among them.
    model_config = ConfigDict(hide_input_in_errors=True)

    _block_type_name: ClassVar[str | None] = "Retab Credentials"
    _logo_url: ClassVar[HttpUrl | None] = _LOGO
    _documentation_url: ClassVar[HttpUrl | None] = _DOCUMENTATION

    api_key: SecretStr = Field(description="The API key of the account.")
    base_url: str | None = Field(
        default=None,
        title="Base URL",
        description="Retab's address; empty takes RETAB_API_BASE_URL, or https://api.retab.com.",
    )
    api: Literal["auto", "classic", "current"] = Field(
        default="auto", title="API", description="The routes that the server has; auto finds out."
    )
    auth: Literal["auto", "api-key", "bearer"] = Field(
        default="auto", description="The header that carries the key; auto finds out."
    )
    timeout_seconds: PositiveFloat = Field(
        default=60.0, description="Seconds that one request may take to connect, or to be answered."
    )
    verify: bool | str = Field(
        default=True, description="Whether to check TLS certificates, or a file of certificate authorities."
    )
    proxy: SecretStr | None = Field(
        default=None, description="The address of an HTTP proxy; empty follows HTTP_PROXY and HTTPS_PROXY."
    )

    namespace: str | None = Field(
        default=None,
        description="What tells this Prefect from another with the same key; empty takes its API's address.",
    )

    @model_validator(mode="after")
    def _must_make_a_client(self) -> Self:
        self.get_client().close()
        return self

    def get_client(self) -> RetabClient:
        """Return a blocking client of this account; close it, or use it in a `with`."""
        return RetabClient(**self._settings())

    def get_async_client(self) -> AsyncRetabClient:
        """Return an async client of this account; close it, or use it in an `async with`."""
        return AsyncRetabClient(**self._settings())

    def _settings(self) -> dict[str, Any]:
        return {
            "api_key": self.api_key.get_secret_value(),
            "base_url": self.base_url or None,
            "api": self.api,
            "auth": self.auth,
            "timeout": self.timeout_seconds,
            "verify": self.verify,
            "proxy": self.proxy.get_secret_value() if self.proxy else None,
        }


Credentials = RetabCredentials | str | None
"""A block, the name of a saved one, or None for RETAB_API_KEY and RETAB_API_BASE_URL of the environment."""


async def aload_credentials(credentials: Credentials) -> RetabCredentials | None:
    """Return a block, loading it if it is named; None for the environment's account.

    Raises:
        ConfigurationError: There is no such block.
    """
    if not isinstance(credentials, str):
        return credentials
    try:
        return await RetabCredentials.aload(credentials)
    except ValueError as error:
        raise ConfigurationError(
            f"the Retab Credentials block {credentials!r} cannot be loaded ({error}); "
            f"save one with RetabCredentials(api_key=...).save({credentials!r})"
        ) from error


def load_credentials(credentials: Credentials) -> RetabCredentials | None:
    """Do what `aload_credentials` does, blocking."""
    if not isinstance(credentials, str):
        return credentials
    return run_coro_as_sync(aload_credentials(credentials))


def namespace_of(block: RetabCredentials | None) -> str:
    """Return what tells the runs of this Prefect from those of another that uses the same key."""
    return (block.namespace if block else None) or get_current_settings().api.url or "local"


def open_client(credentials: Credentials) -> RetabClient:
    """Return a blocking client for a block, a saved block's name, or the environment.

    Raises:
        ConfigurationError: There is no such block, or no key in the environment.
    """
    block = load_credentials(credentials)
    return block.get_client() if block else RetabClient()


async def aopen_client(credentials: Credentials) -> AsyncRetabClient:
    """Return an async client for a block, a saved block's name, or the environment.

    Raises:
        ConfigurationError: There is no such block, or no key in the environment.
    """
    block = await aload_credentials(credentials)
    return block.get_async_client() if block else AsyncRetabClient()


class RetabRun(JobRun[dict[str, Any]]):
    """A run at Retab, which goes on whether or not anyone holds this; its id is all that it takes to rebuild it.

    Args:
        run_id: The run, `run_…`.
        credentials: A block, the name of a saved one, or None for the environment's account.
        output_nodes: The nodes whose outputs to fetch; None takes the workflow's own final outputs.
        poll_interval_seconds: Seconds between two looks at the run, at the most.
        timeout_seconds: Seconds to wait, not counting the time that a human takes; None waits for ever.
    """

    def __init__(
        self,
        run_id: str,
        *,
        credentials: Credentials = None,
        output_nodes: list[str] | None = None,
        poll_interval_seconds: float = 30.0,
        timeout_seconds: float | None = None,
    ) -> None:
        self.run_id = run_id
        self.credentials = credentials
        self.output_nodes = output_nodes
        self.poll_interval_seconds = poll_interval_seconds
        self.timeout_seconds = timeout_seconds

    async def wait_for_completion(self) -> None:  # type: ignore[override]  # Prefect's own stub names a Logger
        """Wait until the run is completed, or waits for a human; then ask for `fetch_result`, or decide the review.

        Raises:
            RunFailedError: The run ended in error.
            RunCancelledError: The run was cancelled.
            WaitTimeoutError: `timeout_seconds` passed; the run goes on, so wait for it again, or cancel it.
        """
        waiting = wait_arguments("return", self.timeout_seconds, self.poll_interval_seconds)
        async with await aopen_client(self.credentials) as client:
            run = await client.wait_for_run(self.run_id, outputs=False, **waiting)
        run.raise_for_status()

    async def fetch_result(self) -> dict[str, Any]:
        """Return the final outputs of the completed run: node id -> `{"label", "json_data"}`.

        Raises:
            RunFailedError: The run ended in error.
            RunCancelledError: The run was cancelled.
            ReviewRequiredError: The run waits for a human: decide the review and wait for completion again.
            RetabError: The run goes on: wait for completion first.
        """
        async with await aopen_client(self.credentials) as client:
            run = outcome_of(await client.get_run(self.run_id, output_nodes=self.output_nodes), "fail")
        if not run.is_terminal:
            raise RetabError(
                f"run {run.id} is {run.status_name}: await wait_for_completion() first", run_id=run.id
            )
        return run.final_outputs


class RetabWorkflow(JobBlock):  # type: ignore[type-arg]  # JobBlock[...] would be registered as a block of its own
    """A workflow at Retab together with what to run it on.

    In a flow that may be retried, take the `acreate_run` task: it remembers its run, which `trigger` does not.

    Example:
        ```python
        import asyncio

        from prefect_collection import RetabWorkflow

        workflow = RetabWorkflow.load("BLOCK_NAME")


        async def main():
            run = await workflow.trigger()
            await run.wait_for_completion()
            return await run.fetch_result()


        outputs = asyncio.run(main())
        ```
    """

    _block_type_name: ClassVar[str | None] = "Retab Workflow"
    _logo_url: ClassVar[HttpUrl | None] = _LOGO
    _documentation_url: ClassVar[HttpUrl | None] = _DOCUMENTATION

    credentials: RetabCredentials = Field(description="The account to run it with.")
    workflow_id: str = Field(min_length=1, title="Workflow ID", description="The workflow, wf_….")
    documents: dict[str, DocumentInput] = Field(
        default_factory=dict,
        description="Start node id to a local path, a URI, or a reference to a Retab file.",
    )
    json_inputs: dict[str, Any] = Field(default_factory=dict, description="Start node id to JSON.")
    text_inputs: dict[str, str] = Field(
        default_factory=dict, description="Start node id to text, where the server takes text."
    )
    version: str | None = Field(
        default=None, description="production, draft or a version's id, where the server has versions."
    )
    metadata: dict[str, str] = Field(
        default_factory=dict, description="Tags of the run, where the server has them."
    )
    output_nodes: list[str] | None = Field(
        default=None,
        description="The nodes whose outputs to return; empty takes the workflow's final outputs.",
    )
    poll_interval_seconds: PositiveFloat = Field(
        default=30.0, description="Seconds between two looks at a run, at the most."
    )
    timeout_seconds: PositiveFloat | None = Field(
        default=None,
        description="Seconds to wait for a run, a human's time not counted; empty waits for ever.",
    )

    async def trigger(self) -> RetabRun:
        """Start a run and return it; nothing is waited for.

        Raises:
            CreateOutcomeUnknownError: The answer was lost, the run may exist: look for it before triggering again.
        """
        async with self.credentials.get_async_client() as client:
            run = await client.create_run(
                self.workflow_id,
                documents=as_documents(self.documents) or None,
                json_inputs=self.json_inputs or None,
                text_inputs=self.text_inputs or None,
                version=self.version,
                metadata=self.metadata or None,
            )
        self.logger.info("Created run %s of workflow %s", run.id, self.workflow_id)
        return self.get_run(run.id)

    def get_run(self, run_id: str) -> RetabRun:
        """Return a run of this workflow by its id, as after a restart of the process that triggered it."""
        return RetabRun(
            run_id,
            credentials=self.credentials,
            output_nodes=self.output_nodes,
            poll_interval_seconds=self.poll_interval_seconds,
            timeout_seconds=self.timeout_seconds,
        )
