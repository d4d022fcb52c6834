"""The tables of docs/api.md, and what the names in their columns stand for."""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

import retab_orchestration
from retab_orchestration import AsyncRetabClient, RetabClient, RunFilter, models

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "api.md"
DOCUMENTED = json.loads((ROOT / "tests" / "samples" / "pages" / "documented.json").read_text())
PLACES = ("header", "path", "query", "body", "answer")

_REFERENCE = re.compile(
    r'(?P<root>[A-Za-z]+)(?P<path>(?:\.\w+|\[\]|\["\w+"\])*)'
    r'(?:\((?P<parameter>\w+)=(?P<given>"[^"]*"|\d+)?\)| == "(?P<word>\w+)")?'
)
# Names of a reference to a document that the client has under another.
_OURS = {"file_id": "id"}
_STEP = re.compile(r'\.(\w+)|(\[\])|\["(\w+)"\]')


@dataclass(frozen=True)
class Row:
    """One row of a table: what a page names, and where it is found."""

    page: str
    place: str
    """`operation`, one of PLACES, in which a value stands where its field does."""
    name: str
    value: str | None
    columns: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str, str, str | None]:
        return self.page, self.place, self.name, self.value

    @property
    def client(self) -> str | None:
        """The name in the client, None where there is none."""
        cell = self.columns["client"].strip("`")
        return None if cell == "-" else cell

    @property
    def is_emulated(self) -> bool:
        return self.columns["emulator"] == "yes"

    def __str__(self) -> str:
        return f"{self.page}-{self.place}-{self.name}" + (f"={self.value}" if self.value else "")


@dataclass(frozen=True)
class Reference:
    """What a name in the column of the client stands for."""

    root: Any
    steps: tuple[str, ...]
    parameter: str | None = None
    given: Any = None
    """The value that a call gives to its parameter, None where it is any."""
    word: str | None = None

    @property
    def leaf(self) -> Any:
        """The member of an enum, or the word, that stands for a value."""
        return self.word if self.word is not None else getattr(self.root, self.steps[0], None)


def rows_of(text: str) -> list[Row]:
    """Read the rows of all tables of the page, which are told apart by the operation in the first row of each."""
    rows: list[Row] = []
    operations = {facts["operation"]: page for page, facts in DOCUMENTED.items()}
    page, titles = "", []
    for line in text.splitlines():
        if not line.startswith("|"):
            titles = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not titles:
            titles = cells
        elif set(line) - set("|-: "):
            columns = dict(zip(titles, cells, strict=True))
            name, _, value = columns["Retab's name"].replace("`", "").partition(" = ")
            place = columns.get("in", "answer")
            page = operations[name] if place == "operation" else page
            rows.append(Row(page, place, name, value or None, columns))
    return rows


def documented() -> list[tuple[str, str, str, str | None]]:
    """Return the keys of the rows that the tables must have, and no others."""
    keys: list[tuple[str, str, str, str | None]] = []
    for page, facts in DOCUMENTED.items():
        keys.append((page, "operation", facts["operation"], None))
        for place in PLACES:
            for name in facts.get(place, ()):
                values = facts.get("values", {}).get(place, {}).get(name, ())
                keys += [(page, place, name, value) for value in (None, *values)]
    return keys


def resolve(cell: str) -> Reference:
    """Return what a name stands for.

    Raises:
        LookupError: There is no such thing in the client, or not in both of its colours.
    """
    found = _REFERENCE.fullmatch(cell)
    if found is None:
        raise LookupError(
            f"{cell} is no name: write Class.attribute, Class.method(parameter=) or Enum.MEMBER"
        )
    root = getattr(retab_orchestration, found["root"], None) or getattr(models, found["root"], None)
    steps, given = steps_of(found["path"]), found["given"]
    if root is None:
        raise LookupError(f"{cell}: there is no {found['root']}")
    reference = Reference(
        root, steps, found["parameter"], json.loads(given) if given else None, word=found["word"]
    )
    if reference.parameter or root is RetabClient:
        _check_call(cell, reference)
    else:
        _check_steps(cell, root, steps)
    return reference


def steps_of(path: str) -> tuple[str, ...]:
    """Return the steps of a path: names, and `[]` for each item of a list or each value of an object."""
    return tuple(name or every or key for name, every, key in _STEP.findall(path))


def _check_call(cell: str, reference: Reference) -> None:
    for root in {reference.root, AsyncRetabClient if reference.root is RetabClient else reference.root}:
        called = root
        for step in reference.steps:
            called = getattr(called, step, None)
        if called is None:
            raise LookupError(f"{cell}: {root.__name__} has no {'.'.join(reference.steps)}")
        names = set(inspect.signature(called).parameters)
        names |= set(RunFilter.__annotations__) if "filters" in names else set()
        if reference.parameter and reference.parameter not in names:
            raise LookupError(f"{cell}: {root.__name__} takes no {reference.parameter}")


def _check_steps(cell: str, root: Any, steps: tuple[str, ...]) -> None:
    kind = root
    for step in steps:
        kind = _inside(kind, step)
        if kind is None:
            raise LookupError(f"{cell}: there is no {step}")


def _inside(kind: Any, step: str) -> Any:
    """Return the type of an attribute, of an item, or of a value, None where there is none."""
    if kind is Any:
        return Any
    if get_origin(kind) in {Union, UnionType}:
        kind = next(each for each in get_args(kind) if each is not type(None))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind if step in kind.__members__ else None
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if step in kind.model_fields:
            return kind.model_fields[step].annotation
        told = getattr(kind, step, None)
        return get_type_hints(told.fget)["return"] if isinstance(told, property) else None
    if get_origin(kind) is tuple:
        return get_args(kind)[0] if step == "[]" else None
    return get_args(kind)[1] if get_origin(kind) is dict else None


def values_at(body: Any, steps: tuple[str, ...]) -> Iterator[Any]:
    """Yield what stands at a path of a body, or of a model, with None where there is nothing."""
    if not steps:
        yield body
    elif steps[0] == "[]":
        for item in body.values() if isinstance(body, Mapping) else body or ():
            yield from values_at(item, steps[1:])
    elif isinstance(body, Mapping):
        yield from values_at(body.get(steps[0]), steps[1:])
    else:
        yield from values_at(getattr(body, steps[0], None), steps[1:])


def same_parts(sent: Any, read: Any) -> bool:
    """Return whether an object or a list of the client has the parts that were sent, whatever these say."""
    if isinstance(read, BaseModel):
        return isinstance(sent, Mapping)
    return sent.keys() == read.keys() if isinstance(sent, Mapping) else len(sent) == len(read)


def carries(sent: Any, read: Any) -> bool:
    """Return whether a value of the client is what was sent."""
    if isinstance(read, Enum):
        return read.value != "unknown" and type(read)(sent) is read
    if isinstance(read, datetime):
        return datetime.fromisoformat(sent) == read
    if isinstance(read, tuple):
        return len(sent) == len(read) and all(map(carries, sent, read))
    if sent != read and isinstance(read, dict | BaseModel):
        named = {_OURS.get(name, name): value for name, value in sent.items()}
        parts = read if isinstance(read, dict) else {name: getattr(read, name, None) for name in named}
        return named.keys() == parts.keys() and all(carries(named[name], parts[name]) for name in named)
    return bool(sent == read)


def is_shown(sent: Any) -> bool:
    """Return whether a value says more than the client would take for granted."""
    return sent not in (None, "", 0, False, [], {})


def changed(sent: Any, read: Any) -> Any:
    """Return another value of the same kind."""
    if isinstance(read, Enum):
        return next(each.value for each in type(read) if each not in {read, type(read).UNKNOWN})
    if isinstance(read, datetime):
        return "2031-05-07T01:02:03Z"
    if isinstance(sent, dict) and isinstance(read, BaseModel):
        return {name: f"{value}x" for name, value in sent.items()}
    if isinstance(sent, dict):
        first, *others = sent
        return {"other": sent[first], **{name: sent[name] for name in others}}
    if isinstance(sent, list):
        return [*sent, *sent]
    return not sent if isinstance(sent, bool) else sent + 1 if isinstance(sent, int | float) else f"{sent}x"


def place_of(body: Any, steps: tuple[str, ...]) -> tuple[dict[str, Any], str]:
    """Return what holds the first value at a path that is shown, and the key under which it does."""
    *above, last = steps
    holders = [holder for holder in values_at(body, tuple(above)) if isinstance(holder, dict)]
    return next(holder for holder in holders if is_shown(holder.get(last))), last
