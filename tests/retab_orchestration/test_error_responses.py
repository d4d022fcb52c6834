"""The seven forms in which Retab has said no, and the error that each becomes."""

import base64
import json
import pickle
from pathlib import Path
from urllib.parse import quote

import pytest

from retab_orchestration import errors
from retab_orchestration._endpoints.bodies import Embedded, json_body
from retab_orchestration._error_responses import error_of, names_no_route, read_problem, retry_after_of
from retab_orchestration._http import Request, Response
from retab_orchestration.documents import read_document

SAMPLES = Path(__file__).parents[1] / "samples"
MANIFEST = [
    entry for entry in json.loads((SAMPLES / "manifest.json").read_text()) if entry["object"] == "error"
]
REQUEST = Request("GET", "/v1/workflows/runs/run_1")


def error(status, body=b"", **headers):
    return error_of(REQUEST, Response(status, body, headers), run_id="run_1", now=0.0, key="k-secret")


@pytest.mark.parametrize("entry", MANIFEST, ids=lambda entry: entry["file"])
def test_every_sampled_refusal_is_read(entry):
    problem = read_problem((SAMPLES / entry["file"]).read_bytes())

    assert problem.message
    for name, expected in entry["expect"].items():
        assert getattr(problem, name) == expected


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"detail": "Not authenticated"}, "Not authenticated", None),
        ({"detail": "", "message": "bad sort_by", "code": "bad_sort"}, "bad sort_by", "bad_sort"),
        ({"detail": {"code": "C", "message": "M", "details": {"field": "x"}}}, "M", "C"),
        (
            {"detail": {"code": "HTTP_EXCEPTION", "message": "An HTTP", "details": {"error": "No"}}},
            "No",
            "HTTP_EXCEPTION",
        ),
        (
            {
                "detail": {
                    "code": "HTTP_EXCEPTION",
                    "message": "x",
                    "details": {"error": {"code": "c", "message": "m"}},
                }
            },
            "m",
            "c",
        ),
        (
            {"detail": [{"loc": ["body", "limit"], "msg": "too big", "type": "t"}]},
            "limit: too big",
            "validation_error",
        ),
        (
            {"detail": {"code": "SPEC", "message": "bad", "errors": [{"code": "e", "message": "why"}]}},
            "bad; why",
            "SPEC",
        ),
        ({"code": "C", "message": "M", "details": None}, "M", "C"),
        (
            {"status_code": 10422, "message": '[{"loc": ["query", "q"], "msg": "missing"}]', "data": None},
            "query.q: missing",
            "validation_error",
        ),
        ({"status_code": 10422, "message": "plain", "data": None}, "plain", None),
        ({"status_code": 10422, "message": '{"a": 1}', "data": None}, '{"a": 1}', None),
        ({"error": "something unexpected"}, "something unexpected", None),
        ({"detail": ["text", 3]}, "text", "validation_error"),
        ("just text", "just text", None),
        (["a"], "", None),
    ],
)
def test_each_form_gives_its_message_and_code(body, message, code):
    problem = read_problem(json.dumps(body).encode())

    assert (problem.message, problem.code) == (message, code)


def test_text_that_is_not_json_is_shortened():
    problem = read_problem(b"<html>\n bad   gateway" + b"x" * 1000)

    assert problem.message.startswith("<html> bad gateway")
    assert len(problem.message) <= 200


def test_what_was_sent_is_not_repeated():
    body = {
        "detail": [{"loc": ["body"], "msg": "wrong", "type": "t", "input": "SECRET", "ctx": {"x": "SECRET"}}]
    }

    assert "SECRET" not in repr(read_problem(json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.RequestRejectedError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (405, errors.UnsupportedRouteError),
        (409, errors.ConflictError),
        (410, errors.ApiStatusError),
        (413, errors.DocumentTooLargeError),
        (422, errors.RequestRejectedError),
        (429, errors.RateLimitedError),
        (500, errors.ServerError),
        (503, errors.ServerError),
        (302, errors.ApiStatusError),
    ],
)
def test_a_status_becomes_the_error_for_the_callers_next_move(status, kind):
    found = error(status, b'{"detail": "because"}', **{"x-request-id": "req_9"})

    assert type(found) is kind
    assert (found.status, found.run_id, found.request_id) == (status, "run_1", "req_9")
    assert "because" in str(found)
    assert "req_9" in str(found)
    assert f"HTTP {status}" in str(found)


@pytest.mark.parametrize(
    ("status", "body", "lacks"),
    [
        (405, b'{"detail":"Method Not Allowed"}', True),
        (404, b'{"detail":"Not Found"}', True),
        (404, b"404 page not found", True),
        (404, b"", True),
        (404, b'{"detail":"Workflow run not found"}', False),
        (404, b'{"detail":"Not found"}', False),
        (422, b'{"detail":"Not Found"}', False),
    ],
)
def test_a_missing_route_is_told_from_a_missing_thing(status, body, lacks):
    assert names_no_route(Response(status, body)) is lacks
    assert isinstance(error(status, body), errors.UnsupportedRouteError) is lacks


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("1.5", 1.5),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("99999999", 3600.0),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    assert retry_after_of(Response(429, headers={"retry-after": header}), now=10.0) == seconds


@pytest.mark.parametrize(
    ("date", "seconds"), [("Thu, 01 Jan 1970 00:05:00 GMT", 2.0), ("nonsense", 292.0), (None, 292.0)]
)
def test_a_date_to_try_again_at_is_by_the_servers_own_clock(date, seconds):
    headers = {"retry-after": "Thu, 01 Jan 1970 00:05:02 GMT"} | ({} if date is None else {"date": date})

    assert retry_after_of(Response(429, headers=headers), now=10.0) == seconds


def test_an_error_survives_pickling_with_its_facts():
    before = error(429, b'{"detail": "slow down"}', **{"retry-after": "3"})

    found = pickle.loads(pickle.dumps(before))  # noqa: S301  hosts do so with what tasks raise

    assert type(found) is errors.RateLimitedError
    assert (found.retry_after, found.status, str(found)) == (3.0, 429, str(before))


def test_neither_the_key_nor_what_was_sent_is_repeated_whatever_the_form():
    said = "Incorrect API key provided: k-secret"
    sent = {"content": "JVBERi0SECRET", "input": "SECRET", "field": "k-secret"}
    bodies = [
        {"detail": said},
        {"code": "k-secret", "message": said, "details": {"error": said, **sent, "more": [sent]}},
        {"detail": {"code": "C", "message": said, "details": sent}},
        {"error": said},
        said,
    ]
    for body in bodies:
        found = error(401, json.dumps(body).encode())
        shown = f"{found} {found.code} {found.details} {pickle.dumps(found)!r}"
        assert "k-secret" not in shown
        assert "SECRET" not in shown
        assert "***" in str(found)


def test_a_long_refusal_is_cut():
    assert len(str(error(400, json.dumps({"detail": "A" * 5_000_000}).encode()))) < 1500


@pytest.mark.parametrize(
    "body", [b"[" * 200_000, b'{"detail":[{"loc":5,"msg":"x"}]}', b'{"detail":{"details":"x"}}', b"\xff\xfe"]
)
def test_a_refusal_that_makes_no_sense_is_still_a_refusal(body):
    assert error(422, body).status == 422


def test_a_redirect_says_where_to():
    assert "use that as base_url" in str(error(307, b"", location="https://elsewhere"))


@pytest.mark.parametrize(
    "response",
    [
        Response(500, b"x" * 190 + b"rt_secret_key_0123456789 and more"),
        Response(302, b"", {"location": "https://elsewhere.example/?key=rt_secret_key_0123456789"}),
        Response(500, b"{}", {"x-request-id": "rt_secret_key_0123456789"}),
        Response(
            422, b'{"detail": [{"msg": "rt_secret_key_0123456789", "loc": ["rt_secret_key_0123456789"]}]}'
        ),
    ],
)
def test_no_part_of_the_key_is_in_an_error(response):
    error = error_of(Request("GET", "/v1/x"), response, run_id=None, now=0.0, key="rt_secret_key_0123456789")

    told = f"{error} {error.details} {error.request_id} {error.code}"
    assert "rt_secret" not in told


@pytest.mark.parametrize("text", ["a\nERROR b", "a\x1b[31mred", "a\r\x00", "a\u2028b", "a\x9bb"])
def test_what_a_server_says_does_not_end_a_line_or_colour_it(text):
    body = json.dumps({"message": text, "code": text, "details": {text: [text]}}).encode()
    error = error_of(Request("GET", "/v1/x"), Response(500, body), run_id=None, now=0.0, key="k")

    assert f"{error} {error.details} {error.code}".isprintable()


def test_megabytes_from_a_server_are_cut_before_anything_is_done_with_them():
    body = json.dumps({"message": "\n" * 4_000_000}).encode()
    error = error_of(Request("GET", "/v1/x"), Response(500, body), run_id=None, now=0.0, key="k")

    assert len(str(error)) < 3000


KEY = "rt_live/0123+45=6789"
WRITTEN = [
    KEY,
    quote(KEY, safe=""),
    quote(KEY, safe="").lower(),
    quote(quote(KEY, safe=""), safe=""),
    "".join(f"%{ord(character):02X}" for character in KEY),
    KEY.replace("/", "\\/"),
    KEY.replace("/", "\\u002f").replace("+", "\\u002B"),
    json.dumps(json.dumps(KEY.replace("/", "\\/"))),
    KEY.replace("+", "&#43;").replace("/", "&#x2F;"),
    base64.b64encode(KEY.encode()).decode(),
    base64.b64encode(f"{KEY}:".encode()).decode(),
]


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("around", ["{}", "x" * 190 + "{} and more", "x" * 990 + "{}"])
@pytest.mark.parametrize("form", ["text", "message", "JSON in a message", "html"])
def test_the_key_is_struck_out_however_it_is_written(written, around, form):
    text = around.format(written)
    content = {
        "text": text.encode(),
        "message": json.dumps({"message": text, "code": text, "details": [text]}).encode(),
        "JSON in a message": json.dumps({"message": json.dumps({"a": text})}).encode(),
        "html": f"<a href='/x?key={text}'>".encode(),
    }[form]

    error = error_of(Request("GET", "/v1/x"), Response(500, content), run_id=None, now=0.0, key=KEY)

    told = f"{error} {error.details} {error.code}"
    assert "live" not in told
    assert "0123" not in told
    assert base64.b64encode(KEY.encode()).decode()[:8] not in told


INVOICE = b"Invoice INV-7 of ACME Corp, Jane Doe, 1234.56 EUR, 4 High Street" * 20


def asked(content=INVOICE):
    document = read_document(("invoice.txt", content))
    value = {"patient": "Jane Doe, born 1970-01-01", "urgency": "high"}
    payload = {
        "workflow_id": "wf_0123456789abcdefghij",
        "documents": {
            "start-node-1": {"filename": "a-very-long-invoice-name.txt", "content": Embedded("d", document)}
        },
        "json_inputs": {"json-node-1": value},
    }
    return Request("POST", "/v1/workflows/runs", body=json_body(payload))


@pytest.mark.parametrize(
    "echo",
    [
        INVOICE[:64].decode(),
        INVOICE[7:40].decode(),
        INVOICE.decode(),
        base64.b64encode(INVOICE).decode(),
        base64.b64encode(INVOICE).decode()[40:70],
        "Jane Doe, born 1970-01-01",
    ],
)
def test_what_was_sent_is_not_repeated_in_any_field(echo):
    for body in (
        {"detail": f"cannot take: {echo}!"},
        {"detail": [{"loc": ["body", echo], "msg": f"no: {echo}", "type": echo}]},
        {"code": echo, "message": echo, "details": {echo: [echo]}},
    ):
        refused = Response(422, json.dumps(body).encode())
        error = error_of(asked(), refused, run_id=None, now=0.0, key="k" * 20)

        told = f"{error} {error.details} {error.code}"
        assert not [at for at in range(len(echo) - 16) if echo[at : at + 16] in told]


def test_what_is_wrong_with_what_was_sent_is_still_told():
    text = "json-node-1: 'high' is no urgency of workflow wf_0123456789abcdefghij, nor has it start-node-1"
    refused = Response(422, json.dumps({"detail": text}).encode())

    assert text in str(error_of(asked(), refused, run_id=None, now=0.0, key="k" * 20))


@pytest.mark.parametrize("at", [0, 7, 147_400, 700_000])
def test_what_was_sent_of_a_large_request_is_not_repeated_either(at):
    content = b"".join(b"line %d: Invoice of ACME Corp, Jane Doe\n" % number for number in range(20_000))
    echo = content[at : at + 100].decode()
    encoded = base64.b64encode(content).decode()[at : at + 100]
    text = f"no start node start-node-9: {echo.strip()} {encoded} {'and so on ' * 50}"

    error = error_of(
        asked(content),
        Response(422, json.dumps({"detail": text, "code": "no_node"}).encode()),
        run_id=None,
        now=0.0,
        key="k" * 20,
    )

    told = f"{error} {error.details}"
    assert "no start node start-node-9" in told
    assert "no_node" in told
    assert not [start for start in range(len(echo) - 16) if echo[start : start + 16] in told]
    assert not [start for start in range(len(encoded) - 16) if encoded[start : start + 16] in told]
    assert len(error.message) <= 250


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("see https://storage.test/a/b?sig=s3cret&x=1 for it", "see https://storage.test/a/b… for it"),
        ("<HTTPS://user:s3cret@storage.test/a#s3cret>", "<HTTPS://storage.test/a…>"),
        ("a 'https://storage.test?s3cret' b", "a 'https://storage.test…' b"),
        ("https://docs.retab.com/errors is the page", "https://docs.retab.com/errors is the page"),
    ],
)
def test_an_address_is_told_without_what_signs_it(said, shown):
    body = json.dumps({"code": "x", "message": said, "details": [said]}).encode()

    error = error_of(Request("GET", "/v1/x"), Response(400, body), run_id=None, now=0.0, key="k" * 20)

    assert (error.message, error.details) == (shown, [shown])


def test_a_redirect_is_told_without_what_signs_it():
    for place in ("/x?sig=s3cret", "https://storage.test/x?sig=s3cret"):
        error = error_of(REQUEST, Response(302, b"", {"location": place}), run_id=None, now=0.0, key="k" * 20)

        assert "s3cret" not in str(error)
        assert place.partition("?")[0] in str(error)


def test_of_very_many_details_few_are_kept():
    details = [[[[]] * 100] * 100] * 100
    body = json.dumps({"code": "x", "message": "m", "details": details}).encode()

    error = error_of(Request("GET", "/v1/x"), Response(400, body), run_id=None, now=0.0, key="k" * 20)

    assert len(repr(error.details)) < 50_000
