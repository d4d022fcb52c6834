"""How a body of any generation becomes values: try every name, take the first value of the right type."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from retab_orchestration._texts import LONGEST_ID, is_id, is_unicode, printable

T = TypeVar("T")

Reader = Callable[[Any], Any]
"""Turns a part of a body into a value; returns None for a part of another type."""
Places = tuple[tuple[str, Reader, tuple[tuple[str, ...], ...]], ...]
"""What is read from a body: the name of each value, its reader, and the paths under which it may be."""

# Characters of a server's word for a state, which stands in log lines, and of a cursor; Retab's have about 20 and 30.
_LONGEST_WORD = 100
_LONGEST_CURSOR = 4096

# Keys of an object that are copied and not counted.
_FEW_KEYS = 1000

_OBJECTS = (dict, BaseModel)


class TooManyPartsError(Exception):
    """An answer has more rows, documents and the like than may become values."""


_left: ContextVar[list[int] | None] = ContextVar("_left", default=None)


@contextmanager
def at_most(parts: int) -> Iterator[None]:
    """Let what is read in here have so many parts that become values of their own, some KiB each."""
    token = _left.set([parts])
    try:
        yield
    finally:
        _left.reset(token)


def count(parts: int) -> None:
    """Take note of parts of an answer that become values.

    Raises:
        TooManyPartsError: They are too many. It is no ValueError, of which pydantic would keep one for each part.
    """
    left = _left.get()
    if left is not None:
        left[0] -= parts
        if left[0] < 0:
            raise TooManyPartsError


class Value(BaseModel):
    """A frozen value, built from values that were read already."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Reading(Value):
    """A value that reads itself from any shape in which the API may send it, and from its own dump."""

    _places: ClassVar[Places]
    """Where its attributes are read from."""

    @model_validator(mode="before")
    @classmethod
    def _from_any_shape(cls, body: Any) -> Any:
        return cls._read(dict(body)) if isinstance(body, Mapping) else body

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        return read_places(cls._places, body)


class Answer(Reading):
    """A `Reading` that keeps the body it was read from.

    Attributes:
        raw: The body as the server sent it, with every key of it; not shown, dumped or pickled.
    """

    raw: dict[str, Any] = Field(default_factory=dict, repr=False, exclude=True)

    def __getstate__(self) -> dict[Any, Any]:
        # A pickle ends in somebody's result store, where engine state and document bytes have no business.
        state = super().__getstate__()
        return {**state, "__dict__": {**state["__dict__"], "raw": {}}}

    @model_validator(mode="before")
    @classmethod
    def _from_any_shape(cls, body: Any) -> Any:
        if not isinstance(body, Mapping):
            return body
        body = dict(body)
        raw = mapping(body["raw"]) if "raw" in body else None
        return {**cls._read(body), "raw": raw or body}


def places(**readers: Reader | tuple[Reader, *tuple[str, ...]]) -> Places:
    """Build a table of values by name: a reader with dotted paths, or a reader alone for a value under its own name."""
    named = {name: given if isinstance(given, tuple) else (given, name) for name, given in readers.items()}
    return tuple(
        (name, read, tuple(tuple(path.split(".")) for path in paths))
        for name, (read, *paths) in named.items()
    )


def read_places(places: Places, body: Any) -> dict[str, Any]:
    """Read the values of a table, of each the first that its reader accepts; those that a body lacks are left out."""
    found = {}
    for name, read, paths in places:
        for path in paths:
            value = body
            for key in path:
                # An object of JSON, most often: a page of runs is some ten thousand of these.
                value = (value if isinstance(value, dict) else fields(value)).get(key)
                if value is None:
                    break
            if value is not None and (value := read(value)) is not None:
                found[name] = value
                break
    return found


@cache
def _place_of(read: Reader, paths: tuple[str, ...]) -> Places:
    return places(value=(read, *paths))


def pick(read: Callable[[Any], T | None], body: Any, *paths: str) -> T | None:
    """Return the first value under any of these dotted paths that is of the type which `read` takes."""
    value: T | None = read_places(_place_of(read, paths), body).get("value")
    return value


def fields(value: Any) -> dict[str, Any]:
    """Return the keys and values of an object, of a model as well as of JSON; {} for anything else."""
    if isinstance(value, dict):
        return value
    return value.__dict__ if isinstance(value, BaseModel) else {}


def anything(value: Any) -> Any:
    """Return a JSON value as it is."""
    return value


def text(value: Any) -> str | None:
    """Return a string that is not empty."""
    return str(value) if isinstance(value, str) and value else None


def word(value: Any) -> str | None:
    """Return a string as an error or a log line may show it."""
    return printable(value, _LONGEST_WORD) if isinstance(value, str) and value else None


def cursor(value: Any) -> str | None:
    """Return a cursor.

    Raises:
        ValueError: It cannot be sent back.
    """
    found = text(value)
    if found is not None and (not is_unicode(found) or len(found) > _LONGEST_CURSOR):
        raise ValueError("a cursor in it is none")
    return found


def ident(value: Any) -> str | None:
    """Return an id.

    Raises:
        ValueError: It is a text that no id is: it would be a path, or a part of one, where an id names a file.
    """
    found = text(value)
    if found is not None and not is_id(found):
        raise ValueError("an id in it is none")
    return found


def flag(value: Any) -> bool | None:
    """Return a bool."""
    return value if isinstance(value, bool) else None


def whole(value: Any) -> int | None:
    """Return a whole number, also of one that came with a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isinstance(value, int) else int(value) if math.isfinite(value) else None


def number(value: Any) -> float | None:
    """Return a number, which has an end."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def moment(value: Any) -> datetime | None:
    """Return a time in UTC; one without a zone is taken for UTC."""
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _counted(value: Any) -> dict[str, Any]:
    known = fields(value)
    if len(known) > _FEW_KEYS:
        count(len(known))
    return known


def mapping(value: Any) -> dict[str, Any] | None:
    """Return an object that is not empty."""
    return {key: item for key, item in _counted(value).items() if isinstance(key, str)} or None


def obj(value: Any) -> Any:
    """Return an object that is not empty, JSON or model, as it is."""
    return value if fields(value) else None


def records(value: Any) -> dict[str, Any] | None:
    """Return those items of an object that are objects themselves."""
    found = {key: item for key, item in _counted(value).items() if isinstance(key, str) and is_object(item)}
    count(len(found))
    return found or None


def strings(value: Any) -> dict[str, str] | None:
    """Return those items of an object that are strings."""
    known = _counted(value)
    return {
        key: item for key, item in known.items() if isinstance(key, str) and isinstance(item, str)
    } or None


def rows(value: Any) -> list[Any] | None:
    """Return the objects in a list, None when it has none."""
    if not isinstance(value, list | tuple):
        return None
    count(len(value))
    return [item for item in value if is_object(item)] or None


def texts(value: Any) -> list[str] | None:
    """Return the strings in a list, None when it has none."""
    return [item for item in value if text(item)] or None if isinstance(value, list | tuple) else None


def node_ids(value: Any) -> list[str] | None:
    """Return the ids of nodes in a list, as an error or a log line may show them; None when it has none."""
    return [printable(item, LONGEST_ID) for item in texts(value) or ()] or None


def is_object(value: Any) -> bool:
    """Tell whether a value has keys: a JSON object or a model."""
    return isinstance(value, _OBJECTS)
