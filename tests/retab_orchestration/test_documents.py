import base64
import hashlib
import io
import json
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from retab_orchestration import Document, DocumentReadError, FileReference, InvalidInputError
from retab_orchestration._endpoints.bodies import Embedded, json_body
from retab_orchestration.documents import OpenedDocument, read_document
from retab_orchestration.models import DocumentRef


@pytest.fixture
def pdf(tmp_path):
    path = tmp_path / "invoice.pdf"
    path.write_bytes(b"%PDF-1.4 hello")
    return path


def content(document):
    return b"".join(document.chunks())


def test_a_path(pdf):
    document = read_document(pdf)

    assert (document.filename, document.mime_type, document.size) == ("invoice.pdf", "application/pdf", 14)
    assert content(document) == content(document) == b"%PDF-1.4 hello"


def test_a_pair_of_name_and_bytes():
    document = read_document(("a.png", b"\x89PNG"))

    assert (document.filename, document.mime_type, content(document)) == ("a.png", "image/png", b"\x89PNG")


def test_an_open_file_is_read_from_where_it_stands_and_stays_open(pdf):
    with pdf.open("rb") as stream:
        stream.seek(5)

        document = read_document(stream)

        assert (document.filename, document.size) == ("invoice.pdf", 9)
        assert content(document) == content(document) == b"1.4 hello"
        assert not stream.closed


def test_a_stream_without_a_name_takes_the_one_it_is_given():
    document = read_document(Document(io.BytesIO(b"abc"), filename="x.bin", mime_type="text/csv"))

    assert (document.filename, document.mime_type, content(document)) == ("x.bin", "text/csv", b"abc")


def test_a_pipe_is_kept_for_a_second_sending():
    reading, writing = os.pipe()
    os.write(writing, b"through a pipe")
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        document = read_document(Document(pipe, filename="p.txt"))

    assert document.size == 14
    assert content(document) == content(document) == b"through a pipe"


def test_anything_with_open_and_a_name(tmp_path):
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("inner.pdf", b"inside")

    document = read_document(zipfile.Path(archive, "inner.pdf"))

    assert (document.filename, document.mime_type, content(document)) == (
        "inner.pdf",
        "application/pdf",
        b"inside",
    )


def test_an_unknown_ending_is_a_stream_of_bytes():
    assert read_document(("a.unheardof", b"x")).mime_type == "application/octet-stream"


def test_a_file_reference_is_taken_as_it_is():
    reference = FileReference(id="file_1")

    assert read_document(reference) is reference
    assert read_document(
        {"file_id": "file_1", "filename": "a.pdf", "mime_type": "application/pdf"}
    ) == FileReference(id="file_1", filename="a.pdf", mime_type="application/pdf")
    assert (
        read_document({"filename": "a", "url": "https://storage.retab.com/x"}).url
        == "https://storage.retab.com/x"
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("invoice.pdf", "pathlib.Path"),
        (b"bytes", r"\(filename, bytes\)"),
        (("only-name",), r"\(filename, bytes\)"),
        (("name", "text"), r"\(filename, bytes\)"),
        ((3, b"x"), r"\(filename, bytes\)"),
        (7, "pathlib.Path"),
        (None, "pathlib.Path"),
        (("a.pdf", b""), "empty"),
        (io.StringIO("text"), "'rb'"),
        (io.BytesIO(b"nameless"), "no name"),
        (Path("/nowhere/at/all.pdf"), "no file"),
        ({}, "id"),
        ({"id": 7}, "id must be a string"),
        ({"id": "f", "content": "abc"}, "content"),
        ({"url": "https://x"}, "filename"),
        ({"url": "data:a;base64,AAAA", "filename": "a"}, "data:"),
        (zipfile.Path, "pathlib.Path"),
        (Document(b"x", filename="a", mime_type=5), "strings"),
        (Document(b"x", filename=5), "strings"),
    ],
)
def test_what_is_no_document_is_refused_with_a_way_out(given, says):
    with pytest.raises(InvalidInputError, match=says):
        read_document(given)


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="directory"):
        read_document(tmp_path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    # A name that the system cannot look up stands for every OSError: the tests may run as root, who reads anything.
    with pytest.raises(InvalidInputError, match="permissions"):
        read_document(tmp_path / ("x" * 5000))


def test_a_closed_file_is_refused(pdf):
    stream = pdf.open("rb")
    stream.close()

    with pytest.raises(InvalidInputError, match="closed"):
        read_document(stream)


class Broken:
    name = "broken.pdf"

    def __init__(self, error):
        self.error = error

    def open(self, mode):
        raise self.error


@pytest.mark.parametrize(
    ("error", "says"), [(FileNotFoundError("x"), "no file"), (PermissionError("x"), "cannot be read")]
)
def test_an_object_that_does_not_open_is_refused(error, says):
    with pytest.raises(InvalidInputError, match=says):
        read_document(Broken(error))


def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(InvalidInputError, match="pipe"):
        read_document(tmp_path / "pipe")


class Unseekable:
    name = "stream.pdf"

    def open(self, mode):
        return os.fdopen(os.pipe()[0], "rb")


def test_an_object_whose_stream_cannot_be_measured_is_refused():
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_document(Unseekable())


def test_a_file_that_is_gone_when_it_is_sent_is_noticed(pdf):
    document = read_document(pdf)
    pdf.unlink()

    with pytest.raises(DocumentReadError, match="any more") as gone:
        content(document)

    assert gone.value.retryable


def test_a_document_of_another_run_is_a_reference():
    assert read_document(DocumentRef(id="file_1", filename="a.pdf")) == FileReference(
        id="file_1", filename="a.pdf"
    )
    assert read_document({"id": None, "file_id": "file_1"}).id == "file_1"


def test_a_file_that_grows_or_shrinks_while_it_is_sent_is_noticed(pdf):
    document = read_document(pdf)

    for changed in (b"shorter", b"much longer than it was before"):
        pdf.write_bytes(changed)
        with pytest.raises(InvalidInputError, match="changed"):
            content(document)


class Dribbling(io.BytesIO):
    def read(self, size=-1, /):
        return super().read(min(size, 2) if size >= 0 else size)


def test_base64_of_short_reads_is_the_base64_of_the_whole():
    data = bytes(range(256)) * 3
    document = OpenedDocument("x", "y", len(data), lambda: Dribbling(data))
    body = json_body({"d": Embedded("d", document, "data:,")})

    sent = json.loads(b"".join(body.chunks()))

    assert base64.b64decode(sent["d"].removeprefix("data:,")) == data
    assert document.hashed().sha256 == hashlib.sha256(data).hexdigest()
    assert len(b"".join(body.chunks())) == body.length


def test_memory_does_not_grow_with_the_document(tmp_path):
    path = tmp_path / "large.bin"
    with path.open("wb") as stream:
        stream.truncate(64 * 1024 * 1024)
    body = json_body({"document": Embedded("document", read_document(path))})

    tracemalloc.start()
    length = sum(map(len, body.chunks()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert length == body.length > 64 * 1024 * 1024
    assert peak < 4 * 1024 * 1024
