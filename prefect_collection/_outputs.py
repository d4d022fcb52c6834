"""Writing outputs to a path, so that Prefect stores a small manifest instead of them."""

import hashlib
import json
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, TypedDict

import fsspec  # type: ignore[import-untyped]
from prefect import unmapped

from retab_orchestration import InvalidInputError, WorkflowRun

__all__ = ["Manifest", "OutputPath", "OutputTarget", "refuse_one_file"]


class _OpenPath(Protocol):
    def open(self, mode: str) -> IO[bytes]: ...


OutputPath = str | os.PathLike[str] | _OpenPath
"""A local path, a URI such as `s3://bucket/out/`, or anything path-like that opens itself, as universal_pathlib's."""


class _About(TypedDict):
    run_id: str
    status: str
    waiting_for_node_ids: list[str]
    """Where a human is asked."""


class Manifest(_About):
    """Where written outputs are; `uri`, `size` and `sha256` are None where there are none yet."""

    uri: str | None
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class OutputTarget:
    """Where outputs are written: a file, or a folder for a file that is named after the run."""

    path: Any
    """A URI for fsspec, or what opens itself."""
    is_folder: bool

    @classmethod
    def read(cls, given: Any) -> "OutputTarget | None":
        """Return the target of a task's `output_path`, checked; None for none.

        Raises:
            InvalidInputError: It is not a path, no filesystem is known here for its scheme, or it takes no file.
        """
        if given is None:
            return None
        if isinstance(given, str) and given.strip():
            is_folder = given.endswith(("/", os.sep))
            return cls(_checked_uri(given) if "://" in given else Path(given), is_folder).checked()
        if callable(getattr(given, "open", None)) and callable(getattr(given, "is_dir", None)):
            return cls(given, is_folder=False).checked()
        if isinstance(given, os.PathLike) and isinstance(os.fspath(given), str):
            return cls(Path(given), is_folder=False).checked()
        raise InvalidInputError(f"output_path must be a path or a URI, not of type {type(given).__name__}")

    @property
    def is_one_file(self) -> bool:
        """Whether each run would write to the same file."""
        return not self.is_folder and (isinstance(self.path, str) or not self.path.is_dir())

    def checked(self) -> "OutputTarget":
        """Return the target, unless it is local and takes no file: opening a pipe would block until there is a reader.

        Raises:
            InvalidInputError: It takes no file; the message says why.
        """
        if not isinstance(self.path, Path):
            return self
        place = self.path.absolute()
        try:
            mode = place.stat().st_mode
        except FileNotFoundError:
            mode = stat.S_IFREG
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"output_path cannot be checked ({_reason(error)}); check it") from None
        if stat.S_ISDIR(mode) or self.is_folder:
            place /= "run.json"
        elif not stat.S_ISREG(mode):
            raise InvalidInputError(
                "output_path is a pipe or a device; give the path of a file, or of a folder"
            )
        elif place.exists() and os.access(place, os.W_OK):
            return self
        folder = next(parent for parent in place.parents if parent.exists())
        try:
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            raise InvalidInputError(f"output_path cannot be written ({_reason(error)}); check it") from None
        return self

    def write(self, run: WorkflowRun) -> Manifest:
        """Write the outputs of a completed run as JSON, and return the manifest; a run that goes on has no outputs."""
        about: _About = {
            "run_id": run.id,
            "status": run.status.value,
            "waiting_for_node_ids": list(run.waiting_for_node_ids),
        }
        if not run.is_terminal:
            return Manifest(uri=None, size=None, sha256=None, **about)
        content = _encoded(run.final_outputs)
        uri = self._put(content, f"{run.id}.json")
        digest = hashlib.sha256(content).hexdigest()
        return Manifest(uri=uri, size=len(content), sha256=digest, **about)

    def _put(self, content: bytes, name: str) -> str:
        if isinstance(self.path, str):
            uri = self.path + name if self.is_folder else self.path
            with fsspec.open(uri, "wb") as stream:
                stream.write(content)
            return uri
        path = self.path / name if self.is_folder or self.path.is_dir() else self.path
        if isinstance(path, Path):
            path = path.absolute()
            path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.write(content)
        # Unlike `as_uri`, without percent signs, which fsspec does not decode.
        return f"file://{path}" if isinstance(path, Path) else str(path)


def refuse_one_file(mapped: Any) -> None:
    """Refuse the `output_path` of mapped tasks where each would overwrite what the others have written.

    Raises:
        InvalidInputError: It is one file for all of them.
    """
    given = mapped.value if isinstance(mapped, unmapped) else mapped
    is_path = isinstance(given, str | os.PathLike) or callable(getattr(given, "open", None))
    target = OutputTarget.read(given) if is_path else None
    if target is not None and target.is_one_file:
        raise InvalidInputError(
            "output_path is one file, and mapped tasks would overwrite each other's: end it with a slash, which is a "
            "folder for a file of each run, or give a list of paths"
        )


def _encoded(outputs: dict[str, Any]) -> bytes:
    try:
        return json.dumps(outputs, ensure_ascii=False, sort_keys=True).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which can only be written as an escape
        return json.dumps(outputs, sort_keys=True).encode()


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or "it has a character that no path has"


def _checked_uri(uri: str) -> str | Path:
    scheme = uri.partition("://")[0]
    if not scheme:
        raise InvalidInputError(
            "output_path is an address without a scheme; write it like s3://bucket/key, or give a path"
        )
    if scheme in {"file", "local"}:
        return Path(uri.partition("://")[2])
    try:
        fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise InvalidInputError(f"{scheme}:// needs a package where the flow runs: {error}") from error
    except ValueError as error:
        raise InvalidInputError(
            f"output_path: no filesystem is known for {scheme}:// ({error}); install the fsspec package for it "
            "where the flow runs, or give a local path"
        ) from error
    return uri
