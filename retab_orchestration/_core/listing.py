"""Lists to their last page: the three rules by which a listing ends are here and nowhere else."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from retab_orchestration._calls import shared
from retab_orchestration._calls.filters import RunFilters
from retab_orchestration._core.session import Session
from retab_orchestration._http import Call
from retab_orchestration.models import RunPage, WorkflowRun

__all__ = ["Cursor", "everything", "iter_runs", "list_runs"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Paged(Protocol[T_co]):
    @property
    def data(self) -> tuple[T_co, ...]: ...
    @property
    def after(self) -> str | None: ...


class Cursor:
    """Where a listing stands. It ends when a page is empty, has no cursor, or repeats one."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def repeats(self, page: _Paged[Any]) -> bool:
        """Whether a page has the cursor of an earlier one: the server does not page, and sent the same rows again."""
        return page.after in self._seen

    def following(self, page: _Paged[Any]) -> str | None:
        """Return the cursor of the page after this one, None if this was the last."""
        if not page.data or page.after is None:
            return None
        self._seen.add(page.after)
        return page.after


async def everything(session: Session, call: Callable[[str | None], Call[Any]]) -> list[T]:
    """Read a list from its first page to its last."""
    items: list[T] = []
    cursor = Cursor()
    after: str | None = None
    while True:
        page = await session.exchange(call(after))
        if cursor.repeats(page):
            return items
        items += page.data
        after = cursor.following(page)
        if after is None:
            return items


async def list_runs(session: Session, filters: RunFilters) -> RunPage:
    """Read one page of runs."""
    return await session.exchange(shared.list_runs(filters, await session.family()))


async def iter_runs(session: Session, filters: RunFilters) -> AsyncIterator[WorkflowRun]:
    """Read runs page by page, for as long as the caller goes on."""
    cursor = Cursor()
    after = filters.after
    while True:
        page = await list_runs(
            session, filters if after is None else replace(filters, before=None, after=after)
        )
        if cursor.repeats(page):
            return
        for run in page.data:
            yield run
        after = cursor.following(page)
        if after is None:
            return
