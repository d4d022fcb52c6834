"""Fetching documents: over several attempts, to a place where nothing is seen before everything is there."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from retab_orchestration import errors
from retab_orchestration._arguments import checked_id
from retab_orchestration._download_targets import Target
from retab_orchestration._endpoints import downloads, upload_rules
from retab_orchestration._file_names import base_name
from retab_orchestration._texts import kind_of
from retab_orchestration._transport.session import Session
from retab_orchestration.documents import FileReference
from retab_orchestration.models import DocumentRef

__all__ = ["DownloadedDocument", "OnDownload", "checked_bytes", "download_document", "file_id_of"]

# What a storage answers where an address has expired, or where the part that is asked for is not there any more.
_STALE = frozenset({400, 401, 403, 404, 410, 412, 416})
# Addresses after which the storage is taken at its word, unless more of the document came by the last one.
_MOST_LINKS = 3

OnDownload = Callable[[int, int | None], Any]
"""Called with the bytes so far, and those in all where the server says so; from a thread where the client awaits."""


@dataclass(frozen=True)
class DownloadedDocument:
    """A document that was fetched, whole.

    Attributes:
        place: The path or the URI where it is.
        filename: Its name, as it may be used on a disk.
        size: Bytes.
        sha256: The hash of its bytes, in hexadecimal digits.
    """

    place: str
    filename: str
    size: int
    sha256: str


def file_id_of(reference: Any) -> str:
    """Return the id of a file that somebody names.

    Raises:
        InvalidInputError: It is neither an id nor a reference that has one.
    """
    if isinstance(reference, DocumentRef | FileReference):
        reference = reference.id
    elif isinstance(reference, Mapping):
        reference = reference.get("id") or reference.get("file_id")
    if not isinstance(reference, str):
        raise errors.InvalidInputError(
            f"reference must be a file's id, or what names it by its id, not {kind_of(reference)}"
        )
    return checked_id("reference", reference)


def checked_bytes(value: Any) -> int | None:
    """Return how many bytes a document may have.

    Raises:
        InvalidInputError: It is no number of bytes.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise errors.InvalidInputError(
            f"max_bytes must be a whole number of bytes, or None, not {kind_of(value)}"
        )
    return value


class _Download:
    """A document on its way to a place: what has come in so far, in all attempts."""

    def __init__(self, target: Target, most: int | None, on_progress: OnDownload | None) -> None:
        self.size = 0
        self._target = target
        self._most = most
        self._on_progress = on_progress
        self._digest = hashlib.sha256()
        self._total: int | None = None
        self._mark: str | None = None

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def headers(self) -> dict[str, str]:
        """Return the headers of the next attempt, which goes on where the last one ended if nothing has changed."""
        if not self.size or self._mark is None:
            return {}
        return {"Range": f"bytes={self.size}-", "If-Range": self._mark}

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        part = downloads.read_part(status, headers)
        if status != 206:
            self.restart()
        elif part.start != self.size or (self._mark is not None and part.mark not in {None, self._mark}):
            self.restart()
            raise errors.UnreadableAnswerError(
                "the storage sends another part of the document than the one that was asked for",
                method="GET",
                path="(signed address)",
                status=status,
            )
        self._total = part.total
        self._mark = part.mark or self._mark
        self._check(part.total or 0)

    def write(self, piece: bytes) -> None:
        self._check(self.size + len(piece))
        self._target.write(piece)
        self._digest.update(piece)
        self.size += len(piece)
        if self._on_progress is not None:
            self._on_progress(self.size, self._total)

    def restart(self) -> None:
        """Begin with the first byte again."""
        if self.size:
            self._target.restart()
        self.size, self._digest, self._mark, self._total = 0, hashlib.sha256(), None, None

    def check_whole(self) -> None:
        """Raise UnreadableAnswerError if there is less than the server has said."""
        if self._total is not None and self.size != self._total:
            raise errors.UnreadableAnswerError(
                f"the storage has sent {self.size} bytes of a document of {self._total}", method="GET"
            )

    def _check(self, size: int) -> None:
        if self._most is not None and size > self._most:
            raise errors.ResponseTooLargeError(
                f"the document has more than {self._most} bytes; raise max_bytes if it is as it should be",
                method="GET",
            )


async def download_document(
    session: Session,
    file_id: str,
    opened: Callable[[str | None], Target],
    max_bytes: int | None,
    *,
    on_progress: OnDownload | None = None,
    filename: str | None = None,
) -> DownloadedDocument:
    """Fetch a document to a place.

    Args:
        session: The account.
        file_id: The document.
        opened: Opens its place, given its name.
        max_bytes: The bytes that it may have.
        on_progress: Called with the bytes so far.
        filename: Its name where the address comes without one.

    Raises:
        DownloadRefusedError: The storage did not give it, with new addresses as well.
        DownloadNotAllowedError: The server gave an address from which nothing may be fetched.
        DocumentWriteError: It could not be written.
        ResponseTooLargeError: It has too many bytes.
        ApiError: The server was not reached, or has no such file.
    """
    link = await session.exchange(downloads.get_link(file_id))
    filename = link.filename or filename
    target = await session.runtime.off_loop(partial(opened, filename), slow=True)
    download = _Download(target, max_bytes, on_progress)
    try:
        await _fetch(session, file_id, link, download)
        download.check_whole()
        place = await session.runtime.off_loop(target.commit, slow=True)
    except BaseException:
        target.discard()
        raise
    return DownloadedDocument(place, base_name(filename), download.size, download.sha256)


async def _fetch(session: Session, file_id: str, link: downloads.Link, download: _Download) -> None:
    in_vain, most = 0, 0
    while True:
        upload_rules.check_address(link.url, session.settings, "download")
        try:
            await session.exchange(downloads.fetch(link.url, download, download.headers))
        except errors.DownloadRefusedError as refusal:
            # What was fetched before, and dropped for a new beginning, is no more of the document.
            in_vain = 0 if download.size > most else in_vain + 1
            most = max(most, download.size)
            if refusal.status not in _STALE or in_vain == _MOST_LINKS:
                raise
            if refusal.status in {412, 416}:
                download.restart()
        else:
            return
        link = await session.exchange(downloads.get_link(file_id))
