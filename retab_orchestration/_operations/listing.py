"""Reading lists to their last page: the three rules by which a listing ends are here and nowhere else."""

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, Protocol, TypeVar

from retab_orchestration import errors
from retab_orchestration._endpoints import shared
from retab_orchestration._endpoints.filters import RunFilters
from retab_orchestration._http import Call
from retab_orchestration._transport.session import Session
from retab_orchestration.models import RunPage, RunStatus, WorkflowRun

__all__ = ["Cursor", "everything", "iter_runs", "list_runs"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class _Paged(Protocol[T_co]):
    @property
    def data(self) -> tuple[T_co, ...]: ...
    @property
    def after(self) -> str | None: ...


# The most pages of a list that is read as a whole, and how many times `max_response_bytes` they may have together.
_MOST_PAGES = 1000
_MOST_ANSWERS = 4
# Rows on a page for which no limit is given.
_USUAL_ROWS = 20
# Repeated rows in a row after which a list of runs, or two that are read as one, are taken to be at their end.
_MOST_REPEATED = 2000
# Pages without a new row after which a list is taken to be at its end. One page may have none: a run that was created
# meanwhile moves all others by one.
_STALLED_PAGES = 3
# Pages whose rows are kept to compare with.
_REMEMBERED = 20


class Cursor:
    """The position of a listing. It ends when a page is empty, has no cursor or repeats one, or when no new rows come.

    Args:
        is_backward: Whether it reads the pages before.
        skips_empty: Whether it ends only after several empty pages.
    """

    def __init__(self, *, is_backward: bool = False, skips_empty: bool = False) -> None:
        self._seen: set[str] = set()
        self._rows: deque[frozenset[Any]] = deque(maxlen=_REMEMBERED)
        self._stalled = 0
        self.news: frozenset[Any] = frozenset()
        """The ids of the rows of the last page that no page before it had."""
        self.is_cut = False
        """Whether it ended before the end of the list: the server does not page, or sent an empty page before
        others."""
        self.is_lost = False
        """Whether the last page was empty although a cursor named it: the run of that cursor may have left the list."""
        self._name = "before" if is_backward else "after"
        self._skips_empty = skips_empty

    def repeats(self, page: _Paged[Any]) -> bool:
        """Return whether the server does not page: it sent the cursor or the rows of an earlier page again."""
        rows = _ids_of(page.data)
        self.news = rows.difference(*self._rows)
        self.is_lost = not page.data and bool(self._seen)
        # Rows may have no ids.
        self._stalled = 0 if self.news or (page.data and not rows) else self._stalled + 1
        self._rows.append(rows)
        place = getattr(page, self._name)
        repeats = place in self._seen or self._stalled >= _STALLED_PAGES
        self.is_cut = repeats if page.data else place is not None and place not in self._seen
        return repeats

    def following(self, page: _Paged[Any]) -> str | None:
        """Return the cursor of the page after this one, None if this was the last."""
        place: str | None = getattr(page, self._name)
        if place is None or not (page.data or self._skips_empty):
            return None
        self._seen.add(place)
        return place


def _ids_of(rows: Sequence[Any]) -> frozenset[Any]:
    """Return the ids of rows, of those that have one."""
    is_pairs = bool(rows) and isinstance(rows[0], tuple)  # of a poll, with the id first
    return frozenset(map(itemgetter(0) if is_pairs else _id_of, rows)) - {None}


def _id_of(row: Any) -> Any:
    """Return the id of a row, which is an edge as it came, or a model; None where it has none."""
    if isinstance(row, dict):
        return row["id"] if isinstance(row.get("id"), str) else None
    return getattr(row, "id", None) or getattr(row, "step_id", None)


def _unrepeated(rows: Iterable[T], known: dict[Any, T]) -> list[T]:
    """Return the rows of a page that no page before has had: a cursor may be ignored, or name the first row of a page.

    Args:
        rows: The rows.
        known: Those before, by their ids, and by their iterations: on older servers the steps of a loop have one id.
    """
    return [
        row
        for row in rows
        if (name := _id_of(row)) is None
        or (first := known.setdefault((name, getattr(row, "place", None)), row)) is row
        or first != row
    ]


async def everything(session: Session, call: Callable[[str | None], Call[Any]]) -> list[T]:
    """Read a list from its first page to its last.

    Raises:
        ResponseTooLargeError: It does not end, or not within four times `max_response_bytes`.
    """
    items: list[T] = []
    known: dict[Any, T] = {}
    cursor, sizes = Cursor(skips_empty=True), [0]
    after: str | None = None
    for _ in range(_MOST_PAGES):
        asked = replace(call(after), on_read=sizes.append)
        page = await session.exchange(asked)
        repeats = cursor.repeats(page)
        # The last page of some servers has the cursor with which it was requested.
        items += _unrepeated(page.data if cursor.news or not repeats else (), known)
        after = None if repeats else cursor.following(page)
        if after is None:
            return items
        if sum(sizes) > _MOST_ANSWERS * session.settings.max_response_bytes:
            break
    raise errors.ResponseTooLargeError(
        f"the list does not end after {len(sizes) - 1} pages of {sum(sizes)} bytes in all; if it is as it should be, "
        "raise max_response_bytes",
        method=asked.request.method,
        path=asked.request.path,
        run_id=asked.run_id,
    )


# Accounts whose server has called a failed run `failed`.
_say_failed: set[str] = set()


async def list_runs(session: Session, filters: RunFilters) -> RunPage:
    """Read one page of runs."""
    if session.settings.account in _say_failed:
        filters = replace(filters, failed_word="failed")
    page, _ = await _page(session, filters)
    return page.model_copy(update={"data": tuple(filter(filters.admits, page.data))})


async def _page(session: Session, filters: RunFilters) -> tuple[RunPage, int | None]:
    """Read one page; return it and how many rows were requested: fewer where it was too large."""
    limit = filters.limit
    while True:
        asked = replace(filters, limit=limit)
        try:
            page = await session.exchange(shared.list_runs(asked, await session.family()))
            break
        except errors.ResponseTooLargeError:
            limit = (limit or _USUAL_ROWS) // 2
            if not limit:
                raise
    if any(run.status_name == "failed" for run in page.data):
        _say_failed.add(session.settings.account)
    return page, limit


async def iter_runs(
    session: Session, filters: RunFilters, cursor: Cursor | None = None
) -> AsyncIterator[WorkflowRun]:
    """Yield the runs of all pages, reading each page when it is needed; afterwards `cursor` has how the list ended."""
    if filters.status is not RunStatus.ERROR or await session.family() == "classic":
        async for run in _each(session, filters, cursor):
            yield run
        return
    listings = [_each(session, replace(filters, failed_word=word)) for word in ("error", "failed")]
    async for run in _merged(listings, filters):
        yield run


async def _each(
    session: Session, filters: RunFilters, cursor: Cursor | None = None
) -> AsyncIterator[WorkflowRun]:
    """Yield the runs of a listing; from its beginning again where the run that its cursor named has left it meanwhile.

    Some servers then answer with an empty page, and others refuse the cursor.
    """
    may_leave = filters.status is not None or filters.exclude_status is not None
    seen: set[str] = set()
    last: WorkflowRun | None = None
    goes_on = True
    while goes_on:
        known = len(seen)
        refusal: errors.RequestRejectedError | None = None
        cursor = cursor or Cursor(is_backward=filters.before is not None)
        try:
            repeated = 0
            async for last in _pages(session, filters, cursor):
                repeated = repeated + 1 if last.id in seen else 0
                if repeated == _MOST_REPEATED:
                    return
                if not repeated:
                    yield last
                if may_leave:
                    seen.add(last.id)
        except errors.RequestRejectedError as error:
            refusal = error
        is_lost = refusal is not None or cursor.is_lost
        goes_on = len(seen) > known and is_lost and await _has_changed(session, last)
        if refusal is not None and not goes_on:
            raise refusal
        cursor = None


async def _has_changed(session: Session, run: WorkflowRun | None) -> bool:
    """Return whether a run has another state than its list has shown, or is gone."""
    try:
        return run is not None and (await session.exchange(shared.get_run(run.id))).status is not run.status
    except errors.NotFoundError:
        return True


async def _pages(session: Session, filters: RunFilters, cursor: Cursor) -> AsyncIterator[WorkflowRun]:
    place, idle = filters.before or filters.after, 0
    while idle < _MOST_PAGES:
        page, limit = await _page(
            session, replace(filters, before=place) if filters.before else replace(filters, after=place)
        )
        filters = replace(filters, limit=limit)
        repeats = cursor.repeats(page)
        if repeats and not cursor.news:
            return
        # Runs that are created meanwhile move all others, some of them onto the next page.
        admitted = [run for run in page.data if run.id in cursor.news and filters.admits(run)]
        for run in admitted[::-1] if filters.before else admitted:
            yield run
        idle = 0 if admitted else idle + 1
        place = None if repeats else cursor.following(page)
        if place is None:
            return
    raise errors.ResponseTooLargeError(
        f"the list goes on after {idle} pages without a run that was asked for; ask for less of it, by days",
        method="GET",
        path="/v1/workflows/runs",
    )


async def _merged(
    listings: Sequence[AsyncIterator[WorkflowRun]], filters: RunFilters
) -> AsyncIterator[WorkflowRun]:
    """Yield the runs of several listings in the requested order, each once."""
    is_oldest_first = (filters.order == "asc") is (filters.before is None)
    heads = await _heads_of(listings)
    seen: set[str] = set()
    repeated = 0
    while repeated < _MOST_REPEATED:
        remaining = [number for number, head in enumerate(heads) if head is not None]
        if not remaining:
            return
        number = (min if is_oldest_first else max)(
            remaining, key=lambda each: _moment_of(heads[each], filters)
        )
        run, heads[number] = heads[number], await anext(listings[number], None)
        repeated = 0 if run is not None and run.id not in seen else repeated + 1
        if run is not None and not repeated:
            seen.add(run.id)
            yield run


async def _heads_of(listings: Sequence[AsyncIterator[WorkflowRun]]) -> list[WorkflowRun | None]:
    """Return the first run of each listing, None where there is none.

    Raises:
        RequestRejectedError: The server refuses all of them, so that it is not the word for a state that it does not
            know.
    """
    heads: list[WorkflowRun | None] = []
    refusals: list[errors.RequestRejectedError] = []
    for listing in listings:
        try:
            heads.append(await anext(listing, None))
        except errors.RequestRejectedError as refusal:
            heads.append(None)  # a server that does not know the word has no such runs
            refusals.append(refusal)
    if len(refusals) == len(listings):
        raise refusals[0]
    return heads


def _moment_of(run: WorkflowRun | None, filters: RunFilters) -> float:
    timing = run.timing if run is not None else None
    moment = timing and (timing.started_at if filters.sort_by == "started_at" else timing.created_at)
    return moment.timestamp() if moment else 0.0
