"""An upload in three requests: ask for a signed address, send the bytes there, and complete the upload."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from retab_orchestration._endpoints.bodies import OnProgress, Span, json_body, progress_reporter
from retab_orchestration._http import Body, Call, Request, path
from retab_orchestration.documents import PLAIN_PIECE, FileReference, OpenedDocument
from retab_orchestration.models._reading import ident

__all__ = ["Ticket", "checked_address", "complete_upload", "open_upload", "send_document"]

_LONGEST_ADDRESS = 16 * 1024
_HOST = re.compile(r"[0-9A-Za-z_.-]+|[0-9A-Fa-f:.]+")


@dataclass
class Ticket:
    """What a server gave for the upload of one document; the signed address is a secret until it expires."""

    file_id: str
    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    reference: FileReference
    """The document's reference in a create, once the upload is complete."""
    sha256: str | None = None
    """Of the bytes of the last sending, in hex; None until all of them were sent."""


def open_upload(document: OpenedDocument) -> Call[Ticket]:
    """Ask for a signed address. Source: POST /v1/files/upload."""
    asked = {
        "filename": document.filename,
        "size_bytes": document.size,
        "content_type": document.mime_type,
    }

    def read(body: Mapping[str, Any]) -> Ticket:
        stored, file_id = body["mimeData"], ident(body["fileId"])
        if file_id is None:
            raise ValueError
        return Ticket(
            file_id=file_id,
            method=_text(body.get("uploadMethod") or "PUT"),
            url=checked_address(body["uploadUrl"]),
            headers={
                _text(name): _text(value) for name, value in dict(body.get("uploadHeaders") or {}).items()
            },
            reference=FileReference(file_id, filename=stored["filename"], url=stored["url"]),
        )

    return Call(Request("POST", "/v1/files/upload", body=json_body(asked)), read)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TypeError
    return str(value)


def checked_address(value: Any) -> str:
    """Return an address that all URL parsers read alike; raise ValueError for others."""
    url = _text(value)
    parts = urlsplit(url)
    usual = url.isascii() and url.isprintable() and not set(url) & set(" \\") and len(url) <= _LONGEST_ADDRESS
    _ = parts.port  # which raises for one that is none
    if not usual or parts.scheme not in {"http", "https"} or not _HOST.fullmatch(parts.hostname or ""):
        raise ValueError
    if "@" in parts.netloc:
        raise ValueError
    return url


def send_document(
    ticket: Ticket, node: str, document: OpenedDocument, on_progress: OnProgress | None
) -> Call[None]:
    """Send the bytes to their signed address, which may be repeated, and set the ticket's hash."""

    def chunks() -> Iterator[bytes]:
        ticket.sha256, digest = None, hashlib.sha256()
        for piece in document.chunks(PLAIN_PIECE):
            digest.update(piece)
            yield piece
        ticket.sha256 = digest.hexdigest()

    on_sent = None
    if on_progress is not None:
        on_sent = progress_reporter([Span(node, document, 0, document.size)], on_progress)
    body = Body(document.size, chunks, on_sent=on_sent)
    request = Request(
        ticket.method, "(signed address)", body=body, headers=ticket.headers, signed_url=ticket.url
    )
    return Call(request, lambda _: None, whole=True)


def complete_upload(ticket: Ticket, sha256: str) -> Call[FileReference]:
    """Complete the upload. Source: POST /v1/files/upload/{file_id}/complete."""
    target = path("/v1/files/upload/{file_id}/complete", file_id=ticket.file_id)

    def read(body: Mapping[str, Any]) -> FileReference:
        if body.get("fileId") not in {None, ticket.file_id}:
            raise ValueError("It is about another file")
        # Older servers call it storageUrl.
        url = body.get("url") or body.get("storageUrl") or ticket.reference.url
        filename = body.get("filename") or ticket.reference.filename
        return FileReference(ticket.file_id, filename=filename, url=url)

    return Call(Request("POST", target, body=json_body({"sha256": sha256})), read)
