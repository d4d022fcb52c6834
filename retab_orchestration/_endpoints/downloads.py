"""A download in two requests: ask for a signed address, and read the bytes there."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from retab_orchestration._endpoints.uploads import checked_address
from retab_orchestration._http import Call, Request, Sink, path
from retab_orchestration.errors import UnreadableAnswerError

__all__ = ["Link", "Part", "fetch", "get_link", "read_part"]

_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")
_LENGTH = re.compile(r"\d{1,18}")


@dataclass(frozen=True)
class Link:
    """Where a document can be fetched for a while; the address is a secret until it expires."""

    url: str = field(repr=False)
    filename: str | None = None


@dataclass(frozen=True)
class Part:
    """What the head of an answer says about the bytes that follow."""

    start: int
    """The place of the first one in the document."""
    total: int | None
    """Bytes of the document; None where the server does not say."""
    mark: str | None
    """What tells the document from one that has changed; None where the server does not say."""


def get_link(file_id: str) -> Call[Link]:
    """Ask for a signed address. Source: GET /v1/files/{file_id}/download-link."""

    def read(body: Mapping[str, Any]) -> Link:
        filename = body.get("filename")
        return Link(checked_address(body["download_url"]), filename if isinstance(filename, str) else None)

    target = path("/v1/files/{file_id}/download-link", file_id=file_id)
    return Call(Request("GET", target), read, since="0.0.103")


def fetch(url: str, sink: Sink, headers: Callable[[], Mapping[str, str]]) -> Call[None]:
    """Read the bytes at a signed address, from where an attempt before has ended.

    Args:
        url: The address.
        sink: What takes them in.
        headers: Returns those of the next attempt.
    """

    def again() -> Request:
        return Request("GET", "(signed address)", headers=headers(), signed_url=url, sink=sink)

    return Call(again(), lambda _: None, whole=True, again=again)


def read_part(status: int, headers: Mapping[str, str]) -> Part:
    """Read the head of an answer.

    Raises:
        UnreadableAnswerError: It does not say which bytes follow, or nothing tells where they end.
    """
    mark = headers.get("etag", "") or headers.get("last-modified", "")
    # A weak tag names documents that are alike, and bytes are wanted.
    strong = mark if mark and not mark.startswith("W/") and mark.isascii() and mark.isprintable() else None
    length = headers.get("content-length", "")
    if not _LENGTH.fullmatch(length) and "chunked" not in headers.get("transfer-encoding", "").lower():
        raise _unreadable("nothing tells where the document ends", status)
    if status != 206:
        return Part(0, int(length) if _LENGTH.fullmatch(length) else None, strong)
    said = _RANGE.fullmatch(headers.get("content-range", "").strip())
    if said is None:
        raise _unreadable("it is a part of the document that does not say which", status)
    total = None if said[3] == "*" else int(said[3])
    return Part(int(said[1]), total, strong)


def _unreadable(reason: str, status: int) -> UnreadableAnswerError:
    return UnreadableAnswerError(
        f"the storage's answer is not what was asked for: {reason}",
        method="GET",
        path="(signed address)",
        status=status,
    )
