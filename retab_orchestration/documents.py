"""Documents that a caller may give, read as streams so that memory does not grow with their size."""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, TypeAlias, cast, overload

from retab_orchestration._document_sources import from_openable, from_path, from_stream
from retab_orchestration._document_streams import PLAIN_PIECE, OpenedDocument, Spool
from retab_orchestration._media_types import media_type_of
from retab_orchestration._texts import is_id, is_unicode, printable
from retab_orchestration.errors import InvalidInputError
from retab_orchestration.models import DocumentRef

__all__ = [
    "LARGE",
    "PLAIN_PIECE",
    "BinaryFile",
    "Document",
    "DocumentInput",
    "DocumentSource",
    "FileReference",
    "OpenableFile",
    "OpenedDocument",
    "Spool",
    "read_document",
    "with_sha256",
]

LARGE = 4 * 1024 * 1024
"""Bytes. A larger document is uploaded where the routes have that, and its progress is reported.

Below this an upload costs more than it saves: two more requests and a connection to another host, for a third fewer
bytes. Above it the advantage is that an upload may be repeated, and a create may not.
"""

_ACCEPTED = (
    "a pathlib.Path, an object with .open('rb') and a name, (filename, bytes), a binary file that is open, "
    "a Document around one of these, or a FileReference"
)


def _key(name: Any) -> str:
    return name if isinstance(name, str) and re.fullmatch(r"\w{1,40}", name) else "others"


@dataclass(frozen=True)
class FileReference:
    """A file that Retab already has, as its API names it: by id, or by the `url` that an upload gave."""

    id: str | None = None
    filename: str | None = None
    mime_type: str | None = None
    url: str | None = field(default=None, repr=False)
    """It may be signed."""

    def __post_init__(self) -> None:
        if not self.id and not self.url:
            raise InvalidInputError(
                "a file reference needs an id (file_...) or a url (https://storage.retab.com/...)"
            )
        for name in ("id", "filename", "mime_type", "url"):
            if not isinstance(getattr(self, name), str | None):
                raise InvalidInputError(f"a file reference's {name} must be a string")
            if not is_unicode(getattr(self, name) or ""):
                raise InvalidInputError(
                    f"a file reference's {name} has half of a surrogate pair in it; decode it anew"
                )
        if self.id and not is_id(self.id):
            raise InvalidInputError(
                "a file reference's id has a character that no id has; copy it from Retab again"
            )
        if self.url and self.url.startswith("data:"):
            raise InvalidInputError(
                "a file reference's url must not be a data: URI; give the document itself"
            )
        if self.url and not self.filename:
            raise InvalidInputError("a file reference by url needs a filename")

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> "FileReference":
        """Read `{"id" | "file_id", "filename", "mime_type", "url"}`, as runs and uploads give it.

        Raises:
            InvalidInputError: It has other keys, or neither an id nor a url.
        """
        if unknown := set(fields) - {"id", "file_id", "filename", "mime_type", "url"}:
            raise InvalidInputError(
                "a file reference has id or file_id, filename, mime_type and url, "
                f"not {', '.join(sorted(map(_key, unknown)))}"
            )
        identity = fields.get("id") or fields.get("file_id")
        return cls(
            id=identity,
            filename=fields.get("filename"),
            mime_type=fields.get("mime_type"),
            url=fields.get("url"),
        )


class OpenableFile(Protocol):
    """A path of another filesystem: Airflow's `ObjectStoragePath`, `UPath`, `zipfile.Path`, or one of your own."""

    @property
    def name(self) -> str:
        """Its name at Retab, unless a `Document` gives another one."""

    def open(self, mode: Literal["rb"], /) -> Any:
        """Open it for reading bytes from any position; called several times."""


class BinaryFile(Protocol):
    """A file that is open with mode `rb`, or anything with these methods; it is read from its position."""

    def read(self, size: int = ..., /) -> bytes:
        """Read at most so many bytes."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Move to a position."""

    def tell(self) -> int:
        """Return the position."""

    def seekable(self) -> bool:
        """Return whether it can move back; one that cannot is copied first."""


DocumentSource: TypeAlias = Path | OpenableFile | BinaryFile | bytes
"""Where the bytes of a `Document` are."""


@dataclass(frozen=True)
class Document:
    """A document with a name or a MIME type of the caller's choice."""

    source: DocumentSource = field(repr=False)
    """A path, an object with `.open("rb")`, bytes or an open binary file."""
    filename: str | None = None
    """Its name at Retab; None takes the source's own name."""
    mime_type: str | None = None
    """None takes it from the name's ending."""
    sha256: str | None = None
    """The SHA-256 of its bytes, 64 hex digits, where it is known (`with_sha256`): a large document is then not read
    once more before it is sent. What is sent is compared with it."""


DocumentInput: TypeAlias = (
    Path
    | OpenableFile
    | BinaryFile
    | tuple[str, bytes]
    | Document
    | FileReference
    | DocumentRef
    | Mapping[str, str | None]
)
"""What `create_run` takes as one document: a path, never a string; an object with `.open("rb")` and a name; an open
binary file; `(filename, bytes)`; a `Document` around one of these; or a file that Retab has: a `FileReference`, a
`DocumentRef` out of a run, or the JSON object of either."""


def _from_source(source: Any) -> OpenedDocument:
    if isinstance(source, bytes):
        return OpenedDocument("", "", len(source), lambda: cast("BinaryIO", io.BytesIO(source)))
    if isinstance(source, Path):
        return from_path(source)
    if not isinstance(source, type) and callable(getattr(source, "open", None)):
        return from_openable(source)
    if not isinstance(source, type) and hasattr(source, "read") and hasattr(source, "seekable"):
        return from_stream(source)
    if isinstance(source, str):
        raise InvalidInputError("a document must not be a string; wrap a local path in pathlib.Path(...)")
    raise InvalidInputError(f"a document must be {_ACCEPTED}, not {type(source).__name__}")


def _as_document(given: Any) -> Document:
    if isinstance(given, Document):
        return given
    if isinstance(given, tuple):
        if len(given) != 2 or not isinstance(given[0], str) or not isinstance(given[1], bytes):
            raise InvalidInputError("a document given as a pair must be (filename, bytes)")
        return Document(given[1], filename=given[0])
    if isinstance(given, bytes):
        raise InvalidInputError("a document given as bytes needs a name: (filename, bytes)")
    return Document(given)


def _checked(document: Document, opened: OpenedDocument) -> str:
    """Return the name of a document, or raise InvalidInputError for what is wrong with it."""
    if not isinstance(document.filename, str | None) or not isinstance(document.mime_type, str | None):
        raise InvalidInputError(
            "a document's filename and mime_type must be strings, or None to go by the source"
        )
    filename = document.filename or opened.filename
    if not filename or not is_unicode(filename):
        lacks = "a name that is not Unicode" if filename else "no name"
        raise InvalidInputError(f"the document has {lacks}; give it one with Document(source, filename=...)")
    if document.mime_type and not (document.mime_type.isascii() and document.mime_type.isprintable()):
        raise InvalidInputError("a document's mime_type must be like application/pdf, in printable ASCII")
    if opened.size <= 0:
        raise InvalidInputError(f"{printable(filename, 200)} is empty; there is nothing to process")
    if document.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", str(document.sha256)):
        raise InvalidInputError("a document's sha256 must be 64 hex digits in lower case, or None")
    return str.__str__(filename)  # which may be of an enumeration, as the type


def read_document(given: Any) -> OpenedDocument | FileReference:
    """Return what the caller gave as one document, checked and not read yet, before anything is sent.

    Args:
        given: What `create_run` accepts as a document.

    Raises:
        InvalidInputError: It is missing, empty, a directory, not readable, nameless, or of a type that is no document.
    """
    if isinstance(given, FileReference):
        return given
    if isinstance(given, DocumentRef):
        return FileReference(id=given.id, filename=given.filename, mime_type=given.mime_type, url=given.url)
    if isinstance(given, Mapping):
        return FileReference.read(given)
    document = _as_document(given)
    opened = _from_source(document.source)
    filename = _checked(document, opened)
    said = str.__str__(document.mime_type) if document.mime_type else None
    return replace(
        opened,
        filename=filename,
        mime_type=said or media_type_of(filename),
        said_mime_type=said,
        sha256=document.sha256,
    )


@overload
def with_sha256(given: FileReference | DocumentRef | Mapping[str, str | None]) -> FileReference: ...


@overload
def with_sha256(
    given: Path | OpenableFile | BinaryFile | tuple[str, bytes] | Document,
) -> Document: ...


@overload
def with_sha256(given: DocumentInput) -> Document | FileReference: ...


def with_sha256(given: DocumentInput) -> Document | FileReference:
    """Return a document with its SHA-256, reading it once; a file that Retab has already is returned as it is.

    Args:
        given: What `create_run` accepts as a document.

    Raises:
        InvalidInputError: As `create_run`.
        DocumentReadError: It could not be read to its end.
    """
    opened = read_document(given)
    if isinstance(opened, FileReference):
        return opened
    document = _as_document(given)
    return replace(document, filename=opened.filename, sha256=opened.hashed().sha256)
