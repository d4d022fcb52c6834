"""What `create_run` takes, and what an editor marks: an ignored line that is no mistake any more fails the check."""

import gzip
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, assert_type

from retab_orchestration import (
    AsyncRetabClient,
    Document,
    DocumentInput,
    FileReference,
    JsonValue,
    OnProgress,
    OnReview,
    OutputsUnavailableError,
    RetabClient,
    ReviewRequiredError,
    RunCancelledError,
    RunFailedError,
    WaitTimeoutError,
    WorkflowRun,
    WorkflowTestRun,
    with_sha256,
)
from retab_orchestration.models import DocumentRef


def documents(
    retab: RetabClient,
    stored: DocumentRef,
    opened: io.BufferedReader,
    temporary: IO[bytes],
    unpacked: gzip.GzipFile,
) -> None:
    given: dict[str, DocumentInput] = {
        "path": Path("a.pdf"),
        "pair": ("a.pdf", b"..."),
        "open": opened,
        "memory": Document(io.BytesIO(b"..."), filename="a.pdf"),
        "bytes": Document(b"...", filename="a.pdf"),
        "temporary": temporary,
        "unpacked": unpacked,
        "member": zipfile.Path("a.zip", "a.pdf"),
        "reference": FileReference(id="file_1"),
        "stored": stored,
        "fields": {"id": "file_1", "filename": None},
    }
    paths = {"a": Path("a.pdf")}

    retab.create_run("wf_1", documents=given)
    retab.create_run("wf_1", documents=paths)


def no_documents(retab: RetabClient, text: io.TextIOWrapper) -> None:
    retab.create_run("wf_1", documents={"a": "a.pdf"})  # type: ignore[dict-item]
    retab.create_run("wf_1", documents={"a": b"..."})  # type: ignore[dict-item]
    retab.create_run("wf_1", documents={"a": text})  # type: ignore[dict-item]
    retab.create_run("wf_1", documents={"a": ("a.pdf", "...")})  # type: ignore[dict-item]
    retab.create_run("wf_1", documents=[Path("a.pdf")])  # type: ignore[arg-type]
    Document("a.pdf")  # type: ignore[arg-type]


def hashed(given: DocumentInput, stored: DocumentRef) -> None:
    assert_type(with_sha256(Path("a.pdf")), Document)
    assert_type(with_sha256(("a.pdf", b"...")), Document)
    assert_type(with_sha256(stored), FileReference)
    assert_type(with_sha256({"id": "file_1"}), FileReference)
    assert_type(with_sha256(given), Document | FileReference)


async def json_inputs(retab: AsyncRetabClient, value: JsonValue) -> None:
    rows = [{"n": 1}, {"n": 2}]

    await retab.create_run(
        "wf_1", json_inputs={"a": rows, "b": {"n": 1}, "c": (1, 2.5), "d": None, "e": value}
    )
    await retab.create_run("wf_1", json_inputs={"a": datetime.now(UTC)})  # type: ignore[dict-item]
    await retab.create_run("wf_1", json_inputs={"a": {1, 2}})  # type: ignore[dict-item]


def waited(retab: RetabClient, on_review: OnReview, on_progress: OnProgress) -> WorkflowRun:
    run = retab.create_run("wf_1", on_progress=on_progress)
    retab.wait_for_run(run.id, on_review="later")  # type: ignore[arg-type]
    return retab.wait_for_run(run.id, on_review=on_review)


def failed(retab: RetabClient) -> str | None:
    try:
        retab.wait_for_run("run_1").raise_for_status()
    except (RunFailedError, RunCancelledError) as error:
        assert_type(error.run, WorkflowRun | None)
        assert_type(error.run_id, str | None)
        return error.run.error.message if error.run and error.run.error else None
    except (OutputsUnavailableError, ReviewRequiredError) as error:
        return error.run.status_name if error.run else None
    except WaitTimeoutError as error:
        assert_type(error.run, WorkflowRun | WorkflowTestRun | None)
        return error.run.status_name if error.run else None
    return None
