"""The documents that a run has made: which there are, and all of them in a folder."""

from typing import Any, TypedDict

from retab_orchestration._download_places import open_in_folder
from retab_orchestration._download_targets import Target
from retab_orchestration._endpoints.shared import checked_run, get_run
from retab_orchestration._file_names import path_in_folder
from retab_orchestration._operations.downloads import download_document
from retab_orchestration._operations.outputs import list_steps_as_ended
from retab_orchestration._transport.session import Session
from retab_orchestration.models import RunDocument, WorkflowRun, documents_of_run

__all__ = ["DocumentInManifest", "DocumentManifest", "download_documents", "list_documents"]


class DocumentInManifest(TypedDict):
    """Where a document that a run has made is, and where in the run it was made."""

    uri: str
    """Its place, as fsspec reads it; `file://…` on a disk."""
    size: int
    """Bytes."""
    sha256: str
    """The hash of its bytes, in hexadecimal digits."""
    file_id: str
    filename: str
    """Its name, without the ids before it at its place."""
    mime_type: str | None
    node_id: str
    node_label: str | None
    step_id: str | None
    iteration: list[int]
    """The passes through the loops around its node, outermost first, from 0."""
    handle: str


class DocumentManifest(TypedDict):
    """Where the documents of a run are: JSON, without anything of what is in them."""

    run_id: str
    status: str
    """A run that goes on may make more."""
    waiting_for_node_ids: list[str]
    documents: list[DocumentInManifest]


async def list_documents(session: Session, run_id: str) -> list[RunDocument]:
    """Return every document that a run has made so far.

    Raises:
        UnreadableAnswerError: There are steps of other runs among its own, or they lag behind it.
    """
    _, documents = await _documents_of(session, run_id)
    return documents


async def download_documents(
    session: Session, run_id: str, folder: Any, max_bytes: int | None
) -> DocumentManifest:
    """Fetch every document that a run has made so far, each to its own place in a folder.

    Raises:
        RetabError: One of them could not be fetched, as in `download_document`; those before it are there.
    """
    run, documents = await _documents_of(session, run_id)
    entries = [await _fetched(session, run_id, each, folder, max_bytes) for each in documents]
    return {
        "run_id": run.id,
        "status": run.status.value,
        "waiting_for_node_ids": list(run.waiting_for_node_ids),
        "documents": entries,
    }


async def _documents_of(session: Session, run_id: str) -> tuple[WorkflowRun, list[RunDocument]]:
    run = checked_run(await session.exchange(get_run(run_id)), run_id)
    steps = await list_steps_as_ended(session, run)
    return run, documents_of_run(steps, run.inputs.documents.values(), run.final_outputs)


async def _fetched(
    session: Session, run_id: str, document: RunDocument, folder: Any, max_bytes: int | None
) -> DocumentInManifest:
    file_id = document.document.id or ""

    def opened(filename: str | None) -> Target:
        parts = path_in_folder(
            run_id,
            document.node_id,
            step_id=document.step_id,
            iteration=document.iteration,
            file_id=file_id,
            filename=filename,
        )
        return open_in_folder(folder, parts)

    found = await download_document(session, file_id, opened, max_bytes, filename=document.document.filename)
    return {
        "uri": found.place if "://" in found.place else f"file://{found.place}",
        "size": found.size,
        "sha256": found.sha256,
        "file_id": file_id,
        "filename": found.filename,
        "mime_type": document.document.mime_type,
        "node_id": document.node_id,
        "node_label": document.node_label,
        "step_id": document.step_id,
        "iteration": list(document.iteration),
        "handle": document.handle,
    }
