"""The webhooks of classic end nodes: whether one was signed with the secret, and what it brings.

Such a webhook names no run, and it may be lost. So it can wake up whoever waits for a run, and the run is read then.
"""

import base64
import hashlib
import hmac
import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from retab_orchestration._texts import is_unicode, kind_of
from retab_orchestration.errors import InvalidInputError, WebhookRejectedError

__all__ = ["SIGNATURE_HEADER", "EndNodeWebhook", "WebhookDocument", "read_webhook"]

SIGNATURE_HEADER = "x-retab-signature"
"""The header with the signature: the HMAC-SHA256 of the raw body, in hexadecimal digits."""

MOST_BYTES = 32 * 1024 * 1024
"""Bytes that a webhook's body may have unless told otherwise."""

_DATA_URI = re.compile(
    r"data:(?P<type>[^;,\s]{0,255})(?:;[^,;\s]{0,255}){0,8};base64,", re.ASCII | re.IGNORECASE
)


@dataclass(frozen=True)
class WebhookDocument:
    """A document that an end node sent along.

    Attributes:
        filename: Its name as the sender says it, which is no path: take its last part, or a name of your own.
    """

    filename: str
    mime_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class EndNodeWebhook:
    """What an end node has sent: a document, a JSON object, or both."""

    document: WebhookDocument | None = None
    json: dict[str, Any] | None = field(default=None, repr=False)


def read_webhook(
    body: bytes, signature: str | None, *, secret: str, most_bytes: int = MOST_BYTES
) -> EndNodeWebhook:
    """Read a webhook of a classic end node, if it was signed with the secret.

    Args:
        body: The raw body, as it arrived, before anything has parsed it.
        signature: The value of the header `x-retab-signature`; None where it is missing.
        secret: The webhook secret of your organisation.
        most_bytes: Bytes that the body may have.

    Raises:
        WebhookRejectedError: Answer 401 or 400 and do nothing else: it has too many bytes, no signature or a wrong one,
            or it is not what an end node sends.
        InvalidInputError: The body is not in bytes, or there is no secret.

    Source: the End (Webhook) node of Retab's workflows.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise InvalidInputError(f"body must be the raw bytes of the request, not {kind_of(body)}")
    if not isinstance(secret, str) or not secret or not is_unicode(secret):
        raise InvalidInputError("secret must be the webhook secret; without one, nobody's signature is right")
    if len(body) > most_bytes:
        raise WebhookRejectedError(f"the webhook has {len(body)} bytes, more than most_bytes ({most_bytes})")
    if not isinstance(signature, str) or not signature:
        raise WebhookRejectedError(f"the webhook has no signature in {SIGNATURE_HEADER}")
    signed = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(signed.encode(), signature.strip().lower().encode("utf-8", "replace")):
        raise WebhookRejectedError("the signature is not that of this body and this secret")
    return _read(bytes(body))


def _read(body: bytes) -> EndNodeWebhook:
    try:
        said = json.loads(body, parse_constant=lambda _: None)  # NaN and Infinity are no JSON
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise WebhookRejectedError("the webhook is signed, and is not a JSON object")
    values = said.get("json")
    if values is not None and not isinstance(values, dict):
        raise WebhookRejectedError("the webhook is signed, and its json is not an object")
    return EndNodeWebhook(_document(said.get("document")), values)


def _document(said: Any) -> WebhookDocument | None:
    if said is None:
        return None
    filename, url = (said.get("filename"), said.get("url")) if isinstance(said, dict) else (None, None)
    head = _DATA_URI.match(url) if isinstance(url, str) else None
    if not isinstance(filename, str) or not isinstance(url, str) or head is None:
        raise WebhookRejectedError(
            "the webhook is signed, and its document is not a filename with a data URI"
        )
    content: bytes | None = None
    with suppress(ValueError):
        content = base64.b64decode(url[head.end() :], validate=True)
    if content is None:  # outside of the `with`, whose error may hold a part of the document
        raise WebhookRejectedError("the webhook is signed, and its document is not base64")
    return WebhookDocument(filename, head["type"] or "text/plain", content)
