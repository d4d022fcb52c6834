"""Poll many runs with the pages of the run list, and compare what that costs with polling them one by one."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from retab_orchestration._endpoints import shared
from retab_orchestration._endpoints.filters import RunFilters
from retab_orchestration._operations.listing import Cursor
from retab_orchestration._polling.shared_wait import SLOW, SharedWait, SharedWaits
from retab_orchestration._polling.wait import LONGEST_POLL, requested_pause
from retab_orchestration._transport.session import Session
from retab_orchestration.errors import ApiError, ResponseTooLargeError
from retab_orchestration.identity import OURS
from retab_orchestration.models import RouteFamily
from retab_orchestration.models.page import RowPage, RunRow

__all__ = ["ListCost", "ListPoll", "plan_list_poll"]

# Bytes that take as much work to read as a request costs besides its body: about 0.4 ms of a core.
_REQUEST = 32 * 1024
# Bytes. A larger page is halved, because reading it blocks the event loop.
_LARGEST_PAGE = 256 * 1024
# Rows on a page at most, and on the first one, when the size of a row is not known.
_MOST_ROWS, _FIRST_PAGE = 100, 25
# The weight of the newest list poll in the smoothed cost: a list that has paid is left after a few polls that did not.
_NEWEST = 0.25
# The share of the cost of single polls that may be spent on trying the list again.
_ON_TRIALS = 0.02
# How often in a row a page may fail until the list is left, and the longest time for which it is left, seconds.
_ATTEMPTS, _LONGEST_LEFT = 3, 600.0
# Fewer runs are polled one by one.
_FEWEST = 3
# Rows after which the coroutine yields to the event loop.
_ROWS_AT_ONCE = 50

Take = Callable[[Sequence[tuple[RunRow, Sequence[SharedWait]]], float], int]


class ListCost:
    """Decide whether to poll the list, and how far: costs are counted in bytes, a request as 32 KiB.

    Only costs decide, never how long an answer took. A list that has cost more than it saved is tried again when twice
    as many polls would be saved, or when a small share of what single polls have cost since then has paid for it.
    """

    def __init__(self) -> None:
        self.limit = _FIRST_PAGE
        """Rows to request on the next page."""
        self._row = 1024.0  # bytes of a row, a guess at first
        self._spent = self._saved = 0.0  # by a list poll, smoothed over the last ones
        self._debt = 0.0  # a share of each single poll pays it off, then the list is tried again
        self._worth_from = 0.0
        self._failures = 0
        self._failed_until = -math.inf

    @property
    def single(self) -> float:
        """The cost of polling one run by itself."""
        return _REQUEST + self._row

    def is_cheaper(self, polls: float, rows: int, now: float) -> bool:
        """Return whether polling the list costs less than polling runs one by one.

        Args:
            polls: How many polls it would save.
            rows: How many rows it has down to the oldest run that is wanted, as far as is known.
            now: The present time.
        """
        if now < self._failed_until or (self._debt > 0 and polls < self._worth_from):
            return False
        pages = math.ceil(rows / self._rows_per_page())
        return pages * _REQUEST + rows * self._row < polls * self.single

    def is_page_worth(self, unseen: int, wanted: int, spent: float) -> bool:
        """Return whether to read one page more.

        Args:
            unseen: Runs that are wanted and were on no page yet.
            wanted: Runs that are wanted.
            spent: What the pages so far have cost.
        """
        page = _REQUEST + self.limit * self._row
        return unseen * self.single > page and spent + page <= wanted * self.single

    def read_page(self, rows: int, size: int) -> float:
        """Record a page of so many rows and bytes; return its cost."""
        self._failures = 0
        if rows:
            self._row = size / rows
        if size > _LARGEST_PAGE:
            self.halve()
        elif rows >= self.limit:
            self.limit = min(_MOST_ROWS, max(self.limit, min(2 * self.limit, self._rows_per_page())))
        return _REQUEST + size

    def halve(self) -> bool:
        """Ask for half as many rows from now on; return whether fewer than before are possible."""
        before, self.limit = self.limit, max(1, self.limit // 2)
        return self.limit < before

    def ended(self, polls: float, saved: int, spent: float) -> None:
        """Record a list poll.

        Args:
            polls: How many polls it was to save.
            saved: How many it has saved.
            spent: What its pages have cost.
        """
        self._spent += _NEWEST * (spent - self._spent)
        self._saved += _NEWEST * (saved * self.single - self._saved)
        self._debt = 0.0
        if self._spent > self._saved:
            self._debt, self._worth_from = spent, 2 * polls
            self._spent = self._saved = 0.0

    def polled_one(self) -> None:
        """Record that a run was polled by itself."""
        self._debt -= _ON_TRIALS * self.single

    def failed(self, now: float) -> float | None:
        """Record a failed page; return the seconds until it is requested again, None to leave the list.

        The list is left for longer each time, until a page can be read.
        """
        pause = min(_LONGEST_LEFT, 3.0 ** min(self._failures, 10))
        self._failures += 1
        self._failed_until = now + pause
        return pause if self._failures < _ATTEMPTS else None

    def _rows_per_page(self) -> int:
        return max(1, min(_MOST_ROWS, int(_LARGEST_PAGE / self._row)))


@dataclass
class ListPoll:
    """One poll of the run list, newest first, for all waits.

    Attributes:
        session: The account.
        cost: Decides on the size of pages and whether to read another one. waits: All waits.
        watched: The ids of the runs that were waited for when it began; those on a page are removed.
        wanted: Those of them whose poll is due, or nearly so; they are removed as well.
        places: Workflow and day of creation of those that are watched, None and an empty text where they are not known.
        polls: How many polls it is to save.
        heard_at: When it last had a row of a watched run, or has begun.
        is_slow: Whether the last page came late, or failed.
        seconds: How long its pages took, as far as none of them was slow.
    """

    session: Session
    cost: ListCost
    waits: SharedWaits
    watched: set[str]
    wanted: set[str]
    places: set[tuple[str | None, str]]
    polls: float
    heard_at: float
    is_slow: bool = False
    seconds: float = 0.0

    def is_silent(self, now: float) -> bool:
        """Return whether the polls that it was to save should be made one by one."""
        return self.is_slow or now > self.heard_at + SLOW

    async def read(self, take: Take, failed: Callable[[ApiError], None]) -> bool:
        """Read pages until they have shown all that are wanted, the list ends, or it is not worth another one.

        Args:
            take: Called with rows of runs that are waited for, each with its waits, and the time; returns how many need
                no poll of their own.
            failed: Called with each failure of a page.

        Returns:
            Whether the list was read to its end, so that a run that was not on it has most likely completed.
        """
        family = await self.session.within(LONGEST_POLL).family()
        filters = _filters(family, self.places, self.session.runtime.utc().date())
        cursor, wanted = Cursor(), len(self.wanted)
        saved, spent, after, is_complete = 0, 0.0, None, False
        while (page := await self._page(replace(filters, after=after), family, failed)) is not None:
            spent += self.cost.read_page(len(page.data), page.size)
            # An empty page after a cursor is the end, unless the run that the cursor names has just left the list.
            if cursor.repeats(page) or (after is not None and not page.data):
                break
            saved += await self._show(page, take)
            after = cursor.following(page)
            is_complete = after is None
            if is_complete or not self.cost.is_page_worth(len(self.wanted), wanted, spent):
                break
        else:
            return False
        self.cost.ended(self.polls, saved, spent)
        return is_complete

    async def _page(
        self, filters: RunFilters, family: RouteFamily, failed: Callable[[ApiError], None]
    ) -> RowPage | None:
        """Read one page: again with fewer rows where it is too large, and after a pause where it fails.

        Returns:
            The page; None if the list is to be left.
        """
        runtime = self.session.runtime
        while True:
            began = runtime.now()
            try:
                call = shared.list_rows(replace(filters, limit=self.cost.limit), family)
                page = await self.session.exchange_once(call, seconds=LONGEST_POLL)
            except ApiError as error:
                if isinstance(error, ResponseTooLargeError) and self.cost.halve():
                    continue
                failed(error)
                self.is_slow = True  # until the next page comes
                if (pause := self.cost.failed(runtime.now())) is None:
                    return None
                await runtime.sleep(max(pause, requested_pause(error)))
            else:
                took = runtime.now() - began
                self.seconds += min(took, SLOW)
                self.is_slow = took > SLOW
                return page

    async def _show(self, page: RowPage, take: Take) -> int:
        """Pass the rows of a page on; return how many runs need no poll of their own."""
        saved = 0
        for start in range(0, len(page.data), _ROWS_AT_ONCE):
            await self.session.runtime.sleep(0)
            rows = []
            for run_id, body in page.data[start : start + _ROWS_AT_ONCE]:
                self.watched.discard(run_id)
                self.wanted.discard(run_id)
                waits = self.waits.by_run.get(run_id)  # also where the wait began after the poll
                if waits:
                    rows.append((RunRow(body), waits))
            if rows:
                self.heard_at = self.session.runtime.now()
                saved += take(rows, self.heard_at)
        return saved


def plan_list_poll(
    session: Session, cost: ListCost, due: Collection[SharedWait], waits: SharedWaits, now: float
) -> ListPoll | None:
    """Return a list poll for the runs that are due; None if polling them one by one is cheaper."""
    listed = {wait.run_id for wait in due}
    if len(listed) < _FEWEST:
        return None
    watched = [wait for wait in waits if wait.unlisted_until <= now]
    soon = [wait for wait in watched if wait.is_soon(now)]
    # The list begins with the newest, and a run that was not seen yet is taken for one of those.
    oldest = min((wait.created_at for wait in soon if wait.created_at), default="")
    rows = {wait.run_id for wait in watched if (wait.created_at or oldest) >= oldest}
    wanted = {wait.run_id for wait in soon}
    polls = (len(listed) + len(wanted)) / 2
    if not cost.is_cheaper(polls, len(rows), now):
        return None
    places = {(wait.workflow_id, (wait.created_at or "")[:10]) for wait in watched}
    runs = {wait.run_id for wait in watched}
    return ListPoll(session, cost, waits, runs, wanted, places, polls, heard_at=now)


def _filters(family: RouteFamily, places: Collection[tuple[str | None, str]], today: date) -> RunFilters:
    """Return the narrowest filters whose list has every run until it has completed.

    Args:
        family: The server's routes: only current ones filter by tags.
        places: Workflow and day of creation of each run; one that was not seen yet counts as new.
        today: The UTC day.
    """
    workflows = {workflow_id for workflow_id, _ in places}
    oldest = min([today, *(_day(text) or today for _, text in places)])
    return RunFilters.read(
        workflow_id=workflows.pop() if len(workflows) == 1 else None,
        metadata={OURS: "1"} if family == "current" else None,
        exclude_status="completed",
        from_date=oldest - timedelta(days=1),  # the server's day may end before ours
        order="desc",
    )


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.year > 1970 else None  # a time of zero stands for no time
