"""JSON bodies, into which documents are streamed as base64, and the progress of each document that is sent."""

import binascii
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from retab_orchestration._http import Body
from retab_orchestration._texts import printable
from retab_orchestration.documents import LARGE, OpenedDocument

__all__ = ["DocumentProgress", "Embedded", "OnProgress", "Span", "json_body", "progress_reporter"]


@dataclass(frozen=True)
class DocumentProgress:
    """How much of one document has been sent; it starts anew when a document has to be sent again."""

    node: str
    """The start node that it is for."""
    filename: str
    """Safe for a log: line ends and the like are escaped, and it is cut to 200 characters."""
    sent: int
    """Bytes of the document that the connection has taken."""
    size: int
    """Bytes in all."""


OnProgress = Callable[[DocumentProgress], Any]
"""Called for documents larger than `LARGE`, about once a MiB and at the end."""


# Bytes of a body between two calls.
_STEP = 1024 * 1024


@dataclass(frozen=True)
class Span:
    """The position of a document in a body."""

    node: str
    document: OpenedDocument
    start: int
    length: int
    """Bytes that it takes in the body: more than its own, where it is base64."""

    @property
    def end(self) -> int:
        """Where the rest of the body begins."""
        return self.start + self.length

    def progress(self, sent: int) -> DocumentProgress:
        """Return how much of the document has been sent with so many bytes of the body."""
        size = self.document.size
        reached = min(max(0, sent - self.start), self.length) * size // self.length
        return DocumentProgress(self.node, printable(self.document.filename, 200), reached, size)


def progress_reporter(spans: Sequence[Span], on_progress: OnProgress) -> Callable[[int], None] | None:
    """Return the `on_sent` of a body, which reports the progress of its documents; None without large ones."""
    large = [span for span in spans if span.document.size > LARGE]
    if not large:
        return None
    reported = 0

    def report(sent: int) -> None:
        nonlocal reported
        reported = reported if reported <= sent else 0  # the body is being sent again
        if sent - reported < _STEP and not any(reported < span.end <= sent for span in large):
            return
        for span in large:
            if reported < span.end and span.start < sent:
                on_progress(span.progress(sent))
        reported = sent

    return report


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
        payload: The JSON, in which documents are `Embedded`; what is None in it is left out.
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

    given = {name: value for name, value in payload.items() if value is not None}
    pieces = json.dumps(given, default=mark, allow_nan=False).encode().split(marker.encode())
    length, spans = len(pieces[0]), []
    for part, piece in zip(parts, pieces[1:], strict=True):
        own = part.document.base64_size
        spans.append(Span(part.name, part.document, length, own))
        length += own + len(piece)
    on_sent = None if on_progress is None else progress_reporter(spans, on_progress)
    return Body(length, lambda: _produced(parts, pieces), on_sent=on_sent)


def _produced(parts: Sequence[Embedded], pieces: Sequence[bytes]) -> Iterator[bytes]:
    yield pieces[0]
    for part, piece in zip(parts, pieces[1:], strict=True):
        for plain in part.document.chunks():
            yield binascii.b2a_base64(plain, newline=False)
        yield piece
