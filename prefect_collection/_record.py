"""What tells one call from another, and what is recorded of a call."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from prefect_collection._documents import DocumentFacts
from prefect_collection._identity import Owner
from retab_orchestration import InvalidInputError
from retab_orchestration.identity import digest_of

__all__ = ["Given", "Record"]

_BEGUN = "creating since "
_AFTER = " after "


@dataclass(frozen=True)
class Given:
    """The arguments of a create, as far as they tell one call from another."""

    operation: str
    inputs: Mapping[str, Any]
    """The inputs of the run without its documents."""
    dedupe_key: str = "0"
    places: Mapping[str, str] | None = None
    """Start node id -> where its document is."""

    def __post_init__(self) -> None:
        # Anything else may have another text in the next process, which would then start another run.
        if not isinstance(self.dedupe_key, str | int):
            raise InvalidInputError(
                f"dedupe_key must be a string, the same one in each try, not of type {type(self.dedupe_key).__name__}"
            )

    def digest(self, owner: Owner, documents: Any) -> str:
        """Return the key of this call by this owner, 20 hex digits; `documents` is what is known of the documents."""
        inputs = {name: value for name, value in self.inputs.items() if value not in (None, {})}
        parts = (owner.id, owner.path, self.operation, _plain(inputs), str(self.dedupe_key), documents)
        return digest_of(*parts)[:20]


@dataclass(frozen=True)
class Record:
    """What is recorded of one call: the run that it started, or a create whose outcome is not known."""

    content: str = ""
    """The key of the call and of the contents of its documents."""
    run_id: str | None = None
    since: str | None = None
    after: str | None = None
    """The run of this call that ended badly, if another create was begun after it."""
    attempt: str = ""
    """The attempt in which the run was started or adopted."""
    facts: DocumentFacts = ()
    """The facts of the documents, if the record was found by their places."""

    @classmethod
    def read(cls, text: Any, attempt: Any = "", content: str = "") -> "Record":
        """Return the record of a label's text; an empty record for anything else."""
        record = cls(content, attempt=attempt if isinstance(attempt, str) else "")
        if not isinstance(text, str) or not text:
            return record
        if not text.startswith(_BEGUN):
            return replace(record, run_id=text)
        since, _, after = text.removeprefix(_BEGUN).partition(_AFTER)
        try:
            datetime.fromisoformat(since)
        except ValueError:
            return record
        return replace(record, since=since, after=after or None)

    @property
    def is_known(self) -> bool:
        """Whether anything is recorded."""
        return self.run_id is not None or self.since is not None

    def ends(self, begun: "Record") -> bool:
        """Return whether this is the run of a create of which the other record has the beginning only."""
        return self.run_id not in {None, begun.after} and self.attempt == begun.attempt

    @property
    def as_json(self) -> dict[str, str]:
        """Return what `read` needs besides the content."""
        return {"text": self.text, "attempt": self.attempt}

    @property
    def text(self) -> str:
        """The text of the label: the run's id, or since when it is being created."""
        if self.since is None:
            return self.run_id or ""
        return f"{_BEGUN}{self.since}" + (f"{_AFTER}{self.after}" if self.after else "")


def _plain(inputs: Mapping[str, Any]) -> str:
    try:
        # Keys may be numbers until they are encoded, and numbers and strings cannot be sorted together.
        return json.dumps(json.loads(json.dumps(inputs, default=str)), sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInputError(
            f"the inputs are not JSON: {error}; give dicts with strings for keys, lists, strings, numbers"
        ) from error
