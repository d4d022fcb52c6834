"""One reading of the run list on behalf of everyone who waits: what to ask for, and when to stop."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from retab_orchestration._calls import shared
from retab_orchestration._calls.filters import RunFilters
from retab_orchestration._core.listing import Cursor
from retab_orchestration._core.session import Session
from retab_orchestration._watch.economy import Economy
from retab_orchestration._watch.waiter import Waiter
from retab_orchestration.errors import ResponseTooLargeError
from retab_orchestration.identity import OURS
from retab_orchestration.models import RouteFamily
from retab_orchestration.models.row import RunRow

__all__ = ["Hearers", "narrowed", "sweep", "worth_a_sweep"]

# Seconds that one page may take; whoever it would have told of is asked for one by one after that.
_PAGE_SECONDS = 10.0
# Rows between two moments at which the others on the loop may go on.
_ROWS_AT_ONCE = 50
# Fewer runs are asked for one by one.
_FEWEST = 3


@dataclass
class Hearers:
    """Whom the rows of a list concern.

    Attributes:
        watched: The ids of the runs that somebody waits for; those on a page are taken out.
        wanted: Those of them whose look is due, or nearly so; they are taken out as well.
        take: Called with each row of a run that is watched.
    """

    watched: set[str]
    wanted: set[str]
    take: Callable[[RunRow], None]

    def hear(self, run_id: str, body: Any) -> None:
        """Take a row, if it concerns anybody."""
        if run_id in self.watched:
            self.watched.discard(run_id)
            self.wanted.discard(run_id)
            self.take(RunRow(run_id, body))


def worth_a_sweep(economy: Economy, due: list[Waiter], everyone: Iterable[Waiter], now: float) -> set[str]:
    """Return the runs of which the list is to tell; none if asking for them one by one is cheaper."""
    listed = sum(waiter.may_be_listed(now) for waiter in due)
    if listed < _FEWEST:
        return set()
    watched = [waiter for waiter in everyone if waiter.is_listed(now)]
    wanted = [waiter for waiter in watched if waiter.is_soon(now)]
    on_the_way = len(watched)
    if len(wanted) < on_the_way:
        # The list begins with the newest, and a run that nobody has seen yet is among those.
        oldest = min((waiter.created_at for waiter in wanted if waiter.created_at), default="")
        on_the_way = sum(waiter.created_at is None or waiter.created_at >= oldest for waiter in watched)
    runs = len({waiter.run_id for waiter in watched})
    worth = economy.prefers_list((listed + len(wanted)) / 2, runs, on_the_way, now)
    return {waiter.run_id for waiter in wanted} if worth else set()


def narrowed(family: RouteFamily, watched: Collection[Waiter], today: date) -> RunFilters:
    """Return the narrowest list in which every run that is watched stands until it has completed.

    Args:
        family: The server's routes: only current ones know our tag.
        watched: Those who wait; a run that nobody has seen yet counts as new.
        today: The UTC day.
    """
    workflows = {waiter.workflow_id for waiter in watched}
    days = {(waiter.created_at or "")[:10] for waiter in watched}
    oldest = min([today, *(_day(text) or today for text in days)])
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
    return day if day.year > 1970 else None  # a time of zero says nothing


async def sweep(session: Session, economy: Economy, filters: RunFilters, hearers: Hearers) -> bool:
    """Read the list, newest first, until it has told of those wanted, ends, or is not worth another page.

    Args:
        session: The account.
        economy: Decides on the size of pages and on one more; learns from each.
        filters: What to list.
        hearers: Whom it concerns.

    Returns:
        Whether the list was read to its end, so that a run that was not on it has completed, most likely.
    """
    family = await session.family()
    cursor, watched, wanted = Cursor(), len(hearers.watched), len(hearers.wanted)
    rows, spent, after, complete = 0, 0.0, None, False
    while True:
        call = shared.list_rows(replace(filters, after=after, limit=economy.limit), family)
        try:
            page = await session.exchange_once(call, seconds=_PAGE_SECONDS)
        except ResponseTooLargeError:
            if not economy.halve():
                raise
            continue
        spent += economy.read_page(len(page.data), page.size)
        # An empty page behind a cursor may be the end, or the run that the cursor names has just left the list.
        if cursor.repeats(page) or (after is not None and not page.data):
            break
        rows += len(page.data)
        for number, (run_id, body) in enumerate(page.data):
            if number % _ROWS_AT_ONCE == 0:
                await session.runtime.sleep(0)
            hearers.hear(run_id, body)
        after = cursor.following(page)
        complete = after is None
        if complete or not economy.goes_on(len(hearers.wanted), wanted, spent):
            break
    told = watched if complete else watched - len(hearers.watched)
    economy.ended(watched, told, rows, spent, session.runtime.now())
    return complete
