"""JSON bodies, with documents streamed into them as base64 instead of held in memory."""

import binascii
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retab_orchestration._calls.progress import OnProgress, Span, teller
from retab_orchestration._http import Body
from retab_orchestration.documents import OpenedDocument

__all__ = ["Embedded", "Late", "json_body"]


@dataclass(frozen=True)
class Embedded:
    """A JSON string that is a prefix and the base64 of a document."""

    name: str
    """What `Late` values call the document."""
    document: OpenedDocument
    prefix: str = ""


@dataclass(frozen=True)
class Late:
    """A JSON string that is known only once every document before it has been sent."""

    length: int
    """How many ASCII characters it will have, none of which JSON escapes."""
    of: Callable[[Mapping[str, str]], str]
    """From name of document -> SHA-256 of its bytes, in hex, to the string."""


def json_body(payload: Mapping[str, Any], on_progress: OnProgress | None = None) -> Body:
    """Return a JSON body in which every `Embedded` and `Late` is produced while it is sent.

    Args:
        payload: The JSON, in which documents are `Embedded`.
        on_progress: Told while large documents are sent.
    """
    parts: list[Embedded | Late] = []
    # It stands where a part belongs, so it must not occur in what the caller wrote.
    marker = uuid.uuid4().hex

    def mark(value: Any) -> str:
        if not isinstance(value, Embedded | Late):
            raise TypeError(f"{type(value).__name__} is not JSON")
        parts.append(value)
        return (value.prefix if isinstance(value, Embedded) else "") + marker

    pieces = json.dumps(payload, default=mark, allow_nan=False).encode().split(marker.encode())
    length, spans = _measured(parts, pieces)
    return Body(length, lambda: _produced(parts, pieces), on_sent=teller(spans, on_progress))


def _measured(parts: Sequence[Embedded | Late], pieces: Sequence[bytes]) -> tuple[int, list[Span]]:
    length, spans = len(pieces[0]), []
    for part, piece in zip(parts, pieces[1:], strict=True):
        own = part.length if isinstance(part, Late) else part.document.base64_size
        if isinstance(part, Embedded):
            spans.append(Span(part.name, part.document, length, own))
        length += own + len(piece)
    return length, spans


def _produced(parts: Sequence[Embedded | Late], pieces: Sequence[bytes]) -> Iterator[bytes]:
    digests: dict[str, str] = {}
    # Hashing takes as long as sending, so it is left out where nobody asks for it.
    is_asked_for = any(isinstance(part, Late) for part in parts)
    yield pieces[0]
    for part, piece in zip(parts, pieces[1:], strict=True):
        if isinstance(part, Late):
            yield part.of(digests).encode()
        else:
            digest = hashlib.sha256()
            for plain in part.document.chunks():
                if is_asked_for:
                    digest.update(plain)
                yield binascii.b2a_base64(plain, newline=False)
            digests[part.name] = digest.hexdigest()
        yield piece
