"""Reading the documents of runs: base64 and data URIs, the text inside, the fields in the text."""

import base64
import binascii
import codecs
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

import pypdf

from retab_orchestration.emulator.serving.blobs import Blob
from retab_orchestration.emulator.serving.wire import new_id
from retab_orchestration.emulator.workflows.values import Field

__all__ = ["File", "decode_base64", "decode_data_uri", "extract", "read_blob", "read_file"]

_TEXT_LIMIT = 65_536
"""Characters of a document's text that are kept; its bytes are not."""

_DATA_URI = re.compile(r"data:(?P<mime>[^;,]*)(?P<params>(?:;[^,;]*)*?)(?P<base64>;base64)?,", re.IGNORECASE)


@dataclass(frozen=True)
class File:
    """A file that the emulator knows: its name and its text, not its bytes."""

    id: str
    filename: str
    mime_type: str
    size: int
    sha256: str
    text: str = field(repr=False)
    """The text inside; empty when there is none."""
    problem: str | None = None
    """Why no text could be read from a file of a type that has text."""
    page_count: int | None = None
    created_at: float = 0.0

    @property
    def storage_url(self) -> str:
        """The durable reference of the file in later requests, which is not a download address."""
        extension = self.filename.rpartition(".")[2].lower() if "." in self.filename else ""
        extension = extension if extension.isascii() and extension.isalnum() else "bin"
        return f"https://storage.retab.com/org_emulator/{self.id}.{extension}"

    def reference(self) -> dict[str, str]:
        """Return the reference to show in answers, with the id under its old and its new name."""
        return {"file_id": self.id, "id": self.id, "filename": self.filename, "mime_type": self.mime_type}


def decode_base64(text: str) -> bytes:
    """Decode raw base64, with or without padding and line breaks.

    Raises:
        ValueError: when it is not base64; the message holds none of it.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        compact = "".join(text.split())
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except ValueError:
        raise ValueError("not valid base64") from None


def decode_data_uri(url: str) -> tuple[bytes, str]:
    """Decode `data:<mime>;base64,…` into bytes and MIME type.

    Raises:
        ValueError: when it is no data URI, or its payload is not base64.
    """
    head = _DATA_URI.match(url, 0, 1_000)
    if head is None:
        raise ValueError("not a data URI")
    payload = url[head.end() :]
    content = decode_base64(payload) if head["base64"] else unquote_to_bytes(payload)
    return content, head["mime"] or "text/plain"


def read_file(content: bytes, filename: str, mime_type: str, now: float) -> File:
    """Return a file of some bytes, reading their text.

    Args:
        content: The whole file; only its text is kept.
        filename: Its name, with extension.
        mime_type: Its MIME type as the caller gave it.
        now: Seconds since 1970.
    """
    return read_blob(Blob.of(content), filename, mime_type, now)


def read_blob(blob: Blob, filename: str, mime_type: str, now: float, file_id: str | None = None) -> File:
    """Return a file of a blob, as `read_file` does, for an upload that has an id."""
    text, pages, problem = _read_text(blob)
    return File(
        id=file_id or new_id("file"),
        filename=filename,
        mime_type=mime_type,
        size=blob.size,
        sha256=blob.sha256,
        text=text[:_TEXT_LIMIT],
        problem=problem,
        page_count=pages,
        created_at=now,
    )


def extract(text: str, fields: Mapping[str, Field]) -> dict[str, Any]:
    """Read each field from its line `Label: value`; a missing one, or a wrong type, is None."""
    return {name: _take(text, wanted) for name, wanted in fields.items()}


def _read_text(blob: Blob) -> tuple[str, int | None, str | None]:
    # A character of UTF-8 has four bytes at most.
    start = blob.start(4 * _TEXT_LIMIT)
    if start[:1024].lstrip().startswith(b"%PDF"):
        try:
            pages = pypdf.PdfReader(blob.file).pages
            text = "\n".join(page.extract_text() for page in pages)
            return text.encode("utf-8", "replace").decode(), len(pages), None
        except Exception as error:  # noqa: BLE001 - there is no end of what a broken PDF makes pypdf raise
            return "", None, f"it is not a readable PDF ({type(error).__name__})"
    try:
        decoder = codecs.getincrementaldecoder("utf-8")()
        return decoder.decode(start, final=len(start) == blob.size), None, None
    except UnicodeDecodeError:
        return "", None, None


def _take(text: str, wanted: Field) -> str | float | None:
    found = re.search(
        rf"^[ \t]*{re.escape(wanted.label)}[ \t]*:[ \t]*(\S.*)$", text, re.IGNORECASE | re.MULTILINE
    )
    if found is None:
        return None
    value = found[1].rstrip(" \t")
    return _number(value) if wanted.is_number else value


def _number(text: str) -> float | None:
    digits = re.sub(r"[^\d.,-]", "", text)
    if re.search(r",\d{1,2}$", digits):  # 1.234,56 as in much of Europe
        digits = digits.replace(".", "").replace(",", ".")
    try:
        value = float(digits.replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
