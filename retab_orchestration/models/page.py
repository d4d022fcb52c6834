"""One page of a list, whether the server sends an envelope or a bare array."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, model_validator

from retab_orchestration.models._reading import Places, Reading, count, cursor, places, read_places
from retab_orchestration.models.review import Review, ReviewVersion
from retab_orchestration.models.run import WorkflowRun
from retab_orchestration.models.step import Step
from retab_orchestration.models.test_run import WorkflowTestResult

__all__ = ["Page", "ReviewPage", "ReviewVersionPage", "RunPage", "StepPage", "TestResultPage"]

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
        before=(cursor, "list_metadata.before", "before"), after=(cursor, "list_metadata.after", "after")
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
