"""One file for several at once: threads that give the same open file, and somebody who writes to what is read."""

import gc
import io
import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from retab_orchestration import Document, InvalidInputError
from retab_orchestration.documents import read_document

PIECE = 3 * 1024
CONTENT = bytes(range(256)) * 256


@pytest.fixture(params=["a file", "bytes", "a file without a buffer"])
def opened(request, tmp_path):
    """An open file that stands at its tenth byte."""
    path = tmp_path / "a.pdf"
    path.write_bytes(CONTENT)
    with {
        "a file": lambda: path.open("rb"),
        "bytes": lambda: io.BytesIO(CONTENT),
        "a file without a buffer": lambda: path.open("rb", buffering=0),
    }[request.param]() as file:
        file.seek(10)
        yield file


def read(file):
    return read_document(Document(file, filename="a.pdf"))


def test_each_reads_an_open_file_whole_whoever_else_reads_it(opened):
    first, one, two = read(opened).chunks(PIECE), [], []
    one.append(next(first))
    second = read(opened).chunks(PIECE)  # measured while the other is in the middle of it
    for piece in second:
        two.append(piece)
        one.append(next(first, b""))
    one.extend(first)

    assert b"".join(one) == b"".join(two) == CONTENT[10:]
    assert opened.tell() == 10


def test_who_stops_reading_moves_nobody_else(opened):
    first, second = read(opened).chunks(PIECE), read(opened).chunks(PIECE)
    next(first)
    two = [next(second), next(second)]
    first.close()

    assert b"".join([*two, *second]) == CONTENT[10:]
    assert opened.tell() == 10


def test_a_signals_handler_that_reads_the_file_spoils_no_piece():
    class Interrupted(io.BytesIO):
        reads = 0

        def read(self, size=-1):
            self.reads += 1
            if self.reads == 2:
                whole.append(b"".join(read(self).chunks(PIECE)))
            return super().read(size)

    whole = []
    whole.append(b"".join(read(Interrupted(CONTENT)).chunks(PIECE)))

    assert whole == [CONTENT, CONTENT]


class Pipe:
    """Can be read once, and lets other threads go on in between."""

    def __init__(self):
        self._content = io.BytesIO(CONTENT)

    def seekable(self):
        return False

    def read(self, _size=-1):
        time.sleep(0.001)
        return self._content.read(1024)


# The copy of what is empty ends with its document.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_pipe_that_two_threads_give_is_whole_or_refused():
    found, pipe = [], Pipe()

    def give():
        try:
            found.append(b"".join(read(pipe).chunks()))
        except InvalidInputError as error:
            found.append(str(error))

    threads = [threading.Thread(target=give) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    gc.collect()

    assert sorted(map(type, found), key=str) == [bytes, str]
    assert CONTENT in found


@pytest.mark.parametrize("descriptor", [None, -1, "x", 10**9])
def test_a_file_whose_descriptor_is_none_is_read_as_it_is(descriptor):
    class Odd(io.BytesIO):
        def fileno(self):
            return descriptor

    assert b"".join(read(Odd(CONTENT)).chunks(PIECE)) == CONTENT


@pytest.mark.parametrize("given", ["path", "file"])
def test_a_file_that_is_written_to_while_it_is_read_is_refused_also_with_the_same_length(tmp_path, given):
    path = tmp_path / "a.pdf"
    path.write_bytes(CONTENT)
    os.utime(path, (1, 1))
    with path.open("rb") as file:
        pieces = read(path if given == "path" else file).chunks(PIECE)
        next(pieces)
        with path.open("r+b") as writing:
            writing.write(CONTENT[::-1])

        with pytest.raises(InvalidInputError, match="changed while it was being read; nothing was created"):
            list(pieces)


def test_a_temporary_file_that_is_written_to_while_it_is_read_is_refused():
    with tempfile.NamedTemporaryFile() as file:
        file.write(CONTENT)
        file.flush()
        file.seek(0)
        os.utime(file.name, (1, 1))
        pieces = read(file).chunks(PIECE)
        next(pieces)
        with Path(file.name).open("r+b") as writing:
            writing.write(CONTENT[::-1])

        with pytest.raises(InvalidInputError, match="changed while it was being read; nothing was created"):
            list(pieces)
