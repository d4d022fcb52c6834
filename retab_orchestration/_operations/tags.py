"""Finding runs by their tags, and detecting, once per server and key, what a server does with tags."""

import math
import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from retab_orchestration import errors
from retab_orchestration._endpoints import shared
from retab_orchestration._endpoints.filters import RunFilters
from retab_orchestration._operations.listing import Cursor, iter_runs, list_runs
from retab_orchestration._transport.session import Session
from retab_orchestration.identity import IDENTITY, OURS
from retab_orchestration.models import WorkflowRun

__all__ = [
    "MOST_ROWS",
    "PAUSES",
    "Found",
    "Tags",
    "existing_run",
    "existing_runs",
    "find_tagged",
    "oldest_first",
    "remember_created",
    "tags_of",
]

MOST_ROWS = 1000
"""Rows of a workflow's runs, newest first, that are searched for tags where the server does not filter by them."""

# Rows of a page.
_ROWS = 100
# Rows, newest first, one of which has to show metadata where it is kept, and how many of their runs are read.
_SAMPLE = 20
_READ_OF_SAMPLE = 3
# Runs that are read for their tags, where the rows of a list that is not filtered leave them out.
_MOST_READ = 100

PAUSES = (0.0, 1.0, 4.0, 8.0)
"""Seconds before each read of a run that a list or a create has named, while it is not found."""

# A tag as `RunIdentity.of` makes it; a caller's own may begin like another one.
_HASH = re.compile("[0-9a-f]{64}")

# Seconds by which another machine's clock may be off.
_CLOCK_SLACK = 24 * 3600.0


class Tags(StrEnum):
    """What a server does with the tags of a run, its `metadata`."""

    FILTERED = "filtered"
    """It keeps tags, and filters the list by them."""
    UNFILTERED = "unfiltered"
    """It keeps tags, and does not filter the list by them."""
    DROPPED = "dropped"
    """It keeps no tags: classic routes, and current ones before June 2026."""
    UNKNOWN = "unknown"
    """Not known: there is no run yet that would show it."""


@dataclass(frozen=True)
class Found:
    """The runs that have a tag, oldest first, and whether all listed runs were searched."""

    runs: tuple[WorkflowRun, ...]
    is_complete: bool = True


# By account, for as long as the process lives.
_known: dict[str, Tags] = {}
_created: dict[str, tuple[WorkflowRun, str]] = {}
"""The last answer to a create, and the identity that it was sent with."""


def remember_created(session: Session, run: WorkflowRun, identity: str) -> None:
    """Record the answer to a create with this identity: it shows, or its run does, whether tags are kept."""
    account = session.settings.account
    if _known.get(account) is Tags.DROPPED and IDENTITY in run.metadata:
        del _known[account]  # the server keeps them by now
    if account not in _known:
        _created[account] = run, identity


async def tags_of(session: Session) -> Tags:
    """Return what the server does with tags, reading runs until one shows it.

    Raises:
        ApiError: A request failed.
    """
    if await session.family() == "classic":
        return Tags.DROPPED
    account = session.settings.account
    if account not in _known:
        found = await _find_out(session)
        if found is Tags.UNKNOWN:
            return found
        _known[account] = found
        _created.pop(account, None)
    return _known[account]


async def _find_out(session: Session) -> Tags:
    ours = _created.get(session.settings.account)
    if ours is not None:
        return await _found_out_from_ours(session, *ours)
    rows = (await list_runs(session, RunFilters.read(limit=_SAMPLE))).data
    if not rows:
        return Tags.UNKNOWN
    if not any("metadata" in row.raw for row in rows):
        # Rows may leave it out, and a run may have none.
        whole = await existing_runs(session, [row.id for row in rows[:_READ_OF_SAMPLE]])
        if not any(whole):
            return Tags.UNKNOWN
        if not any(run is not None and "metadata" in run.raw for run in whole):
            return await _found_out_from_marked(session)
    return await _filtered_or_not(session)


async def _found_out_from_marked(session: Session) -> Tags:
    """Detect it from the list filtered by our tag: a server that filters, and so keeps tags, lists no other runs.

    Of all runs, the newest may have no metadata: those that were started by hand, by email or on classic routes.
    """
    read = 0
    async for row in iter_runs(session, RunFilters.read(metadata={OURS: "1"}, limit=_ROWS)):
        run = row if read else await _whole(session, row)
        if run is not None and "metadata" in run.raw:
            return await _filtered_or_not(session)
        read += 1
        if read >= MOST_ROWS:
            break
    return Tags.DROPPED if read else Tags.FILTERED


async def _found_out_from_ours(session: Session, ours: WorkflowRun, identity: str) -> Tags:
    """Detect it from a run of ours, which has to have its tags as they were sent."""
    run = await _whole(session, ours)
    if run is None:
        _created.pop(session.settings.account, None)
        return Tags.UNKNOWN
    if len(run.metadata.get(IDENTITY, "")) != len(identity):
        return Tags.DROPPED
    return await _filtered_or_not(session)


async def _whole(session: Session, run: WorkflowRun, pauses: Sequence[float] = PAUSES) -> WorkflowRun | None:
    """Return a run with its metadata, reading it if the answer or the row has none; None where it is gone."""
    return run if run.metadata else await existing_run(session, run.id, pauses)


async def existing_run(session: Session, run_id: str, pauses: Iterable[float] = (0.0,)) -> WorkflowRun | None:
    """Read a run, after each of these pauses while it is not found; None where it is gone.

    Raises:
        UnsupportedRouteError: A gateway does not know the route, the last time as well.
        UnreadableAnswerError: The answer is about another run.
    """
    missing: errors.NotFoundError | None = None
    for pause in pauses:
        await session.runtime.sleep(pause)
        try:
            return shared.checked_run(await session.exchange(shared.get_run(run_id)), run_id)
        except errors.NotFoundError as error:
            missing = error
    if isinstance(missing, errors.UnsupportedRouteError):
        raise missing
    return None


async def existing_runs(session: Session, run_ids: Sequence[str]) -> list[WorkflowRun | None]:
    """Read runs that a list has named; None for each that is gone.

    Only the first that is not found is read after each pause: after that the list does not lag any more.

    Raises:
        ApiError: One of them could not be read.
    """
    found: list[WorkflowRun | None] = []
    pauses: Sequence[float] = PAUSES
    for run_id in run_ids:
        found.append(await existing_run(session, run_id, pauses))
        if found[-1] is None:
            pauses = PAUSES[:1]
    return found


async def _filtered_or_not(session: Session) -> Tags:
    unheard_of = RunFilters.read(metadata={IDENTITY: uuid.uuid4().hex}, limit=1)
    return Tags.UNFILTERED if (await list_runs(session, unheard_of)).data else Tags.FILTERED


async def find_tagged(
    session: Session, key: str, value: str, *, workflow_id: str | None = None, since: datetime | None = None
) -> Found:
    """Return the runs that have a tag.

    Args:
        session: The account.
        key: The tag.
        value: Its value.
        workflow_id: The workflow, where it is known, for servers that do not filter by tags: of those the newest
            `MOST_ROWS` are read.
        since: The earliest time at which the runs can have been created, for the same servers.

    Raises:
        ApiError: The list could not be read.
    """
    if await session.family() == "classic":
        return Found((), is_complete=False)  # since the search began: there are no tags in these routes
    account = session.settings.account
    if _known.get(account) in {None, Tags.FILTERED}:
        found = await _filtered(session, key, value)
        if found is not None and found.runs:
            _known[account] = Tags.FILTERED
        if found is not None:
            return found
        _known.pop(account, None)  # another server answers by now, or there was no run that showed it
    tags = await tags_of(session)
    if tags is Tags.UNFILTERED:
        return await _read(session, key, value, workflow_id, since)
    # A list that is filtered and still shows other rows proves nothing.
    return Found((), is_complete=tags is Tags.UNKNOWN)


async def _filtered(session: Session, key: str, value: str) -> Found | None:
    """Return the runs that the list gives for a tag; None if it gives any other, because it is not filtered then."""
    runs: list[WorkflowRun] = []
    pauses: Sequence[float] = PAUSES
    missing = 0
    filters, cursor = RunFilters.read(metadata={key: value}, order="asc", limit=_ROWS), Cursor()
    async for row in iter_runs(session, filters, cursor):
        run = await _whole(session, row, pauses)
        if run is None:
            pauses, missing = PAUSES[:1], missing + 1
            if missing >= _MOST_READ:
                return Found(oldest_first(runs), is_complete=False)
            continue
        if run.metadata.get(key) != value:
            return None
        runs.append(run)
        if len(runs) >= MOST_ROWS:
            break
    return Found(oldest_first(runs), is_complete=not cursor.is_cut)


def oldest_first(runs: list[WorkflowRun]) -> tuple[WorkflowRun, ...]:
    """Return runs in the order of creation, if all have a time: a server may ignore the requested order."""
    created = [moment for run in runs if (moment := run.timing.created_at)]
    if len(created) < len(runs):
        return tuple(runs)
    return tuple(runs[number] for number in sorted(range(len(runs)), key=created.__getitem__))


async def _read(
    session: Session, key: str, value: str, workflow_id: str | None, since: datetime | None
) -> Found:
    """Search the rows for a tag, newest first."""
    found: list[WorkflowRun] = []
    read, read_alone, is_complete = 0, 0, True
    first: datetime | None = None
    created: datetime | None = None
    earliest = -math.inf if since is None else since.timestamp() - _CLOCK_SLACK
    filters, cursor = RunFilters.read(workflow_id=workflow_id, order="desc", limit=_ROWS), Cursor()
    async for run in iter_runs(session, filters, cursor):
        created, before = run.timing.created_at, created
        read += 1
        first = created if read == 1 else first
        if read > MOST_ROWS:
            is_complete = False
            break
        if created is not None and created.timestamp() < earliest:
            # Unless the list ignores the requested order, all that follow are older. Two rows of one moment show no
            # order; a whole page of one moment does not occur.
            if (before is not None and created < before) or (created == first and read > _ROWS):
                break
            continue
        if "metadata" not in run.raw:
            read_alone += 1
            if read_alone > _MOST_READ:
                is_complete = False
                break
            run = await existing_run(session, run.id) or run  # noqa: PLW2901
        if run.metadata.get(key) == value:
            found.insert(0, run)
        is_complete = is_complete and not _is_changed(run, value)
    return Found(oldest_first(found), is_complete and not cursor.is_cut)


def _is_changed(run: WorkflowRun, value: str) -> bool:
    """Return whether a run has a tag that the server has changed, so that nobody can tell whose it is."""
    is_ours = _HASH.fullmatch(value) and value[:32] in str(run.raw.get("metadata")).lower()
    return bool(is_ours) and not _HASH.fullmatch(run.metadata.get(IDENTITY, ""))
