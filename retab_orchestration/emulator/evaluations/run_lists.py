"""The lists of test runs and of runs of experiments: the filters, the order and the pages that both have."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

from retab_orchestration.emulator.serving.paging import choice, date_window, order, page
from retab_orchestration.emulator.serving.wire import Request, Response, answer
from retab_orchestration.emulator.state import State

__all__ = ["list_page"]

_STATUSES = {"pending", "queued", "running", "completed", "error", "cancelled"}


class _Listed(Protocol):
    @property
    def id(self) -> str: ...

    @property
    def created_at(self) -> float: ...

    def status(self, now: float, /) -> str: ...


Row = TypeVar("Row", bound=_Listed)


def list_page(
    state: State,
    request: Request,
    rows: Iterable[Row],
    ids: Callable[[Row], dict[str, str | None]],
    write: Callable[[Row], Any],
) -> Response:
    """Answer a request for a list.

    Args:
        state: The emulator.
        request: Its query has filters, the order and the page.
        rows: All rows, oldest first.
        ids: Returns the parameters that name something of a row, with its name in the row.
        write: Returns the body of a row.

    Raises:
        Refusal: A parameter is malformed, or out of its range.
    """
    status, excluded = choice(request, "status", _STATUSES), choice(request, "exclude_status", _STATUSES)
    start, end = date_window(request)
    now = state.clock()
    found = [
        row
        for row in rows
        if all(request.param(name) in {None, own} for name, own in ids(row).items())
        and status in {None, row.status(now)}
        and excluded != row.status(now)
        and start <= row.created_at <= end
    ]
    if order(request, "desc"):
        found.reverse()
    return answer(page(request, found, lambda row: row.id, write, strict=state.is_strict))
