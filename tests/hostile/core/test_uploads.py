"""Addresses that a server signs for a document: no other method, host, port, scheme or header than a safe one."""

import pytest

from retab_orchestration import errors
from tests.hostile.answers import said
from tests.hostile.core.clients import COLOURS, LARGE, OR_GOOD, PIECE, UPLOAD, told
from tests.hostile.retab import FILE, SIGNED, ticket

NOT_THERE = (errors.ApiError, errors.InvalidInputError)
GOOD = ()

METHODS = [
    *("DELETE", "CONNECT", "GET", "HEAD", "OPTIONS", "TRACE", "PATCH", "PUT /x HTTP/1.1\r\nX: y\r\n\r\nGET"),
    *("PUT ", "P\x00UT", "\u0130", "PUTX", "x" * 9000, 7, ["PUT"], {"a": 1}, True),
]
# {port} is that of a site to which nothing may go.
ADDRESSES = [
    "http://169.254.169.254/latest/meta-data/",
    "http://169.254.169.254:{port}/",
    "http://[fe80::1]:{port}/x",
    "http://metadata.google.internal/x",
    "http://0xA9FEA9FE/x",
    "http://2852039166/x",
    "http://0251.0376.0251.0376/x",
    "http://[::ffff:169.254.169.254]/x",
    "http://169.254.170.2/v2/credentials",
    "http://100.100.100.200/latest",
    "http://0.0.0.0:{port}/x",
    "http://[::]:{port}/x",
    "http://224.0.0.1/x",
    "http://localhost:{port}/x",
    "http://localhost.:{port}/x",
    "HTTP://LOCALHOST:{port}/x",
    "http://lo\u200bcalhost:{port}/x",
    "http://\uff4c\uff4f\uff43alhost:{port}/x",
    "http://[::1]:{port}/x",
    "https://127.0.0.1:{port}/x",
    "ftp://127.0.0.1:{port}/x",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/x",
    "javascript:alert(1)",
    "data:,x",
    "//127.0.0.1:{port}/x",
    "/storage/x",
    "storage/x",
    "",
    " ",
    "http://",
    "http:///x",
    "http://:{port}/x",
    "http://[::1",
    "http://127.0.0.1:99999/x",
    "http://127.0.0.1:0/x",
    "http://127.0.0.1:-1/x",
    "http://127.0.0.1:x/x",
    "http://user:pw@127.0.0.1:{port}/x",
    "http://127.0.0.1:{port}\\@localhost/x",
    "http://127.0.0.1:{port}/x y",
    "http://127.0.0.1:{port}/\r\nHost: x",
    "http://127.0.0.1:{port}/\x00",
    "http://127.0.0.1\t:{port}/",
    "http://127.0.0.1%00.x:{port}/",
    "http://%31%32%37.0.0.1:{port}/x",
    "http://a..b/x",
    "http://" + "a" * 300 + "/x",
    "http://\ud800/x",
    7,
    None,
    [],
    {"url": "http://x"},
    True,
    ...,
]
# The host of base_url, in other words: nobody else hears of the document.
OURS = [
    "http://127.0.0.1:{port}#@localhost/x",
    "http://127.1:{port}/x",
    "http://2130706433:{port}/x",
    "http://[::ffff:127.0.0.1]:{port}/x",
]
HEADERS = [
    {"Transfer-Encoding": "chunked"},
    {"transfer-encoding": "identity"},
    {"Content-Length": "5"},
    {"content-length": "0"},
    {"Content-Length": "4920000, 5"},
    {"Host": "169.254.169.254"},
    {"host": "evil.example"},
    {"Connection": "close, x"},
    {"Expect": "100-continue"},
    {"TE": "trailers"},
    {"Trailer": "x"},
    {"Upgrade": "h2c"},
    {"Keep-Alive": "x"},
    {"Proxy-Authorization": "x"},
    {"Proxy-Connection": "x"},
    {"x\r\ny": "z"},
    {"x": "y\r\nz: w"},
    {"x": "y\nz"},
    {"x": "\x00"},
    {"": "x"},
    {"x y": "z"},
    {"x:": "y"},
    {"\xe9": "x"},
    {"x": "\u20ac"},
    {"x": "\ud800"},
    {"\ud800": "x"},
    {"x": "y" * 2**20},
    {f"x-{n}": "y" for n in range(20_000)},
    {"x": None},
    {"x": ["y"]},
    {"x": {"y": "z"}},
    "text",
    7,
    [1],
    True,
]
FILE_IDS = ["", "..", "../x", "a/b", "a b", "\x00", "\xe9", "x" * 9000, 7, None, [], {}, ..., "\ud800"]
FILES = [
    *(..., None, 7, "x", [], {}, {"filename": "a.pdf"}, {"url": "https://x"}, {**FILE, "url": 7}),
    *({**FILE, "filename": 7}, {**FILE, "url": "data:,x"}, {**FILE, "url": ["x"]}),
]
# What else the answer to the first request has, and the errors that are right.
TICKETS = [
    *((f"the method {told(bad)}", {"uploadMethod": bad}, NOT_THERE) for bad in METHODS),
    *((f"the address {told(bad)}", {"uploadUrl": bad}, NOT_THERE) for bad in ADDRESSES),
    *((f"the headers {told(bad)}", {"uploadHeaders": bad}, NOT_THERE) for bad in HEADERS),
    *((f"the file id {told(bad)}", {"fileId": bad}, NOT_THERE) for bad in FILE_IDS),
    *((f"the file {told(bad)}", {"mimeData": bad}, NOT_THERE) for bad in FILES),
    ("no file name", {"mimeData": {**FILE, "filename": ""}}, (*NOT_THERE, OR_GOOD)),
    ("no url", {"mimeData": {**FILE, "url": ""}}, (*NOT_THERE, OR_GOOD)),
    ("half a surrogate", {"mimeData": {**FILE, "filename": "\ud800"}}, (*NOT_THERE, OR_GOOD)),
    ("POST", {"uploadMethod": "POST"}, (*NOT_THERE, OR_GOOD)),
    ("put in lower case", {"uploadMethod": "put"}, (*NOT_THERE, OR_GOOD)),
    ("no method", {"uploadMethod": None}, GOOD),
    ("the method is missing", {"uploadMethod": ...}, GOOD),
    ("no headers", {"uploadHeaders": None}, GOOD),
    ("the headers are missing", {"uploadHeaders": ...}, GOOD),
    ("a header of a number", {"uploadHeaders": {"x": 7}}, (*NOT_THERE, OR_GOOD)),
    ("headers in pairs", {"uploadHeaders": [["a", "b"]]}, (*NOT_THERE, OR_GOOD)),
    ("our own length", {"uploadHeaders": {"Content-Length": str(len(LARGE)), "x": "y"}}, GOOD),
    ("an authorization", {"uploadHeaders": {"Authorization": SIGNED}}, GOOD),
]
# What says that the bytes are there.
COMPLETED = [
    *({}, [], None, "x", 7, {"url": 7}, {"url": "data:,x"}, {"url": ""}, {"url": "\ud800"}, {"url": ["x"]}),
    *({**FILE, "filename": 7}, {**FILE, "filename": "\ud800"}, {"storageUrl": 7}, {"storageUrl": {"x": "y"}}),
    *({"url": "http://169.254.169.254/x"}, {"url": "x" * 10**6}),
]
# What a storage says to the document.
STORED = [
    ("the signature in a refusal", said(403, f"<Error><Code>X</Code><a>{SIGNED}</a></Error>".encode())),
    ("the signature as a code", said(403, f"<Code>{SIGNED}</Code>".encode())),
    ("the signature in a header", said(500, b"", f"x-request-id: {SIGNED}", f"Location: /?{SIGNED}")),
    ("the document in a refusal", said(400, LARGE[:9000])),
    *((f"{n}", said(n, b"no")) for n in (301, 302, 307, 308, 400, 401, 403, 404, 405, 409, 410, 411, 412)),
    *((f"{n}", said(n, b"no")) for n in (413, 417, 422, 429, 500, 501, 503, 507, 520, 999)),
]


def signed(changes):
    def replies(world):
        def opened(request, _):
            given = {
                name: value.replace("{port}", str(world.other.port)) if isinstance(value, str) else value
                for name, value in changes.items()
            }
            return said(200, ticket(f"http://{request.header('host')}", **given))

        return {"open": opened, "other": said(200, b"")}

    return replies


def cases():
    rows = [(name, signed(changes), expected) for name, changes, expected in TICKETS]
    for number, body in enumerate(COMPLETED):
        answer = {"complete": said(200, body)}
        rows.append((f"completed {number}", lambda _, answer=answer: answer, (*NOT_THERE, OR_GOOD)))
    rows += [(f"stored: {name}", answer, NOT_THERE) for name, answer in STORED]
    for number, row in enumerate(rows):
        yield from UPLOAD.cases([row], [COLOURS[number % 2]], secrets=(PIECE,), timeout=2.0)
    rows = [(f"our host, {told(url)}", signed({"uploadUrl": url}), (*NOT_THERE, OR_GOOD)) for url in OURS]
    yield from UPLOAD.cases(rows, may_stray=True)


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_an_upload(case, check):
    check(case)
