"""What a caller may give as a document, and how it is read: as a stream, so that memory does not grow with its size."""

import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any, BinaryIO, cast

from retab_orchestration._document_streams import PLAIN_PIECE, OpenedDocument, Spool, reading
from retab_orchestration._media_types import media_type_of
from retab_orchestration.errors import DocumentReadError, InvalidInputError, RetabError
from retab_orchestration.models import DocumentRef
from retab_orchestration.models._reading import is_id

__all__ = [
    "LARGE",
    "PLAIN_PIECE",
    "Document",
    "FileReference",
    "OpenedDocument",
    "Spool",
    "read_document",
    "with_sha256",
]

LARGE = 4 * 1024 * 1024
"""Bytes. A larger document is uploaded where the routes have that, and its progress is told.

Below this an upload costs more than it saves: two requests and a connection to another host more, for a third of the
bytes less. Above it, what speaks for it is that an upload may be sent again as often as it takes, and a create may not.
"""

_ACCEPTED = (
    "a pathlib.Path, an object with .open('rb') and a name, (filename, bytes), a binary file that is open, "
    "a Document around one of these, or a FileReference"
)


@dataclass(frozen=True)
class FileReference:
    """A file that Retab already has, as its API names it: by id, or by the `url` that an upload gave."""

    id: str | None = None
    filename: str | None = None
    mime_type: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        if not self.id and not self.url:
            raise InvalidInputError(
                "a file reference needs an id (file_...) or a url (https://storage.retab.com/...)"
            )
        for name in ("id", "filename", "mime_type", "url"):
            if not isinstance(getattr(self, name), str | None):
                raise InvalidInputError(f"a file reference's {name} must be a string")
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
                f"not {', '.join(sorted(map(str, unknown)))}"
            )
        identity = fields.get("id") or fields.get("file_id")
        return cls(
            id=identity,
            filename=fields.get("filename"),
            mime_type=fields.get("mime_type"),
            url=fields.get("url"),
        )


@dataclass(frozen=True)
class Document:
    """A document with a name or a MIME type of the caller's choice."""

    source: Any = field(repr=False)
    """A path, an object with `.open("rb")`, bytes or an open binary file."""
    filename: str | None = None
    """What Retab shall call it; None takes the source's own name."""
    mime_type: str | None = None
    """None goes by the name's ending."""
    sha256: str | None = None
    """The SHA-256 of its bytes, 64 hex digits, where it is known (`with_sha256`): a large document is then not read
    once more before it is sent. What is sent is compared with it."""


class _Rewound(io.BufferedIOBase):
    """The caller's open file from where it stood, which stays open when we are done with it."""

    def __init__(self, stream: BinaryIO, start: int) -> None:
        stream.seek(start)
        self._stream = stream

    def read(self, size: int | None = -1, /) -> bytes:
        return self._stream.read(-1 if size is None else size)


def _measured(stream: BinaryIO) -> int:
    start = stream.tell()
    size = stream.seek(0, os.SEEK_END) - start
    stream.seek(start)
    return size


def _spooled(stream: BinaryIO) -> BinaryIO:
    # A pipe can be read once only, and its length is not known before its end: past 1 MiB the copy is on disk.
    copy = tempfile.SpooledTemporaryFile(max_size=1024 * 1024)  # noqa: SIM115  it lives as long as the document
    with reading(str(getattr(stream, "name", "the document"))):
        shutil.copyfileobj(stream, copy)
    copy.seek(0)
    return cast("BinaryIO", copy)


def _from_path(path: Path) -> OpenedDocument:
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise InvalidInputError(f"{path} is a directory; give one file")
        if stat.S_IFMT(facts.st_mode) not in {0, stat.S_IFREG}:
            raise InvalidInputError(
                f"{path} is a pipe or a device; open it with mode 'rb' and give the open file"
            )
        path.open("rb").close()
    except FileNotFoundError as error:
        raise InvalidInputError(
            f"there is no file {path}; check the path on the machine that sends it"
        ) from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read ({error.strerror}); check its permissions") from error
    return OpenedDocument(path.name, "", facts.st_size, lambda: path.open("rb"))


def _from_openable(source: Any) -> OpenedDocument:
    def opened() -> BinaryIO:
        return cast("BinaryIO", source.open("rb"))

    try:
        with opened() as stream:
            size = _measured(stream)
    except FileNotFoundError as error:
        raise InvalidInputError(f"there is no file {source}; check its address") from error
    except RetabError:
        raise
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InvalidInputError(
            f"{source} cannot be read from any place in it ({error}); check its address and your access"
        ) from error
    except Exception as error:
        raise DocumentReadError(
            f"{source} cannot be read ({type(error).__name__}); nothing was created, try again"
        ) from error
    return OpenedDocument(PurePath(str(getattr(source, "name", ""))).name, "", size, opened)


def _from_stream(stream: Any) -> OpenedDocument:
    if isinstance(stream, io.TextIOBase):
        raise InvalidInputError("the document is a file that is open as text; open it with mode 'rb'")
    if stream.closed:
        raise InvalidInputError("the document is a file that is closed already; open it, or give its path")
    if not stream.seekable():
        stream = _spooled(stream)
    start = stream.tell()
    name = getattr(stream, "name", None)
    filename = PurePath(name).name if isinstance(name, str) else ""
    return OpenedDocument(filename, "", _measured(stream), lambda: cast("BinaryIO", _Rewound(stream, start)))


def _from_source(source: Any) -> OpenedDocument:
    if isinstance(source, bytes):
        return OpenedDocument("", "", len(source), lambda: cast("BinaryIO", io.BytesIO(source)))
    if isinstance(source, Path):
        return _from_path(source)
    if not isinstance(source, type) and callable(getattr(source, "open", None)):
        return _from_openable(source)
    if not isinstance(source, type) and hasattr(source, "read") and hasattr(source, "seekable"):
        return _from_stream(source)
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


def read_document(given: Any) -> OpenedDocument | FileReference:
    """Look at what the caller gave as one document, before anything is sent.

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
    if not isinstance(document.filename, str | None) or not isinstance(document.mime_type, str | None):
        raise InvalidInputError(
            "a document's filename and mime_type must be strings, or None to go by the source"
        )
    filename = document.filename or opened.filename
    if not filename:
        raise InvalidInputError("the document has no name; give it one with Document(source, filename=...)")
    if not opened.size:
        raise InvalidInputError(f"{filename} is empty; there is nothing to process")
    if document.sha256 is not None and not re.fullmatch("[0-9a-f]{64}", str(document.sha256)):
        raise InvalidInputError("a document's sha256 must be 64 hex digits in lower case, or None")
    return replace(
        opened,
        filename=filename,
        mime_type=document.mime_type or media_type_of(filename),
        said_mime_type=document.mime_type,
        sha256=document.sha256,
    )


def with_sha256(given: Any) -> Document | FileReference:
    """Read a document once, and return it with its SHA-256; a file that Retab has already is returned as it is.

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
