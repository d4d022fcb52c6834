"""One page of a list, whether the server sends an envelope or a bare array."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, model_validator

from retab_orchestration.models._reading import (
    Answer,
    Places,
    Reading,
    count,
    cursor,
    node_ids,
    pick,
    places,
    read_places,
    text,
)
from retab_orchestration.models.lifecycle import state_of
from retab_orchestration.models.review import Review, ReviewVersion
from retab_orchestration.models.run import WAITING_FOR, WORKFLOW_ID, WorkflowRun
from retab_orchestration.models.status import RunStatus
from retab_orchestration.models.step import Step
from retab_orchestration.models.test_run import WorkflowTestResult, WorkflowTestRun

__all__ = [
    "EdgePage",
    "Page",
    "ReviewPage",
    "ReviewVersionPage",
    "RowPage",
    "RunPage",
    "RunRow",
    "StepPage",
    "TestResultPage",
    "TestRunPage",
    "UsagePage",
]

_AFTER = ("list_metadata.after", "after")

Item = TypeVar("Item", bound=BaseModel)


class Page(Reading, Generic[Item]):
    """One page of a list.

    Attributes:
        data: The items, in the server's order.
        before: Ask for the page before this one with it; None if there is none.
        after: Ask for the next page with it; None if there is none.
    """

    data: tuple[Item, ...] = ()
    before: str | None = None
    after: str | None = None

    _places: ClassVar[Places] = places(
        before=(cursor, "list_metadata.before", "before"), after=(cursor, *_AFTER)
    )

    @model_validator(mode="before")
    @classmethod
    def _from_any_shape(cls, body: Any) -> Any:
        if isinstance(body, list | tuple):
            count(len(body))
            return {"data": body}
        if not isinstance(body, Mapping):
            return body
        if "data" not in body:
            raise ValueError("This is no page of a list: it has no `data`")
        if isinstance(body["data"], list | tuple):
            count(len(body["data"]))
        return {**read_places(cls._places, dict(body)), "data": body["data"] or ()}


class RunPage(Page[WorkflowRun]):
    """One page of a list of runs; iterating over it gives the runs."""

    def __iter__(self) -> Iterator[WorkflowRun]:  # type: ignore[override]  # pydantic's would give its fields
        """Return the runs, in the server's order."""
        return iter(self.data)

    def keys(self) -> Iterable[str]:
        """Return the names of the fields, so that `dict(page)` has them: so hosts look into what a task returns."""
        return type(self).model_fields

    def __getitem__(self, name: str) -> Any:
        """Return a field by its name."""
        return getattr(self, name)


class StepPage(Page[Step]):
    """One page of the steps of a run, or all of them where the server sends a bare array."""


class ReviewPage(Page[Review]):
    """One page of a list of reviews."""


class ReviewVersionPage(Page[ReviewVersion]):
    """One page of the versions of a review."""


class TestResultPage(Page[WorkflowTestResult]):
    """One page of the results of a test run."""

    __test__ = False  # it is no test, whatever its name looks like to a test runner


class TestRunPage(Page[WorkflowTestRun]):
    """One page of the test runs of a workflow."""

    __test__ = False


class UsageRow(Answer):
    """What one operation of a run has cost, as the server says it, in `raw`."""

    run_id: str | None = None

    _places: ClassVar[Places] = places(run_id=(text, "run_id", "workflow_run_id"))


class UsagePage(Page[UsageRow]):
    """One page of what the operations of a run have cost."""


class RunRow(NamedTuple):
    """What a list says of one run, read as far as a wait asks for: its state and what narrows the list."""

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
    """One page of such rows, of which no models are built."""

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
        # Without `pick`, because a list is some thousand rows. An id is used only where a wait has the same one.
        data = tuple(
            (row["id"], row)
            for row in envelope["data"] or ()
            if isinstance(row, dict) and isinstance(row.get("id"), str)
        )
        return cls(data, pick(cursor, envelope, *_AFTER), size)


@dataclass(frozen=True)
class EdgePage:
    """One page of the edges of a workflow's graph, from which its end nodes are found, each as the server sent it."""

    data: tuple[Mapping[str, Any], ...]
    after: str | None = None
    """The cursor of the next page, None on the last."""

    @classmethod
    def read(cls, body: Any) -> "EdgePage":
        """Read an envelope or a bare array."""
        if isinstance(body, Mapping):
            return cls(tuple(map(dict, body["data"])), pick(cursor, body, *_AFTER))
        return cls(tuple(map(dict, body)))
