"""The labels of a flow run: those of concurrent calls are written together, and those of several processes twice.

Prefect's server reads, merges and writes labels. On PostgreSQL it does so for several requests at once, and what all
but one of them have written may be lost. So where another process may write labels as well, those of a call are an
input of the flow run, too, over which nothing is written.
"""

import json
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from prefect.exceptions import PrefectHTTPStatusError
from pydantic import StrictBool, StrictFloat, StrictInt

from prefect_collection._batches import Batches
from prefect_collection._prefect_server import (
    api_address,
    hurried,
    is_refused,
    kept_inputs,
    prefect_client,
    write_input,
)

__all__ = ["SHARED", "Labels", "read_shared", "write_labels", "write_shared"]

Labels = dict[str, StrictBool | StrictInt | StrictFloat | str]

_SHARED = "retab-record-"


def _write_together(key: tuple[str, UUID], written: list[Labels]) -> None:
    merged: Labels = {}
    for labels in written:
        merged |= labels
    hurried(lambda: prefect_client().update_flow_run_labels(key[1], merged))


_WRITES: Batches[tuple[str, UUID], Labels, None] = Batches(_write_together)


def write_labels(flow_run_id: UUID, labels: Labels) -> None:
    """Write labels, together with what other calls of this process write at the same time."""
    _WRITES.join((api_address(), flow_run_id), labels)


def write_shared(flow_run_id: UUID, content: str, labels: Labels) -> None:
    """Write the labels of a call, and of the contents of its documents, as an input of the flow run."""
    # Two writes of one call need two keys.
    try:
        write_input(flow_run_id, f"{_SHARED}{content}-{time.time_ns()}", json.dumps(labels))
    except PrefectHTTPStatusError as error:
        if not is_refused(error):
            raise


def read_shared(flow_run_id: UUID, content: str = "") -> Labels:
    """Return the labels that are inputs of a flow run, of one call or of all, each as it was written last."""
    found: Labels = {}
    for each in sorted(kept_inputs(flow_run_id, _SHARED + content), key=lambda each: str(each["created"])):
        found |= _labels_in(each["value"])
    return found


def _read_together(key: tuple[str, UUID], _: list[None]) -> Labels:
    return read_shared(key[1])


SHARED: Batches[tuple[str, UUID], None, Labels] = Batches(_read_together)
"""Reads them once for all calls of a process that ask at the same time, as `ANNOUNCED` does."""


def _labels_in(text: Any) -> Mapping[str, Any]:
    try:
        labels = json.loads(text)
    except (TypeError, ValueError):
        return {}  # not written by this package
    return labels if isinstance(labels, dict) else {}
