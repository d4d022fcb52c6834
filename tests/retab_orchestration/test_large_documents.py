"""Large documents on real sockets: what arrives where, what is logged, and how much memory it takes."""

import asyncio
import json
import logging
import socket
import threading
import tracemalloc
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from retab_orchestration import (
    ApiConnectionError,
    AsyncRetabClient,
    DocumentTooLargeError,
    RetabClient,
    RetryPolicy,
    UnreadableAnswerError,
)

MIB = 1024 * 1024
KEY = "rt_test_do-not-send-me"
SECRET = "signature=0123456789abcdef"
RUN = {"id": "run_1", "lifecycle": {"status": "running"}}
NO_PAUSE = RetryPolicy(attempts=2, base=0.001, cap=0.002)


class Sink(BaseHTTPRequestHandler):
    """Takes bodies of any size, keeps their length, and answers what it is told to."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        if self.server.refusals:
            self.server.seen.append((self.command, self.path, dict(self.headers), 0))
            self.close_connection = True
            self.server.refusals.pop()(self)
            return
        left = length = int(self.headers.get("content-length", 0))
        piece = memoryview(bytearray(64 * 1024))
        while left:
            left -= self.rfile.readinto(piece[:left])
        self.server.seen.append((self.command, self.path, dict(self.headers), length))
        self.reply(200, json.dumps(self.server.answers.get(self.path, RUN)).encode())

    do_PUT = do_POST  # noqa: N815

    def refuse(self):
        """Say no at once, and read on for a while, as gateways do, so that the answer is not lost."""
        self.reply(413, b"Request Entity Too Large")
        self.connection.shutdown(socket.SHUT_WR)
        while self.rfile.read1(64 * 1024):
            pass

    def hang_up(self):
        """Close the connection with a reset."""
        self.rfile.read1(1000)

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@contextmanager
def sink(*refusals):
    served = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    served.refusals, served.seen, served.answers = list(refusals), [], {}
    served.url = f"http://127.0.0.1:{served.server_port}"
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        served.shutdown()
        thread.join(60)
        served.server_close()


@contextmanager
def retab(address=None):
    """An API, and a storage on another address."""
    with ExitStack() as stack:
        storage, api = stack.enter_context(sink()), stack.enter_context(sink())
        headers = {"Content-Type": "application/pdf", "x-goog-meta-a": "b"}
        api.answers["/v1/files/upload"] = {
            "fileId": "file_1",
            "uploadUrl": address or f"{storage.url}/bucket/a%2Fb?{SECRET}",
            "uploadHeaders": headers,
            "mimeData": {"filename": "a.pdf", "url": "https://storage.retab.com/o/file_1.pdf"},
        }
        api.answers["/v1/files/upload/file_1/complete"] = {}
        yield api, storage


@pytest.fixture(params=["blocking", "awaiting"])
def create(request):
    """Create a run of a document on one server."""

    def blocking(url, document, family, **options):
        with RetabClient(KEY, url, api=family, auth="bearer", retry=NO_PAUSE) as client:
            return client.create_run("wf_1", documents={"start-node-1": document}, **options)

    def awaiting(url, document, family, **options):
        async def main():
            async with AsyncRetabClient(KEY, url, api=family, auth="bearer", retry=NO_PAUSE) as client:
                return await client.create_run("wf_1", documents={"start-node-1": document}, **options)

        return asyncio.run(main())

    return blocking if request.param == "blocking" else awaiting


@pytest.fixture
def document(tmp_path):
    def sparse(size):
        path = tmp_path / "a.pdf"
        with path.open("wb") as stream:
            stream.truncate(size)
        return path

    return sparse


def test_a_storage_gets_the_document_and_its_headers_and_nothing_else(create, document):
    with retab() as (api, storage):
        create(api.url, document(5 * MIB), "current")

    [(method, path, headers, length)] = storage.seen
    assert (method, path, length) == ("PUT", f"/bucket/a%2Fb?{SECRET}", 5 * MIB)
    assert headers == {
        "Host": storage.url.removeprefix("http://"),
        "Content-Length": str(5 * MIB),
        "Content-Type": "application/pdf",
        "x-goog-meta-a": "b",
    }
    assert [path for _, path, _, _ in api.seen] == [
        "/v1/files/upload",
        "/v1/files/upload/file_1/complete",
        "/v1/workflows/runs",
    ]
    assert all(headers["Authorization"] == f"Bearer {KEY}" for _, _, headers, _ in api.seen)


def test_neither_the_key_nor_a_signed_address_is_logged(create, document, caplog):
    caplog.set_level(logging.DEBUG)

    with retab() as (api, _):
        create(api.url, document(5 * MIB), "current")

    logged = "\n".join(f"{record.getMessage()} {record.args!r}" for record in caplog.records)
    assert logged
    assert KEY not in logged
    assert SECRET not in logged
    assert "bucket" not in logged


@pytest.mark.parametrize(
    ("address", "error"),
    [
        (f"http://127.0.0.1:9/bucket?{SECRET}", ApiConnectionError),
        (f"https://no-such-host.invalid/bucket?{SECRET}", ApiConnectionError),
        (f"http://host:port/bucket?{SECRET}", UnreadableAnswerError),
        (f"http://127.0.0.1/bucket\x07?{SECRET}", UnreadableAnswerError),
    ],
)
def test_an_address_that_leads_nowhere_is_not_told_either(create, document, address, error):
    with retab(address) as (api, _), pytest.raises(error) as caught:
        create(api.url, document(5 * MIB), "current")

    told, cause = "", caught.value
    while cause is not None:
        told += f"{cause} {cause!r} {cause.__dict__.get('message')}"
        cause = cause.__cause__
    assert "bucket" not in told
    assert SECRET not in told
    assert [path for _, path, _, _ in api.seen if path.endswith("/runs")] == []


@pytest.mark.parametrize("family", ["classic", "current"])
def test_a_server_that_refuses_a_large_body_before_it_has_read_it_is_understood(create, document, family):
    with sink(Sink.refuse) as api, pytest.raises(DocumentTooLargeError, match="32 MiB"):
        create(api.url, document(4 * MIB), family)

    assert len(api.seen) == 1


@pytest.mark.parametrize("family", ["classic", "current"])
def test_a_create_that_was_cut_off_in_its_body_is_sent_again(create, document, family):
    with sink(Sink.hang_up) as api:
        assert create(api.url, document(4 * MIB), family).id == "run_1"

    assert len(api.seen) == 2


def test_a_large_create_that_is_cut_off_again_and_again_says_what_may_be_wrong(create, document):
    with sink(Sink.hang_up, Sink.hang_up) as api, pytest.raises(ApiConnectionError, match="32 MiB") as caught:
        create(api.url, document(30 * MIB), "classic")

    assert not caught.value.sent
    assert len(api.seen) == 2


@pytest.mark.parametrize(("family", "size"), [("current", 200 * MIB), ("classic", 20 * MIB)])
def test_memory_does_not_grow_with_the_document(create, document, family, size):
    path = document(size)
    with retab() as (api, storage):
        create(api.url, document(5 * MIB), family)  # what is made once: connections, threads
        path = document(size)
        tracemalloc.start()
        try:
            create(api.url, path, family)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert max(length for _, _, _, length in (*api.seen, *storage.seen)) >= size
    assert peak < 8 * MIB


@pytest.mark.parametrize("family", ["classic", "current"])
def test_progress_is_told_where_the_client_was_called(create, document, family):
    threads, told = set(), []

    def on_progress(progress):
        threads.add(threading.current_thread())
        told.append(progress.sent)

    with retab() as (api, _):
        create(api.url, document(6 * MIB), family, on_progress=on_progress)

    assert threads == {threading.main_thread()}
    assert told == sorted(told)
    assert told[-1] == 6 * MIB
    assert 4 <= len(told) <= 8
