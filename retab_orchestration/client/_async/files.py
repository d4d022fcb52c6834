"""The documents of a client that awaits, from which the blocking one is written."""

import os
from collections.abc import Mapping
from functools import partial
from typing import Any

from retab_orchestration._arguments import checked_callback, checked_id
from retab_orchestration._download_places import checked_folder, open_target
from retab_orchestration._download_targets import DownloadTarget
from retab_orchestration._operations import downloads, run_documents
from retab_orchestration._operations.downloads import DownloadedDocument, OnDownload
from retab_orchestration._operations.run_documents import DocumentManifest
from retab_orchestration._transport.session import Session
from retab_orchestration.documents import FileReference
from retab_orchestration.models import DocumentRef, RunDocument

__all__ = ["AsyncFileOperations"]


class AsyncFileOperations:
    """What can be done with files."""

    _session: Session

    async def list_documents(self, run_id: str) -> list[RunDocument]:
        """Return every document that a run has made so far, each once, with the node where it was made, oldest first.

        Documents that the run was given, and those that a node only passes on, are not among them. A node in a loop has
        those of every pass.

        Raises:
            NotFoundError: There is no such run for this key.
            UnreadableAnswerError: It has just completed, and the list of its steps does not show that yet: try again.
        """
        return await run_documents.list_documents(self._session, checked_id("run_id", run_id))

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
        opened = partial(open_target, to)
        return await downloads.download_document(
            self._session, file_id, opened, most, on_progress=on_progress
        )

    async def download_documents(
        self, run_id: str, to: str | os.PathLike[str], *, max_bytes: int | None = None
    ) -> DocumentManifest:
        """Fetch every document that a run has made so far into a folder, without holding one in memory.

        They lie at `<run id>/<node id>/<iteration or step>-<file id>-<name>`, where ids are percent-encoded and two
        documents never share a path. Calling it again replaces each as a whole.

        Args:
            run_id: The run, `run_…`.
            to: The folder, which is made if it is missing: a path, or a URI of a filesystem that fsspec knows.
            max_bytes: The bytes that each document may have; None for any number.

        Returns:
            The manifest, which is JSON and has nothing of what is in the documents: `{"run_id", "status",
            "waiting_for_node_ids", "documents": [{"uri", "size", "sha256", "file_id", "filename", "mime_type",
            "node_id", "node_label", "step_id", "iteration", "handle"}, …]}`.

        Raises:
            NotFoundError: There is no such run for this key.
            RetabError: One of them could not be fetched, for the reasons of `download_document`: those before it are
                there, and nothing is left of it.
        """
        checked, most = checked_id("run_id", run_id), downloads.checked_bytes(max_bytes)
        return await run_documents.download_documents(self._session, checked, checked_folder(to), most)
