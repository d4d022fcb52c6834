"""Webhooks of end nodes: only what is signed with the secret is read."""

import base64
import hashlib
import hmac
import json

import pytest

from retab_orchestration.errors import InvalidInputError, WebhookRejectedError
from retab_orchestration.webhooks import SIGNATURE_HEADER, read_webhook

SECRET = "whsec_not_to_be_seen"
CONTENT = b"%PDF-1.7 private"
DOCUMENT = {"filename": "a.pdf", "url": "data:application/pdf;base64," + base64.b64encode(CONTENT).decode()}


def signed(body, secret=SECRET):
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def read(said, **more):
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return read_webhook(body, signed(body), secret=SECRET, **more)


def test_a_signed_webhook_brings_its_document_and_its_values():
    webhook = read({"document": DOCUMENT, "json": {"total": 1}})

    assert (webhook.document.filename, webhook.document.mime_type) == ("a.pdf", "application/pdf")
    assert webhook.document.content == CONTENT
    assert webhook.json == {"total": 1}
    assert "private" not in repr(webhook)
    assert "total" not in repr(webhook)


def test_what_is_no_number_of_json_is_read_as_null():
    assert read(b'{"json": {"a": NaN, "b": -Infinity}}').json == {"a": None, "b": None}


@pytest.mark.parametrize("said", [{}, {"document": None, "json": None}, {"more": 1}])
def test_either_may_be_missing(said):
    assert (read(said).document, read(said).json) == (None, None)


def test_the_signature_may_be_in_capitals_and_has_the_header_of_the_docs():
    body = b"{}"

    assert SIGNATURE_HEADER == "x-retab-signature"
    assert read_webhook(memoryview(body), f" {signed(body).upper()} ", secret=SECRET).json is None


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "0" * 64,
        signed(b"{}", "another secret"),
        signed(b"{} "),
        "sha256=" + signed(b"{}"),
        "é",
        "\ud800",
    ],
)
def test_a_webhook_that_is_not_signed_with_the_secret_is_refused(signature):
    with pytest.raises(WebhookRejectedError, match="signature") as refused:
        read_webhook(b"{}", signature, secret=SECRET)

    assert signed(b"{}") not in str(refused.value)
    assert SECRET not in str(refused.value)
    assert not refused.value.retryable


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"[]",
        b"{",
        b"\xff",
        b"[" * 100_000,
        {"json": [1]},
        {"document": []},
        {"document": {"filename": "a.pdf"}},
        {"document": {**DOCUMENT, "filename": None}},
        {"document": {**DOCUMENT, "url": "https://example.com/private"}},
        {"document": {**DOCUMENT, "url": "data:application/pdf;base64,private!"}},
    ],
)
def test_a_signed_webhook_of_another_form_is_refused_without_repeating_it(said):
    with pytest.raises(WebhookRejectedError, match="is signed, and") as refused:
        read(said)

    assert "private" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_a_webhook_over_the_limit_is_refused_before_it_is_read():
    with pytest.raises(WebhookRejectedError, match="has 12 bytes, more than most_bytes"):
        read(b'{"json": {}}', most_bytes=11)

    assert read(b'{"json": {}}', most_bytes=12).json == {}


@pytest.mark.parametrize(
    ("body", "secret", "what"),
    [
        ("{}", SECRET, "raw bytes"),
        ({}, SECRET, "raw bytes"),
        (b"{}", "", "secret"),
        (b"{}", "\ud800", "secret"),
    ],
)
def test_a_call_that_could_check_nothing_is_refused(body, secret, what):
    with pytest.raises(InvalidInputError, match=what):
        read_webhook(body, "0" * 64, secret=secret)
