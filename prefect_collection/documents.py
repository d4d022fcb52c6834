"""Documents as Prefect may store them: paths, URIs and references to files at Retab, never what is in them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec  # type: ignore[import-untyped]

from retab_orchestration import Document, FileReference, InvalidInputError

__all__ = ["DocumentInput", "RemoteFile", "as_documents", "refuse_contents"]

DocumentInput = str | Path | FileReference | dict[str, str]
"""A local path, a URI such as `s3://bucket/invoice.pdf`, or a file at Retab: a FileReference or its JSON object."""

_ACCEPTED = "a local path, a URI that fsspec can open, or a FileReference"


@dataclass(frozen=True)
class RemoteFile:
    """A file at a URI, opened through fsspec where and when it is read."""

    uri: str

    @property
    def name(self) -> str:
        """What Retab shall call it: the last part of the URI."""
        return self.uri.partition("?")[0].rstrip("/").rpartition("/")[2]

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open it for reading.

        Raises:
            InvalidInputError: There is no filesystem for the URI's scheme here.
        """
        scheme = self.uri.partition("://")[0]
        try:
            return cast("BinaryIO", fsspec.open(self.uri, mode).open())
        except ImportError as error:
            raise InvalidInputError(f"{scheme}:// needs a package where the flow runs: {error}") from error
        except ValueError as error:
            raise InvalidInputError(
                f"no filesystem is known for {scheme}:// ({error}); install the fsspec package for it where the "
                "flow runs, or copy the file to a local path first"
            ) from error

    def __str__(self) -> str:
        return self.uri


def as_documents(documents: Any) -> dict[str, Path | RemoteFile | FileReference] | None:
    """Turn what a flow was given into what the client takes; nothing is opened yet.

    Args:
        documents: Start node id -> `DocumentInput`, or None.

    Raises:
        InvalidInputError: Something is no document that Prefect may store.
    """
    if documents is None:
        return None
    if not isinstance(documents, Mapping):
        raise InvalidInputError(
            f"documents must map start node ids to documents, not be of type {type(documents).__name__}"
        )
    return {node: _as_document(f"documents[{node!r}]", given) for node, given in documents.items()}


def _as_document(name: str, given: Any) -> Path | RemoteFile | FileReference:
    refuse_contents(name, given)
    if isinstance(given, FileReference | Path):
        return given
    if isinstance(given, Mapping):
        return FileReference.read(given)
    if not isinstance(given, str):
        raise InvalidInputError(f"{name} must be {_ACCEPTED}, not of type {type(given).__name__}")
    if not given.strip():
        raise InvalidInputError(f"{name} is an empty string; give {_ACCEPTED}")
    return RemoteFile(given) if "://" in given else Path(given)


def refuse_contents(name: str, value: Any) -> None:
    """Refuse bytes and open files, which Prefect would store with the parameters of a run.

    Args:
        name: What to call the value in the error.
        value: A parameter; maps, lists and tuples are looked into.

    Raises:
        InvalidInputError: The value is, or holds, bytes, an open file or a `Document` around them.
    """
    if isinstance(value, bytes | bytearray | memoryview | Document) or callable(getattr(value, "seek", None)):
        raise InvalidInputError(
            f"{name} is of type {type(value).__name__}, and Prefect stores what a flow is called with: "
            f"give {_ACCEPTED}; write bytes to a file first"
        )
    if isinstance(value, Mapping):
        for key, item in value.items():
            refuse_contents(f"{name}[{key!r}]", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            refuse_contents(f"{name}[{index}]", item)
