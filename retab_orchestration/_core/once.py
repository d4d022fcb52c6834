"""Creating exactly once: a run is marked, looked for when an answer is lost or a task tries again, and adopted."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial

from retab_orchestration import errors
from retab_orchestration._calls import classic, current, shared
from retab_orchestration._calls.progress import OnProgress
from retab_orchestration._core.create_steps import Answer, Search, Step, next_step, pauses
from retab_orchestration._core.session import Session
from retab_orchestration._core.tags import Found, Tags, find_tagged, remember_created, tags_of
from retab_orchestration._core.uploads import prepared, upload_documents
from retab_orchestration._http import Call
from retab_orchestration._inputs import NewRun
from retab_orchestration.documents import FileReference, OpenedDocument, Spool
from retab_orchestration.identity import FAMILY, FINGERPRINT, IDENTITY, RunIdentity
from retab_orchestration.models import RouteFamily, RunStatus, WorkflowRun

__all__ = ["can_find_runs", "create_once", "create_run", "find_runs"]

_FAILED = frozenset({RunStatus.ERROR, RunStatus.CANCELLED})

# Conflicts that the API documents, and that have nothing to do with an `Idempotency-Key`: nothing was created.
_DOCUMENTED_CONFLICTS = frozenset({"production_required_but_unpublished"})


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
        CreateOutcomeUnknownError: An answer was lost, and the run cannot be looked for.
        InputsChangedError: There is a run of this identity with other inputs.
        DocumentReadError: A document could not be read to its end; nothing was created.
    """
    family = await session.family()
    if family == "current":
        current.check_run(new)
    spool = Spool()
    try:
        new = await session.runtime.off_loop(partial(prepared, new, family, spool))
        fingerprint = new.fingerprint()  # hashes nothing, for the documents were read
        if family == "classic":
            return await _send(session, new, fingerprint, 0, on_progress)
        creation = _Creation(session, new, fingerprint)
        if adopt and (adopted := await creation.adopt()) is not None:
            return adopted
        # Once, however often the create is sent: what is at the server stays there.
        creation.new = await _at_server(session, new, on_progress)
        return await creation.send(on_progress)
    finally:
        spool.close()


class _Creation:
    """One create on current routes: what is known of this identity's runs, and the steps that follow its answers."""

    def __init__(self, session: Session, new: NewRun, fingerprint: str) -> None:
        self.new = new
        self._session = session
        self._fingerprint = fingerprint
        self._failed: frozenset[str] = frozenset()
        self._since = session.runtime.utc()

    async def adopt(self) -> WorkflowRun | None:
        """Return the run of this identity that goes on, or is completed; None where there is none.

        Raises:
            InputsChangedError: It has other inputs, and the identity may have one run only.
            CreateOutcomeUnknownError: There may be one that the list did not come to.
        """
        found = await self._tagged(since=self.new.identity.since)
        for pause in self._pauses_after_a_create_that_was_cut_off():
            if found.runs or not found.is_complete:
                break
            await self._session.runtime.sleep(pause)
            found = await self._tagged(since=self.new.identity.since)
        if not found.is_complete and await tags_of(self._session) is not Tags.DROPPED:
            raise errors.CreateOutcomeUnknownError(
                "this task may have a run already that is not among the newest of the list, which this server does "
                "not filter by tags; nothing was created. Look for it with "
                f"list_runs(workflow_id={self.new.workflow_id!r})",
                workflow_id=self.new.workflow_id,
            )
        self._failed = frozenset(run.id for run in found.runs if run.status in _FAILED)
        living = [run for run in found.runs if run.id not in self._failed]
        same = [run for run in living if run.metadata.get(FINGERPRINT) == self._fingerprint]
        if living and not same and self.new.identity.on_mismatch == "error":
            raise errors.InputsChangedError(
                f"run {living[0].id} was started for the same task with other inputs; clear the task to start a new "
                "run, or give it back the inputs that it had",
                run=living[0],
            )
        return same[0] if same else None

    def _pauses_after_a_create_that_was_cut_off(self) -> list[float]:
        begun, limit = self.new.identity.begun, self._session.retry.find_for
        if begun is None:
            return []
        passed = max(0.0, (self._since - begun).total_seconds())
        return pauses(limit - passed)

    async def send(self, on_progress: OnProgress | None) -> WorkflowRun:
        """Send the create, and do what follows its answers until there is a run."""
        lost = 0
        while True:
            answer, run, error = await self._sent(on_progress)
            lost += answer is Answer.LOST
            search, tags = Search.NOT_YET, Tags.UNKNOWN
            while (step := next_step(answer, search, tags=tags, lost=lost)) is Step.SEARCH:
                search, tags, run = await self._search()
            if step is Step.RETURN and run is not None:
                return run
            if step is Step.SETTLE and run is not None:
                return await self._settled(run)
            if step is not Step.SEND and error is not None:
                raise self._raised(step, error)

    def _raised(self, step: Step, error: errors.RetabError) -> errors.RetabError:
        unknown = error if isinstance(error, errors.CreateOutcomeUnknownError) else None
        if step is Step.RAISE_LAST and unknown is not None and isinstance(unknown.__cause__, errors.ApiError):
            return unknown.__cause__
        if unknown is not None:
            return unknown
        return errors.CreateOutcomeUnknownError(
            f"the server says that this create came before, and the run is not to be found: {error}",
            workflow_id=self.new.workflow_id,
            since=self._since.isoformat(timespec="seconds"),
            until=self._session.runtime.utc().isoformat(timespec="seconds"),
            cause=error if isinstance(error, errors.ApiError) else None,
        )

    async def _sent(
        self, on_progress: OnProgress | None
    ) -> tuple[Answer, WorkflowRun | None, errors.RetabError | None]:
        try:
            run = await _send(self._session, self.new, self._fingerprint, len(self._failed), on_progress)
        except errors.CreateOutcomeUnknownError as unknown:
            return Answer.LOST, None, unknown
        except errors.ConflictError as conflict:
            if conflict.code in _DOCUMENTED_CONFLICTS:
                raise
            return Answer.CONFLICT, None, conflict
        return Answer.CREATED, run, None

    async def _search(self) -> tuple[Search, Tags, WorkflowRun | None]:
        """Look for the run for as long as a list may lag behind a create, ever less often."""
        result, tags = Search.EMPTY, Tags.UNKNOWN
        looks = [0.0, *pauses(self._session.retry.find_for)]
        for number, pause in enumerate(looks):
            await self._session.runtime.sleep(pause)
            try:
                if number and number == len(looks) - 1:
                    tags = await tags_of(self._session)
                found = await self._own()
                if found.runs:
                    return Search.FOUND, tags, found.runs[0]
                if not found.is_complete:
                    result = Search.FAILED
                if not number:
                    tags = await tags_of(self._session)
            except errors.ApiError:
                result = Search.FAILED
            if tags is Tags.DROPPED:
                break
        return result, tags, None

    async def _settled(self, run: WorkflowRun) -> WorkflowRun:
        """Keep the oldest of the runs that a create which was sent twice may have started, and cancel the rest.

        The list may lag, so that it is read once more after as long as it may.
        """
        try:
            for pause in (0.0, self._session.retry.find_for):
                await self._session.runtime.sleep(pause)
                runs = list((await self._own()).runs)
                if run.id not in {each.id for each in runs}:
                    runs.append(run)  # not listed yet, so it is the youngest
                if len(runs) > 1:
                    await self._cancel(runs[1:])
                    return runs[0]
        except errors.ApiError:
            return run
        return run

    async def _cancel(self, runs: list[WorkflowRun]) -> None:
        for run in runs:
            if not run.is_terminal:
                await self._session.exchange(shared.cancel_run(run.id, self.new.identity.key))

    async def _own(self) -> Found:
        """Return the runs of this create that were not known to have failed before, whatever became of them since."""
        found = await self._tagged(since=self.new.identity.since or self._since)
        may_differ = self.new.identity.on_mismatch == "create"
        runs = [
            run
            for run in found.runs
            if run.id not in self._failed
            and not (may_differ and run.metadata.get(FINGERPRINT) != self._fingerprint)
        ]
        return replace(found, runs=tuple(runs))

    async def _tagged(self, since: datetime | None) -> Found:
        return await find_tagged(
            self._session, IDENTITY, self.new.identity.key, workflow_id=self.new.workflow_id, since=since
        )


async def can_find_runs(session: Session) -> bool:
    """Whether the server keeps the tags by which a run is found, or may do so as far as is known."""
    return await tags_of(session) is not Tags.DROPPED


async def find_runs(session: Session, identity: RunIdentity, *, any_generation: bool) -> list[WorkflowRun]:
    """Return the runs of an identity, oldest first; empty where the server keeps no tags."""
    if await session.family() == "classic":
        return []
    key, value = (FAMILY, identity.family) if any_generation else (IDENTITY, identity.key)
    return list((await find_tagged(session, key, value, since=identity.since)).runs)


async def _send(
    session: Session, new: NewRun, fingerprint: str, failed: int, on_progress: OnProgress | None
) -> WorkflowRun:
    async def build(family: RouteFamily) -> Call[WorkflowRun]:
        if family == "classic":
            return classic.create_run(new, on_progress)
        sent = await _at_server(session, new, on_progress)
        return current.create_run(sent, fingerprint, failed, on_progress)

    run = await session.create(build)
    remember_created(session, run)
    return run


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
