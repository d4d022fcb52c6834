"""Documents as Prefect may store them: paths, URIs and references to files at Retab, never their contents."""

import re
import stat
from collections import deque
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec  # type: ignore[import-untyped]
from fsspec.core import url_to_fs  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from prefect_collection._create_once.decide import Source
from retab_orchestration import Document, FileReference, InvalidInputError, with_sha256
from retab_orchestration.identity import digest_of

__all__ = [
    "DocumentFacts",
    "DocumentInput",
    "RemoteFile",
    "StoredDocument",
    "agree",
    "as_documents",
    "contents_of",
    "facts_of",
    "read_all",
    "refuse_contents",
    "shown",
]

DocumentInput = str | Path | FileReference | dict[str, str]
"""A local path, a URI such as `s3://bucket/invoice.pdf`, or a file at Retab: a FileReference or its JSON object."""

_ACCEPTED = "a local path, a URI that fsspec can open, or a FileReference"


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URI, opened through fsspec where and when it is read."""

    uri: str = field(repr=False)
    """It may be signed, so it is in no error and no `repr`."""

    @property
    def name(self) -> str:
        """The file's name at Retab: the last part of the URI."""
        links = self.uri.partition("?")[0].split("::")
        # In a chain such as zip://a.pdf::file:///b.zip the first address is that of the file.
        first = next((link for link in links if "://" in link), links[0])
        return first.rstrip("/").rpartition("/")[2]

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open it for reading.

        Raises:
            InvalidInputError: There is no filesystem for the URI's scheme here.
        """
        scheme = self.uri.partition("://")[0][:20]
        if scheme in LocalFileSystem.protocol:
            _check_file(self.uri)
        try:
            return cast("BinaryIO", fsspec.open(self.uri, mode).open())
        except ImportError as error:
            raise InvalidInputError(f"{scheme}:// needs a package where the flow runs: {error}") from None
        except ValueError:
            raise InvalidInputError(
                f"no filesystem is known for {scheme}://; install the fsspec package for it where the flow runs, or "
                "copy the file to a local path first"
            ) from None

    def facts(self) -> str | None:
        """Return the size and the state of the file without reading it, None where the filesystem has no state of it.

        Raises:
            FileNotFoundError: There is no such file.
        """
        filesystem, path = url_to_fs(self.uri)
        filesystem.invalidate_cache()  # a cached listing may be outdated
        info = filesystem.info(path)
        state = next((str(info[name]) for name in _STATES if info.get(name)), None)
        return None if state is None else f"{info.get('size')} {state}"

    def __str__(self) -> str:
        return self.uri


def _check_file(uri: str) -> None:
    """Refuse a pipe or a device, because opening it would block until there is a writer."""
    try:
        mode = Path(LocalFileSystem._strip_protocol(uri)).stat().st_mode  # noqa: SLF001  fsspec has no other name for it
    except (OSError, ValueError):
        return  # opening it raises the error
    if not stat.S_ISREG(mode):
        raise InvalidInputError(f"{shown(uri)} is a folder, a pipe or a device; give the path of one file")


StoredDocument = Path | RemoteFile | FileReference


def shown(place: str) -> str:
    """Return a document's place for an error: an address without user, query and fragment."""
    if "://" not in place:
        return place
    return re.sub(r"://[^/@]*@", "://", re.split(r"[?#]", place, maxsplit=1)[0])


DocumentFacts = tuple[str, ...]
"""The size and state of each document of a call when it was read, hashed, in the order of the nodes."""

_UNKNOWN, _REFERENCE, _GONE = "-", "reference", "gone"

# The keys of filesystems whose value changes with each write of a file.
_STATES = (
    "ETag",
    "etag",
    "generation",
    "md5Hash",
    "mtime",
    "LastModified",
    "last_modified",
    "updated",
    "created",
)


def facts_of(documents: Mapping[str, StoredDocument] | None) -> DocumentFacts:
    """Return the facts of documents, without reading them."""
    return tuple(_facts(document) for _, document in sorted((documents or {}).items()))


def _facts(document: StoredDocument) -> str:
    if isinstance(document, FileReference):
        return _REFERENCE
    try:
        if isinstance(document, Path):
            found = document.stat()
            state: str | None = f"{found.st_size} {found.st_mtime_ns}"
        else:
            state = document.facts()
    except (FileNotFoundError, NotADirectoryError):
        return _GONE
    except Exception:  # noqa: BLE001  reading it says what is wrong
        return _UNKNOWN
    return digest_of(state)[:12] if state else _UNKNOWN


def agree(before: DocumentFacts, now: DocumentFacts) -> Source:
    """Compare the facts of a call's documents with those of now."""
    pairs = list(zip(before, now, strict=False))
    if len(before) != len(now) or any(
        _differ(then, today) for then, today in pairs if today not in {_GONE, _UNKNOWN}
    ):
        return Source.CHANGED
    if _GONE in now:
        return Source.GONE
    return Source.CHANGED if _UNKNOWN in {*before, *now} else Source.UNCHANGED


def _differ(then: str, today: str) -> bool:
    return then not in {today, _UNKNOWN}


def read_all(documents: Mapping[str, StoredDocument] | None) -> dict[str, Document | FileReference] | None:
    """Return the documents with their hashes, reading each once.

    Raises:
        InvalidInputError: One is missing, empty, or no file.
        DocumentReadError: One could not be read to its end.
    """
    if documents is None:
        return None
    read: dict[str, Document | FileReference] = {}
    for node, document in documents.items():
        try:
            read[node] = with_sha256(document)
        except InvalidInputError as error:
            raise InvalidInputError(f"{_place('documents', node)}: {error}") from error.__cause__
    return read


def contents_of(documents: Mapping[str, Document | FileReference] | None) -> dict[str, list[str | None]]:
    """Return the name, and the hash or the reference, of each document."""
    return {
        node: ["reference", document.id or document.url, document.filename]
        if isinstance(document, FileReference)
        else ["document", document.sha256, document.filename]
        for node, document in (documents or {}).items()
    }


def as_documents(documents: Any) -> dict[str, StoredDocument] | None:
    """Return documents as the client takes them; nothing is opened yet.

    Args:
        documents: Start node id -> `DocumentInput`, or None.

    Raises:
        InvalidInputError: One is not a document that Prefect may store.
    """
    if documents is None:
        return None
    if not isinstance(documents, Mapping):
        raise InvalidInputError(
            f"documents must map start node ids to documents, not be of type {type(documents).__name__}"
        )
    return {node: _as_document(_place("documents", node), given) for node, given in documents.items()}


def _as_document(name: str, given: Any) -> StoredDocument:
    refuse_contents(name, given)
    if isinstance(given, FileReference | Path):
        return given
    if isinstance(given, Mapping):
        return FileReference.read(given)
    if not isinstance(given, str):
        raise InvalidInputError(f"{name} must be {_ACCEPTED}, not of type {type(given).__name__}")
    if not given.strip():
        raise InvalidInputError(f"{name} is an empty string; give {_ACCEPTED}")
    if given.startswith("://"):
        raise InvalidInputError(f"{name} is an address without a scheme; give {_ACCEPTED}")
    return RemoteFile(given) if "://" in given else Path(given)


def _place(name: str, key: Any) -> str:
    """Return the name of an item for an error, without a key that is not a valid name."""
    return f"{name}[{key!r}]" if isinstance(key, str) and len(key) <= 100 else f"{name}[...]"


def refuse_contents(name: str, value: Any) -> None:
    """Refuse bytes and open files, which Prefect would store with the parameters of a run.

    Args:
        name: The name of the value in the error.
        value: A parameter; maps, lists, tuples and sets are searched.

    Raises:
        InvalidInputError: The value is, or contains, bytes, an open file or a `Document` around them; or it contains
            itself.
    """
    try:
        _refuse_contents(name, value)
    except RecursionError:
        raise InvalidInputError(
            f"{name} is not JSON: it is nested too deep, or in itself; give dicts, lists, strings, numbers, booleans, "
            "None"
        ) from None


def _refuse_contents(name: str, value: Any) -> None:
    if isinstance(value, bytes | bytearray | memoryview | Document) or callable(getattr(value, "seek", None)):
        raise InvalidInputError(
            f"{name} is of type {type(value).__name__}, and Prefect stores what a flow is called with: "
            f"give {_ACCEPTED}; write bytes to a file first"
        )
    if isinstance(value, str) and name.startswith("documents") and value.lstrip().lower().startswith("data:"):
        raise InvalidInputError(
            f"{name} is a data: URI, which is the document itself, and Prefect stores what a flow is called with: "
            f"give {_ACCEPTED}; write it to a file first"
        )
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_contents(f"a key of {name}", key)
            _refuse_contents(_place(name, key), item)
    elif isinstance(value, list | tuple | AbstractSet | deque):
        for index, item in enumerate(value):
            _refuse_contents(f"{name}[{index}]", item)
