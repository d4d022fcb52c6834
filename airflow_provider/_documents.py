"""Documents of a DAG: absolute paths, URIs, or files that Retab has; never bytes.

Airflow stores rendered inputs in its database, so bytes are refused in the DAG file.
"""

import logging
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider._arguments import is_field_rendered_later, is_rendered_later
from airflow_provider._core import core

if TYPE_CHECKING:
    from retab_orchestration import DocumentProgress

_log = logging.getLogger(__name__)

_REFERENCE = frozenset({"id", "file_id", "filename", "mime_type", "url"})

_ACCEPTED = (
    "an absolute local path, a URI such as s3://connection@bucket/key, or a Retab file reference "
    '{"id": ..., "filename": ..., "mime_type": ...}'
)

# The packages with Airflow's filesystem for a scheme: the "Object Storage" page of its documentation.
_PACKAGES = {
    "s3": "apache-airflow-providers-amazon[s3fs]",
    "s3a": "apache-airflow-providers-amazon[s3fs]",
    "gs": "apache-airflow-providers-google",
    "gcs": "apache-airflow-providers-google",
    "abfs": "apache-airflow-providers-microsoft-azure",
    "abfss": "apache-airflow-providers-microsoft-azure",
    "adl": "apache-airflow-providers-microsoft-azure",
}


def check_documents(documents: Any) -> None:
    """Refuse invalid documents while the DAG file is parsed.

    Args:
        documents: `start node id -> document`, or a value that is rendered to that.

    Raises:
        InvalidInputError: Bytes, an open file, a relative path, or anything else that is not a document.
    """
    if documents is not None and not is_field_rendered_later(documents):
        for node, document in _checked_map(documents).items():
            if not is_rendered_later(document):
                _check(node, document)


def check_no_content(**inputs: Any) -> None:
    """Refuse the content of documents in rendered inputs, which Airflow stores before it executes the task.

    A function, or a template that is rendered to a native object, may make it.

    Raises:
        InvalidInputError: There is some; the message names the input.
    """
    for name, value in inputs.items():
        if _has_bytes(value):
            raise core.InvalidInputError(
                f"{name} has bytes in it, and Airflow keeps inputs in its database; give {_ACCEPTED}"
            )
    documents = inputs.get("documents")
    for node, document in documents.items() if isinstance(documents, Mapping) else ():
        if _is_content(document):
            _check(node, document)


def _has_bytes(value: Any) -> bool:
    waiting, seen = [value], set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, bytes | bytearray | memoryview):
            return True
        if isinstance(each, Mapping | list | tuple | set | frozenset) and id(each) not in seen:
            seen.add(id(each))
            waiting += [*each, *each.values()] if isinstance(each, Mapping) else each
    return False


def find_documents(documents: Any) -> dict[str, Any] | None:
    """Return rendered documents as `create_run` takes them; nothing is read yet.

    Args:
        documents: `start node id -> absolute path | URI | file reference`.

    Raises:
        InvalidInputError: As `check_documents`; or a URI without a filesystem, the message names what to install.
    """
    if documents is None:
        return None
    for node, document in _checked_map(documents).items():
        _check(node, document)
    return {node: _found(node, document) for node, document in documents.items()}


class ProgressLog:
    """Logs the progress of large documents, one line for each tenth."""

    def __init__(self) -> None:
        self._tenths: dict[str, int] = {}

    def __call__(self, progress: "DocumentProgress") -> None:
        """Log the progress of a document."""
        tenths = 10 * progress.sent // progress.size
        known, self._tenths[progress.node] = self._tenths.get(progress.node, 0), tenths
        if tenths < known:
            _log.info("Sending %s again", progress.filename)
        if tenths not in {0, known}:
            size = progress.size / 1_000_000
            _log.info("Sent %d %% of %s, which has %.1f MB", 10 * tenths, progress.filename, size)


class _Stored:
    """A file at a URI, with the name and `open` of an `OpenableFile`."""

    def __init__(self, path: Any) -> None:
        self.name: str = path.name
        self._path = path

    def open(self, mode: str = "rb") -> BinaryIO:
        """Open the file, which is done for each sending."""
        stream: BinaryIO = self._path.open(mode)
        return stream

    def __str__(self) -> str:
        return str(self._path)


def _checked_map(documents: Any) -> Mapping[str, Any]:
    if not isinstance(documents, Mapping):
        raise core.InvalidInputError(
            f"documents must map start node ids to documents, not be {type(documents).__name__}"
        )
    return documents


def _check(node: str, document: Any) -> None:
    if fault := _fault(document):
        raise core.InvalidInputError(f"{_place(node)} {fault}")


def _place(node: Any) -> str:
    return f"documents[{node!r}]" if isinstance(node, str) and len(node) <= 100 else "documents"


def _is_content(document: Any) -> bool:
    """Return whether it is the content of a document, as a data: URI or any other value, and not a reference to one."""
    if isinstance(document, Mapping):
        return str(document.get("url") or "").startswith("data:") or not set(document) <= _REFERENCE
    return isinstance(document, str | PurePath) and str(document).lstrip().lower().startswith("data:")


def _fault(document: Any) -> str:
    if _is_content(document):
        return f"would put the document itself into Airflow's database; give {_ACCEPTED}"
    if isinstance(document, str | PurePath):
        if "://" in str(document) or PurePath(document).is_absolute():
            return ""
        return "is a relative path, which workers resolve each in their own way; make it absolute"
    if isinstance(document, Mapping):
        return ""
    if _is_object_storage_path(document):
        return ""
    return f"must be {_ACCEPTED}, not {type(document).__name__}: Airflow keeps inputs in its database"


def _found(node: str, document: Any) -> Any:
    if isinstance(document, Mapping):
        return dict(document)
    if "://" not in str(document) and not _is_object_storage_path(document):
        return Path(document)
    try:
        path = _opened(document)
        if path.protocol not in {"file", "local"}:
            return _Stored(path)
    except (ValueError, ImportError):
        scheme = str(document).partition("://")[0][:20]
        package = _PACKAGES.get(scheme, f"the Airflow provider that has a filesystem for {scheme}://")
        raise core.InvalidInputError(
            f"{_place(node)}: no filesystem for {scheme}://; install {package}, and see that its connection exists"
        ) from None
    # A filesystem would open a pipe as well, which blocks until there is a writer.
    if fault := _fault(Path(path.path)):
        raise core.InvalidInputError(f"{_place(node)} {fault}")
    return Path(path.path)


def _is_object_storage_path(document: Any) -> bool:
    return hasattr(document, "open") and hasattr(document, "as_uri") and hasattr(document, "protocol")


def _opened(document: Any) -> Any:
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    path = ObjectStoragePath(document) if isinstance(document, str | PurePath) else document
    _ = path.fs  # which raises where the scheme has none
    return path


_Later = frozenset[tuple[str, Any]]
"""What is known at run time only: names of arguments, each with a node, or None for the argument as a whole."""


def rendered_later(**inputs: Any) -> _Later:
    """Return which inputs are known at run time only."""
    whole = {(name, None) for name, value in inputs.items() if is_field_rendered_later(value)}
    nodes = {
        (name, node)
        for name in ("documents", "json_inputs", "text_inputs")
        if isinstance(inputs[name], Mapping)
        for node, value in inputs[name].items()
        if isinstance(value, str) and is_rendered_later(value)  # another task may mean what it returns
    }
    return frozenset(whole | nodes)


def check_rendered(later: _Later, **inputs: Any) -> None:
    """Refuse inputs that were rendered to nothing, so that none is left out, or made up, silently.

    Args:
        later: What was known at run time only.
        inputs: The rendered inputs.

    Raises:
        InvalidInputError: One is None, or the text that a template makes of that, or empty; the message names it.
    """
    for name, node in sorted(later, key=str):
        value = inputs[name]
        if node is not None:
            value = value.get(node) if isinstance(value, Mapping) else value
        told = name if node is None else f"{name}[{node!r}]"
        if value is None or (isinstance(value, str) and value.strip() in {"", "None"}):
            what = "None" if value is None or value.strip() else "an empty text"
            raise core.InvalidInputError(
                f"{told} was rendered to {what}; see that its template, or the task before, gives a value"
            )
