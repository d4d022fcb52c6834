"""The block of a workflow with its account and its inputs, and a run of it."""

import asyncio
import json
from collections.abc import Awaitable, Coroutine
from typing import Any, ClassVar, Self, TypeVar

from prefect.blocks.abstract import JobBlock, JobRun
from prefect.client.schemas.objects import BlockDocument
from pydantic import (
    ConfigDict,
    Field,
    HttpUrl,
    PositiveFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)

from prefect_collection._account import acall_with_account, await_with_account
from prefect_collection._create_once.creation import creation_of_run
from prefect_collection._create_once.once import aonce
from prefect_collection._documents import DocumentInput, as_documents, refuse_contents
from prefect_collection._waiting import Waiting, check_wait, outcome_of
from prefect_collection.credentials import DOCUMENTATION, LOGO, Credentials, RetabCredentials, name_of
from retab_orchestration import AsyncRetabClient, InvalidInputError, RetabError, WorkflowRun

__all__ = ["RetabRun", "RetabWorkflow"]

T = TypeVar("T")


class RetabRun(JobRun[dict[str, Any]]):
    """A run at Retab, which goes on without this object; a new one can be built from its id.

    Args:
        run_id: The run, `run_…`.
        credentials: A block, the name of a saved one, or None for the environment's account.
        output_nodes: The nodes whose outputs to fetch; None takes the workflow's own final outputs.
        poll_interval_seconds: Seconds between two polls of the run, at most.
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

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the block's name, by which it is loaded again. The key is not.

        Raises:
            InvalidInputError: The block was never saved, so it has no name.
        """
        if not isinstance(self.credentials, RetabCredentials):
            return dict(self.__dict__)
        name = name_of(self.credentials)
        if name is None:
            raise InvalidInputError(
                f"run {self.run_id} would be stored with the API key of its account, whose Retab Credentials block was "
                "never saved: save the block and give its name as credentials, or return run.run_id instead"
            )
        return {**self.__dict__, "credentials": name}

    def wait_for_completion(self) -> Any:
        """Do what `await_for_completion` does: at once where no event loop runs, else when the result is awaited."""
        return _at_once_or_awaited(self.await_for_completion())

    def fetch_result(self) -> Any:
        """Do what `afetch_result` does: at once where no event loop runs, else when the result is awaited."""
        return _at_once_or_awaited(self.afetch_result())

    async def await_for_completion(self) -> None:
        """Wait until the run is completed, or waits for a human; then ask for `fetch_result`, or decide the review.

        Raises:
            RunFailedError: The run ended in error.
            RunCancelledError: The run was cancelled.
            WaitTimeoutError: `timeout_seconds` passed; the run goes on, so wait for it again, or cancel it.
        """
        waiting = Waiting(self.run_id, "return", self.timeout_seconds, self.poll_interval_seconds)

        async def poll(client: AsyncRetabClient) -> WorkflowRun:
            return await client.wait_for_run(self.run_id, outputs=False, **waiting.arguments())

        (await await_with_account(self.credentials, poll, waiting.on_tick)).raise_for_status()

    async def afetch_result(self) -> dict[str, Any]:
        """Return the final outputs of the completed run: node id -> `{"label", "json_data"}`.

        Raises:
            RunFailedError: The run ended in error.
            RunCancelledError: The run was cancelled.
            ReviewRequiredError: The run waits for a human: decide the review and wait for completion again.
            RetabError: The run goes on: wait for completion first.
        """
        run = await acall_with_account(
            self.credentials, lambda client: client.get_run(self.run_id, output_nodes=self.output_nodes)
        )
        run = outcome_of(run, "fail")
        if not run.is_terminal:
            raise RetabError(
                f"run {run.id} is {run.status_name}: await wait_for_completion() first", run_id=run.id
            )
        return run.final_outputs


def _at_once_or_awaited(work: Coroutine[Any, Any, T]) -> T | Coroutine[Any, Any, T]:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    return work


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("two keys of a dict are the same as text")
    return fields


class RetabWorkflow(JobBlock):  # type: ignore[type-arg]  # JobBlock[...] would be registered as a block of its own
    """A workflow at Retab with the inputs of its runs.

    Example:
        ```python
        from prefect_collection import RetabWorkflow

        run = RetabWorkflow.load("BLOCK_NAME").trigger()
        run.wait_for_completion()
        outputs = run.fetch_result()
        ```
    """

    model_config = ConfigDict(hide_input_in_errors=True)  # the input may be a document

    _block_type_name: ClassVar[str | None] = "Retab Workflow"
    _logo_url: ClassVar[HttpUrl | None] = LOGO
    _documentation_url: ClassVar[HttpUrl | None] = DOCUMENTATION

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
        default=30.0, description="Seconds between two polls of a run, at most."
    )
    timeout_seconds: PositiveFloat | None = Field(
        default=None,
        description="Seconds to wait for a run, a human's time not counted; empty waits for ever.",
    )

    @field_validator("documents", "json_inputs", mode="before")
    @classmethod
    def _must_be_no_contents(cls, given: Any, info: ValidationInfo) -> Any:
        refuse_contents(str(info.field_name), given)  # pydantic would take bytes as a path
        return given

    @model_validator(mode="after")
    def _must_be_waited_for(self) -> Self:
        check_wait(self.poll_interval_seconds, self.output_nodes or None)
        return self

    def _to_block_document(self, *given: Any, **named: Any) -> BlockDocument:
        """Return what Prefect stores; raise if a value would change: NaN would become null, a date a string."""
        for node, value in self.json_inputs.items():
            try:
                json.loads(json.dumps(value, allow_nan=False), object_pairs_hook=_object)
            except (TypeError, ValueError, RecursionError) as error:
                raise InvalidInputError(
                    f"json_inputs[{node!r}] is not JSON, and would be stored as something else: {error}; give dicts, "
                    "lists, strings, numbers, booleans, None"
                ) from None
        return super()._to_block_document(*given, **named)

    def trigger(self, dedupe_key: str = "0") -> Any:
        """Do what `atrigger` does: at once where no event loop runs, else when the result is awaited.

        Args:
            dedupe_key: Another key creates another run of the same inputs in the same flow run.
        """
        return _at_once_or_awaited(self.atrigger(dedupe_key))

    async def atrigger(self, dedupe_key: str = "0") -> RetabRun:
        """Start a run and return it without waiting.

        In a flow run the same call again, as in a retry, returns the same run, as `create_run` does; outside of flow
        and task runs each call starts one.

        Args:
            dedupe_key: Another key creates another run of the same inputs in the same flow run.

        Raises:
            InvalidInputError: Something was refused before anything was sent.
            CreateOutcomeUnknownError: The answer was lost, the run may exist: search for it before triggering again.
        """
        inputs: dict[str, Any] = {
            "workflow_id": self.workflow_id,
            "json_inputs": self.json_inputs or None,
            "text_inputs": self.text_inputs or None,
            "version": self.version,
        }

        def create(client: AsyncRetabClient) -> Awaitable[str]:
            return aonce(
                creation_of_run(
                    client,
                    "trigger",
                    inputs,
                    self.credentials,
                    documents=as_documents(self.documents) or None,
                    metadata=self.metadata or None,
                    dedupe_key=dedupe_key,
                )
            )

        return self.get_run(await acall_with_account(self.credentials, create))

    def get_run(self, run_id: str) -> RetabRun:
        """Return a run of this workflow by its id, as after a restart of the process that triggered it."""
        return RetabRun(
            run_id,
            credentials=self.credentials,
            output_nodes=self.output_nodes or None,
            poll_interval_seconds=self.poll_interval_seconds,
            timeout_seconds=self.timeout_seconds,
        )
