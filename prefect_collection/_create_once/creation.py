"""A call that starts a run: its inputs, and its requests to Retab."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from prefect_collection._documents import StoredDocument
from prefect_collection.credentials import RetabCredentials
from retab_orchestration import DocumentProgress

__all__ = ["Creation", "creation_of_run"]


@dataclass(frozen=True)
class Creation:
    """A call that starts a run; its requests are functions of one colour."""

    operation: str
    inputs: Mapping[str, Any]
    """The inputs of the run without its documents; they tell one call from another."""
    block: RetabCredentials | None
    send: Callable[..., Any]
    """Creates the run; takes the documents, and `identity` and `adopt` by name."""
    read: Callable[[str], Any]
    """Reads a run by its id."""
    can_find: Callable[[], Any]
    """Returns whether runs can be found by their identity."""
    find: Callable[..., Any]
    """Returns the runs of an identity; takes `any_generation` by name."""
    target: Mapping[str, str]
    """The filters of a list of runs that has the new run."""
    documents: Mapping[str, StoredDocument] | None = field(default=None, repr=False)
    dedupe_key: str = "0"
    can_filter: Callable[[], Any] | None = None
    """Returns whether the list of runs filters by tags; None where its runs have none."""

    @property
    def places(self) -> dict[str, str]:
        """Start node id -> where its document is."""
        return {node: str(document) for node, document in (self.documents or {}).items()}


def creation_of_run(
    client: Any,
    operation: str,
    inputs: Mapping[str, Any],
    block: RetabCredentials | None,
    *,
    documents: Mapping[str, StoredDocument] | None,
    metadata: Mapping[str, str] | None,
    dedupe_key: str,
    on_progress: Callable[[DocumentProgress], Any] | None = None,
) -> Creation:
    """Return the call that starts a run of a workflow.

    Args:
        client: The account's, of either colour.
        operation: The name of the operation.
        inputs: The other arguments of the client's `create_run`, with the workflow.
        block: The account.
        documents: Start node id -> its document.
        metadata: The user's tags, which do not tell calls apart.
        dedupe_key: Another key makes another run.
        on_progress: Called while documents are sent.
    """

    def _send(read: Any, **which: Any) -> Any:
        return client.create_run(
            **inputs, documents=read, metadata=metadata, on_progress=on_progress, **which
        )

    return Creation(
        operation,
        inputs,
        block,
        _send,
        read=partial(client.get_run, outputs=False),
        can_find=client.can_find_runs,
        find=client.find_runs,
        can_filter=client.can_filter_runs,
        target={"workflow_id": inputs["workflow_id"]},
        documents=documents,
        dedupe_key=dedupe_key,
    )
