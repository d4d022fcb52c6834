"""Creating exactly once: a run is marked, looked for when an answer is lost or a task tries again, and adopted."""

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import replace
from functools import partial

from retab_orchestration import errors
from retab_orchestration._arguments import NewRun, checked_callback, checked_flag
from retab_orchestration._endpoints import classic, current
from retab_orchestration._endpoints.bodies import OnProgress
from retab_orchestration._operations.create_errors import cut_off, inputs_changed
from retab_orchestration._operations.create_once import Creation
from retab_orchestration._operations.identity_runs import FAILED, until_listed
from retab_orchestration._operations.process_runs import (
    begun,
    begun_of,
    forget,
    note_begun,
    own_runs,
    own_runs_of_any_generation,
    remember_own,
)
from retab_orchestration._operations.tags import (
    MOST_ROWS,
    Found,
    Tags,
    find_tagged,
    remember_created,
    tags_of,
)
from retab_orchestration._operations.uploads import prepared, upload_documents
from retab_orchestration._transport.session import Session
from retab_orchestration.documents import FileReference, OpenedDocument, Spool
from retab_orchestration.identity import FAMILY, IDENTITY, RunIdentity
from retab_orchestration.models import RouteFamily, WorkflowRun

__all__ = ["can_filter_runs", "can_find_runs", "create_once", "create_run", "find_runs"]

_log = logging.getLogger(__name__)


async def create_run(
    session: Session, read: Callable[[], NewRun], *, adopt: bool, on_progress: OnProgress | None = None
) -> WorkflowRun:
    """Check what a caller gave, which may be files on the far side of a network, and create it once.

    Raises:
        InvalidInputError: `on_progress` is a coroutine function, which nobody would await; or `adopt` is no boolean.
    """
    if on_progress is not None:
        checked_callback("on_progress", on_progress)
    checked_flag("adopt", adopt)
    new = await session.runtime.off_loop(read, slow=True)
    return await create_once(session, new, adopt=adopt, on_progress=on_progress)


async def create_once(
    session: Session, new: NewRun, *, adopt: bool, on_progress: OnProgress | None = None
) -> WorkflowRun:
    """Start a run, or return the one that was started for the same identity.

    A create whose answer is lost is looked for before it is sent again, and if both took effect after all, the younger
    run is cancelled. What nobody can prevent is a server that acts on the first create after all that, and does not
    honour `Idempotency-Key`: that run is found by its tags only.

    Args:
        session: The account.
        new: What the run starts from.
        adopt: Whether a run of this identity may exist already; it costs a request to look.
        on_progress: Told while large documents are sent.

    Raises:
        CreateOutcomeUnknownError: An answer was lost, and the run cannot be looked for.
        InputsChangedError: There is a run of this identity with other inputs.
        DocumentReadError: A document could not be read to its end; nothing was created.
        UnsupportedRouteError: The server's routes have changed again and again; nothing was created.
    """
    try:
        return await _create_on(session, await session.family(), new, adopt=adopt, on_progress=on_progress)
    except _OtherRoutesError:
        # It is to be looked for in another way: before that, a create whose answer was lost may have been sent.
        try:
            return await _create_on(session, await session.family(), new, adopt=True, on_progress=on_progress)
        except _OtherRoutesError as again:
            if (at := begun_of(session, new.identity, again.fingerprint)) is not None:
                raise cut_off(new, at) from None
            raise errors.UnsupportedRouteError(
                "the server has turned out to have other routes twice, as one behind a gateway does that is being "
                "replaced; nothing was created"
            ) from None
    finally:
        if not new.is_tried_again:
            # Nobody asks for it again, and it would take the place of one that is.
            forget(session, new.identity)


class _OtherRoutesError(errors.RetabError):
    """The server has turned out to have the routes of the other family: this sending of a create did nothing."""

    def __init__(self, fingerprint: str) -> None:
        super().__init__("the server has other routes by now")
        self.fingerprint = fingerprint


async def _create_on(
    session: Session, family: RouteFamily, new: NewRun, *, adopt: bool, on_progress: OnProgress | None
) -> WorkflowRun:
    if family == "current":
        current.check_run(new)
    spool = Spool()
    try:
        new = await session.runtime.off_loop(partial(prepared, new, family, spool), slow=True)
        fingerprint, hashes = new.digests()  # reads nothing, for the documents were read
        new = replace(new, hashes=hashes)
        if family == "classic":
            return await _on_classic_routes(session, new, fingerprint, adopt=adopt, on_progress=on_progress)
        send = partial(_send, session, family=family, fingerprint=fingerprint, on_progress=on_progress)
        creation = Creation(session, new, fingerprint, send)
        async with _one_at_a_time(session, new.identity) if adopt else nullcontext():
            found = await creation.adopt() if adopt else None
            if found is not None:
                return found
            # Once, however often the create is sent: what is at the server stays there.
            creation.new = await _at_server(session, creation.new, on_progress)
            return await creation.send()
    finally:
        spool.close()


def _one_at_a_time(session: Session, identity: RunIdentity) -> AbstractAsyncContextManager[None]:
    """Let creates of one identity in this process follow each other: the next one finds what this one has made."""
    return session.runtime.lock(f"create {session.settings.base_url} {identity.key}")


async def _on_classic_routes(
    session: Session, new: NewRun, fingerprint: str, *, adopt: bool, on_progress: OnProgress | None
) -> WorkflowRun:
    """Send a create where there are no tags: a run of its identity is known only if this process made it."""
    identity = new.identity
    async with _one_at_a_time(session, identity) if adopt else nullcontext():
        own = await own_runs(session, identity, ()) if adopt else {}
        living = {known: run for known, run in own.items() if run.status not in FAILED}
        if fingerprint in living:
            return living[fingerprint]
        cut_off_at = begun_of(session, identity, fingerprint) if adopt else None
        if cut_off_at is not None:
            raise cut_off(new, cut_off_at)
        if living and identity.on_mismatch == "error":
            raise inputs_changed(next(iter(living.values())), new)
        note_begun(session, identity, fingerprint)
        with begun(session, identity, fingerprint):
            run = await _send(
                session, new, family="classic", fingerprint=fingerprint, failed=0, on_progress=on_progress
            )
        remember_own(session, identity, fingerprint, run.id)
        return run


async def can_find_runs(session: Session) -> bool:
    """Whether the server keeps the tags by which a run is found, or may do so as far as is known."""
    return await tags_of(session) is not Tags.DROPPED


async def can_filter_runs(session: Session) -> bool:
    """Whether the server keeps the tags by which a run is found, and filters its list by them."""
    return await tags_of(session) is Tags.FILTERED


async def find_runs(session: Session, identity: RunIdentity, *, any_generation: bool) -> list[WorkflowRun]:
    """Return the runs of an identity, oldest first; where the server keeps no tags, those that this process made.

    A list may lag behind a create that was cut off, so it is read until it shows that one, or may not lag any more.
    """
    checked_flag("any_generation", any_generation)
    found = Found(())
    if await session.family() != "classic":
        found = await _tagged(session, identity, any_generation=any_generation)
    if any_generation:
        return [*found.runs, *await own_runs_of_any_generation(session, identity, found.runs)]
    return [*found.runs, *(await own_runs(session, identity, found.runs)).values()]


async def _tagged(session: Session, identity: RunIdentity, *, any_generation: bool) -> Found:
    key, value = (FAMILY, identity.family) if any_generation else (IDENTITY, identity.key)
    look = partial(find_tagged, session, key, value, since=identity.since)

    def is_it(run: WorkflowRun) -> bool:
        """Whether it can be no other one; of an identity with several runs nobody can tell."""
        is_living = run.status not in FAILED and run.metadata.get(IDENTITY) == identity.key
        return is_living and identity.on_mismatch == "error"

    found = await until_listed(session, identity.begun, look, is_it)
    if not found.is_complete and await can_find_runs(session):
        _log.warning(
            "Only the newest %d runs could be searched for those of a task: this server does not filter its list by "
            "tags. Older ones, if there are any, go on.",
            MOST_ROWS,
        )
    return found


async def _send(
    session: Session,
    new: NewRun,
    *,
    family: RouteFamily,
    fingerprint: str,
    failed: int,
    on_progress: OnProgress | None,
) -> WorkflowRun:
    """Send a create once in the routes of a family.

    Raises:
        _OtherRoutesError: The server has those of the other one.
    """
    if family == "classic":
        call = classic.create_run(new, on_progress)
    else:
        call = current.create_run(new, fingerprint, failed, on_progress)
    try:
        run = await session.exchange(call)
    except errors.UnsupportedRouteError:
        if await session.family_anew() == family:
            raise
        raise _OtherRoutesError(fingerprint) from None
    if family == "current":  # classic routes take no tags, on a server that keeps them as well
        remember_created(session, run, new.identity.key)
    return run


async def _at_server(session: Session, new: NewRun, on_progress: OnProgress | None) -> NewRun:
    """Return the inputs as current routes take them: stored files by url and not by id, large documents uploaded."""
    documents: dict[str, OpenedDocument | FileReference] = dict(new.documents)
    for node, document in new.documents.items():
        if isinstance(document, FileReference) and document.url is None and document.id is not None:
            stored: FileReference = await session.exchange(current.file_by_id(document.id))
            documents[node] = stored
    new = replace(new, documents=documents)
    return await upload_documents(session, new, on_progress) if new.to_upload else new
