"""Answers that are no good HTTP, or that never end: for a read, in both colours."""

import pytest

from retab_orchestration import errors
from tests.hostile.answers import again, bomb, coded, drip, head, http, raw, said, zipped
from tests.hostile.core.clients import COLOURS, GET_RUN, calling
from tests.hostile.harness import Case
from tests.hostile.retab import run

RUN = http(200, run())
BROKEN = (errors.ApiConnectionError, errors.UnreadableAnswerError)
LATE = (errors.ApiTimeoutError,)
UNREADABLE = (errors.UnreadableAnswerError,)
OTHER = (errors.ApiStatusError,)
GOOD = ()

# What comes back, how it is said, and the errors that are right; none means that the run is to be returned.
ANSWERS = [
    ("nothing, closed", raw(), BROKEN),
    ("nothing, reset", raw(then="reset"), BROKEN),
    ("no HTTP", raw(b"SSH-2.0-OpenSSH_9.6\r\n"), BROKEN),
    ("HTTP/0.9", raw(b"{}"), BROKEN),
    ("status 99", raw(head(99) + b"\r\n"), BROKEN),
    ("status 1000", raw(head(1000) + b"\r\n"), BROKEN),
    ("status of letters", raw(head("abc") + b"\r\n"), BROKEN),
    ("204 without a body", said(204), UNREADABLE),
    ("500", said(500), (errors.ServerError,)),
    ("404", said(404, {"detail": "Run not found"}), (errors.NotFoundError,)),
    ("a body that is cut short", raw(RUN[:-5]), BROKEN),
    ("a run", said(200, run()), GOOD),
    ("not JSON", said(200, b"<html>"), UNREADABLE),
    ("gzip", coded("gzip", zipped(run())), GOOD),
    ("gzip that is none", coded("gzip", b"\x1f\x8bnonsense"), UNREADABLE),
]
# As above, where the server takes its time.
SLOW = [
    ("no answer", raw(then="stall"), LATE),
    ("a head that drips", raw(drip(RUN)), LATE),
    ("a body that drips", raw(RUN[:60], drip(RUN[60:] + b" " * 900)), LATE),
    ("a flood of 1xx", raw(again(head(100, reason="Continue") + b"\r\n", every=0.05)), LATE),
]
LARGE = [
    ("a bomb", coded("gzip", bomb(256)), UNREADABLE),
]


def cases():
    for colour in COLOURS:
        for rows, more, settings in (
            (ANSWERS, {}, {}),
            (SLOW, {}, {"timeout": 0.3}),
            (LARGE, {"alone": True, "seconds": 20.0}, {}),
        ):
            for name, answer, expected in rows:
                act = calling(GET_RUN.call, colour, **settings)
                right = None if expected else GET_RUN.right
                yield Case(f"{name}, {colour}", act, {"look": answer}, expected=expected, right=right, **more)


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_an_answer(case, check):
    check(case)
