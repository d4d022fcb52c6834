"""Documents from every kind of source that is none, fails or changes while it is read."""

import io
import os
import socket
import tempfile
from functools import partial
from pathlib import Path

import pytest

from retab_orchestration import Document, FileReference, errors
from tests.hostile.core.clients import COLOURS, OR_GOOD, calling, is_run
from tests.hostile.harness import Case
from tests.hostile.sources import (
    ADDRESS,
    BIG,
    RAISED,
    SMALL,
    Pipe,
    Store,
    Stream,
    changing,
    content,
    good,
    opened,
    raising,
    returning,
    short,
    thrown,
)

REFUSED = (errors.InvalidInputError,)
NOT_READ = (errors.DocumentReadError, errors.InvalidInputError)
GOOD = ()
MAYBE = (*REFUSED, OR_GOOD)
SOME = (*NOT_READ, OR_GOOD)
# Bytes, and where that many go.
SIZES = {"small": (SMALL, "classic"), "big": (BIG, "current")}


def fifo(path):
    path.unlink()
    os.mkfifo(path)


def folder(path):
    path.unlink()
    path.mkdir()


def link(path):
    path.unlink()
    path.symlink_to(path.name)


def made(act):
    """Return a path in the case's folder at which something was made."""

    def build(world):
        path = world.inside / "a.pdf"
        act(path)
        return path

    return build


def closed(stream):
    stream.close()
    return stream


def bound(path):
    # The name of a socket is short, and that of a folder of tests is not.
    with tempfile.TemporaryDirectory(dir="/tmp") as short_name:
        near = Path(short_name) / "s"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(near))
        near.rename(path)
        listener.close()


class NoClosed:
    """Like a file that is open, as far as it has to be."""

    name = "a.pdf"

    def __init__(self):
        self._stream = io.BytesIO(content(SMALL))
        self.read, self.seek, self.tell = self._stream.read, self._stream.seek, self._stream.tell

    def seekable(self):
        return True


class NoName(io.BytesIO):
    """An open file that raises when it is asked for its name."""

    @property
    def name(self):
        raise RuntimeError(ADDRESS)


class Greedy(io.BytesIO):
    """Has no end, and gives more than it is asked for, so that no piece is a multiple of 3."""

    def read(self, size=-1, /):
        return b"x" * (size + 5)


def failing(when, build, expected=NOT_READ):
    """Return a row for everything that a store raises."""
    return [(f"{name} {when}", partial(build, error=error), expected) for name, error in RAISED.items()]


def giving(what, build, *things):
    """Return a row for each of these values in the place of a right one."""
    return [(f"{what} {thing!a}"[:50], partial(build, thing=thing), NOT_READ) for thing in things]


# What is given as a document.
THINGS = [
    *(
        None,
        True,
        7,
        1.5,
        10**400,
        "a.pdf",
        "",
        "\ud800",
        b"",
        b"bytes",
        bytearray(b"x"),
        memoryview(b"x"),
        [],
        [b"x"],
    ),
    *(
        (),
        ("a",),
        ("a", "b"),
        (b"a", b"b"),
        ("a", b"b", "c"),
        ("", b"x"),
        ("a.pdf", b""),
        (7, b"x"),
        ("\ud800", b"x"),
    ),
    *({}, {"x": 1}, {"content": "x"}, {7: 8}, {"id": ".."}, {"id": "a/b"}, {"id": 7}, {"id": "x" * 9000}),
    *(
        {"url": "x"},
        {"url": "data:,x", "filename": "x"},
        {"url": 7, "filename": "x"},
        {"id": "file_1", "filename": 7},
        {"id": "file_1", "filename": "\ud800"},
        {"id": "file_1", "mime_type": "\ud800"},
        {"url": "https://x/\ud800", "filename": "a"},
    ),
    *(
        object(),
        object,
        io.BytesIO,
        io.StringIO("x"),
        io.BytesIO(b"x"),
        Path,
        iter([b"x"]),
        print,
        Exception("x"),
    ),
    *(
        range(3),
        {b"x"},
        Document(None),
        Document(7),
        Document("a.pdf"),
        Document(b"x"),
        Document(Document(b"x", "a"), "a"),
    ),
    *(
        Document(b"", "a"),
        Document(b"x", ""),
        Document(b"x", 7),
        Document(b"x", "\ud800"),
        Document(b"x", "a", 7),
    ),
    *(Document(b"x", "a", sha256="x"), Document(b"x", "a", sha256=7), Document(b"x", "a", sha256="A" * 64)),
    *(Document(b"x", "a", "\ud800"), Document(b"x", "a", sha256="0" * 64)),
]
NAMES = [
    *(
        "x" * 9000,
        "../../x",
        "/etc/passwd",
        "\r\nX: y",
        "a\x00.pdf",
        "\x1b[31m",
        "\u202e",
        " ",
        ".",
        "r\xe9sum\xe9.pdf",
    ),
    *('a".pdf', "CON"),
]
TYPES = ["", "x", "x" * 9000, "text/html\r\nX: y", "a/b;base64,x", "\x00", "\xe9/\xe9"]
ODD_NAMES = [None, 7, "", b"x", "/", "..", "x" * 9000, ["a"], ADDRESS, "\ud800"]
# As above, made in the case's world, and the errors that are right.
BUILT = [
    *(
        (f"a {type(thing).__name__}, {n}", lambda _, thing=thing: thing, REFUSED)
        for n, thing in enumerate(THINGS)
    ),
    *((f"the name {name!a}"[:40], lambda _, name=name: (name, content(SMALL)), GOOD) for name in NAMES),
    *(
        (f"the type {kind!a}"[:40], lambda _, kind=kind: Document(content(SMALL), "a", kind), MAYBE)
        for kind in TYPES
    ),
    *((f"a file named {n!a}"[:40], lambda _, name=n: Stream(content(SMALL), name), MAYBE) for n in ODD_NAMES),
    *(
        (f"a store named {n!a}"[:40], lambda _, name=n: Store(good(SMALL), name=name), MAYBE)
        for n in ODD_NAMES
    ),
    ("no file", lambda world: world.inside / "none.pdf", REFUSED),
    ("an empty file", made(Path.touch), REFUSED),
    ("a folder", made(Path.mkdir), REFUSED),
    ("a pipe in a folder", made(os.mkfifo), REFUSED),
    ("a socket", made(bound), REFUSED),
    ("a link to itself", made(lambda path: path.symlink_to("a.pdf")), REFUSED),
    ("a link to nowhere", made(lambda path: path.symlink_to("nowhere")), REFUSED),
    ("a link to a device", made(lambda path: path.symlink_to("/dev/zero")), REFUSED),
    ("a file of /proc", lambda _: Path("/proc/self/status"), REFUSED),
    ("our own memory", lambda _: Path("/proc/self/mem"), NOT_READ),
    ("/dev/zero", lambda _: Path("/dev/zero"), REFUSED),
    ("/dev/stdin", lambda _: Path("/dev/stdin"), REFUSED),
    ("NUL in a path", lambda _: Path("/tmp/a\x00b"), REFUSED),
    ("half a surrogate in a path", lambda _: Path("/tmp/\ud800"), REFUSED),
    ("a path of 9,000 characters", lambda _: Path("/tmp/" + "x" * 9000), REFUSED),
    ("a path through a file", lambda _: Path("/etc/passwd/x"), REFUSED),
    ("a reference by id", lambda _: FileReference(id="file_1"), MAYBE),
    ("a file without .closed", lambda _: NoClosed(), GOOD),
    ("a file whose name is none", lambda _: NoName(content(SMALL)), REFUSED),
    ("five more than was asked for", lambda _: Store(good(SMALL), Greedy), NOT_READ),
    ("a closed file", lambda world: closed(made(Path.touch)(world).open("rb")), REFUSED),
    ("a file that is open for writing", lambda world: (world.inside / "x").open("wb"), REFUSED),
    ("one byte at a time", lambda _: Store(short(1)), GOOD),
    ("two bytes at a time", lambda _: Store(short(2)), GOOD),
    ("an empty pipe", lambda _: Pipe(0), REFUSED),
    *giving("a store that opens", lambda _, thing: Store(lambda: thing), None, 7, "x", b"x", [], object, {}),
]
# As above, for a small one and for one that is uploaded.
READ = [
    ("a pipe", Pipe, GOOD),
    *failing("when it is opened", lambda size, error: Store(thrown(error))),
    *failing("when it is opened again", lambda size, error: Store(good(size), thrown(error))),
    *failing("at the first read", lambda size, error: Store(opened(size, read=raising(error)))),
    *failing("at the second read", lambda size, error: Store(opened(size, read=raising(error, 1)))),
    *failing("in an open file", lambda size, error: Stream(content(size), read=raising(error))),
    *failing("in a pipe", Pipe),
    *failing("when it is closed", lambda size, error: Store(opened(size, close=raising(error))), SOME),
    *failing("when it is measured", lambda size, error: Store(opened(size, seek=raising(error)))),
    *failing("at tell", lambda size, error: Stream(content(size), tell=raising(error))),
    *failing("at seekable", lambda size, error: Stream(content(size), seekable=raising(error))),
    *giving(
        "a read of",
        lambda size, thing: Store(opened(size, read=returning(thing))),
        None,
        "text",
        7,
        [b"x"],
        b"",
        True,
    ),
    *giving(
        "a tell of",
        lambda size, thing: Stream(content(size), tell=returning(thing)),
        None,
        "0",
        -1,
        10**30,
        1.5,
    ),
    *giving(
        "a seek to",
        lambda size, thing: Stream(content(size), seek=returning(thing)),
        None,
        "9",
        -1,
        10**30,
        0,
    ),
    ("more every time", lambda size: Store(good(size), good(size + 9)), NOT_READ),
    ("less every time", lambda size: Store(good(size), good(size - 9)), NOT_READ),
    ("nothing the second time", lambda size: Store(good(size), good(0)), NOT_READ),
    ("another the second time", lambda size: Store(good(size), lambda: Stream(b"y" * size)), SOME),
    ("another the third time", lambda size: Store(good(size), good(size), lambda: Stream(b"y" * size)), SOME),
    ("without an end", lambda size: Store(good(size), opened(0, read=returning(b"x" * 9999))), NOT_READ),
    (
        "more than was asked for",
        lambda size: Store(opened(size, read=returning(b"x" * (size + 1)))),
        NOT_READ,
    ),
]
# What becomes of a path once it was looked at.
CHANGES = [
    ("a pipe in its place", fifo, NOT_READ),
    ("a folder in its place", folder, NOT_READ),
    ("a link to itself", link, NOT_READ),
    ("it is gone", Path.unlink, NOT_READ),
    ("it is empty", lambda path: path.write_bytes(b""), NOT_READ),
    ("it is shorter", lambda path: path.write_bytes(b"x" * (SMALL - 1)), NOT_READ),
    ("it is longer", lambda path: path.write_bytes(b"x" * (SMALL + 1)), NOT_READ),
    ("it is another", lambda path: path.write_bytes(b"y" * SMALL), SOME),
]


def sending(colour, api, build):
    def act(world):
        document = build(world)
        call = calling(lambda client: client.create_run("wf_1", documents={"d": document}), colour, api=api)
        return call(world)

    return act


def rows():
    """Yield name, routes, how the document is made, and the errors that are right."""
    for number, (name, build, expected) in enumerate(BUILT):
        yield name, ("classic", "current")[number // 2 % 2], build, expected
    for number, (name, build, expected) in enumerate(READ):
        # A large one takes as long as ten small ones.
        for of_size, (size, api) in list(SIZES.items())[: 1 + number % 2]:
            yield f"{of_size}, {name}", api, lambda _, build=build, size=size: build(size), expected
    for name, then, expected in CHANGES:
        for api in ("classic", "current"):
            yield f"a path: {name}", api, lambda world, then=then: changing(world.inside, then), expected


def cases():
    for number, (name, api, build, expected) in enumerate(rows()):
        # So that both colours have both sizes.
        colour = COLOURS[(number + number // 2) % 2]
        yield Case(
            f"{name}, {api}, {colour}",
            sending(colour, api, build),
            expected=tuple(kind for kind in expected if kind != OR_GOOD),
            right=is_run if not expected or OR_GOOD in expected else None,
        )


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_a_document(case, check):
    check(case)
