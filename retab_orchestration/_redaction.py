"""Removing from a server's texts what no error may repeat: the key, however it is written, and what was sent."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

from retab_orchestration._http import Body, Request

__all__ = ["NOTHING_SENT", "Sent", "without_key"]

# Bytes up to which a request is read as a whole, for its inputs.
_SEARCHED = 256 * 1024
# Characters of one refusal that are compared with them: the rest of it is left out.
_COMPARED = 4000
# Characters in a row that count as a repetition: what is shorter is a word, or the name of a field.
_REPEATED = 16
# The same of base64, or of anything else without a space that is longer than an id.
_UNBROKEN = re.compile(r"[0-9A-Za-z+/=_-]{48,}")
# Characters of a refusal that are compared with a larger request, which takes some 30 ms for each MiB of it.
_SHORT = 200
# A server's own words for what is wrong, such as `validation_error`.
_NAME = re.compile(r"[a-z_]{0,40}")
_BASE64 = re.compile(r"[0-9A-Za-z+/]+=*")

_INPUTS = frozenset({"documents", "json_inputs", "text_inputs", "modified_data", "reason"})
_NAMES = frozenset({"filename", "mime_type", "id"})


@lru_cache(maxsize=64)
def _pattern(key: str) -> re.Pattern[bytes]:
    """Return a pattern for a key: plain, percent-encoded, escaped for JSON or HTML, in UTF-16, and in base64."""

    def forms(character: str) -> str:
        code = f"{ord(character):02x}"
        return (
            rf"(?:\\{{0,16}}{re.escape(character)}|%(?:25){{0,3}}(?i:{code})|\\{{1,16}}u00(?i:{code})"
            rf"|&#(?:x0{{0,4}}(?i:{code})|0{{0,4}}{ord(character)});)"
        )

    found = r"\x00{0,3}".join(map(forms, key))
    if len(key) >= 12:
        found += "|" + re.escape(base64.b64encode(key.encode()).decode().rstrip("=")[:-1]) + "[0-9A-Za-z+/=]*"
    return re.compile(found.encode())


def without_key(content: bytes, key: str) -> bytes:
    """Return a text without the key; to be called before the text is cut, or a part of the key may stay."""
    return _pattern(key).sub(b"***", content) if key else content


@dataclass(eq=False)
class Sent:
    """What a request had in it that may be confidential, and how much of an answer is compared with it."""

    texts: Callable[[], Iterable[str]] = tuple
    left: int = _COMPARED

    @classmethod
    def of(cls, request: Request) -> "Sent":
        """Find the inputs of a request: documents as they were sent and as text, values, texts, reasons."""
        body = request.body
        if body is None:
            return NOTHING_SENT
        if body.length > _SEARCHED:
            return cls(partial(_streamed, body), _SHORT)
        inputs = [value for name, value in json.loads(b"".join(body.chunks())).items() if name in _INPUTS]
        forms = {form for text in _texts_in(inputs) for form in _forms(text) if len(form) >= _REPEATED}
        return cls(lambda: forms)

    def hidden_in(self, text: str) -> str:
        """Return a server's text without what was sent."""
        if self is NOTHING_SENT or _NAME.fullmatch(text):
            return text
        hidden = _UNBROKEN.sub("…", text)
        if len(hidden) > self.left:
            hidden = hidden[: self.left] + "…"
        self.left -= min(self.left, len(hidden))
        for sent in self.texts() if len(hidden) >= _REPEATED else ():
            hidden = _without(hidden, sent)
        return hidden


NOTHING_SENT = Sent()


def _streamed(body: Body) -> Iterator[str]:
    """Yield a large body piece by piece, and each piece of a document as text: memory does not grow with it."""
    ends = ["", ""]
    for piece in body.chunks():
        plain = piece.decode("latin-1")
        forms = [plain, *list(_forms(plain))[-1:]] if _BASE64.fullmatch(plain) else [plain]
        for number, form in enumerate(forms):
            yield ends[number] + form
            ends[number] = form[-_SHORT:]


def _texts_in(value: Any) -> Iterator[str]:
    todo = [value]
    while todo:
        part = todo.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, Mapping):
            todo += [item for name, item in part.items() if name not in _NAMES]
        elif isinstance(part, list):
            todo += part


def _forms(text: str) -> Iterator[str]:
    """Yield a text as a server may repeat it: as it is, and decoded from base64."""
    yield text
    head, _, encoded = text.rpartition(",")
    if head and not head.startswith("data:"):
        return
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return
    yield encoded
    yield content.decode(errors="replace")
    yield content.decode("latin-1")


def _without(text: str, sent: str) -> str:
    """Replace what a text has in common with another, where that is 16 characters or more.

    A run of 16 characters has one of 8 in it that begins at a multiple of 8.
    """
    step, start, kept = _REPEATED // 2, 0, []
    at = 0
    while at + step <= len(text):
        if text[at : at + step] not in sent:
            at += step
            continue
        first, last = at, at + step
        while last < len(text) and text[first : last + 1] in sent:
            last += 1
        while first > start and text[first - 1 : last] in sent:
            first -= 1
        if last - first >= _REPEATED:
            kept += [text[start:first], "…"]
            start = last
        at = max(last - last % step, at + step)
    return "".join([*kept, text[start:]])
