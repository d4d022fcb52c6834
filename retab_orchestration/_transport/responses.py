"""The body of an answer, unpacked as it comes in and counted before anybody reads it; never a socket."""

import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from retab_orchestration._http import Request, Response
from retab_orchestration.errors import ResponseTooLargeError
from retab_orchestration.settings import Settings

__all__ = ["ACCEPTED", "Answer", "BadEncodingError"]

T = TypeVar("T")

ACCEPTED = "gzip, deflate"
"""Encodings in which an answer is understood: those that can be unpacked in pieces of a bounded size."""

# Bytes that are unpacked in one go.
_PIECE = 256 * 1024
# Bytes in which zlib says that it is zlib.
_ZLIB_HEADER = 2
# By what `max_response_bytes` is divided for a page of a list, and for an answer that says no.
_PAGE = 4
_REFUSAL = 16


class BadEncodingError(Exception):
    """An answer is packed in a way that was not asked for, or that is broken."""


class _TooLargeError(Exception):
    """An answer has more bytes than it may."""


class Answer:
    """One answer, as it comes in.

    Args:
        request: What it answers.
        status: Its status.
        headers: Its headers, as they came.
        settings: The account.

    Raises:
        ResponseTooLargeError: It says that it has more bytes than it may.
        BadEncodingError: It is a success, and packed in a way that was not asked for.
    """

    def __init__(
        self, request: Request, status: int, headers: Iterable[tuple[bytes, bytes]], settings: Settings
    ) -> None:
        self._request = request
        self._status = status
        self._headers = _read_headers(headers)
        self._most = _largest(request, status, settings)
        self._body: _Body | None = None
        self._do(self._begin)

    @property
    def is_wanted(self) -> bool:
        """Whether more of it is of any use."""
        return self._body is not None

    def take(self, part: bytes) -> bool:
        """Take in what came; return whether more of it is of any use.

        Raises:
            ResponseTooLargeError: It is too much.
            BadEncodingError: It cannot be unpacked.
        """
        if self._body is not None:
            body = self._body
            self._do(lambda: body.take(part))
        return self.is_wanted

    def response(self) -> Response:
        """Return it, once there is no more.

        Raises:
            BadEncodingError: It was cut off while it was packed.
        """
        content = self._do(lambda: self._body.whole() if self._body else None)
        return Response(self._status, content or b"", self._headers, is_cut=content is None)

    def _begin(self) -> None:
        self._body = _Body(self._headers, self._most)

    def _do(self, step: Callable[[], T]) -> T | None:
        """Do a step; the status of a refusal counts, whatever is wrong with its body, which is dropped then."""
        try:
            return step()
        except (_TooLargeError, BadEncodingError) as error:
            self._body = None
            is_too_large = isinstance(error, _TooLargeError)
            if not 200 <= self._status < 300:
                return None
            if not is_too_large:
                raise
        raise ResponseTooLargeError(
            f"the answer has more than {self._most} bytes and was not read; if it is as it should be, raise "
            "max_response_bytes",
            method=self._request.method,
            path=self._request.path,
            status=self._status,
        )


def _largest(request: Request, status: int, settings: Settings) -> int:
    """Return how many bytes an answer may have, unpacked."""
    if not 200 <= status < 300:
        return settings.max_response_bytes // _REFUSAL
    return settings.max_response_bytes // (_PAGE if request.is_page else 1)


def _read_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by their names in lower case, with what is repeated joined."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1").lower(), _text(raw_value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


class _Body:
    """The body of one answer.

    Args:
        headers: Of the answer, names in lower case.
        most: Bytes that it may have, packed and unpacked.

    Raises:
        _TooLargeError: It says that it has more.
        BadEncodingError: It is packed in a way that was not asked for.
    """

    def __init__(self, headers: Mapping[str, str], most: int) -> None:
        self._most = most
        self._packed = self._size = 0
        self._content = bytearray()  # not a list, where a piece of two bytes takes some sixty
        encoding = headers.get("content-encoding", "").strip().lower()
        if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            raise BadEncodingError
        # With both, a header of gzip or of zlib is looked for.
        self._unpacker = None if encoding in {"", "identity"} else zlib.decompressobj(zlib.MAX_WBITS | 32)
        self._may_be_raw = encoding == "deflate"
        self._begun = b""  # less of it than shows how it is packed
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > most):
            raise _TooLargeError

    def take(self, part: bytes) -> None:
        """Take in what came.

        Raises:
            _TooLargeError: It is too much.
            BadEncodingError: It cannot be unpacked.
        """
        self._packed += len(part)
        if self._packed > self._most:
            raise _TooLargeError
        if self._unpacker is None:
            self._add(part)
            return
        part, self._begun = self._begun + part, b""
        if self._may_be_raw and len(part) < _ZLIB_HEADER:
            self._begun = part
            return
        try:
            self._unpack(self._unpacker, part)
        except zlib.error:
            if not self._may_be_raw:
                raise BadEncodingError from None
            # What is called deflate comes without the header of zlib from some servers.
            self._unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
            self._may_be_raw, self._packed = False, 0
            self.take(part)
        self._may_be_raw = False

    def _unpack(self, unpacker: Any, part: bytes) -> None:
        while not unpacker.eof:
            piece = unpacker.decompress(part, min(_PIECE, self._most - self._size + 1))
            self._add(piece)
            part = unpacker.unconsumed_tail
            if not part and len(piece) < _PIECE:
                break

    def _add(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._most:
            raise _TooLargeError
        self._content += piece

    def whole(self) -> bytes:
        """Return all of it, once there is no more.

        Raises:
            BadEncodingError: It was cut off while it was packed.
        """
        if self._unpacker is not None and self._packed and not self._unpacker.eof:
            raise BadEncodingError
        return bytes(self._content)
