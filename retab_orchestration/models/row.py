"""A row of the run list as a wait reads it: its state and what narrows the list, and no model of the rest."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from retab_orchestration._texts import is_id
from retab_orchestration.models._reading import cursor, node_ids, pick, text
from retab_orchestration.models.lifecycle import state_of
from retab_orchestration.models.run import WAITING_FOR, WORKFLOW_ID, WorkflowRun
from retab_orchestration.models.status import RunStatus

__all__ = ["RowPage", "RunRow"]


class RunRow(NamedTuple):
    """What a list says of one run, read as far as is asked for."""

    id: str
    body: Any

    @property
    def status_name(self) -> str | None:
        """The server's own word for its state; None where there is none, which proves nothing."""
        return state_of(RunStatus, self.body)

    @property
    def workflow_id(self) -> str | None:
        """The workflow that it is a run of."""
        return pick(text, self.body, *WORKFLOW_ID)

    @property
    def created_at(self) -> str | None:
        """When it was created, as the server writes it."""
        return pick(text, self.body, "timing.created_at", "created_at")

    @property
    def waiting_for_node_ids(self) -> list[str]:
        """Where it waits for a human, as far as the row says."""
        return pick(node_ids, self.body, *WAITING_FOR) or []

    def run(self) -> WorkflowRun:
        """Read the whole of it.

        Raises:
            ValueError: It is no run.
        """
        return WorkflowRun.model_validate(self.body)


@dataclass(frozen=True, slots=True)
class RowPage:
    """One page of such rows."""

    data: tuple[tuple[str, Any], ...]
    """Id and body of each run."""
    after: str | None
    """Ask for the next page with it; None if there is none."""
    size: int
    """Bytes of the page as it came."""

    @classmethod
    def read(cls, body: Any, size: int) -> "RowPage":
        """Read a page, whether the server sends an envelope or a bare array.

        Raises:
            ValueError: It is neither.
        """
        envelope = body if isinstance(body, dict) else {"data": body}
        if not isinstance(envelope.get("data", 0), list | None):
            raise ValueError("This is no page of a list: it has no `data`")  # noqa: TRY004  the body is wrong
        data = tuple((row["id"], row) for row in envelope["data"] or () if _has_id(row))
        return cls(data, pick(cursor, envelope, "list_metadata.after", "after"), size)


def _has_id(row: Any) -> bool:
    # Written out rather than left to `pick`: a sweep is some thousand rows.
    return isinstance(row, dict) and isinstance(row.get("id"), str) and is_id(row["id"])
