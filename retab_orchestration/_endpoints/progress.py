"""From how far a body has been sent to how far each document in it has."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from retab_orchestration._texts import printable
from retab_orchestration.documents import LARGE, OpenedDocument

__all__ = ["DocumentProgress", "OnProgress", "Span", "teller"]


@dataclass(frozen=True)
class DocumentProgress:
    """How much of one document has been sent; it starts anew when a document has to be sent again."""

    node: str
    """The start node that it is for."""
    filename: str
    """As a log may show it: line ends and the like are escaped, and it is cut to 200 characters."""
    sent: int
    """Bytes of the document that the connection has taken."""
    size: int
    """Bytes in all."""


OnProgress = Callable[[DocumentProgress], Any]
"""Told of documents larger than `LARGE`, about once a MiB and at the end."""


# Bytes of a body between two calls.
_STEP = 1024 * 1024


@dataclass(frozen=True)
class Span:
    """Where a document is in a body."""

    node: str
    document: OpenedDocument
    start: int
    length: int
    """Bytes of the body that it takes, which are more than its own as base64."""

    @property
    def end(self) -> int:
        """Where the rest of the body begins."""
        return self.start + self.length

    def progress(self, sent: int) -> DocumentProgress:
        """Return how much of the document has been sent with so many bytes of the body."""
        size = self.document.size
        reached = min(max(0, sent - self.start), self.length) * size // self.length
        return DocumentProgress(self.node, printable(self.document.filename, 200), reached, size)


def teller(spans: Sequence[Span], on_progress: OnProgress) -> Callable[[int], None] | None:
    """Return what a body calls with the bytes that were sent of it; None where there is nothing to tell."""
    large = [span for span in spans if span.document.size > LARGE]
    if not large:
        return None
    told = 0

    def tell(sent: int) -> None:
        nonlocal told
        told = told if told <= sent else 0  # the body is being sent again
        if sent - told < _STEP and not any(told < span.end <= sent for span in large):
            return
        for span in large:
            if told < span.end and span.start < sent:
                on_progress(span.progress(sent))
        told = sent

    return tell
