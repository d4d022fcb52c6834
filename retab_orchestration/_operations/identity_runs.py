"""The runs of one identity: which of them a create has started, and which is kept of several."""

import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from retab_orchestration import errors
from retab_orchestration._arguments import NewRun
from retab_orchestration._endpoints import shared
from retab_orchestration._operations.create_decision import pauses
from retab_orchestration._operations.process_runs import is_earlier
from retab_orchestration._operations.tags import Found, existing_runs, find_tagged, oldest_first
from retab_orchestration._transport.session import Session
from retab_orchestration.identity import FINGERPRINT, IDENTITY, RunIdentity, digest_of
from retab_orchestration.models import RunStatus, WorkflowRun

__all__ = ["FAILED", "Siblings", "always_failed_before", "came_before", "kept_of", "until_listed"]

_log = logging.getLogger(__name__)

FAILED = frozenset({RunStatus.ERROR, RunStatus.CANCELLED})
"""The statuses of a run that has ended badly."""

# Seconds by which two clocks of one server may differ: one machine says when a run was created, another when it ended.
_CLOCKS_APART = 30.0
# An earlier year stands for no time.
_NO_TIME = 1970
# How often one create may be answered with a run that had ended badly before it.
_MOST_FAILED_BEFORE = 10


class Siblings:
    """The runs of the identity of one create.

    Args:
        session: The account.
        new: What the create starts from.
        fingerprint: The hash of its inputs.
    """

    def __init__(self, session: Session, new: NewRun, fingerprint: str) -> None:
        self.failed: frozenset[str] = frozenset()
        """The runs that are known to have ended badly before the create."""
        self.were_listed = False
        """Whether a list was read to its end before the create, so that it has shown the runs before."""
        self._session = session
        self._new = new
        self._fingerprint = fingerprint
        self.since = session.runtime.utc()
        """The earliest time at which this process can have sent the create."""
        self._began = session.runtime.now()

    def living_in(self, found: Found) -> list[WorkflowRun]:
        """Return the runs that have not ended badly, and record the others."""
        self.failed = frozenset(run.id for run in found.runs if run.status in FAILED)
        return [run for run in found.runs if run.id not in self.failed]

    async def came_before(self, run: WorkflowRun) -> bool:
        """Return whether a run ended badly before its create was sent."""
        identity = self._new.identity
        if run.status in FAILED and (run.id in self.failed or is_earlier(self._session, identity, run.id)):
            return True
        is_shared = (
            self._new.is_tried_again
        )  # nobody else has created a run of an identity that this call has made
        if not is_shared or not came_before(self._session, identity, run, self._began):
            return False
        return not await self._has_appeared(run)

    async def _has_appeared(self, run: WorkflowRun) -> bool:
        """Return whether the list shows a run that it did not show before: the clocks of the server are wrong then."""
        if not self.were_listed:
            return False
        try:
            found = await self.tagged(self._new.identity.since)
        except errors.ApiError:
            return False
        return run.id in {each.id for each in found.runs}

    async def settled(self, run: WorkflowRun) -> WorkflowRun:
        """Return the oldest of the runs that a create may have started which was sent twice, and cancel the others.

        The list may lag, so it is read once more after the time by which it may.
        """
        for pause in (0.0, self._session.retry.find_for):
            await self._session.runtime.sleep(pause)
            try:
                runs = (await self.of_this_create()).runs
            except errors.ApiError as error:
                if pause:
                    self._warn(f"whether it is the only one could not be seen ({error})", run)
                continue
            if run.id not in {each.id for each in runs}:
                runs = (*runs, run)  # not listed yet, so it is the youngest
            run = await self.only(runs) if len(runs) > 1 else run
        return run

    async def only(self, runs: Sequence[WorkflowRun]) -> WorkflowRun:
        """Return the run that is kept of these, which are oldest first, and cancel the others.

        A list may show as running what has failed, so each run is read by itself.
        """
        kept = kept_of(runs)
        try:
            found = await existing_runs(self._session, [each.id for each in runs])
        except errors.ApiError as error:
            found, why = [], str(error)
        else:
            why = "one is not found"
        present = oldest_first([run for run in found if run is not None])
        if len(present) < len(runs):
            if len(runs) > 1:
                self._warn(
                    f"there are {len(runs)}, and which of them goes on could not be seen ({why})", kept
                )
            return kept
        kept = kept_of(present)
        await self._cancel([each for each in present if each.id != kept.id], kept)
        return kept

    async def _cancel(self, runs: list[WorkflowRun], kept: WorkflowRun) -> None:
        for run in runs:
            if run.is_terminal:
                continue
            _log.warning("Run %s is another one of the identity of run %s: cancelling it", run.id, kept.id)
            command = digest_of(self._new.identity.key, run.id)
            try:
                answer = await self._session.exchange(shared.cancel_run(run.id, command))
            except errors.ApiError as error:
                self._warn(f"run {run.id} is another one, and cancelling it may have failed ({error})", kept)
                continue
            if answer.is_cancel_refused:
                self._warn(f"run {run.id} is another one, and Retab could not cancel it", kept)

    def _warn(self, what: str, run: WorkflowRun) -> None:
        _log.warning(
            "The create of run %s of workflow %s was sent more than once: %s. Look with "
            "list_runs(workflow_id=%r), and cancel what there is too much of.",
            run.id,
            self._new.workflow_id,
            what,
            self._new.workflow_id,
        )

    async def of_this_create(self) -> Found:
        """Return the runs of this create without those that were known to have ended badly before it."""
        found = await self.tagged(self._new.identity.since or self.since)
        runs = [
            run
            for run in found.runs
            if run.id not in self.failed and run.metadata.get(FINGERPRINT) == self._fingerprint
        ]
        return replace(found, runs=tuple(runs))

    async def tagged(self, since: datetime | None) -> Found:
        """Return the runs with the identity's tag.

        Args:
            since: When the first of them can have been created.
        """
        found = await find_tagged(
            self._session, IDENTITY, self._new.identity.key, workflow_id=self._new.workflow_id, since=since
        )
        return self.without_parent(found)

    def without_parent(self, found: Found) -> Found:
        """Return the runs without the one that is restarted."""
        return replace(found, runs=tuple(run for run in found.runs if run.id != self._new.parent_run_id))


def came_before(session: Session, identity: RunIdentity, run: WorkflowRun, began: float) -> bool:
    """Return whether a run ended badly before its create was sent.

    This process knows so, or the server says that the run took longer than the time since then.
    """
    if run.status not in FAILED:
        return False
    created, ended = run.timing.created_at, run.timing.completed_at
    if created and created.year <= _NO_TIME:
        created = None
    least = session.runtime.now() - began + _CLOCKS_APART
    took_longer = bool(created and ended and (ended - created).total_seconds() > least)
    return took_longer or is_earlier(session, identity, run.id)


def always_failed_before(failed: Collection[str], workflow: str) -> errors.CreateOutcomeUnknownError | None:
    """Return the error for a create that was answered too often with a run that had failed before; None until then.

    Args:
        failed: The runs that were the answers.
        workflow: Their workflow.
    """
    if len(failed) < _MOST_FAILED_BEFORE:
        return None
    return errors.CreateOutcomeUnknownError(
        f"the server has answered {len(failed)} creates in a row with runs that had ended badly before those, such "
        f"as {min(failed)}; look at the runs of {workflow} before creating it again",
        workflow_id=workflow,
    )


async def until_listed(
    session: Session,
    begun: datetime | None,
    find: Callable[[], Awaitable[Found]],
    is_it: Callable[[WorkflowRun], bool],
) -> Found:
    """Return the runs of a create that was cut off, once the list shows one, or cannot lag behind it any more.

    Args:
        session: The account.
        begun: When that create was sent; None where there was none, so that one search is enough.
        find: Searches.
        is_it: Whether a run may be that of the create; older ones of its identity may have failed.
    """
    found = await find()
    if begun is None:
        return found
    passed = max(0.0, (session.runtime.utc() - begun).total_seconds())
    for pause in pauses(session.retry.find_for - passed):
        if any(map(is_it, found.runs)) or not found.is_complete:
            break
        await session.runtime.sleep(pause)
        found = await find()
    return found


def kept_of(runs: Sequence[WorkflowRun]) -> WorkflowRun:
    """Return the run that is completed, else the oldest that has not ended badly, else the youngest that has failed.

    A younger run that is completed may be the one whose review a human has decided, and one that is cancelled the one
    that gave way to a run which has failed since.
    """
    living = [run for run in runs if run.status not in FAILED]
    completed = [run for run in living if run.status is RunStatus.COMPLETED]
    failed = [run for run in runs if run.status is RunStatus.ERROR]
    return next(iter([*completed, *living, *failed[::-1]]), runs[-1])
