"""Checks of what a caller gave, before anything is sent: ids and the inputs of a run."""

import inspect
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self, TypeAlias

from retab_orchestration._texts import is_id, is_unicode, kind_of
from retab_orchestration.documents import FileReference, OpenedDocument, read_document
from retab_orchestration.errors import InvalidInputError
from retab_orchestration.identity import RunIdentity, checked_metadata, digests_of

__all__ = [
    "JsonValue",
    "NewRun",
    "checked_callback",
    "checked_choice",
    "checked_flag",
    "checked_id",
    "checked_identity",
    "checked_json",
    "checked_pairs",
    "checked_seconds",
    "checked_text",
]

JsonValue: TypeAlias = dict[str, Any] | list[Any] | tuple[Any, ...] | str | int | float | bool | None
"""A JSON value. The type covers the outermost level only; what is inside is checked before anything is sent."""

# Seconds. No clock takes a number with more digits.
_TOO_LONG = 2**53

# Levels of JSON that are left for the body around it, and for the stack below.
_HEADROOM = 100


def checked_id(name: str, value: Any) -> str:
    """Return an id as it is, and as a string where it is of an enumeration, whose text in an address is another one.

    Raises:
        InvalidInputError: It is empty, not a string, or has a character that no id of Retab has.
    """
    if not isinstance(value, str) or not value:
        raise InvalidInputError(f"{name} must be an id, a string that is not empty, not {kind_of(value)}")
    if not is_id(value):
        raise InvalidInputError(
            f"{name} has a character that no id has, or too many; copy the id from Retab again"
        )
    return str.__str__(value)


def checked_text(name: str, value: Any) -> str:
    """Return a string that is not empty, or raise InvalidInputError."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInputError(f"{name} must be a string that is not empty, not {kind_of(value)}")
    return _checked_unicode(name, value)


def _checked_unicode(name: str, text: str) -> str:
    if not is_unicode(text):
        raise InvalidInputError(
            f"{name} has half of a surrogate pair in it, which cannot be sent; decode it anew"
        )
    return str.__str__(text)


def checked_callback(name: str, given: Any) -> Any:
    """Return a callback, or None; raise InvalidInputError if it cannot be called, or must be awaited."""
    if given is None or (callable(given) and not _is_awaited(given)):
        return given
    raise InvalidInputError(f"{name} must be a plain function: it is called, not awaited")


def _is_awaited(given: Any) -> bool:
    while isinstance(given, partial):
        given = given.func
    # Calling an object calls a method of its class.
    call = None if isinstance(given, type) else inspect.getattr_static(type(given), "__call__", None)
    return inspect.iscoroutinefunction(given) or inspect.iscoroutinefunction(call)


def checked_flag(name: str, value: Any) -> bool:
    """Return True or False as it is, or raise InvalidInputError: a string would be taken for True, even "no"."""
    if not isinstance(value, bool):
        raise InvalidInputError(f"{name} must be True or False, not {kind_of(value)}")
    return value


def checked_seconds(name: str, value: Any) -> float | None:
    """Return seconds, or None for no limit; raise InvalidInputError if it is neither."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and value > 0 and (isinstance(value, float) or value < _TOO_LONG)):
        raise InvalidInputError(
            f"{name} must be seconds, more than 0, or None for no limit, not {kind_of(value)}"
        )
    seconds: float | None = value
    return seconds


def checked_choice(name: str, value: Any, allowed: tuple[Any, ...]) -> Any:
    """Return the value if it is one of those allowed, or raise InvalidInputError that lists them."""
    if not isinstance(value, tuple({type(choice) for choice in allowed})) or value not in allowed:
        raise InvalidInputError(f"{name} must be one of {', '.join(map(str, allowed))}, not {kind_of(value)}")
    return str.__str__(value) if isinstance(value, str) else value


def checked_json(name: str, value: Any) -> Any:
    """Return a copy of a JSON value, or raise InvalidInputError that says why it is not one."""
    for _ in range(_HEADROOM):
        value = [value]
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
        return json.loads(text[_HEADROOM:-_HEADROOM], object_pairs_hook=_object)
    except UnicodeEncodeError:
        reason = "half of a surrogate pair is in it"
    except (TypeError, ValueError, RecursionError) as error:
        reason = str(error)
    raise InvalidInputError(
        f"{name} is not JSON: {reason}; give dicts, lists, strings, numbers, booleans, None"
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("two keys of a dict are the same as text, and one of the two would be lost")
    return fields


def _checked_map(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidInputError(f"{name} must map start node ids to values, not be {type(value).__name__}")
    for node in value:
        checked_id(f"a node id in {name}", node)
    return dict(value)


def _json_map(name: str, value: Any) -> dict[str, Any]:
    values = _checked_map(name, value)
    return {node: checked_json(f"{name}[{node!r}]", given) for node, given in values.items()}


def _string_map(name: str, value: Any) -> dict[str, str]:
    texts = _checked_map(name, value)
    for node, text in texts.items():
        if not isinstance(text, str):
            raise InvalidInputError(f"{name}[{node!r}] must be a string, not {type(text).__name__}")
        _checked_unicode(f"{name}[{node!r}]", text)
    return texts


def checked_pairs(name: str, value: Any) -> dict[str, str]:
    """Return a map of strings to strings, or raise InvalidInputError."""
    if not isinstance(value, Mapping) or any(
        not isinstance(part, str) for pair in value.items() for part in pair
    ):
        raise InvalidInputError(f"{name} must map strings to strings")
    return {
        _checked_unicode(f"a key of {name}", key): _checked_unicode(name, text) for key, text in value.items()
    }


def _documents(value: Any) -> dict[str, OpenedDocument | FileReference]:
    documents: dict[str, OpenedDocument | FileReference] = {}
    for node, given in _checked_map("documents", value).items():
        try:
            documents[node] = read_document(given)
        except InvalidInputError as error:
            raise InvalidInputError(f"documents[{node!r}]: {error}") from error.__cause__
    return documents


@dataclass(frozen=True)
class NewRun:
    """Everything that a run starts from, checked; documents are found but not read yet."""

    workflow_id: str
    documents: Mapping[str, OpenedDocument | FileReference] = field(repr=False)
    json_inputs: Mapping[str, Any] = field(repr=False)
    text_inputs: Mapping[str, str] = field(repr=False)
    version: str | None
    metadata: Mapping[str, str] = field(repr=False)
    identity: RunIdentity
    is_tried_again: bool = True
    """Whether another call may have the same identity; a call that was given none has one of its own."""
    parent_run_id: str | None = None
    """The run that this one repeats."""
    to_upload: tuple[str, ...] = ()
    """The start nodes whose documents are uploaded before the create."""
    hashes: Mapping[str, str] = field(default_factory=dict)
    """A short hash of each argument, by its name; empty until they are needed."""

    @classmethod
    def read(
        cls,
        workflow_id: Any,
        *,
        documents: Any = None,
        json_inputs: Any = None,
        text_inputs: Any = None,
        version: Any = None,
        metadata: Any = None,
        identity: Any = None,
    ) -> Self:
        """Check what `create_run` was given; without an identity the call itself is one.

        Raises:
            InvalidInputError: The message names the argument and says what it should be.
        """
        return cls(
            workflow_id=checked_id("workflow_id", workflow_id),
            documents={} if documents is None else _documents(documents),
            json_inputs={} if json_inputs is None else _json_map("json_inputs", json_inputs),
            text_inputs={} if text_inputs is None else _string_map("text_inputs", text_inputs),
            version=None if version is None else checked_id("version", version),
            metadata={} if metadata is None else checked_metadata(checked_pairs("metadata", metadata)),
            identity=RunIdentity.of(uuid.uuid4().hex) if identity is None else checked_identity(identity),
            is_tried_again=identity is not None,
        )

    def fingerprint(self) -> str:
        """Return the hash of everything that the run starts from, 64 hex digits, however its documents are sent.

        It reads documents that were not read yet.
        """
        return self.digests()[0]

    def digests(self) -> tuple[str, dict[str, str]]:
        """Return the fingerprint, and a short hash of each argument by its name; it reads what `fingerprint` does."""
        version = self.version or "production"
        if self.parent_run_id is not None:
            # The address of a stored file may change while its content does not.
            return digests_of({"restart": "restart", "run_id": self.parent_run_id, "version": version})
        documents: dict[str, list[str | None]] = {}
        for node, document in self.documents.items():
            if isinstance(document, OpenedDocument):
                sha256 = document.sha256 or document.hashed().sha256
                documents[node] = [document.filename, document.said_mime_type, sha256]
            else:
                documents[node] = [document.filename, document.id or document.url]
        inputs = {"json_inputs": dict(self.json_inputs), "text_inputs": dict(self.text_inputs)}
        return digests_of(
            {"workflow_id": self.workflow_id, "version": version, "documents": documents, **inputs}
        )


def checked_identity(given: Any) -> RunIdentity:
    """Return an identity as it is, or raise InvalidInputError."""
    if not isinstance(given, RunIdentity):
        raise InvalidInputError(
            f"identity must be a RunIdentity, not {type(given).__name__}; build it with RunIdentity.of"
        )
    return given
