"""JSON bodies, with documents streamed into them as base64 instead of held in memory."""

import binascii
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retab_orchestration._endpoints.progress import OnProgress, Span, progress_reporter
from retab_orchestration._http import Body
from retab_orchestration.documents import OpenedDocument

__all__ = ["Embedded", "json_body"]


@dataclass(frozen=True)
class Embedded:
    """A JSON string that is a prefix and the base64 of a document."""

    name: str
    """The start node that it is for."""
    document: OpenedDocument
    prefix: str = ""


def json_body(payload: Mapping[str, Any], on_progress: OnProgress | None = None) -> Body:
    """Return a JSON body in which every `Embedded` is produced while it is sent.

    Args:
        payload: The JSON, in which documents are `Embedded`.
        on_progress: Called while large documents are sent.
    """
    parts: list[Embedded] = []
    # It marks where a document belongs, so it must not occur in the caller's own values.
    marker = uuid.uuid4().hex

    def mark(value: Any) -> str:
        if not isinstance(value, Embedded):
            raise TypeError(f"{type(value).__name__} is not JSON")
        parts.append(value)
        return value.prefix + marker

    pieces = json.dumps(payload, default=mark, allow_nan=False).encode().split(marker.encode())
    length, spans = _measured(parts, pieces)
    on_sent = None if on_progress is None else progress_reporter(spans, on_progress)
    return Body(length, lambda: _produced(parts, pieces), on_sent=on_sent)


def _measured(parts: Sequence[Embedded], pieces: Sequence[bytes]) -> tuple[int, list[Span]]:
    length, spans = len(pieces[0]), []
    for part, piece in zip(parts, pieces[1:], strict=True):
        own = part.document.base64_size
        spans.append(Span(part.name, part.document, length, own))
        length += own + len(piece)
    return length, spans


def _produced(parts: Sequence[Embedded], pieces: Sequence[bytes]) -> Iterator[bytes]:
    yield pieces[0]
    for part, piece in zip(parts, pieces[1:], strict=True):
        for plain in part.document.chunks():
            yield binascii.b2a_base64(plain, newline=False)
        yield piece
