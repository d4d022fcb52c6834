"""The body of an answer, unpacked as it comes in and counted before anybody reads it; never a socket."""

import sys
import zlib
from collections.abc import Iterable
from typing import Any

from retab_orchestration._http import Request, Response, Sink
from retab_orchestration.errors import ResponseTooLargeError
from retab_orchestration.settings import Settings

__all__ = ["ACCEPTED", "Answer", "BadEncodingError"]

ACCEPTED = "gzip, deflate"
"""Encodings in which an answer is understood: those that can be unpacked in pieces of a bounded size."""

# Bytes that are unpacked in one go.
_PIECE = 256 * 1024
# Bytes in which zlib says that it is zlib.
_ZLIB_HEADER = 2
# Bytes after which what goes elsewhere is passed on: a change of thread costs as much as receiving 100 KiB.
_PASSED_ON = 1024 * 1024
# By what `max_response_bytes` is divided for a page of a list, and for an answer that says no.
_PAGE = 4
_REFUSAL = 16


class BadEncodingError(Exception):
    """An answer is packed in a way that was not asked for, or that is broken."""


class Answer:
    """One answer, as it comes in. Of a refusal the status counts: a body that something is wrong with is dropped.

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
        self.is_wanted = True
        """Whether more of it is of any use."""
        self.is_full = False
        """Whether so much has come in that it should be passed on."""
        self._request = request
        self._status = status
        self._headers = _read_headers(headers)
        self._is_success = 200 <= status < 300
        self._sink = request.sink if self._is_success else None
        divisor = (_PAGE if request.is_page else 1) if self._is_success else _REFUSAL
        self._most = settings.max_response_bytes // divisor  # bytes that it may have, packed and unpacked
        self._packed = 0
        self._content = bytearray()  # not a list, where a piece of two bytes takes some sixty
        encoding = self._headers.get("content-encoding", "").strip().lower()
        # With both, a header of gzip or of zlib is looked for.
        self._unpacker: Any = (
            None if encoding in {"", "identity"} else zlib.decompressobj(zlib.MAX_WBITS | 32)
        )
        self._may_be_raw = encoding == "deflate"
        self._begun = b""  # less of it than shows how it is packed
        length = self._headers.get("content-length", "")
        if self._sink is not None:
            self._pass_to(self._sink, is_packed=encoding not in {"", "identity"})
        elif encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:
            self._drop(BadEncodingError())
        elif length.isdecimal() and (len(length) > 18 or int(length) > self._most):
            self._drop(self._too_large())

    def take(self, part: bytes) -> bool:
        """Take in what came; return whether more of it is of any use.

        Raises:
            ResponseTooLargeError: It is too much.
            BadEncodingError: It cannot be unpacked.
        """
        if self.is_wanted:
            try:
                self._add(part)
            except (ResponseTooLargeError, BadEncodingError) as error:
                self._drop(error)
        self.is_full = self._sink is not None and len(self._content) >= _PASSED_ON
        return self.is_wanted

    def pass_on(self) -> None:
        """Write what has come in to where it goes, if it goes anywhere; this may block."""
        if self._sink is not None and self._content:
            piece, self._content = self._content, bytearray()
            self._sink.write(bytes(piece))

    def response(self) -> Response:
        """Return it, once there is no more.

        Raises:
            BadEncodingError: It was cut off while it was packed.
        """
        if self.is_wanted and self._unpacker is not None and self._packed and not self._unpacker.eof:
            self._drop(BadEncodingError())
        return Response(self._status, bytes(self._content), self._headers, is_cut=not self.is_wanted)

    def _pass_to(self, sink: Sink, *, is_packed: bool) -> None:
        """Let the body go elsewhere, where its bytes count, as they are, and somebody else sets the limit."""
        if is_packed:
            self._drop(BadEncodingError())
        self._most = sys.maxsize
        sink.begin(self._status, self._headers)

    def _add(self, part: bytes) -> None:
        self._packed += len(part)
        if self._packed > self._most:
            raise self._too_large()
        if self._unpacker is None:
            self._content += part
            return
        part, self._begun = self._begun + part, b""
        if self._may_be_raw and len(part) < _ZLIB_HEADER:
            self._begun = part
            return
        while True:
            try:
                self._unpack(part)
                break
            except zlib.error:
                if not self._may_be_raw:
                    raise BadEncodingError from None
            # What is called deflate comes without the header of zlib from some servers.
            self._unpacker, self._may_be_raw = zlib.decompressobj(-zlib.MAX_WBITS), False
        self._may_be_raw = False

    def _unpack(self, part: bytes) -> None:
        while not self._unpacker.eof:
            piece = self._unpacker.decompress(part, min(_PIECE, self._most - len(self._content) + 1))
            self._content += piece
            if len(self._content) > self._most:
                raise self._too_large()
            part = self._unpacker.unconsumed_tail
            if not part and len(piece) < _PIECE:
                break

    def _drop(self, error: ResponseTooLargeError | BadEncodingError) -> None:
        """Drop the body, and raise the error unless the answer is a refusal."""
        self.is_wanted = False
        self._content.clear()
        if self._is_success:
            raise error

    def _too_large(self) -> ResponseTooLargeError:
        return ResponseTooLargeError(
            f"the answer has more than {self._most} bytes and was not read; if it is as it should be, raise "
            "max_response_bytes",
            method=self._request.method,
            path=self._request.path,
            status=self._status,
        )


def _read_headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by their names in lower case, with what is repeated joined."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name = raw_name.decode("latin-1").lower()
        try:
            value = raw_value.decode()
        except UnicodeDecodeError:
            value = raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
