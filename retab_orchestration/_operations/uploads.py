"""Uploading large documents before the create of their run, each to a signed address of its own."""

from dataclasses import replace

from retab_orchestration import errors
from retab_orchestration._arguments import NewRun
from retab_orchestration._endpoints import upload_rules, uploads
from retab_orchestration._endpoints.bodies import OnProgress
from retab_orchestration._texts import printable
from retab_orchestration._transport.session import Session
from retab_orchestration.documents import LARGE, FileReference, OpenedDocument, Spool
from retab_orchestration.models import RouteFamily

__all__ = ["prepared", "upload_documents"]

# Bytes of all documents that go into one create. A third more as base64, it leaves a third of the 32 MiB that Retab
# takes to the JSON inputs.
_INLINE_IN_ALL = 16 * 1024 * 1024

# Refusals after which another upload may succeed: the address has expired or was signed for other headers, other bytes
# arrived than were announced, or the upload was completed already and that answer was lost.
_STALE = frozenset({403, 404, 409, 410, 422})


def prepared(new: NewRun, family: RouteFamily, spool: Spool) -> NewRun:
    """Return the inputs with the SHA-256 of every document, copying those that go inside of the create.

    Documents for upload are read to be hashed, unless their hash is known, and once more when they are sent.

    Raises:
        DocumentReadError: One could not be read to its end.
        InvalidInputError: The content of one has changed.
    """
    large = _too_large(new) if family == "current" else ()
    documents: dict[str, OpenedDocument | FileReference] = {}
    for node, document in new.documents.items():
        if not isinstance(document, OpenedDocument):
            documents[node] = document
        else:
            documents[node] = document.hashed() if node in large else spool.add(document)
    return replace(new, documents=documents, to_upload=large)


async def upload_documents(session: Session, new: NewRun, on_progress: OnProgress | None) -> NewRun:
    """Upload the documents that do not go inside of the create; return the inputs with their references.

    Raises:
        UploadRefusedError: One was refused, and its second upload as well.
        UploadNotAllowedError: The server gave an address to which no document may be sent.
        InvalidInputError: One was changed after it had been hashed.
        ApiError: The server was not reached, or refused uploads.
    """
    documents = dict(new.documents)
    for node in new.to_upload:
        document = documents[node]
        assert isinstance(document, OpenedDocument)  # noqa: S101  see _too_large
        documents[node] = await _upload(session, node, document, on_progress)
    return replace(new, documents=documents, to_upload=())


def _too_large(new: NewRun) -> tuple[str, ...]:
    """Return the nodes whose documents to upload: all large ones, and the largest others until the rest fits."""
    sizes: dict[str, int] = {}
    for node, document in new.documents.items():
        if isinstance(document, OpenedDocument):
            sizes[node] = document.size
    in_all = sum(sizes.values())
    chosen: list[str] = []
    for node in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if sizes[node] <= LARGE and in_all <= _INLINE_IN_ALL:
            break
        chosen.append(node)
        in_all -= sizes[node]
    return tuple(chosen)


async def _upload(
    session: Session, node: str, document: OpenedDocument, on_progress: OnProgress | None
) -> FileReference:
    """Upload a document, a second time after a refusal that may pass."""
    refusal: errors.ApiStatusError | None = None
    for _ in range(2):
        ticket = _checked(await session.exchange(uploads.open_upload(document)), document.size, session)
        try:
            await session.exchange(uploads.send_document(ticket, node, document, on_progress))
            # A server that answers before it has read everything gets the hash of everything, and compares.
            sha256 = document.checked(ticket.sha256 or document.sha256 or "")
            return await session.exchange(uploads.complete_upload(ticket, sha256))
        except errors.ApiStatusError as error:
            if error.status not in _STALE:
                raise
            refusal = error
    assert refusal is not None  # noqa: S101  the loop ends without a reference only if both were refused
    raise errors.UploadRefusedError(
        f"{printable(document.filename, 200)} was refused twice: {refusal.message}",
        method=refusal.method,
        path=refusal.path,
        status=refusal.status,
        code=refusal.code,
        request_id=refusal.request_id,
    ) from refusal


def _checked(ticket: uploads.Ticket, length: int, session: Session) -> uploads.Ticket:
    """Return the ticket with checked method and headers, if a document may be sent there."""
    upload_rules.check_address(ticket.url, session.settings)
    method = upload_rules.checked_method(ticket.method)
    return replace(
        ticket, method=method, headers=upload_rules.checked_headers(ticket.headers, ticket.url, length)
    )
