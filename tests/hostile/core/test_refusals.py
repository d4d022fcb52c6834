"""What a server says with its refusals: the key, the document, escape codes, megabytes, dates of no calendar."""

import json

import pytest

from retab_orchestration import errors
from tests.hostile.answers import deep, said
from tests.hostile.core.clients import CLASSIC, COLOURS, CREATE, GET_RUN, UPLOAD, WAIT, Operation
from tests.hostile.retab import SIGNED

# What a caller sends and no error may repeat.
TEXT = "patient-name-4d1c-do-not-show-me"
SENDS = Operation(
    "create_run with a text",
    "create",
    lambda client: client.create_run(
        "wf_1", json_inputs={"n": TEXT}, documents={"d": ("a.txt", TEXT.encode())}
    ),
    settings=CLASSIC,
    creates=True,
)

# fmt: off
# The body of a refusal, with {key} and {text} in it.
BODIES = [
    '{{"detail": "key {key} is wrong"}}',
    '{{"detail": {{"code": "{key}", "message": "no {key}"}}}}',
    '{{"detail": [{{"loc": ["body", "{key}"], "msg": "{key}", "type": "{key}", "input": "{key}"}}]}}',
    '{{"code": "{key}", "message": "{key}", "details": {{"{key}": ["{key}"]}}}}',
    '{{"error": "{key}"}}',
    '{{"errors": [{{"message": "{key}"}}]}}',
    '{{"status_code": 400, "message": "[{{\\"msg\\": \\"{key}\\", \\"loc\\": [\\"{key}\\"]}}]"}}',
    '{{"code": "HTTP_EXCEPTION", "details": {{"error": {{"message": "{key}", "code": "{key}"}}}}}}',
    '"{key}"',
    "Authorization: Bearer {key}",
    "<html><body>{key}</body></html>",
    "{half}{key}{key}",
    "{half} {key}",
    "{long}{key}{key}",
]
# As above: what was sent must not be told either, where a refusal repeats it.
ECHOES = [
    '{{"detail": [{{"loc": ["body", "n"], "msg": "wrong", "input": "{text}"}}]}}',
    '{{"detail": [{{"loc": ["body"], "msg": "wrong", "ctx": {{"given": "{text}"}}}}]}}',
    '{{"code": "bad", "message": "wrong", "details": {{"input": {{"name": "{text}"}}}}}}',
    '{{"code": "bad", "message": "wrong", "details": {{"body": "{text}", "documents": {{"d": "{text}"}}}}}}',
    '{{"detail": {{"code": "bad", "message": "wrong", "details": [{{"content": "{text}"}}]}}}}',
]
STATUSES = {
    400: errors.RequestRejectedError, 401: errors.AuthenticationError, 403: errors.PermissionDeniedError,
    404: errors.NotFoundError, 405: errors.UnsupportedRouteError, 408: errors.ServerError, 409: errors.ConflictError,
    410: errors.ApiStatusError, 413: errors.DocumentTooLargeError, 418: errors.ApiStatusError,
    422: errors.RequestRejectedError, 429: errors.RateLimitedError, 460: errors.ApiStatusError,
    499: errors.ApiStatusError, 500: errors.ServerError, 502: errors.ServerError, 503: errors.ServerError,
    520: errors.ServerError, 599: errors.ServerError, 301: errors.ApiStatusError, 305: errors.ApiStatusError,
}
# Bodies that say nothing, too much, or what is no text.
TOO_MUCH = [
    b"", b"null", b"[]", b"{}", b"7", b'"x"', b"<html>" * 9999, b"\xff\xfe" * 99, b"\x00" * 999, b"\x1b[2J\r\n" * 99,
    json.dumps({"detail": "\x1b[2J\r\nFAKE LOG LINE"}).encode(), json.dumps({"detail": "x" * 600_000}).encode(),
    json.dumps({"detail": [{"loc": ["\x1b"] * 99, "msg": "\n" * 99}] * 999}).encode(),
    json.dumps({"detail": [{"loc": "text", "msg": 7}, None, 7, [], {"loc": {}, "msg": []}]}).encode(),
    json.dumps({"detail": [{"loc": 7}]}).encode(), json.dumps({"detail": {"code": [], "message": {}}}).encode(),
    json.dumps({"code": "c" * 90_000, "message": "m" * 90_000}).encode(), b'{"detail":{"details":' + deep(600) + b"}}",
    b'{"code":"x","message":"y","details":' + deep(600) + b"}", b'{"details":' + b'{"x":' * 600 + b"1" + b"}" * 601,
    deep(100_000), b'{"status_code": 1, "message": "' + b"[" * 90_000 + b'"}', b'{"detail": 1e999}', b"1" * 5000,
    json.dumps({"code": "HTTP_EXCEPTION", "details": {"error": []}}).encode(), rb'{"detail": "\ud800"}',
    json.dumps({"message": {"a": "b"}, "error": ["c"], "errors": {"d": "e"}}).encode(),
    json.dumps({"detail": "\u202e\u200b\u2028\u0085\x9b31m"}).encode(), json.dumps({"x" * 9000: "\n" * 9000}).encode(),
]
RETRY_AFTER = [
    "Thu, 01 Jan 1970 00:00:00 +99999999999999", "Thu, 01 Jan 1970 00:00:00 -99999999999999", "1e400", "1e10",
    "9" * 5000, "-5", "0", "0x10", "1_000", "\u0665", "nan", "inf", "-inf", "soon", "", "  ", "3, 4", "3;4", "0.1",
    "Sun, 31 Dec 9999 23:59:59 GMT", "Sun, 00 Xyz 0000 99:99:99 GMT", "Mon, 01 Jan 99999 00:00:00 GMT", "Fri",
    "Thu, 01 Jan 1970 00:00:00 GMT", "2026-01-01T00:00:00Z", "1970", "Thu Jan  1 00:00:00 1970", "\x7f", "1\t2",
]
# fmt: on


def filled(template, status):
    def replies(world):
        texts = {"key": world.key, "text": TEXT, "half": "x" * (200 - len(world.key) // 2), "long": "x" * 980}
        body = template.format(**texts).encode()
        refusal = said(status, body, f"x-request-id: {world.key}", f"WWW-Authenticate: Bearer {world.key}")
        return dict.fromkeys(("look", "create"), refusal)

    return replies


def told_cases():
    for number, template in enumerate(BODIES):
        for status in (400, 401, 404, 422, 500):
            row = (f"the key in body {number} of {status}", filled(template, status), (STATUSES[status],))
            yield from GET_RUN.cases([row], [COLOURS[(number + status) % 2]])
    for number, template in enumerate(ECHOES):
        row = (f"the inputs in body {number}", filled(template, 422), (errors.RequestRejectedError,))
        yield from SENDS.cases([row], secrets=(TEXT,))
    for status, kind in STATUSES.items():
        rows = [(f"{status}", said(status, {"detail": "so it is"}), (kind,))]
        yield from GET_RUN.cases(rows)
        yield from CREATE.cases(rows)


def odd_cases():
    for number, body in enumerate(TOO_MUCH):
        yield from GET_RUN.cases(
            [(f"a 422 with body {number}", said(422, body), (errors.RequestRejectedError,))]
        )
        # A wait asks for it many times over.
        if number % 3 == 0:
            row = (
                f"a 500 with body {number}",
                said(500, body),
                (errors.ServerError, errors.WaitTimeoutError),
            )
            yield from WAIT.cases([row], [COLOURS[number % 2]], seconds=9.0)
        row = (f"a 403 with body {number}", said(403, body + SIGNED.encode()), (errors.UploadRefusedError,))
        yield from UPLOAD.cases([row], [COLOURS[number % 2]])
    for number, value in enumerate(RETRY_AFTER):
        refusal = said(429, b"", f"Retry-After: {value.encode().decode('latin-1')}")
        rows = [(f"Retry-After {number}", refusal, (errors.RateLimitedError, errors.ApiConnectionError))]
        yield from GET_RUN.cases(rows)
        if number % 3 == 0:
            rows = [(name, answer, (errors.WaitTimeoutError, *kinds)) for name, answer, kinds in rows]
            yield from WAIT.cases(rows, [COLOURS[number % 2]], seconds=9.0)


def cases():
    yield from told_cases()
    yield from odd_cases()


@pytest.mark.parametrize("case", [*cases()], ids=lambda case: case.name)
def test_a_refusal(case, check):
    check(case)
