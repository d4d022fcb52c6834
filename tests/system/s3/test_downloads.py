"""Documents of runs in an object store: byte for byte, in little memory, and nothing of those that fail."""

import asyncio
import errno
import hashlib
import io
import re
import tracemalloc
from pathlib import Path

import httpx
import pypdf
import pytest
import s3fs

from retab_orchestration import (
    ApiError,
    AsyncRetabClient,
    DocumentWriteError,
    PollPolicy,
    RetabClient,
    RetryPolicy,
)
from retab_orchestration.emulator import Emulator
from tests.retab_orchestration.raw_server import head, raw_server

pytestmark = pytest.mark.system

MIB = 1024 * 1024
SETTINGS = {"api": "current", "auth": "bearer", "retry": RetryPolicy(base=0.01, cap=0.02)}
INVOICE = Path(__file__).parents[2] / "samples" / "documents" / "invoice.pdf"


@pytest.fixture(params=["blocking", "awaiting"])
def call(request):
    """Call an operation of a client: `call(url, "download_document", …)`."""

    def blocking(url, operation, *args, **more):
        with RetabClient("key-1", url, **{**SETTINGS, **more}) as client:
            return getattr(client, operation)(*args)

    def awaiting(url, operation, *args, **more):
        async def main():
            async with AsyncRetabClient("key-1", url, **{**SETTINGS, **more}) as client:
                return await getattr(client, operation)(*args)

        return asyncio.run(main())

    return blocking if request.param == "blocking" else awaiting


def two_pages():
    writer = pypdf.PdfWriter()
    for _ in range(2):
        writer.append(str(INVOICE))
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


def hash_at_the_server(url, file_id):
    headers = {"Authorization": "Bearer key-1", "Api-Key": "key-1"}
    link = httpx.get(f"{url}/v1/files/{file_id}/download-link", headers=headers).json()
    return hashlib.sha256(httpx.get(link["download_url"]).content).hexdigest()


def unfinished(s3):
    """Return the uploads that were begun in the bucket, and neither completed nor aborted."""
    return s3.call_s3("list_multipart_uploads", Bucket="documents").get("Uploads", [])


@pytest.mark.parametrize("api", ["classic", "current"])
@pytest.mark.parametrize(("workflow_id", "count"), [("wf_split", 2), ("wf_edit", 1)])
def test_what_a_workflow_makes_of_a_pdf_is_in_the_store_byte_for_byte(call, s3, api, workflow_id, count):
    with Emulator(api=api, speed=100) as emulator:
        with RetabClient("key-1", emulator.url) as client:
            run = client.create_run(workflow_id, documents={"start-node-1": ("a#1%20 ü.pdf", two_pages())})
            client.wait_for_run(run.id, poll=PollPolicy(first=0.02, shortest=0.02))
        manifest = call(
            emulator.url, "download_documents", run.id, "s3://documents/new", api=api, auth="auto"
        )

        assert len(manifest["documents"]) == count
        for each in manifest["documents"]:
            content = s3.cat(each["uri"])
            assert hashlib.sha256(content).hexdigest() == each["sha256"]
            assert each["sha256"] == hash_at_the_server(emulator.url, each["file_id"])
            assert each["size"] == len(content)
            assert each["filename"].startswith("a#1%20 ü ")
            assert pypdf.PdfReader(io.BytesIO(content)).pages[0].extract_text()
        places = {f"s3://{place}" for place in s3.find("documents")}
        assert places == {each["uri"] for each in manifest["documents"]}
        assert unfinished(s3) == []


def storage(answer):
    """Serve a document: its address, and there what `answer(connection, request)` sends."""

    def script(connection):
        while request := connection.request():
            if request.startswith(b"GET /v1/"):
                host = re.search(rb"host: (\S+)", request, re.IGNORECASE)[1].decode()
                body = f'{{"download_url": "http://{host}/x", "filename": "a.pdf"}}'.encode()
                connection.send(head(200, content_length=len(body)) + body)
            elif answer(connection, request) == "close":
                return

    return raw_server(script)


def large(size):
    piece = b"%PDF" * (MIB // 4)

    def answer(connection, _):
        connection.send(head(200, content_length=size * MIB))
        for _ in range(size):
            connection.send(piece)

    return answer


def test_200_megabytes_take_no_more_memory_than_some_parts(call, s3):
    with storage(large(6)) as server:
        call(server.url, "download_document", "file_0", "s3://documents/warm.pdf")  # what is made once
    with storage(large(200)) as server:
        tracemalloc.start()
        try:
            found = call(server.url, "download_document", "file_1", "s3://documents/")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert s3.info("documents/a.pdf")["size"] == found.size == 200 * MIB
    assert (found.place, found.filename) == ("s3://documents/a.pdf", "a.pdf")
    assert peak < 24 * MIB


def test_a_document_without_a_byte_is_one(call, s3):
    with storage(large(0)) as server:
        found = call(server.url, "download_document", "file_1", "s3://documents/a.pdf")

    assert (found.size, s3.cat("documents/a.pdf")) == (0, b"")
    assert unfinished(s3) == []


def cut(connection, _):
    connection.send(head(200, content_length=9 * MIB) + b"x" * 8 * MIB)
    return "close"


def expired(connection, _):
    connection.send(head(403, content_length=0))


@pytest.mark.parametrize("answer", [cut, expired])
def test_what_did_not_arrive_is_not_in_the_store_and_what_was_there_stays(call, s3, answer):
    s3.pipe("documents/a.pdf", b"before")
    with storage(answer) as server, pytest.raises(ApiError):
        call(server.url, "download_document", "file_1", "s3://documents/a.pdf")

    assert s3.cat("documents/a.pdf") == b"before"
    assert unfinished(s3) == []


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (OSError(errno.ENOSPC, "full"), r"No space left on device.*nothing is left there: make room"),
        (
            RuntimeError("https://x?X-Amz-Signature=abc"),
            r"\(RuntimeError\); nothing is left there: try again",
        ),
    ],
)
def test_a_store_that_fails_in_the_middle_has_nothing_of_it(call, s3, monkeypatch, failure, told):
    calls, whole = [], s3fs.S3FileSystem.call_s3

    def failing(self, method, *args, **kwargs):
        calls.append(method)
        if calls.count("upload_part") == 3 and method == "upload_part":
            raise failure
        return whole(self, method, *args, **kwargs)

    monkeypatch.setattr(s3fs.S3FileSystem, "call_s3", failing)
    with storage(large(30)) as server, pytest.raises(DocumentWriteError, match=told):
        call(server.url, "download_document", "file_1", "s3://documents/a.pdf")

    assert calls.count("upload_part") == 3
    assert s3.find("documents") == []
    assert unfinished(s3) == []


def test_a_bucket_that_is_not_there_is_said_and_not_created(call, s3):
    said = (
        r"s3://missing/.+ \(FileNotFoundError\); nothing is left there: make its folder, or its bucket, first"
    )
    with storage(large(1)) as server, pytest.raises(DocumentWriteError, match=said):
        call(server.url, "download_document", "file_1", "s3://missing/a.pdf")
    with Emulator(speed=100) as emulator:
        with RetabClient("key-1", emulator.url) as client:
            run = client.create_run("wf_edit", documents={"start-node-1": INVOICE})
            client.wait_for_run(run.id, poll=PollPolicy(first=0.02, shortest=0.02))
        with pytest.raises(DocumentWriteError, match=said):
            call(emulator.url, "download_documents", run.id, "s3://missing", auth="auto")

    assert s3.ls("") == ["documents"]


def test_a_store_that_is_not_reached_is_one_error_without_its_secrets(call, s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    with storage(large(1)) as server, pytest.raises(DocumentWriteError, match="nothing is left") as caught:
        call(server.url, "download_document", "file_1", "s3://documents/a.pdf")

    assert "of-the-store" not in f"{caught.value!r} {caught.value.__cause__!r}"
