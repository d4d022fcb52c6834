"""Creating exactly once: a run is marked, looked for when an answer is lost or a task tries again, and adopted."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace

from retab_orchestration import errors
from retab_orchestration._calls import classic, current, shared
from retab_orchestration._calls.filters import RunFilters
from retab_orchestration._calls.progress import OnProgress
from retab_orchestration._core.listing import iter_runs
from retab_orchestration._core.session import Session
from retab_orchestration._core.uploads import upload_documents
from retab_orchestration._http import Call
from retab_orchestration._inputs import NewRun
from retab_orchestration.documents import FileReference, OpenedDocument
from retab_orchestration.identity import FAMILY, FINGERPRINT, IDENTITY, RunIdentity
from retab_orchestration.models import RouteFamily, RunStatus, WorkflowRun

__all__ = ["create_once", "create_run", "find_runs"]

# A list may lag behind a create: seconds before each look for a run whose answer was lost.
_LOOKS = (0.0, 1.0, 3.0)
# How often a create is sent whose every answer is lost, with looks in between.
_SENDINGS = 3

_FAILED = frozenset({RunStatus.ERROR, RunStatus.CANCELLED})


class _TagsIgnoredError(Exception):
    """The server lists runs without regard to metadata, so that what it does not list proves nothing."""


@dataclass(frozen=True)
class _Found:
    """The runs of one identity: the one to adopt, and how many ended badly."""

    run: WorkflowRun | None
    failed: frozenset[str]


async def create_run(
    session: Session, read: Callable[[], NewRun], *, adopt: bool, on_progress: OnProgress | None = None
) -> WorkflowRun:
    """Check what a caller gave, which may be files on the far side of a network, and create it once.

    Raises:
        InvalidInputError: `on_progress` is a coroutine function, which nobody would await.
    """
    if inspect.iscoroutinefunction(on_progress):
        raise errors.InvalidInputError("on_progress must be a plain function: it is called, not awaited")
    new = await session.runtime.off_loop(read)
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
        CreateOutcomeUnknownError: An answer was lost, and the routes have no metadata by which to look for the run.
        InputsChangedError: There is a run of this identity with other inputs.
    """
    if await session.family() == "classic":
        return await _send(session, new, 0, on_progress)
    found = await _adoptable(session, new) if adopt else _Found(None, frozenset())
    if found.run is not None:
        return found.run
    # Once, however often the create is sent: what is at the server stays there.
    new = await _at_server(session, new, on_progress)
    lost: errors.CreateOutcomeUnknownError | None = None
    for _ in range(_SENDINGS):
        try:
            run = await _send_marked(session, new, found.failed, on_progress)
        except errors.CreateOutcomeUnknownError as unknown:
            lost = unknown
            adopted = await _look_for(session, new, found.failed, unknown)
            if adopted is not None:
                return adopted
        else:
            return run if lost is None else await _only_one(session, new, run, found.failed)
    assert lost is not None  # noqa: S101  the loop ends without a run only if every answer was lost
    raise lost


async def _send_marked(
    session: Session, new: NewRun, failed: frozenset[str], on_progress: OnProgress | None
) -> WorkflowRun:
    """Send a create under an `Idempotency-Key`; it may be answered with the run of an earlier process.

    An upload of the same document by that process has another address, so that a server that honours the key takes
    this for another request, and refuses it.
    """
    try:
        return await _send(session, new, len(failed), on_progress)
    except errors.ConflictError as conflict:
        adopted = await _look_for(session, new, failed, conflict) if new.uploaded else None
        if adopted is None:
            raise
        return adopted


async def can_find_runs(session: Session) -> bool:
    """Whether the server's routes have the metadata by which a run is found."""
    return await session.family() == "current"


async def find_runs(session: Session, identity: RunIdentity, *, any_generation: bool) -> list[WorkflowRun]:
    """Return the runs of an identity, oldest first; empty where the routes have no metadata."""
    if await session.family() == "classic":
        return []
    key, value = (FAMILY, identity.family) if any_generation else (IDENTITY, identity.key)
    try:
        return await _tagged(session, key, value)
    except _TagsIgnoredError:
        return []


async def _send(session: Session, new: NewRun, attempt: int, on_progress: OnProgress | None) -> WorkflowRun:
    async def build(family: RouteFamily) -> Call[WorkflowRun]:
        if family == "classic":
            return classic.create_run(new, on_progress)
        return current.create_run(await _at_server(session, new, on_progress), attempt, on_progress)

    return await session.create(build)


async def _at_server(session: Session, new: NewRun, on_progress: OnProgress | None) -> NewRun:
    """Return the inputs as current routes take them, uploading what was not; nothing for a create that must fail."""
    current.check_run(new)
    return await upload_documents(session, await _with_urls(session, new), on_progress)


async def _with_urls(session: Session, new: NewRun) -> NewRun:
    """Return the inputs with the url of every file that was given by id: current routes refuse ids."""
    documents: dict[str, OpenedDocument | FileReference] = dict(new.documents)
    for node, document in new.documents.items():
        if isinstance(document, FileReference) and document.url is None and document.id is not None:
            stored: FileReference = await session.exchange(current.file_by_id(document.id))
            documents[node] = stored
    return replace(new, documents=documents)


async def _adoptable(session: Session, new: NewRun) -> _Found:
    try:
        runs = await _tagged(session, IDENTITY, new.identity.key)
    except _TagsIgnoredError:
        return _Found(None, frozenset())
    failed = frozenset(run.id for run in runs if run.status in _FAILED)
    living = [run for run in runs if run.id not in failed]
    if not living:
        return _Found(None, failed)
    fingerprint = await session.runtime.off_loop(new.fingerprint)
    same = [run for run in living if run.metadata.get(FINGERPRINT) == fingerprint]
    if not same and new.identity.on_mismatch == "error":
        raise errors.InputsChangedError(
            f"run {living[0].id} was started for the same task with other inputs; clear the task to start a new run, "
            "or give it back the inputs that it had",
            run=living[0],
        )
    return _Found(same[0] if same else None, failed)


async def _look_for(
    session: Session, new: NewRun, failed: frozenset[str], lost: errors.RetabError
) -> WorkflowRun | None:
    """Look for a run that may have been created, or raise what made that a question if it cannot be looked for."""
    try:
        for pause in _LOOKS:
            await session.runtime.sleep(pause)
            runs = await _own(session, new, failed)
            if runs:
                return runs[0]
    except (_TagsIgnoredError, errors.ApiError) as error:
        raise lost from error
    return None


async def _only_one(session: Session, new: NewRun, run: WorkflowRun, failed: frozenset[str]) -> WorkflowRun:
    """Keep the oldest of the runs that a create which was sent twice may have started, and cancel the rest."""
    try:
        runs = await _own(session, new, failed)
        if run.id not in {each.id for each in runs}:
            runs.append(run)  # the list lags, so it is the youngest
        oldest, *rest = runs
        for extra in rest:
            if not extra.is_terminal:
                await session.exchange(shared.cancel_run(extra.id, new.identity.key))
    except (_TagsIgnoredError, errors.ApiError):
        return run
    return oldest


async def _own(session: Session, new: NewRun, failed: frozenset[str]) -> list[WorkflowRun]:
    """Return the runs of this identity that were not known to have failed before, whatever became of them since."""
    runs = await _tagged(session, IDENTITY, new.identity.key)
    if new.identity.on_mismatch == "create":
        fingerprint = await session.runtime.off_loop(new.fingerprint)
        runs = [run for run in runs if run.metadata.get(FINGERPRINT) == fingerprint]
    return [run for run in runs if run.id not in failed]


async def _tagged(session: Session, key: str, value: str) -> list[WorkflowRun]:
    filters = RunFilters.read(metadata={key: value}, order="asc", limit=100)
    runs: list[WorkflowRun] = []
    async for run in iter_runs(session, filters):
        if run.metadata.get(key) != value:
            raise _TagsIgnoredError
        runs.append(run)
    return runs
