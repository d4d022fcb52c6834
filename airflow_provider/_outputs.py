"""Writing outputs that are too large for Airflow's database: a JSON file, and a manifest."""

import hashlib
import json
import os
import secrets
import stat
from itertools import product
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from airflow_provider._arguments import is_field_rendered_later
from airflow_provider._core import core

if TYPE_CHECKING:
    from retab_orchestration import WorkflowRun

# What of a template's context is the same for all tasks of a DAG run, and of a task for all that it is mapped to.
_DAG_RUNS_NAMES = {
    "conn",
    "conf",
    "dag",
    "dag_run",
    "data_interval_end",
    "data_interval_start",
    "ds",
    "ds_nodash",
    "execution_date",
    "logical_date",
    "run_id",
    "task_instance_key_str",
    "ts",
    "ts_nodash",
    "ts_nodash_with_tz",
    "var",
}
_TASKS_NAMES = frozenset(
    product(("ti", "task_instance", "task"), ("dag_id", "run_id", "task_id", "try_number"))
)


def check_output_path(path: Any) -> None:
    """Refuse an invalid `output_path` while the DAG file is parsed.

    Args:
        path: An absolute path, a URI, an object that is a path, or a value that is rendered to one; None for none.

    Raises:
        InvalidInputError: It is something else; the message says what to give.
    """
    if path is None or is_field_rendered_later(path) or hasattr(path, "write_bytes"):
        if isinstance(path, PurePath) and not path.is_absolute():
            raise core.InvalidInputError("output_path is a relative path; make it absolute")
        if getattr(path, "protocol", None) is not None and not path.suffix:
            raise core.InvalidInputError(
                "output_path is an ObjectStoragePath without an ending, which forgets the slash of a folder: write a "
                "folder as text, 's3://connection@bucket/folder/', or give the file an ending"
            )
        return
    if not isinstance(path, str | os.PathLike):
        raise core.InvalidInputError(
            "output_path must be an absolute path, or a URI such as s3://connection@bucket/key, "
            f"not {type(path).__name__}"
        )
    if not str(path).strip():
        raise core.InvalidInputError(
            "output_path must be an absolute path or a URI, and is empty; leave it out for none"
        )
    if "://" not in str(path) and not os.path.isabs(path):  # noqa: PTH117  it may be any os.PathLike
        raise core.InvalidInputError("output_path must be an absolute path or a URI, and is a relative path")


def is_place(path: Any) -> bool:
    """Return whether outputs are written to it; a template that comes out empty names no place."""
    return path is not None and path != ""


def is_one_file(path: Any) -> bool:
    """Return whether all tasks of a mapped operator, or of a mapped task group, that have this path write to one file.

    Args:
        path: An `output_path` that was not rendered yet.
    """
    if not is_place(path) or (isinstance(path, str) and path.endswith("/")):
        return False
    return _is_same_for_all(path) if isinstance(path, str) else not is_field_rendered_later(path)


def _is_same_for_all(template: str) -> bool:
    """Return whether a template names only what is the same for all mapped tasks of a DAG run."""
    from jinja2 import Environment, TemplateSyntaxError, nodes

    try:
        tree = Environment(autoescape=True).parse(template)
    except TemplateSyntaxError:
        return False  # which fails when it is rendered
    of_all = {
        id(found.node)
        for found in tree.find_all(nodes.Getattr)
        if isinstance(found.node, nodes.Name) and (found.node.name, found.attr) in _TASKS_NAMES
    }
    return all(name.name in _DAG_RUNS_NAMES or id(name) in of_all for name in tree.find_all(nodes.Name))


def check_place(path: Any) -> None:
    """Refuse a rendered `output_path` that could not be written to.

    Raises:
        InvalidInputError: As `find_place`.
    """
    if is_place(path):
        find_place(path)


def find_place(path: Any, run_id: str = "run") -> Any:
    """Return the path to write to; nothing is written yet.

    Args:
        path: A rendered `output_path`. If it ends with a slash, it is a folder for a file with the run's name.
        run_id: The run.

    Raises:
        InvalidInputError: There is no filesystem for the URI, or the path is invalid, or that of a folder or a pipe.
    """
    check_output_path(path)
    is_folder = isinstance(path, str) and path.endswith("/")
    if isinstance(path, str):
        path = _from_text(path)
    elif not hasattr(path, "write_bytes"):
        path = Path(path)
    elif getattr(path, "protocol", None) in {"file", "local"}:
        path = Path(path.path)
    place = path / f"{run_id}.json" if is_folder else path
    if isinstance(place, Path):
        _check_file(place)
    elif not is_folder and _is_remote_folder(place):
        raise core.InvalidInputError(
            "output_path is a folder of its store: write a folder as text that ends with a slash, or name a file in it"
        )
    return place


def write_outputs(path: Any, outputs: dict[str, Any], run: "WorkflowRun") -> dict[str, Any]:
    """Write the outputs as JSON, atomically where the filesystem can, and return the manifest.

    Returns:
        `{"uri", "size", "sha256", "run_id", "status"}`.
    """
    place = find_place(path, run.id)
    content = _encoded(outputs)
    if isinstance(place, Path):
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        unfinished.write_bytes(content)
        unfinished.replace(place)
    else:
        place.write_bytes(content)
    return {
        "uri": place.as_uri() if hasattr(place, "as_uri") else str(place),
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "run_id": run.id,
        "status": run.status.value,
    }


def _encoded(outputs: dict[str, Any]) -> bytes:
    try:
        return json.dumps(outputs, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which can only be written as an escape
        return json.dumps(outputs, separators=(",", ":")).encode()


def _is_remote_folder(place: Any) -> bool:
    """Return whether a store says that it is a folder; what it cannot say now, writing will."""
    try:
        return bool(place.is_dir())
    except Exception:  # noqa: BLE001  whatever a store raises
        return False


def _check_file(place: Path) -> None:
    """Refuse an invalid local path, or one of something that is not a file; writing raises other errors."""
    try:
        mode = place.stat().st_mode
    except OSError:
        return
    except ValueError:
        raise core.InvalidInputError(
            "output_path has a character that no path has; check where it comes from"
        ) from None
    if not stat.S_ISREG(mode):
        raise core.InvalidInputError(
            "output_path is a folder, a pipe or a device; name a file, or end the path of a folder with a slash"
        )


def _from_text(path: str) -> Any:
    if "://" not in path:
        return Path(path)
    try:
        address = urlsplit(path)
    except ValueError:
        address = None
    if address is None or not address.scheme:
        raise core.InvalidInputError("output_path is no address; write it like s3://connection@bucket/key")
    if address.scheme == "file":
        if address.netloc not in {"", "localhost"} or not address.path:
            raise core.InvalidInputError(
                "output_path has a file:// address without a path, or with a host; write file:///path"
            )
        return Path(unquote(address.path))
    from airflow.providers.common.compat.sdk import ObjectStoragePath

    try:
        place = ObjectStoragePath(path)
        _ = place.fs  # which raises where the scheme has none
    except (ValueError, ImportError) as error:
        raise core.InvalidInputError(
            f"output_path: no filesystem for {address.scheme}://; install the provider for it ({error})"
        ) from error
    return place
