"""The edges of a workflow's graph, from which its end nodes are found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from retab_orchestration.models._reading import cursor, pick

__all__ = ["EdgePage"]


@dataclass(frozen=True)
class EdgePage:
    """One page of edges, each as the server sent it."""

    data: tuple[Mapping[str, Any], ...]
    after: str | None = None
    """The cursor of the next page, None on the last."""

    @classmethod
    def read(cls, body: Any) -> "EdgePage":
        """Read an envelope or a bare array."""
        if isinstance(body, Mapping):
            return cls(tuple(map(dict, body["data"])), pick(cursor, body, "list_metadata.after", "after"))
        return cls(tuple(map(dict, body)))
