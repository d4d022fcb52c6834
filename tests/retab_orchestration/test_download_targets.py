"""The places that documents are written to: whole or not at all, and an error that says what to do."""

import asyncio
import errno
import gc
import io
import os
import subprocess
import sys
import tempfile
import threading

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from dev.hosts.processes import wait_until
from retab_orchestration import AsyncRetabClient, DocumentWriteError, InvalidInputError
from retab_orchestration._download_places import open_in_folder, open_target
from retab_orchestration._download_targets import part_size
from tests.retab_orchestration.raw_server import answering, ok, raw_server

MIB = 1024 * 1024
PIECE = os.urandom(MIB)


@pytest.fixture(autouse=True)
def memory():
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]
    return filesystem


def write(target, count=7):
    for _ in range(count):
        target.write(PIECE)


def names_in(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


# A disk


def test_nothing_is_seen_before_the_end_and_a_discarded_one_leaves_nothing(tmp_path):
    target = open_target(tmp_path / "a", None)
    write(target)
    assert not (tmp_path / "a").exists()
    target.discard()
    assert names_in(tmp_path) == []


def test_one_that_nobody_has_any_more_leaves_nothing(tmp_path):
    write(open_target(tmp_path / "a", None))
    gc.collect()

    assert names_in(tmp_path) == []


async def test_one_that_is_opened_while_its_call_is_cancelled_leaves_nothing(tmp_path, monkeypatch):
    opened, cancelled = asyncio.Event(), threading.Event()
    loop, fdopen = asyncio.get_running_loop(), os.fdopen

    def slow(*args):
        loop.call_soon_threadsafe(opened.set)
        cancelled.wait(30)
        return fdopen(*args)

    monkeypatch.setattr(os, "fdopen", slow)
    link = ok(b'{"download_url": "http://127.0.0.1:9/x", "filename": "a"}')
    with raw_server(answering(link)) as server:
        async with AsyncRetabClient("key-1", server.url, api="current", auth="bearer") as client:
            task = asyncio.ensure_future(client.download_document("file_1", tmp_path / "a"))
            await opened.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert len(names_in(tmp_path)) == 1
    cancelled.set()

    await asyncio.to_thread(wait_until, lambda: names_in(tmp_path) == [], timeout=30.0, what="the file")


FULL = """
import resource, sys
from retab_orchestration import RetabError
from retab_orchestration._download_places import open_target
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
to = eval(sys.argv[1])
try:
    target = open_target(to, None)
    for _ in range(40):
        target.write(b"x" * 100_000)
    target.commit()
except RetabError as error:
    target.discard()
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("to", "place", "advice"),
    [
        ("sys.argv[2] + '/a'", "/a ", "give another place"),
        ("open(sys.argv[2] + '/a', 'wb')", "a temporary file", "set TMPDIR"),
        ("'memory://a'", "a temporary file", "set TMPDIR"),
    ],
)
def test_a_disk_that_takes_no_more_is_reported_and_nothing_is_left(tmp_path, to, place, advice):
    done = subprocess.run(
        [sys.executable, "-c", FULL, to, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.startswith("DocumentWriteError the document could not be written to")
    assert place in done.stdout
    assert os.strerror(errno.EFBIG) in done.stdout
    assert "nothing is left there" in done.stdout
    assert advice in done.stdout
    assert [path.stat().st_size for path in tmp_path.iterdir()] in ([], [0])


def test_a_folder_that_may_not_be_written_to_is_reported(tmp_path):
    # A folder without permissions is none for root: a file in the place of a folder is for everybody.
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(DocumentWriteError, match="Not a directory"):
        open_in_folder(tmp_path / "a", ("run_1", "b"))


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="pipe or a device"):
        open_target(tmp_path / "pipe", None)


def test_a_link_is_replaced_by_the_document_in_its_folder(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"mine")
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    target = open_target(tmp_path / "a", None)
    write(target, 1)
    target.commit()

    assert (tmp_path / "a").read_bytes() == PIECE
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


@pytest.mark.parametrize("scheme", ["file", "local"])
def test_an_address_of_this_disk_is_a_path(tmp_path, scheme):
    target = open_target(f"{scheme}://{tmp_path}/a", None)
    write(target, 1)

    assert target.commit() == str(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == PIECE


# An open file


class Short(io.RawIOBase):
    """A file without a buffer: it may take less than it is given."""

    def __init__(self, room=10**9):
        self.taken, self.room = b"", room

    def write(self, piece):
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = piece[: min(100_000, self.room)]
        self.taken, self.room = self.taken + part, self.room - len(part)
        return len(part)


def test_a_file_that_takes_less_than_it_is_given_gets_the_rest():
    stream = Short()
    target = open_target(stream, None)
    write(target, 2)
    target.commit()

    assert stream.taken == PIECE * 2


def test_a_file_that_cannot_be_cut_may_have_a_part_and_the_error_says_so():
    target = open_target(Short(room=300_000), None)
    write(target, 2)
    with pytest.raises(DocumentWriteError, match=r"a part of it may be left there: make room"):
        target.commit()


class Full(io.BytesIO):
    """A disk with room for 2 MB."""

    def write(self, piece):
        if self.tell() + len(piece) > 2_000_000:
            super().write(piece[: 2_000_000 - self.tell()])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(piece)


def test_a_file_is_cut_where_it_ended_before():
    stream = Full()
    stream.write(b"before")
    target = open_target(stream, None)
    write(target, 2)
    with pytest.raises(DocumentWriteError, match=r"No space left.*nothing is left there: make room"):
        target.commit()

    assert (stream.getvalue(), stream.tell()) == (b"before", 6)


def test_a_file_that_was_not_at_its_end_keeps_what_is_behind():
    stream = Full(b"x" * 1_999_999)
    target = open_target(stream, None)
    write(target, 2)
    with pytest.raises(DocumentWriteError, match="a part of it may be left there"):
        target.commit()

    assert len(stream.getvalue()) == 2_000_000


def test_a_file_of_the_system_has_everything_before_the_result(tmp_path):
    with (tmp_path / "a").open("wb") as stream:
        target = open_target(stream, None)
        target.write(b"a few bytes")
        assert target.commit() == str(tmp_path / "a")
        assert (tmp_path / "a").read_bytes() == b"a few bytes"


def test_a_file_that_is_closed_is_reported(tmp_path):
    stream = (tmp_path / "a").open("wb")
    stream.close()
    target = open_target(stream, None)
    with pytest.raises(DocumentWriteError, match="ValueError"):
        target.commit()


# Other filesystems


def test_an_object_is_there_once_it_is_whole(memory):
    target = open_target("memory://bucket/", "a.pdf")
    write(target)
    assert memory.find("/") == []

    assert target.commit() == "memory://bucket/a.pdf"
    assert memory.cat("/bucket/a.pdf") == PIECE * 7
    assert memory.find("/") == ["/bucket/a.pdf"]


class AtItsEnd(AbstractBufferedFile):
    """An object that is there, as far as it goes, when it is closed; it knows of no commit."""

    def _initiate_upload(self):
        self.parts = b""

    def _upload_chunk(self, final=False):
        self.fs.fail_after(len(self.parts))
        self.parts += self.buffer.getvalue()
        if final:
            self.fs.objects[self.path] = self.parts
        return True


class Elsewhere(AbstractFileSystem):
    """A filesystem that fails once after some bytes, with what it is given."""

    protocol = "elsewhere"
    cachable = False
    objects = {}  # noqa: RUF012
    most, failure = 10**9, ()

    def _open(self, path, mode="rb", block_size=None, autocommit=True, cache_options=None, **kwargs):
        return AtItsEnd(self, path, mode, block_size=block_size, autocommit=autocommit)

    def fail_after(self, size):
        if size > self.most:
            type(self).most = 10**9  # once: what is closed later would be there
            raise self.failure[0](*self.failure[1:])


class Streams(Elsewhere):
    """A filesystem whose files know neither commit nor discard, as Arrow's: what is written is there at once."""

    protocol = "streams"

    def _open(self, path, mode="rb", **kwargs):
        outer = self

        class Stream(io.BytesIO):
            def write(self, piece):
                outer.fail_after(len(self.getvalue()))
                outer.objects[path] = self.getvalue() + piece
                return super().write(piece)

        return Stream()

    def rm_file(self, path):
        del self.objects[path]


@pytest.fixture(params=[Elsewhere, Streams])
def elsewhere(request, monkeypatch):
    kind = request.param
    fsspec.register_implementation(kind.protocol, kind, clobber=True)
    monkeypatch.setattr(kind, "objects", {})
    return kind


def test_filesystems_that_know_no_commit_have_it_once_it_is_closed(elsewhere):
    target = open_target(f"{elsewhere.protocol}://bucket/a", None)
    write(target, 13)
    target.commit()

    assert list(elsewhere.objects.values()) == [PIECE * 13]


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ((OSError, errno.ENOSPC, "x"), "No space left on device.*nothing is left there: make room"),
        (
            (PermissionError, errno.EACCES, "https://s3.test/?X-Amz-Signature=abc"),
            "see that this process may write",
        ),
        ((FileNotFoundError, errno.ENOENT, "no bucket"), "its bucket, first"),
        ((FileNotFoundError,), r"\(FileNotFoundError\).*its bucket, first"),
        ((RuntimeError, "https://s3.test/?X-Amz-Signature=abc"), r"\(RuntimeError\).*try again"),
    ],
)
def test_whatever_a_filesystem_raises_it_is_one_error_and_nothing_is_left(
    elsewhere, monkeypatch, failure, told
):
    monkeypatch.setattr(elsewhere, "most", 6 * MIB)
    monkeypatch.setattr(elsewhere, "failure", failure)
    target = open_target(f"{elsewhere.protocol}://user:secret@host/a?signature=abc", None)
    write(target, 20)
    with pytest.raises(DocumentWriteError, match=told) as caught:
        target.commit()
    target.discard()
    shown = f"{caught.value} {caught.value.__cause__} {caught.value.__cause__!r}"
    caught.value.__context__ = caught.value.__cause__ = None
    del target, caught
    gc.collect()  # what nobody has any more is closed

    assert elsewhere.objects == {}
    assert "secret" not in shown
    assert "ignature" not in shown


def test_a_result_has_no_password():
    fsspec.register_implementation("elsewhere", Elsewhere, clobber=True)
    target = open_target("elsewhere://user:secret@host/a", None)

    assert target.commit() == "elsewhere://host/a"


class Folders(LocalFileSystem):
    """A filesystem with folders, which are not there of themselves."""

    protocol = "folders"


def test_folders_for_a_run_are_made_where_there_are_folders(tmp_path):
    fsspec.register_implementation("folders", Folders, clobber=True)
    target = open_in_folder(f"folders://{tmp_path}", ("run_1", "node_1", "a.pdf"))
    write(target)
    target.commit()

    assert (tmp_path / "run_1" / "node_1" / "a.pdf").read_bytes() == PIECE * 7


class Buckets(MemoryFileSystem):
    """A filesystem with buckets: what is made above a key is a bucket."""

    protocol = "buckets"
    store, pseudo_dirs, made = {}, [""], []

    def _open(self, path, mode="rb", **kwargs):
        raise FileNotFoundError(errno.ENOENT, "no such bucket")

    def mkdir(self, path, create_parents=True, **kwargs):
        self.made.append((path, create_parents))


def test_no_bucket_is_created_for_an_address_with_a_mistake():
    fsspec.register_implementation("buckets", Buckets, clobber=True)
    target = open_in_folder("buckets://mistake", ("run_1", "node_1", "a.pdf"))
    with pytest.raises(DocumentWriteError, match="bucket, first"):
        target.commit()

    assert {parents for _, parents in Buckets.made} == {False}
    assert all("run_1" in path for path, _ in Buckets.made)


@pytest.mark.parametrize(
    ("size", "part"), [(0, 5), (1, 5), (40_000, 5), (45_000, 5), (45_001, 10), (200_000, 25)]
)
def test_an_object_is_sent_in_parts_of_which_there_are_not_too_many(size, part):
    assert part_size(size * MIB) == part * MIB


def test_a_filesystem_that_nobody_knows_is_said():
    with pytest.raises(InvalidInputError, match="nowhere://"):
        open_target("nowhere://user:secret@host/a", None)


def test_a_temporary_file_that_cannot_be_made_is_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(DocumentWriteError, match="set TMPDIR"):
        open_target("memory://a", None)
