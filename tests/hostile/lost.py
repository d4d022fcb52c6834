"""One answer of each way in which answers are bad, for what stands above the client."""

from tests.hostile.answers import again, coded, deep, drip, head, http, raw, said, zipped
from tests.hostile.retab import page, run

RUN = http(200, run())

# Role by role: what a host's task is answered.
LOST = {
    "nothing, closed": raw(),
    "nothing, reset": raw(then="reset"),
    "no HTTP": raw(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "status 999": said(999, b"x"),
    "HTML": said(200, b"<html>Sign in to continue</html>"),
    "nothing in it": said(200),
    "half a body": raw(RUN[:-9]),
    "lists 100,000 deep": said(200, deep(100_000)),
    "NaN": said(200, b"NaN"),
    "a number of 5,000 digits": said(200, b"1" * 5000),
    "broken gzip": coded("gzip", b"\x1f\x8bnonsense"),
    "a folded header": said(200, run(), "x-a: b\r\n c"),
    "two lengths": raw(head(200, "Content-Length: 5", "Content-Length: 6") + b"\r\nhello!"),
    "a redirect": said(302, b"", "Location: http://169.254.169.254/"),
    "401": said(401, {"detail": "Invalid key"}),
    "403": said(403, {"detail": "\x1b[2J\r\nFAKE"}),
    "404": said(404, {"detail": "Run not found"}),
    "409": said(409, {"detail": {"code": "x" * 90_000, "message": "y" * 90_000}}),
    "422, deep": said(422, b'{"detail":{"details":' + deep(600) + b"}}"),
    "429 of another time": said(429, b"", "Retry-After: Thu, 01 Jan 1970 00:00:00 +99999999999999"),
    "500": said(500, b"x" * 500_000),
    "null": said(200, None),
    "a list": said(200, []),
    "a text": said(200, "run_1"),
    "a page": said(200, page(run())),
    "no id": said(200, {"status": "completed"}),
    "no state": said(200, {"id": "run_1"}),
    "an unknown state": said(200, {**run(), "status": "\x1b[31mred" + "x" * 9000}),
    "outputs of a text": said(200, {**run(), "final_outputs": "text"}),
    "outputs of numbers": said(200, {**run(), "final_outputs": {"n": 7, "../../x": {"json_data": "\ud800"}}}),
    "an error of 1 MB": said(200, run("error", error={"message": "x" * 10**6, "category": ["y"]})),
    "an error with escape codes": said(200, run("error", error={"message": "\x1b[2J\r\nFAKE"})),
    "nodes that are none": said(
        200, run("waiting_for_human", waiting_for_node_ids=["\x1b[31m", 7, None, "x" * 9000])
    ),
}
# As above, where it takes its time; the client waits for 0.3 seconds.
SLOW = {
    "no answer": raw(then="stall"),
    "a head that drips": raw(drip(RUN)),
    "a body that drips": raw(RUN[:60], drip(RUN[60:] + b" " * 900)),
    "a flood of 1xx": raw(again(head(100) + b"\r\n", every=0.05)),
    "gzip that drips": raw(head(200, "Content-Encoding: gzip") + b"\r\n", drip(zipped(run()) * 9)),
    "chunks that drip": raw(
        head(200, "Transfer-Encoding: chunked") + b"\r\n", again(b"1\r\n \r\n", every=0.1)
    ),
}
# No ids; {folder} is one in which nothing may be written but in its folder `inside`.
NO_IDS = [
    *(
        "../evil",
        "{folder}/evil",
        "..",
        ".",
        "/",
        "a/b",
        "a\\b",
        "a b",
        "evil\x00",
        "e\nvil",
        "\xe9vil",
        "x" * 300,
        "",
        " ",
    ),
    *(
        "..\\evil",
        "~/evil",
        "file:///{folder}/evil",
        "evil?x",
        "evil#x",
        None,
        7,
        True,
        ["evil"],
        {"id": "evil"},
    ),
]
# Ids all right, and yet odd as the name of a file.
ODD_IDS = [
    "%2e%2e%2fevil",
    "con",
    "-rf",
    "$HOME",
    "*",
    "run_1.json",
    "...x",
    "a:b",
    "|x",
    "`x`",
    "evil;x",
    "'\"",
]


def identified(bad, folder):
    """Return a completed run with this for an id."""
    known = bad.replace("{folder}", str(folder)) if isinstance(bad, str) else bad
    return {**run(), "id": known}
