"""Answers that never end and answers that are too much: for a read, a create, an upload, a list and a wait."""

import gzip
import zlib

import pytest

from retab_orchestration import errors
from tests.hostile.answers import again, bomb, chunked, coded, drip, encoded, head, http, raw, zipped
from tests.hostile.core.clients import (
    ANY,
    BROKEN,
    CREATE,
    GET_RUN,
    LATE,
    LIST_RUNS,
    OR_GOOD,
    REFUSED,
    UPLOAD,
    WAIT,
)
from tests.hostile.retab import run

BODY = encoded(run())
RUN = http(200, run())
END = b"\r\n"
CHUNKED = "Transfer-Encoding: chunked"

# fmt: off
# What comes back where the server takes its time, and the errors that are right: the client waits for 0.3 seconds.
SLOW = [
    ("no answer", raw(then="stall"), LATE),
    ("no answer, and the request is not read", raw(then="stall", when="head"), LATE),
    ("a status line that stalls", raw(RUN[:9], then="stall"), LATE),
    ("a head that stalls", raw(RUN[:30], then="stall"), LATE),
    ("a body that stalls", raw(RUN[:-9], then="stall"), LATE),
    ("a chunk that stalls", raw(head(200, CHUNKED) + END + b"5\r\nhe", then="stall"), LATE),
    ("chunks that stall", raw(head(200, CHUNKED) + END + b"5\r\nhello\r\n", then="stall"), LATE),
    ("no length, open", raw(head(200) + END + BODY, then="stall"), LATE),
    ("a status line that drips", raw(drip(b"HTTP/1.1 200 " + b"x" * 900)), LATE),
    ("a head that drips", raw(drip(RUN)), LATE),
    ("headers that drip", raw(head(200), again(b"x-a: b\r\n", every=0.1)), LATE),
    ("a body that drips", raw(RUN[:60], drip(RUN[60:] + b" " * 900)), LATE),
    ("a body that drips lines", raw(head(200) + END, again(b"\n", every=0.1)), LATE),
    ("chunks that drip", raw(head(200, CHUNKED) + END, again(b"1\r\n \r\n", every=0.1)), LATE),
    ("a chunk size that drips", raw(head(200, CHUNKED) + END, again(b"0", every=0.1)), LATE),
    (
        "trailers that drip",
        raw(head(200, CHUNKED) + END + chunked([BODY])[:-2], again(b"x-a: b\r\n", every=0.1)),
        LATE,
    ),
    ("gzip that drips", raw(head(200, "Content-Encoding: gzip") + END, drip(zipped(run()) * 9)), LATE),
    ("a flood of 100", raw(again(head(100) + END, every=0.05)), LATE),
    ("a flood of 103", raw(again(head(103, "Link: </x>") + END, every=0.05)), LATE),
    ("1xx without a pause", raw(again(head(100) + END)), (*LATE, *BROKEN)),
    ("a 500 whose body drips", raw(head(500, "Content-Length: 900") + END, drip(b"x" * 900)), ANY),
    ("a 404 whose body drips", raw(head(404, "Content-Length: 900") + END, drip(b"x" * 900)), ANY),
    ("a redirect whose body drips", raw(head(302, "Location: /") + END, drip(b"x" * 900)), ANY),
    ("empty lines that drip", raw(again(END, every=0.1)), (*LATE, *BROKEN)),
]
# More than a process should be made to hold.
MUCH = [
    ("a bomb", coded("gzip", bomb(96)), ANY),
    ("a bomb in deflate", coded("deflate", zlib.compress(bytes(2**26), 9)), ANY),
    ("a bomb in a bomb", coded("gzip, gzip", gzip.compress(bomb(96))), ANY),
    ("a bomb with a 500", coded("gzip", bomb(96), 500), (errors.ServerError,)),
    ("a bomb with a 404", coded("gzip", bomb(96), 404), (errors.NotFoundError,)),
    ("a bomb with a 302", coded("gzip", bomb(96), 302), REFUSED),
    ("a string without an end", raw(head(200) + END + b'"', again(b"x" * 2**16, times=1500)), ANY),
    (
        "chunks without an end",
        raw(head(200, CHUNKED) + END, again(b"10000\r\n" + b" " * 2**16 + END, times=1500)),
        ANY,
    ),
    ("24 MiB of lists", raw(head(200) + END + b"[", again(b"[]," * 2**14, times=500), b"0]"), ANY),
    ("a 500 without an end", raw(head(500) + END, again(b"x" * 2**16, times=1500)), (errors.ServerError,)),
    ("headers without an end", raw(head(200), again(b"x-a: b\r\n" * 99, times=2**14)), BROKEN),
    (
        "trailers without an end",
        raw(head(200, CHUNKED) + END + b"0\r\n", again(b"x-a: b\r\n" * 99, times=2**14)),
        ANY,
    ),
    ("a header without an end", raw(head(200) + b"x-a: ", again(b"x" * 2**16, times=1500)), BROKEN),
]
LISTS = [
    (
        "a page of 5 MiB",
        raw(head(200) + END + b'{"data":[', again(b"{}," * 2**14, times=100), b"{}]}"),
        ANY,
    ),
    ("a page that is a bomb", coded("gzip", bomb(96)), ANY),
]
# fmt: on


def cases():
    yield from GET_RUN.cases(SLOW, timeout=0.3)
    yield from CREATE.cases(SLOW, timeout=0.3)
    yield from LIST_RUNS.cases(SLOW[::4], timeout=0.3)
    yield from UPLOAD.cases(SLOW[::2], timeout=0.3)
    # A wait has at most five seconds for its last look.
    yield from WAIT.cases(
        [(name, answer, (errors.WaitTimeoutError, *right)) for name, answer, right in SLOW], seconds=9
    )
    yield from GET_RUN.cases(MUCH, alone=True, seconds=25)
    yield from LIST_RUNS.cases(LISTS, alone=True, seconds=25)
    yield from UPLOAD.cases(
        [(name, answer, (*right, OR_GOOD)) for name, answer, right in MUCH[-6:]], alone=True, seconds=25
    )


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_an_answer(case, check):
    check(case)
