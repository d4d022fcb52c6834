"""Documents whose source breaks off, changes its kind, or says more than it should: what is sent, and what is told."""

import io
import os
import traceback
from pathlib import Path

import pytest

from retab_orchestration import Document, DocumentReadError, FileReference, InvalidInputError
from retab_orchestration.documents import OpenedDocument, read_document

CONTENT = bytes(range(256)) * 2000
SIGNED = "https://user:word@bucket.test/invoice.pdf?X-Amz-Signature=0123456789abcdef"


class Flaky(io.BytesIO):
    """A file that is open; its first reading breaks off in the middle."""

    name = "a.pdf"

    def __init__(self, content, *, sticks=False, seekable=True):
        super().__init__(content)
        self.breaks, self.sticks, self.can_seek, self.broke = True, sticks, seekable, False

    def seekable(self):
        return self.can_seek

    def read(self, size=-1, /):
        if self.breaks and self.tell() >= 100_000:
            self.breaks, self.broke = False, True
            raise OSError(5, SIGNED)
        return super().read(min(size, 100_000) if size >= 0 else 100_000)

    def seek(self, *place):
        if self.sticks and self.broke:
            raise OSError(29, SIGNED)
        return super().seek(*place)


def create(client, document):
    return client.create_run("wf_invoice", documents={"start-node-1": document})


def sent(runtime):
    return [
        request for request in runtime.sent if request.method == "POST" and request.path.endswith("/runs")
    ]


@pytest.mark.parametrize("start", [0, 1000])
def test_an_open_file_that_breaks_off_is_sent_whole_the_next_time(connect, start):
    client, runtime = connect(server="current", api="current", auth="bearer")
    stream = Flaky(CONTENT)
    stream.seek(start)

    with pytest.raises(
        DocumentReadError, match=r"a\.pdf cannot be read any more \(Input/output error\).*try again"
    ):
        create(client, stream)

    assert (stream.tell(), sent(runtime)) == (start, [])
    create(client, stream)
    assert stream.tell() == start
    [file] = runtime.service.state.file_store.files.values()
    assert file.size == len(CONTENT) - start


@pytest.mark.parametrize("stream", [{"sticks": True}, {"seekable": False}])
def test_an_open_file_that_cannot_go_back_is_refused_the_next_time(connect, stream):
    client, runtime = connect(server="current", api="current", auth="bearer")
    stream = Flaky(CONTENT, **stream)

    with pytest.raises(DocumentReadError):
        create(client, stream)
    with pytest.raises(
        InvalidInputError, match=r"broke off while it was read.*open it again, or give its path"
    ):
        create(client, stream)

    assert sent(runtime) == []


def test_a_pipe_that_breaks_off_says_that_it_cannot_be_read_twice():
    with pytest.raises(
        DocumentReadError, match="nothing was created, and it cannot be read twice: open it again"
    ):
        read_document(Flaky(CONTENT, seekable=False))


class Slotted:
    """A file that is open, to which nothing refers weakly, and which knows no `closed`."""

    __slots__ = ("name", "stream")

    def __init__(self):
        self.name, self.stream = "a.pdf", io.BytesIO(b"%PDF-1.4")

    def read(self, size=-1):
        return self.stream.read(size)

    def seek(self, *place):
        return self.stream.seek(*place)

    def tell(self):
        return self.stream.tell()

    def seekable(self):
        return True


def test_an_open_file_need_not_know_whether_it_is_closed():
    document = read_document(Slotted())

    assert b"".join(document.chunks()) == b"".join(document.chunks()) == b"%PDF-1.4"


class Wrong(io.BytesIO):
    name = "a.pdf"

    def __init__(self, **answers):
        super().__init__(b"%PDF-1.4")
        self.answers = answers

    def _answer(self, name, *given):
        answer = self.answers.get(name, getattr(io.BytesIO, name))
        if isinstance(answer, Exception):
            raise answer
        return answer(self, *given) if callable(answer) else answer

    def read(self, *given):
        return self._answer("read", *given)

    def tell(self):
        return self._answer("tell")

    def seek(self, *given):
        return self._answer("seek", *given)

    def seekable(self):
        return self._answer("seekable")


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"read": "text"}, r"gives a string of 4 characters where bytes are read; open it with mode 'rb'"),
        ({"read": None}, "gives None where bytes are read"),
        ({"tell": "start"}, "cannot be measured"),
        ({"tell": RuntimeError(SIGNED)}, r"cannot be measured \(RuntimeError\)"),
        ({"seek": OSError(29, SIGNED)}, r"cannot be measured \(Illegal seek\)"),
        ({"seekable": RuntimeError(SIGNED)}, "cannot be measured"),
    ],
)
def test_an_open_file_that_does_not_answer_as_files_do_is_refused(connect, answers, says):
    client, runtime = connect(server="current", api="current", auth="bearer")

    with pytest.raises(InvalidInputError, match=says) as refused:
        create(client, Wrong(**answers))

    assert runtime.sent == []
    assert SIGNED not in "".join(traceback.format_exception(refused.value))


def test_an_open_file_that_stands_behind_its_end_is_empty():
    stream = io.BytesIO(b"%PDF")
    stream.seek(10)

    with pytest.raises(InvalidInputError, match="is empty"):
        read_document(Document(stream, filename="a.pdf"))


class Swapping(type(Path())):
    """A path at which somebody puts a pipe as soon as it was looked at."""

    def stat(self, **options):
        facts = super().stat(**options)
        self.unlink()
        os.mkfifo(self)
        return facts


@pytest.mark.timeout(20)
def test_a_file_that_becomes_a_pipe_is_never_waited_for(tmp_path):
    place = tmp_path / "a.pdf"
    place.write_bytes(b"%PDF-1.4")
    document = read_document(place)
    place.unlink()
    os.mkfifo(place)

    with pytest.raises(InvalidInputError, match="is a pipe or a device"):
        list(document.chunks())

    place.unlink()
    place.write_bytes(b"%PDF-1.4")
    with pytest.raises(InvalidInputError, match="is a pipe or a device"):
        read_document(Swapping(place))


class Dripping(io.BytesIO):
    def read(self, size=-1, /):
        return super().read(min(size, 1))


def test_reads_of_one_byte_make_no_more_pieces_than_others():
    document = OpenedDocument("x", "y", len(CONTENT), lambda: Dripping(CONTENT))
    whole = OpenedDocument("x", "y", len(CONTENT), lambda: io.BytesIO(CONTENT))

    assert list(document.chunks()) == list(whole.chunks())


class Greedy(io.BytesIO):
    def read(self, size=-1, /):
        return super().read(size + 1 if size > 0 else size)


def test_a_read_that_gives_more_than_it_was_asked_for_spoils_nothing():
    pieces = list(OpenedDocument("x", "y", len(CONTENT), lambda: Greedy(CONTENT)).chunks())

    assert b"".join(pieces) == CONTENT
    assert all(len(piece) % 3 == 0 for piece in pieces[:-1])


@pytest.mark.parametrize("name", ["a\0b.pdf", "a\ud800b.pdf"])
def test_a_path_that_no_system_takes_is_refused(name):
    with pytest.raises(InvalidInputError, match="has a character that no path has") as refused:
        read_document(Path("/tmp") / name)

    assert str(refused.value).isprintable()


@pytest.mark.parametrize("name", ["a\ud800.pdf", "\udcff.pdf"])
def test_a_name_that_cannot_be_sent_is_refused(tmp_path, name):
    with pytest.raises(InvalidInputError, match="a name that is not Unicode; give it one with Document"):
        read_document((name, b"x"))


def test_a_file_whose_name_is_no_unicode_can_be_given_another(tmp_path):
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.pdf"))
    place.write_bytes(b"%PDF")

    with pytest.raises(InvalidInputError, match="not Unicode"):
        read_document(place)
    assert read_document(Document(place, filename="a.pdf")).filename == "a.pdf"


@pytest.mark.parametrize("mime_type", ["text/plain\r\nX: y", "text/é"])
def test_a_mime_type_is_printable(mime_type):
    with pytest.raises(InvalidInputError, match="mime_type must be like application/pdf"):
        read_document(Document(b"x", filename="a", mime_type=mime_type))


@pytest.mark.parametrize("identity", ["..", ".", "a/../b", "a\\b", "a b", "a\n", "%2e%2e?", "a" * 300])
def test_a_reference_is_an_id_and_no_path(identity):
    with pytest.raises(InvalidInputError, match="a file reference's id has a character that no id has"):
        FileReference(id=identity)


class Signed:
    """What can be opened, at an address that is as good as a key."""

    def __init__(self, error=None, name="invoice.pdf?X-Amz-Signature=0123456789abcdef"):
        self.name, self.error = name, error

    def __str__(self):
        return SIGNED

    def open(self, mode):
        if self.error:
            raise self.error
        return io.BytesIO(b"")


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        (
            FileNotFoundError(SIGNED),
            InvalidInputError,
            r"no file https://bucket\.test/invoice\.pdf; check its address",
        ),
        (
            PermissionError(13, SIGNED),
            InvalidInputError,
            r"invoice\.pdf cannot be read.*\(Permission denied\)",
        ),
        (ValueError(SIGNED), InvalidInputError, r"invoice\.pdf cannot be read.*\(ValueError\)"),
        (RuntimeError(SIGNED), DocumentReadError, r"invoice\.pdf cannot be read \(RuntimeError\)"),
        (None, InvalidInputError, r"invoice\.pdf is empty"),
    ],
)
def test_a_signed_address_is_in_no_error(error, kind, says):
    with pytest.raises(kind, match=says) as refused:
        read_document(Signed(error))

    said = "".join(traceback.format_exception(refused.value))
    assert "Signature" not in said
    assert "user" not in said


def test_a_signed_address_is_in_no_error_of_a_later_reading():
    def opened():
        raise FileNotFoundError(2, SIGNED)

    with pytest.raises(DocumentReadError, match="No such file or directory") as refused:
        list(OpenedDocument("a.pdf", "", 4, opened).chunks())

    assert isinstance(refused.value.__cause__, FileNotFoundError)
    assert SIGNED not in "".join(traceback.format_exception(refused.value))
