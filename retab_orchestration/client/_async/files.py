"""The documents of a client that awaits, from which the blocking one is written."""

from collections.abc import Mapping
from typing import Any

from retab_orchestration._arguments import checked_callback, checked_id
from retab_orchestration._download_targets import DownloadTarget
from retab_orchestration._operations import downloads
from retab_orchestration._operations.downloads import DownloadedDocument, OnDownload
from retab_orchestration._operations.outputs import list_documents
from retab_orchestration._transport.session import Session
from retab_orchestration.documents import FileReference
from retab_orchestration.models import DocumentRef, RunDocument

__all__ = ["AsyncFileOperations"]


class AsyncFileOperations:
    """What can be done with files."""

    _session: Session

    async def list_documents(self, run_id: str) -> list[RunDocument]:
        """Return every document that a run has made so far, each with the node where it was made, oldest first.

        Documents that the run was given, and those that a node only passes on, are not among them.

        Raises:
            NotFoundError: There is no such run for this key.
            UnreadableAnswerError: It has just completed, and the list of its steps does not show that yet: try again.
        """
        return await list_documents(self._session, checked_id("run_id", run_id))

    async def download_document(
        self,
        reference: str | DocumentRef | FileReference | Mapping[str, Any],
        to: DownloadTarget,
        *,
        max_bytes: int | None = None,
        on_progress: OnDownload | None = None,
    ) -> DownloadedDocument:
        """Fetch a document that Retab has, such as one that a run produced, without holding it in memory.

        A connection that breaks is gone on with where it broke, on servers that can; an address that has expired is
        asked for anew. Nothing is seen at the target before everything is there.

        Args:
            reference: The file: its id, `file_…`, or what names it, as the outputs of a run do.
            to: Where it goes: a path, a URI of a filesystem that fsspec knows (`s3://…`, `memory://…`), or a file that
                is open with mode `wb`. In a folder, which is one that there is or a text with a slash at its end, it
                has the name that Retab has for it.
            max_bytes: The bytes that it may have; None for any number.
            on_progress: Called with the bytes so far, and those in all where the server says so.

        Returns:
            The place, the name, the bytes and the SHA-256 of what was fetched.

        Raises:
            NotFoundError: There is no such file for this key.
            DownloadRefusedError: Its storage does not give it.
            DownloadNotAllowedError: The server gave an address that is less safe than `base_url`.
            DocumentWriteError: It could not be written; nothing is left at the target.
            ResponseTooLargeError: It has more than `max_bytes`.
        """
        file_id = downloads.file_id_of(reference)
        most = downloads.checked_bytes(max_bytes)
        checked_callback("on_progress", on_progress)
        return await downloads.download_document(self._session, file_id, to, most, on_progress)
