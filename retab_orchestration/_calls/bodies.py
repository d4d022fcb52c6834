"""JSON bodies, with documents streamed into them as base64 instead of held in memory."""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from retab_orchestration._http import Body
from retab_orchestration.documents import OpenedDocument

__all__ = ["Embedded", "json_body"]


@dataclass(frozen=True)
class Embedded:
    """A JSON string that is a prefix and the base64 of a document."""

    document: OpenedDocument
    prefix: str = ""


def json_body(payload: Mapping[str, Any]) -> Body:
    """Return a JSON body in which every `Embedded` is produced while it is sent."""
    embedded: list[Embedded] = []
    marker = (
        uuid.uuid4().hex
    )  # it stands where a document belongs, so it must not occur in what the caller wrote

    def mark(value: Any) -> str:
        if not isinstance(value, Embedded):
            raise TypeError(f"{type(value).__name__} is not JSON")
        embedded.append(value)
        return value.prefix + marker

    pieces = json.dumps(payload, default=mark, allow_nan=False).encode().split(marker.encode())

    def chunks() -> Iterator[bytes]:
        yield pieces[0]
        for part, piece in zip(embedded, pieces[1:], strict=True):
            yield from part.document.base64()
            yield piece

    length = sum(map(len, pieces)) + sum(part.document.base64_size for part in embedded)
    return Body(length, chunks)
