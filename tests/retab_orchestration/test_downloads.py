"""Documents that are fetched: whole or not at all, from where a broken connection ended, to every kind of place."""

import asyncio
import hashlib
import io
import os
import re
import threading
import tracemalloc
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pypdf
import pytest

from retab_orchestration import (
    ApiConnectionError,
    AsyncRetabClient,
    DocumentWriteError,
    DownloadNotAllowedError,
    DownloadRefusedError,
    FileReference,
    InvalidInputError,
    NotFoundError,
    PollPolicy,
    ResponseTooLargeError,
    RetabClient,
    RetryPolicy,
    UnreadableAnswerError,
)
from retab_orchestration._file_names import base_name
from retab_orchestration.emulator import Emulator
from retab_orchestration.models import DocumentRef
from tests.retab_orchestration.raw_server import head, raw_server

CONTENT = os.urandom(3 * 1024 * 1024 + 17)
MIB = 1024 * 1024
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SOON = RetryPolicy(base=0.01, cap=0.02)
REQUEST = re.compile(rb"GET (\S+) ")


class Awaited:
    """AsyncRetabClient in a loop of its own for each call."""

    def __init__(self, url, **more):
        self._made = url, more

    def download_document(self, *args, **kwargs):
        async def call():
            async with AsyncRetabClient("key-1", self._made[0], **self._made[1]) as client:
                return await client.download_document(*args, **kwargs)

        return asyncio.run(call())


@pytest.fixture(params=["blocking", "awaiting"])
def client_of(request):
    with ExitStack() as opened:

        def make(url, **more):
            more = {"api": "current", "auth": "bearer", "retry": SOON, "timeout": 5.0, **more}
            if request.param == "awaiting":
                return Awaited(url, **more)
            return opened.enter_context(RetabClient("key-1", url, **more))

        yield make


class Storage:
    """The address of a document, and what is answered there, request by request."""

    def __init__(self, *answers, filename="a.pdf"):
        self.asked = []  # the requests to the storage
        self.begun = threading.Event()
        self.links = 0
        self._answers, self._filename = list(answers), filename

    def __call__(self, connection):
        while request := connection.request():
            path = REQUEST.match(request)[1].decode()
            if path.startswith("/v1/"):
                self.links += 1
                body = (
                    f'{{"download_url": "{self.url}/signed?{self.links}", "filename": "{self._filename}", '
                    '"expires_in": "60 minutes"}'
                ).encode()
                connection.send(head(200, content_length=len(body)) + body)
                continue
            self.asked.append(request)
            self.begun.set()
            answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            if answer(connection, request) == "close":
                return


@contextmanager
def storage(*answers, **more):
    script = Storage(*answers, **more)
    with raw_server(script) as server:
        script.url = server.url
        yield script


def names_in(folder):
    return [path.name for path in folder.iterdir()]


def whole(connection, _):
    connection.send(head(200, content_length=len(CONTENT), etag='"1"') + CONTENT)


def cut_at(count, etag='"1"'):
    def answer(connection, _):
        marks = {"etag": etag} if etag else {}
        connection.send(head(200, content_length=len(CONTENT), **marks) + CONTENT[:count])
        return "close"

    return answer


def the_rest(connection, request):
    start = int(re.search(rb"range: bytes=(\d+)-\r\n", request, re.IGNORECASE)[1])
    place = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    rest = CONTENT[start:]
    connection.send(head(206, content_length=len(rest), content_range=place, etag='"1"') + rest)


def refusing(status):
    def answer(connection, _):
        body = b"<Error><Code>AccessDenied</Code><Message>Request has expired, key-1</Message></Error>"
        connection.send(head(status, content_length=len(body)) + body)

    return answer


def test_a_document_of_a_run_comes_out_as_it_went_in(client_of, tmp_path):
    content = Path(__file__).parents[1].joinpath("samples", "documents", "invoice.pdf").read_bytes()
    for api in ("classic", "current"):
        with Emulator(api=api) as emulator:
            with RetabClient("key-1", emulator.url) as client:
                run = client.create_run("wf_invoice", documents={"start-node-1": ("invoice.pdf", content)})
            reference = run.inputs.documents["start-node-1"]

            found = client_of(emulator.url, api=api).download_document(reference, tmp_path / api)

            assert (tmp_path / api).read_bytes() == content
            assert (found.place, found.filename) == (str(tmp_path / api), "invoice.pdf")
            assert (found.size, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize(
    "reference", ["file_1", FileReference("file_1"), {"id": "file_1"}, {"file_id": "file_1"}]
)
def test_a_file_is_named_by_its_id_however_it_is_written(client_of, tmp_path, reference):
    with storage(whole) as server:
        client_of(server.url).download_document(reference, tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == CONTENT
    [request] = server.asked
    # The address is a secret of the storage's: it gets neither the key nor anything else.
    assert b"key-1" not in request
    assert [line for line in request.lower().split(b"\r\n")[1:] if line] == [
        b"host: " + server.url.removeprefix("http://").encode()
    ]


@pytest.mark.parametrize(
    "reference", [None, "", 7, {}, {"url": "x"}, FileReference(url="http://x/y", filename="y"), "a/b"]
)
def test_what_names_no_file_is_refused(client_of, tmp_path, reference):
    with storage(whole) as server, pytest.raises(InvalidInputError, match="reference"):
        client_of(server.url).download_document(reference, tmp_path / "a")

    assert server.links == 0


def test_a_connection_that_breaks_is_gone_on_with_where_it_broke(client_of, tmp_path):
    with storage(cut_at(2_000_000), the_rest) as server:
        found = client_of(server.url).download_document("file_1", tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == CONTENT
    assert (found.size, found.sha256) == (len(CONTENT), SHA256)
    assert b'if-range: "1"' in server.asked[1].lower()
    assert server.links == 1


@pytest.mark.parametrize("etag", [None, 'W/"1"'])
def test_where_nothing_tells_that_it_is_the_same_document_it_is_fetched_from_its_start(
    client_of, tmp_path, etag
):
    with storage(cut_at(2_000_000, etag), whole) as server:
        found = client_of(server.url).download_document("file_1", tmp_path / "a")

    assert b"range:" not in server.asked[1].lower()
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert found.sha256 == SHA256


def test_a_storage_without_ranges_sends_everything_again(client_of, tmp_path):
    with storage(cut_at(2_000_000), whole) as server:
        found = client_of(server.url).download_document("file_1", tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == CONTENT
    assert found.sha256 == SHA256


def test_another_part_than_the_one_asked_for_is_not_taken(client_of, tmp_path):
    def wrong(connection, _):
        place = f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}"
        connection.send(head(206, content_length=len(CONTENT) - 5, content_range=place) + CONTENT[5:])

    with storage(cut_at(2_000_000), wrong, whole) as server:
        client_of(server.url).download_document("file_1", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == CONTENT

    with storage(wrong) as server, pytest.raises(UnreadableAnswerError, match="another part"):
        client_of(server.url).download_document("file_1", tmp_path / "b")
    assert names_in(tmp_path) == ["a"]


def test_a_document_that_changed_meanwhile_is_no_mixture(client_of, tmp_path):
    other = b"x" * len(CONTENT)

    def changed(connection, _):
        connection.send(head(200, content_length=len(other), etag='"2"') + other)

    with storage(cut_at(2_000_000), changed) as server:
        found = client_of(server.url).download_document("file_1", tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == other
    assert found.sha256 == hashlib.sha256(other).hexdigest()


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_an_address_that_has_expired_is_asked_for_anew(client_of, tmp_path, status):
    with storage(cut_at(2_000_000), refusing(status), the_rest) as server:
        client_of(server.url).download_document("file_1", tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == CONTENT
    assert server.links == 2


def test_a_part_that_is_not_there_any_more_is_fetched_from_its_start(client_of, tmp_path):
    with storage(cut_at(2_000_000), refusing(416), whole) as server:
        client_of(server.url).download_document("file_1", tmp_path / "a")

    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_storage_that_goes_on_refusing_is_believed(client_of, tmp_path):
    with storage(refusing(403)) as server, pytest.raises(DownloadRefusedError) as refused:
        client_of(server.url).download_document("file_1", tmp_path / "a")

    assert server.links == 3
    assert refused.value.code == "AccessDenied"
    assert "expired" not in str(refused.value)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("status", [412, 416])
def test_a_storage_that_never_gives_the_rest_is_given_up(client_of, tmp_path, status):
    broken = [cut_at(1_100_000), refusing(status)] * 20
    with storage(*broken, whole) as server, pytest.raises(DownloadRefusedError):
        client_of(server.url).download_document("file_1", tmp_path / "a")

    assert names_in(tmp_path) == []


def test_a_connection_that_breaks_again_and_again_leaves_nothing(client_of, tmp_path):
    with storage(cut_at(0)) as server, pytest.raises(ApiConnectionError):
        client_of(server.url).download_document("file_1", tmp_path / "a")

    assert names_in(tmp_path) == []


@pytest.mark.parametrize("kind", ["path", "file"])
def test_memory_does_not_grow_with_the_document(client_of, tmp_path, kind):
    places = {"path": tmp_path / "a", "file": (tmp_path / "a").open("wb")}
    piece = b"%PDF" * (MIB // 4)

    def large(count):
        def answer(connection, _):
            connection.send(head(200, content_length=count * MIB))
            for _ in range(count):
                connection.send(piece)

        return answer

    with storage(large(2), large(200)) as server, places["file"]:
        client_of(server.url).download_document("file_1", tmp_path / "b")  # what is made once
        tracemalloc.start()
        try:
            found = client_of(server.url).download_document("file_1", places[kind])
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert (tmp_path / "a").stat().st_size == found.size == 200 * MIB
    assert peak < 8 * MIB


def endless(connection, _):
    connection.send(head(200, transfer_encoding="chunked"))
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    while True:
        connection.send(piece)


def test_a_document_of_too_many_bytes_is_not_taken(client_of, tmp_path):
    with storage(whole) as server, pytest.raises(ResponseTooLargeError, match="max_bytes"):
        client_of(server.url).download_document("file_1", tmp_path / "a", max_bytes=len(CONTENT) - 1)
    with storage(endless) as server, pytest.raises(ResponseTooLargeError, match="max_bytes"):
        client_of(server.url).download_document("file_1", tmp_path / "a", max_bytes=4_000_000)
    with storage(whole) as server:
        client_of(server.url).download_document("file_1", tmp_path / "b", max_bytes=len(CONTENT))

    assert names_in(tmp_path) == ["b"]


@pytest.mark.parametrize("most", [0, -1, True, "5", 1.5])
def test_a_limit_that_is_none_is_refused(client_of, tmp_path, most):
    with storage(whole) as server, pytest.raises(InvalidInputError, match="max_bytes"):
        client_of(server.url).download_document("file_1", tmp_path / "a", max_bytes=most)


@pytest.mark.parametrize("more", [{}, {"content_length": "many"}])
def test_an_answer_whose_end_nothing_tells_is_not_taken(client_of, tmp_path, more):
    def answer(connection, _):
        connection.send(head(200, **more) + b"half")
        return "close"

    with storage(answer) as server, pytest.raises((UnreadableAnswerError, ApiConnectionError)):
        client_of(server.url).download_document("file_1", tmp_path / "a")

    assert names_in(tmp_path) == []


def test_a_document_that_comes_slowly_is_waited_for_and_one_that_drips_is_not(client_of, tmp_path):
    def slow(connection, _):
        connection.send(head(200, content_length=5 * 20_000))
        for _ in range(5):
            connection.pause(0.15)
            connection.send(b"x" * 20_000)

    def dripping(connection, _):
        connection.send(head(200, content_length=100_000))
        connection.drip(b"x" * 100_000, every=0.05)

    with storage(slow) as server:
        found = client_of(server.url, timeout=0.3).download_document("file_1", tmp_path / "a")
    assert found.size == 100_000

    retry = RetryPolicy(attempts=1)
    with storage(dripping) as server, pytest.raises(ApiConnectionError):
        client_of(server.url, timeout=0.3, retry=retry).download_document("file_1", tmp_path / "b")
    assert names_in(tmp_path) == ["a"]


def linking_to(url):
    def script(connection):
        while connection.request():
            body = f'{{"download_url": "{url}", "filename": "a"}}'.encode()
            connection.send(head(200, content_length=len(body)) + body)

    return script


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "http://metadata.google.internal/x", "http://other.test/x"]
)
def test_an_address_that_is_not_safe_is_not_fetched(client_of, tmp_path, url):
    with (
        raw_server(linking_to(url)) as server,
        pytest.raises(DownloadNotAllowedError, match="fetched from") as refused,
    ):
        client_of(server.url).download_document("file_1", tmp_path / "a")

    assert not refused.value.retryable
    assert names_in(tmp_path) == []


def test_a_storage_that_is_not_among_the_hosts_is_not_asked(client_of, tmp_path):
    with storage(whole) as server, pytest.raises(DownloadNotAllowedError, match="upload_hosts"):
        client_of(server.url, upload_hosts=["storage.test"]).download_document("file_1", tmp_path / "a")

    assert server.asked == []


def test_a_redirect_is_not_followed(client_of, tmp_path):
    def elsewhere(connection, _):
        connection.send(head(302, location="http://169.254.169.254/", content_length=0))

    with storage(elsewhere) as server, pytest.raises(DownloadRefusedError):
        client_of(server.url).download_document("file_1", tmp_path / "a")


@pytest.mark.parametrize(
    "spelling", [str, lambda folder: f"{folder}/", lambda folder: f"{folder}/new/", Path]
)
def test_in_a_folder_it_has_the_name_that_retab_has_for_it(client_of, tmp_path, spelling):
    with storage(whole, filename="../../etc/pass:wd.pdf") as server:
        found = client_of(server.url).download_document("file_1", spelling(tmp_path))

    assert found.filename == "wd.pdf"
    assert Path(found.place).name == "wd.pdf"
    assert Path(found.place).read_bytes() == CONTENT
    assert Path(found.place).is_relative_to(tmp_path)


def test_a_file_that_is_there_is_replaced_as_a_whole_or_stays(client_of, tmp_path):
    place = tmp_path / "a"
    place.write_bytes(b"before")
    with storage(cut_at(1_000_000)) as server, pytest.raises(ApiConnectionError):
        client_of(server.url, retry=RetryPolicy(attempts=1)).download_document("file_1", place)
    assert place.read_bytes() == b"before"

    with storage(whole) as server:
        client_of(server.url).download_document("file_1", place)
    assert place.read_bytes() == CONTENT
    assert names_in(tmp_path) == ["a"]


def test_a_document_goes_into_an_open_file_once_it_is_whole(client_of):
    stream = io.BytesIO(b"before")
    stream.seek(0, io.SEEK_END)
    with storage(cut_at(1_000_000)) as server, pytest.raises(ApiConnectionError):
        client_of(server.url, retry=RetryPolicy(attempts=1)).download_document("file_1", stream)
    assert stream.getvalue() == b"before"

    with storage(whole) as server:
        client_of(server.url).download_document("file_1", stream)
    assert stream.getvalue() == b"before" + CONTENT


async def awaited(*_): ...


@pytest.mark.parametrize("given", [7, "x", awaited])
def test_progress_that_cannot_be_told_is_refused(client_of, given):
    with storage(whole) as server, pytest.raises(InvalidInputError, match="on_progress"):
        client_of(server.url).download_document("file_1", io.BytesIO(), on_progress=given)

    assert server.links == 0


def test_a_document_is_shown_without_its_address():
    made = DocumentRef(id="file_1", filename="a.pdf", url="https://storage.test/a.pdf?sig=secret")

    assert "secret" not in repr(made) + str(made)
    assert DocumentRef.model_validate(made.model_dump()).url == made.url


class Unbuffered(io.RawIOBase):
    """Takes 64 KiB at a time, or nothing at all."""

    def __init__(self, most):
        self.taken = bytearray()
        self._most = most

    def write(self, piece):
        if len(self.taken) >= self._most:
            return None
        self.taken += piece[: 64 * 1024]
        return min(len(piece), 64 * 1024)


def test_a_file_that_takes_a_part_at_a_time_gets_all_of_it(client_of):
    stream = Unbuffered(2 * len(CONTENT))
    with storage(whole) as server:
        client_of(server.url).download_document("file_1", stream)

    assert stream.taken == CONTENT


def test_a_file_that_takes_no_more_is_said(client_of):
    with storage(whole) as server, pytest.raises(DocumentWriteError, match="temporarily unavailable"):
        client_of(server.url).download_document("file_1", Unbuffered(1024 * 1024))


@pytest.mark.parametrize("to", [None, 7, "", "a\0b", io.StringIO(), b"bytes", object()])
def test_what_is_no_place_is_refused(client_of, to):
    with storage(whole) as server, pytest.raises(InvalidInputError, match=r"^to"):
        client_of(server.url).download_document("file_1", to)

    assert server.asked == []


def test_a_folder_that_is_missing_is_said(client_of, tmp_path):
    with storage(whole) as server, pytest.raises(InvalidInputError, match="no folder"):
        client_of(server.url).download_document("file_1", tmp_path / "missing" / "a")


class Full(io.BytesIO):
    """A disk with room for 2 MB."""

    def write(self, piece):
        if self.tell() + len(piece) > 2_000_000:
            raise OSError(28, "No space left on device")
        return super().write(piece)


def test_a_disk_that_is_full_is_said_and_leaves_nothing(client_of):
    with storage(whole) as server, pytest.raises(DocumentWriteError, match="No space left"):
        client_of(server.url).download_document("file_1", Full())


def test_progress_is_told(client_of, tmp_path):
    told = []
    with storage(whole) as server:
        client_of(server.url).download_document(
            "file_1", tmp_path / "a", on_progress=lambda *news: told.append(news)
        )

    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert len(told) >= 3


def test_an_error_of_the_callers_own_ends_it_and_leaves_nothing(client_of, tmp_path):
    def refuse(*_):
        raise ZeroDivisionError("mine")

    with storage(whole) as server, pytest.raises(ZeroDivisionError, match="mine"):
        client_of(server.url).download_document("file_1", tmp_path / "a", on_progress=refuse)

    assert names_in(tmp_path) == []


def test_a_file_that_is_not_there_is_not_found(client_of, tmp_path):
    with Emulator(api="current") as emulator, pytest.raises(NotFoundError):
        client_of(emulator.url).download_document("file_none", tmp_path / "a")


def test_a_task_that_is_cancelled_leaves_nothing(tmp_path):
    async def fetch(server):
        async with AsyncRetabClient("key-1", server.url, api="current", auth="bearer") as client:
            task = asyncio.ensure_future(client.download_document("file_1", tmp_path / "a"))
            await asyncio.to_thread(server.begun.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    def begun(connection, _):
        connection.send(head(200, content_length=len(CONTENT)) + CONTENT[:100_000])
        connection.wait()

    with storage(begun) as server:
        asyncio.run(fetch(server))

    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.pdf", "a.pdf"),
        ("Rechnung März.pdf", "Rechnung März.pdf"),
        ("/etc/passwd", "passwd"),
        ("..", "document"),
        ("../..", "document"),
        ("a/..", "document"),
        ("", "document"),
        (None, "document"),
        (" . ", "document"),
        ("C:\\Users\\a.pdf", "a.pdf"),
        ("C:a.pdf", "a.pdf"),
        ("a\x00b\n.pdf", "a_b_.pdf"),
        ("\u202egpj.exe", "_gpj.exe"),
        ("nul", "_nul"),
        ("Com1.txt", "_Com1.txt"),
        ('a?*<>|".pdf', "a______.pdf"),
        ("\ud800.pdf", "_.pdf"),
        ("x" * 300 + ".pdf", "x" * 96 + ".pdf"),
        ("é" * 300 + ".pdf", "é" * 48 + ".pdf"),
        ("x" * 300, "x" * 100),
        ("a." + "y" * 300, "a." + "y" * 98),
        (".hidden", "hidden"),
    ],
)
def test_a_name_of_a_server_is_a_name_and_nothing_else(name, kept):
    assert base_name(name) == kept


def two_pages():
    invoice = Path(__file__).parents[1] / "samples" / "documents" / "invoice.pdf"
    writer = pypdf.PdfWriter()
    for _ in range(2):
        writer.append(str(invoice))
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


@pytest.mark.parametrize(
    "api", ["classic", "current", "g1a", "g1b", "g2a", "g2b", "g2c", "g3a", "g3b", "g3c"]
)
def test_documents_that_a_run_made_are_listed_and_come_out(tmp_path, api):
    content = two_pages()
    with Emulator(api=api, speed=100) as emulator, RetabClient("key-1", emulator.url) as client:
        made = {}
        for workflow_id in ("wf_split", "wf_edit"):
            run = client.create_run(workflow_id, documents={"start-node-1": ("a.pdf", content)})
            client.wait_for_run(run.id, poll=PollPolicy(first=0.02, shortest=0.02))
            made[workflow_id] = client.list_documents(run.id)
        invoice, attachments = made["wf_split"]
        [edited] = made["wf_edit"]

        assert [(each.node_id, each.handle) for each in (invoice, attachments, edited)] == [
            ("split-node-1", "output-file-Invoice"),
            ("split-node-1", "output-file-Attachments"),
            ("edit-node-1", "output-file-0"),
        ]
        assert (edited.node_label, edited.document.filename, edited.iteration) == ("Edit", "a edited.pdf", ())
        for each in (invoice, attachments, edited):
            found = client.download_document(each.document, tmp_path)
            written = (tmp_path / each.document.filename).read_bytes()
            assert hashlib.sha256(written).hexdigest() == found.sha256
            assert pypdf.PdfReader(io.BytesIO(written)).pages[0].extract_text()
