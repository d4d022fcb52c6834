"""A call that starts a run: what it starts from, and what it asks of Retab."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from prefect_collection._documents import StoredDocument
from prefect_collection.credentials import RetabCredentials
from retab_orchestration import DocumentProgress, RunIdentity

__all__ = ["Creation", "creation_of_run"]


@dataclass(frozen=True)
class Creation:
    """A call that starts a run; what it asks of Retab answers in one colour, blocking or awaitable."""

    operation: str
    inputs: Mapping[str, Any]
    """What the run starts from, except for its documents: what tells one call from another."""
    block: RetabCredentials | None
    send: Callable[..., Any]
    """Takes the documents, and `identity` and `adopt` by name; creates the run."""
    read: Callable[[str], Any]
    """Reads a run by its id."""
    can_find: Callable[[], Any]
    """Whether runs can be found by their identity."""
    find: Callable[[RunIdentity], Any]
    """Returns the runs of an identity."""
    target: Mapping[str, str]
    """The filter of a list of runs that has what was created."""
    documents: Mapping[str, StoredDocument] | None = field(default=None, repr=False)
    dedupe_key: str = "0"

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
        operation: What the call is known by.
        inputs: What the client's `create_run` takes besides, the workflow among it.
        block: The account.
        documents: Start node id -> its document.
        metadata: Tags, which tell no call from another.
        dedupe_key: Another key makes another run.
        on_progress: Told while documents are sent.
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
        target={"workflow_id": inputs["workflow_id"]},
        documents=documents,
        dedupe_key=dedupe_key,
    )
