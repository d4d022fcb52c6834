"""Finding runs by their tags, and finding out, once per server and key, what a server does with tags."""

import math
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from retab_orchestration import errors
from retab_orchestration._endpoints import shared
from retab_orchestration._endpoints.filters import RunFilters
from retab_orchestration._operations.answer_checks import checked_run
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
"""Rows of a workflow's runs, newest first, in which tags are looked for where the server does not filter by them."""

# Rows of a page.
_ROWS = 100
# Rows, newest first, one of which has to show metadata where it is kept, and how many of them are looked at themselves.
_SAMPLE = 20
_READ_OF_SAMPLE = 3
# Runs that are looked at themselves for their tags, where the rows of a list that is not filtered leave them out.
_MOST_READ = 100

PAUSES = (0.0, 1.0, 4.0, 8.0)
"""Seconds before each look at a run that a list or a create has told of, and that is not found."""

# Seconds by which another machine's clock may be off.
_CLOCK_SLACK = 24 * 3600.0


class Tags(StrEnum):
    """What a server does with the tags of a run, its `metadata`."""

    FILTERED = "filtered"
    """It keeps them, and lists runs by them."""
    UNFILTERED = "unfiltered"
    """It keeps them, and lists all runs whatever tags are asked for."""
    DROPPED = "dropped"
    """It keeps none: classic routes, and current ones before June 2026."""
    UNKNOWN = "unknown"
    """There is no run yet from which this could be seen."""


@dataclass(frozen=True)
class Found:
    """The runs that have a tag, oldest first, and whether a run that the list shows cannot be missing."""

    runs: tuple[WorkflowRun, ...]
    is_complete: bool = True


# By account, for as long as the process lives.
_known: dict[str, Tags] = {}
_created: dict[str, WorkflowRun] = {}
# Characters of an identity's key.
_LENGTH = 64


def remember_created(session: Session, run: WorkflowRun) -> None:
    """Keep the answer to a create of ours: it shows, or the run does, whether tags are kept. It costs no request."""
    account = session.settings.account
    if _known.get(account) is Tags.DROPPED and IDENTITY in run.metadata:
        del _known[account]  # the server has learned to keep them
    if account not in _known:
        _created[account] = run


async def tags_of(session: Session) -> Tags:
    """Return what the server does with tags, asking it until there is a run that shows it.

    Raises:
        ApiError: It could not be asked.
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
        return await _found_out_from_ours(session, ours)
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
    """Tell by what is listed for our tag: by a server that filters, and so keeps it, nothing or runs of ours, else all.

    Of all, the newest may have no metadata: those that were started by hand, by email or on classic routes.
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


async def _found_out_from_ours(session: Session, ours: WorkflowRun) -> Tags:
    """Tell by a run of ours, which has to show what we sent, and whole."""
    run = await _whole(session, ours)
    if run is None:
        _created.pop(session.settings.account, None)
        return Tags.UNKNOWN
    if len(run.metadata.get(IDENTITY, "")) != _LENGTH:
        return Tags.DROPPED
    return await _filtered_or_not(session)


async def _whole(session: Session, run: WorkflowRun, pauses: Sequence[float] = PAUSES) -> WorkflowRun | None:
    """Return a run with what an answer, or a row, may leave out; None where it is gone."""
    return run if run.metadata else await existing_run(session, run.id, pauses)


async def existing_run(session: Session, run_id: str, pauses: Iterable[float] = (0.0,)) -> WorkflowRun | None:
    """Look at a run itself, after each of these pauses for as long as it is not found; None where it is gone.

    Raises:
        UnsupportedRouteError: A gateway does not even know the route, the last time.
        UnreadableAnswerError: The answer is about another run.
    """
    missing: errors.NotFoundError | None = None
    for pause in pauses:
        await session.runtime.sleep(pause)
        try:
            return checked_run(await session.exchange(shared.get_run(run_id)), run_id)
        except errors.NotFoundError as error:
            missing = error
    if isinstance(missing, errors.UnsupportedRouteError):
        raise missing
    return None


async def existing_runs(session: Session, run_ids: Sequence[str]) -> list[WorkflowRun | None]:
    """Look at runs that a list has told of; None for each that is gone.

    Only the first that is not found is looked at after each pause: the list has had its time by then.

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
        since: When the first of the runs can have been created, for the same servers.

    Raises:
        ApiError: The list could not be read.
    """
    account = session.settings.account
    if _known.get(account) in {None, Tags.FILTERED}:
        found = await _filtered(session, key, value)
        if found is not None and found.runs:
            _known[account] = Tags.FILTERED
        if found is not None:
            return found
        _known.pop(account, None)  # another server answers by now, or there was no run to tell by
    tags = await tags_of(session)
    if tags is Tags.UNFILTERED:
        return await _read(session, key, value, workflow_id, since)
    # A list that is filtered and still shows other rows proves nothing.
    return Found((), is_complete=tags is Tags.UNKNOWN)


async def _filtered(session: Session, key: str, value: str) -> Found | None:
    """Return the runs that the list gives for a tag; None if it gives any other, so that it proves nothing."""
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
    """Return runs by when they were created, where all say so: a server may not know the order that was asked for."""
    created = [moment for run in runs if (moment := run.timing.created_at)]
    if len(created) < len(runs):
        return tuple(runs)
    return tuple(runs[number] for number in sorted(range(len(runs)), key=created.__getitem__))


async def _read(
    session: Session, key: str, value: str, workflow_id: str | None, since: datetime | None
) -> Found:
    """Look for a tag in the rows themselves, newest first."""
    found: list[WorkflowRun] = []
    read, looked, is_complete = 0, 0, True
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
            # Unless the list has another order than it was asked for, all that follow are older. Two of one moment say
            # nothing of its order, and a page of them is no list of runs that somebody has started.
            if (before is not None and created < before) or (created == first and read > _ROWS):
                break
            continue
        if "metadata" not in run.raw:
            looked += 1
            if looked > _MOST_READ:
                is_complete = False
                break
            run = await existing_run(session, run.id) or run  # noqa: PLW2901
        if run.metadata.get(key) == value:
            found.insert(0, run)
    return Found(oldest_first(found), is_complete and not cursor.is_cut)
