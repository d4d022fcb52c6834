"""Answers that are no good HTTP, that never end, or that are too much; each in both colours."""

import gzip
import zlib

import pytest

from tests.hostile.answers import (
    chunked,
    coded,
    deep,
    encoded,
    head,
    http,
    raw,
    said,
    zipped,
)
from tests.hostile.core.clients import (
    ANY,
    BROKEN,
    COLOURS,
    CREATE,
    GET_RUN,
    OR_GOOD,
    REFUSED,
    UNREADABLE,
    UPLOAD,
    WAIT,
)
from tests.hostile.retab import run

BODY = encoded(run())
RUN = http(200, run())
END = b"\r\n"
SIZE = f"Content-Length: {len(BODY)}"
CHUNKED = "Transfer-Encoding: chunked"
GOOD = ()


# fmt: off
# What comes back, how it is said, and the errors that are right; none means that the run is to be returned.
STATUS_LINES = [
    ("nothing, closed", raw(), BROKEN),
    ("nothing, reset", raw(then="reset"), BROKEN),
    ("closed before the request is read", raw(when="head"), BROKEN),
    ("reset before the request is read", raw(when="head", then="reset"), BROKEN),
    ("an empty line", raw(END + END), BROKEN),
    ("no HTTP", raw(b"SSH-2.0-OpenSSH_9.6\r\n"), BROKEN),
    ("HTTP/0.9", raw(b"{}"), BROKEN),
    ("the beginning of TLS", raw(b"\x15\x03\x01\x00\x02\x02\x28"), BROKEN),
    ("an HTTP/2 preface", raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)), BROKEN),
    ("HTTP/3.0", raw(head(200, SIZE, version="HTTP/3.0") + END + BODY), (*BROKEN, OR_GOOD)),
    ("HTTP/1.0", raw(head(200, SIZE, version="HTTP/1.0") + END + BODY), GOOD),
    ("HTTP/1.0 without a length", raw(head(200, version="HTTP/1.0") + END + BODY), GOOD),
    ("http/1.1 in lower case", raw(head(200, SIZE, version="http/1.1") + END + BODY), BROKEN),
    ("status 99", raw(head(99) + END), BROKEN),
    ("status 000", raw(head("000") + END), BROKEN),
    ("status 1000", raw(head(1000) + END), BROKEN),
    ("status -1", raw(head(-1) + END), BROKEN),
    ("status of letters", raw(head("abc") + END), BROKEN),
    ("status 2_0", raw(head("2_0") + END), BROKEN),
    ("status in Arabic digits", raw(b"HTTP/1.1 \xd9\xa2\xd9\xa0\xd9\xa0 OK\r\n\r\n"), BROKEN),
    ("no status", raw(b"HTTP/1.1\r\n\r\n"), BROKEN),
    ("no reason", raw(head(200, SIZE, reason="") + END + BODY), GOOD),
    ("a reason of 9 KB", raw(head(200, SIZE, reason="x" * 9000) + END + BODY), GOOD),
    ("a reason with escape codes", raw(head(500, "Content-Length: 0", reason="\x1b[2Jx") + END), ANY),
    ("a reason that is not ASCII", raw(head(200, SIZE, reason="\xfcber") + END + BODY), GOOD),
    ("a status line of 2 MiB", raw(b"HTTP/1.1 200 " + b"x" * 2**21), BROKEN),
    ("two status lines", raw(head(200) + head(200, SIZE) + END + BODY), BROKEN),
    ("line ends without CR", raw(RUN.replace(b"\r\n", b"\n")), GOOD),
    ("status 600", said(600, b"x"), REFUSED),
    ("status 999", said(999, b"x"), REFUSED),
    ("101", raw(head(101, "Upgrade: h2c", "Connection: Upgrade") + END + BODY), ANY),
    ("100 and no more", raw(head(100) + END), BROKEN),
    ("102, 103, then the run", raw(head(102) + END + head(103, "Link: </x>") + END + RUN), GOOD),
    ("204", said(204), UNREADABLE),
    ("204 with a body", raw(head(204, SIZE) + END + BODY), ANY),
    ("205", said(205), UNREADABLE),
    ("206", said(206, run()), GOOD),
    ("304", said(304), REFUSED),
    ("226", said(226, run()), GOOD),
]
HEADERS = [
    ("a header of 60 KB", said(200, run(), "x-much: " + "x" * 60_000), GOOD),
    ("a header of 2 MiB", said(200, run(), "x-much: " + "x" * 2**21), BROKEN),
    ("20,000 headers", said(200, run(), *["x-a: b"] * 20_000), BROKEN),
    ("a folded header", said(200, run(), "x-a: b\r\n c"), GOOD),
    (
        "a fold at the very first",
        raw(b"HTTP/1.1 200 OK\r\n folded: x\r\n" + RUN.partition(b"\r\n")[2]),
        BROKEN,
    ),
    ("a header without a colon", said(200, run(), "nonsense"), BROKEN),
    ("a header without a name", said(200, run(), ": x"), BROKEN),
    ("a space before the colon", said(200, run(), "x-a : b"), BROKEN),
    ("NUL in a header", said(200, run(), "x-a: \x00"), BROKEN),
    ("CR in a header", said(200, run(), "x-a: b\rc"), BROKEN),
    ("a name that is not ASCII", said(200, run(), "x-\xe9: b"), BROKEN),
    ("a value that is not ASCII", said(200, run(), "x-a: \xe9\xff"), GOOD),
    ("Set-Cookie", said(200, run(), "Set-Cookie: a=b; Domain=.com; Path=/"), GOOD),
    ("a content type of no charset", said(200, run(), "Content-Type: text/html; charset=nonsense"), GOOD),
    ("Connection: close, and more", said(200, run(), "Connection: close, upgrade", "Upgrade: h2c"), GOOD),
    ("a request id of 100 KB", said(500, b"", "x-request-id: " + "r" * 60_000), ANY),
    ("a request id with escape codes", said(500, b"", "x-request-id: \x1b[31mred"), ANY),
    ("Alt-Svc", said(200, run(), 'Alt-Svc: h3=":443"; ma=2592000'), GOOD),
    ("a header that ends the answer", raw(head(200, SIZE)), BROKEN),
    ("half a header", raw(b"HTTP/1.1 200 OK\r\nContent-Len"), BROKEN),
]
FRAMING = [
    ("no length, closed", raw(head(200) + END + BODY), GOOD),
    ("no length, reset", raw(head(200) + END + BODY[:9], then="reset"), BROKEN),
    ("a body that is cut short", raw(RUN[:-5]), BROKEN),
    ("a body that is reset", raw(RUN[:-5], then="reset"), BROKEN),
    ("a length that is too short", raw(head(200, "Content-Length: 10") + END + BODY), UNREADABLE),
    ("length 0", raw(head(200, "Content-Length: 0") + END + BODY), UNREADABLE),
    ("a negative length", raw(head(200, "Content-Length: -1") + END + BODY), BROKEN),
    ("a length with a sign", raw(head(200, f"Content-Length: +{len(BODY)}") + END + BODY), BROKEN),
    ("a length in hex", raw(head(200, f"Content-Length: {len(BODY):#x}") + END + BODY), BROKEN),
    ("a length of letters", raw(head(200, "Content-Length: many") + END + BODY), BROKEN),
    ("a length of 10^18", raw(head(200, f"Content-Length: {10**18}") + END + BODY), ANY),
    ("a length of 10^400", raw(head(200, f"Content-Length: 1{'0' * 400}") + END + BODY), BROKEN),
    ("a length of 5,000 digits", raw(head(200, f"Content-Length: {'9' * 5000}") + END + BODY), BROKEN),
    ("two lengths that agree", raw(head(200, SIZE, SIZE) + END + BODY), GOOD),
    ("two lengths that do not", raw(head(200, SIZE, "Content-Length: 5") + END + BODY), BROKEN),
    ("a list of lengths", raw(head(200, f"{SIZE}, {len(BODY)}") + END + BODY), GOOD),
    ("chunked", raw(head(200, CHUNKED) + END + chunked([BODY[:9], BODY[9:]])), GOOD),
    ("chunks of a byte", raw(head(200, CHUNKED) + END + chunked([bytes([b]) for b in BODY])), GOOD),
    (
        "chunked and a length",
        raw(head(200, CHUNKED, SIZE) + END + chunked([BODY])),
        (*BROKEN, OR_GOOD),
    ),
    ("chunked twice", raw(head(200, CHUNKED, CHUNKED) + END + chunked([BODY])), BROKEN),
    ("chunked, identity", raw(head(200, f"{CHUNKED}, identity") + END + chunked([BODY])), BROKEN),
    ("another transfer encoding", raw(head(200, "Transfer-Encoding: gzip") + END + zipped(run())), BROKEN),
    ("a chunk of size -1", raw(head(200, CHUNKED) + END + b"-1\r\nx\r\n"), BROKEN),
    ("a chunk of size xyz", raw(head(200, CHUNKED) + END + b"xyz\r\nx\r\n"), BROKEN),
    ("a chunk of 10^30", raw(head(200, CHUNKED) + END + b"f" * 30 + b"\r\nx\r\n"), BROKEN),
    (
        "a chunk size of 1 MiB",
        raw(head(200, CHUNKED) + END + b"0" * 2**20 + b"5\r\nhello\r\n0\r\n\r\n"),
        BROKEN,
    ),
    (
        "chunk extensions",
        raw(head(200, CHUNKED) + END + b"%x;a=b\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)),
        GOOD,
    ),
    (
        "a chunk extension of 1 MiB",
        raw(head(200, CHUNKED) + END + b"5;" + b"x" * 2**20 + b"\r\nhello"),
        BROKEN,
    ),
    ("no last chunk", raw(head(200, CHUNKED) + END + chunked([BODY])[:-5]), BROKEN),
    ("trailers", raw(head(200, CHUNKED) + END + chunked([BODY])[:-2] + b"x-a: b\r\n\r\n"), GOOD),
    (
        "trailers of 2 MiB",
        raw(head(200, CHUNKED) + END + chunked([BODY])[:-2] + b"x-a: b\r\n" * 2**18),
        BROKEN,
    ),
    ("HTTP/1.0, chunked", raw(head(200, CHUNKED, version="HTTP/1.0") + END + chunked([BODY])), (*BROKEN, OR_GOOD)),
    ("two answers", raw(RUN + RUN), GOOD),
    ("an answer and nonsense", raw(RUN + b"nonsense" * 99), GOOD),
    ("an answer before the request is read", raw(RUN, when="head"), GOOD),
    ("a 500 before the request is read", raw(http(500), when="head"), ANY),
]
ENCODINGS = [
    ("gzip", coded("gzip", zipped(run())), GOOD),
    ("x-gzip", coded("x-gzip", zipped(run())), (*UNREADABLE, OR_GOOD)),
    ("GZIP", coded("GZIP", zipped(run())), GOOD),
    ("deflate", coded("deflate", zlib.compress(BODY)), GOOD),
    ("raw deflate", coded("deflate", zlib.compress(BODY)[2:-4]), GOOD),
    ("identity", coded("identity", BODY), GOOD),
    ("an empty encoding", coded("", BODY), GOOD),
    ("gzip that is none", coded("gzip", b"\x1f\x8bnonsense"), UNREADABLE),
    ("gzip that is plain", coded("gzip", BODY), UNREADABLE),
    ("gzip that is cut short", coded("gzip", zipped(run())[:-20]), UNREADABLE),
    ("gzip with a wrong check", coded("gzip", zipped(run())[:-8] + bytes(8)), UNREADABLE),
    ("gzip and nonsense behind it", coded("gzip", zipped(run()) + b"nonsense"), (*UNREADABLE, OR_GOOD)),
    ("two gzip members", coded("gzip", gzip.compress(BODY[:9]) + gzip.compress(BODY[9:])), UNREADABLE),
    ("gzip of nothing", coded("gzip", b""), UNREADABLE),
    ("gzip in gzip", coded("gzip, gzip", gzip.compress(zipped(run()))), (*UNREADABLE, OR_GOOD)),
    ("thirty encodings", coded(", ".join(["gzip"] * 30), zipped(run())), UNREADABLE),
    ("br that is none", coded("br", b"nonsense"), UNREADABLE),
    ("zstd that is none", coded("zstd", b"nonsense"), UNREADABLE),
    ("an unknown encoding", coded("rot13", BODY), (*UNREADABLE, OR_GOOD)),
    ("a broken 500", coded("gzip", b"nonsense", 500), ANY),
    ("a broken 404", coded("gzip", b"nonsense", 404), ANY),
]
BODIES = [
    ("nothing", said(200, b""), UNREADABLE),
    ("HTML", said(200, b"<html>Sign in to continue</html>"), UNREADABLE),
    ("half of JSON", said(200, BODY[:-9]), UNREADABLE),
    ("two of JSON", said(200, BODY + BODY), UNREADABLE),
    ("NaN", said(200, b"NaN"), UNREADABLE),
    ("Infinity", said(200, b"-Infinity"), UNREADABLE),
    ("lone surrogates", said(200, rb'"\ud800"'), UNREADABLE),
    ("UTF-16", said(200, BODY.decode().encode("utf-16")), (*UNREADABLE, OR_GOOD)),
    ("UTF-8 with a mark", said(200, b"\xef\xbb\xbf" + BODY), (*UNREADABLE, OR_GOOD)),
    ("Latin-1", said(200, b'{"id": "\xe9"}'), UNREADABLE),
    ("NUL", said(200, bytes(99)), UNREADABLE),
    ("a number of 5,000 digits", said(200, b"1" * 5000), UNREADABLE),
    ("a number of 10^400", said(200, b"1e400"), UNREADABLE),
    ("lists 100,000 deep", said(200, deep(100_000)), UNREADABLE),
    ("objects 50,000 deep", said(200, b'{"id":' * 50_000), UNREADABLE),
    ("a key twice", said(200, b'{"id": "run_2", ' + BODY[1:]), GOOD),
    ("JSON lines", said(200, BODY + b"\n" + BODY), UNREADABLE),
    ("a callback", said(200, b"cb(" + BODY + b")"), UNREADABLE),
]
# fmt: on
READ = [*STATUS_LINES, *HEADERS, *FRAMING, *ENCODINGS, *BODIES]
# One of each way in which an answer is lost, for what is not a read; a name that is gone is missed.
LOST = [
    *("nothing, closed", "nothing, reset", "no HTTP", "status of letters", "two status lines", "204", "304"),
    *("status 999", "a header without a colon", "a header that ends the answer", "a body that is cut short"),
    *(
        "a negative length",
        "two lengths that do not",
        "a chunk of size xyz",
        "no last chunk",
        "gzip that is none",
    ),
    *("HTML", "half of JSON", "lists 100,000 deep", "NaN"),
]
# A storage may say whatever it wants with its yes.
STORED = {"204", "HTML", "half of JSON", "lists 100,000 deep", "NaN"}
BY_NAME = {row[0]: row for row in READ}
ROWS = [BY_NAME[name] for name in LOST]


def redirects():
    """Yield what is said of another place: nobody goes there, and nothing of it is told but where it is."""
    for status in (300, 301, 302, 303, 307, 308, 399):
        yield f"{status} to another host", status, "{other}/v1/workflows/runs/run_1"
    for name, place in {
        "itself": "{site}/v1/workflows/runs/run_1",
        "a path": "/v1/workflows/runs/run_1",
        "nowhere": "",
        "a host by name": "//localhost:{port}/x",
        "https": "https://127.0.0.1:{port}/x",
        "a file": "file:///etc/passwd",
        "a metadata service": "http://169.254.169.254/latest/meta-data",
        "the key": "{other}/?api_key={key}",
        "the key, quoted": "{other}/?q=%22{key}%22",
        "a user": "http://user:{key}@127.0.0.1:{port}/x",
        "60 KB": "/" + "x" * 60_000,
        "escape codes": "/\x1b[31mred",
        "no address": "http://[::1",
        "javascript": "javascript:alert(1)",
    }.items():
        yield f"302 to {name}", 302, place


def redirected(operation, colours=COLOURS):
    for name, status, place in redirects():

        def replies(world, status=status, place=place):
            where = place.format(other=world.other.url, site="http://x", port=world.other.port, key=world.key)
            return {operation.role: said(status, b"", f"Location: {where}")}

        yield from operation.cases([(name, replies, REFUSED)], colours)


def cases():
    yield from GET_RUN.cases(READ)
    yield from CREATE.cases(ROWS)
    yield from WAIT.cases(ROWS, seconds=12.0)
    yield from UPLOAD.cases(
        [(name, answer, () if name in STORED else (*right, OR_GOOD)) for name, answer, right in ROWS]
    )
    yield from redirected(GET_RUN)
    yield from redirected(CREATE, ["blocking"])
    yield from redirected(UPLOAD, ["awaiting"])


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_an_answer(case, check):
    check(case)
