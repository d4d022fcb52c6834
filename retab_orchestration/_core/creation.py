"""One create on current routes: what is known of its identity's runs, and the steps that follow its answers."""

import logging
from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime
from typing import Protocol

from retab_orchestration import errors
from retab_orchestration._calls import shared
from retab_orchestration._core.create_steps import Answer, Search, Step, next_step, pauses
from retab_orchestration._core.session import Session
from retab_orchestration._core.tags import Found, Tags, find_tagged, tags_of, with_own
from retab_orchestration._inputs import NewRun
from retab_orchestration.identity import FINGERPRINT, IDENTITY
from retab_orchestration.models import RunStatus, WorkflowRun

__all__ = ["Creation"]

_log = logging.getLogger(__name__)

_FAILED = frozenset({RunStatus.ERROR, RunStatus.CANCELLED})

# Conflicts that the API documents, and that have nothing to do with an `Idempotency-Key`: nothing was created.
_DOCUMENTED_CONFLICTS = frozenset({"production_required_but_unpublished"})

_Answered = tuple[Answer, WorkflowRun | None, errors.RetabError | None]


class _Send(Protocol):
    def __call__(self, new: NewRun, *, failed: int) -> Awaitable[WorkflowRun]: ...


class Creation:
    """One create and its identity's runs.

    Args:
        session: The account.
        new: What the run starts from.
        fingerprint: What stands for its inputs.
        send: Sends the create once; `failed` is how many runs of this identity are known to have ended badly.
    """

    def __init__(self, session: Session, new: NewRun, fingerprint: str, send: _Send) -> None:
        self.new = new
        self._session = session
        self._fingerprint = fingerprint
        self._send = send
        self._failed: frozenset[str] = frozenset()
        self._failures = 0
        self._since = session.runtime.utc()
        # What an earlier process has sent and not heard of may act as late as what this one sends.
        self._lost = int(new.identity.begun is not None)

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
        found = self._without_parent(await with_own(self._session, self.new.identity, found))
        if not found.is_complete and not found.runs and await tags_of(self._session) is not Tags.DROPPED:
            raise errors.CreateOutcomeUnknownError(
                "this task may have a run already that is not among the newest of the list, which this server does "
                "not filter by tags; nothing was created. Look for it with "
                f"list_runs(workflow_id={self.new.workflow_id!r})",
                workflow_id=self.new.workflow_id,
            )
        self._failed = frozenset(run.id for run in found.runs if run.status in _FAILED)
        self._failures = len(self._failed)
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

    async def send(self) -> WorkflowRun:
        """Send the create, and do what follows its answers until there is a run."""
        while True:
            answer, run, error = await self._sent()
            self._lost += answer is Answer.LOST
            search, tags = Search.NOT_YET, Tags.UNKNOWN
            while (step := self._step(answer, search, tags)) is Step.SEARCH:
                search, tags, run = await self._search()
            if step is Step.RETURN and run is not None:
                return run
            if step is Step.SETTLE and run is not None:
                return await self._settled(run)
            if step is not Step.SEND and error is not None:
                raise self._raised(step, answer, error)

    def _step(self, answer: Answer, search: Search, tags: Tags) -> Step:
        again = self.new.is_tried_again
        return next_step(answer, search, tags=tags, lost=self._lost, is_tried_again=again)

    def _raised(self, step: Step, answer: Answer, error: errors.RetabError) -> errors.RetabError:
        if step is Step.RAISE_LAST:
            cause = error.__cause__ if isinstance(error, errors.CreateOutcomeUnknownError) else None
            return cause if isinstance(cause, errors.ApiError) else error
        if isinstance(error, errors.CreateOutcomeUnknownError):
            return error
        came_before = (
            "the server says that this create came before"
            if answer is Answer.CONFLICT
            else "an earlier sending of this create was not answered"
        )
        return errors.CreateOutcomeUnknownError(
            f"{came_before}, and the run is not to be found; look for it with "
            f"list_runs(workflow_id={self.new.workflow_id!r}) before creating it again. The last answer was: {error}",
            workflow_id=self.new.workflow_id,
            since=self._since.isoformat(timespec="seconds"),
            until=self._session.runtime.utc().isoformat(timespec="seconds"),
            cause=error if isinstance(error, errors.ApiError) else None,
        )

    async def _sent(self) -> _Answered:
        answered: set[str] = set()
        while True:
            began = self._session.runtime.now()
            try:
                run = await self._send(self.new, failed=self._failures)
            except errors.CreateOutcomeUnknownError as unknown:
                return Answer.LOST, None, unknown
            except errors.ConflictError as conflict:
                if conflict.code in _DOCUMENTED_CONFLICTS and not self._lost:
                    raise
                is_documented = conflict.code in _DOCUMENTED_CONFLICTS
                return Answer.REFUSED if is_documented else Answer.CONFLICT, None, conflict
            except errors.ApiError as refusal:
                if not self._lost:
                    raise
                return Answer.REFUSED, None, refusal
            if run.id in answered or not _came_before(run, self._session.runtime.now() - began):
                return Answer.CREATED, run, None
            # A server that honours the key has answered with a run that had failed: this one is to be another.
            answered.add(run.id)
            self._failed |= {run.id}
            self._failures += 1

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
                    return Search.FOUND, tags, _kept(found.runs)
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
        for pause in (0.0, self._session.retry.find_for):
            await self._session.runtime.sleep(pause)
            try:
                runs = (await self._own()).runs
            except errors.ApiError as error:
                if pause:
                    self._warn(f"whether it is the only one could not be seen ({error})", run)
                continue
            if run.id not in {each.id for each in runs}:
                runs = (*runs, run)  # not listed yet, so it is the youngest
            if len(runs) > 1:
                kept = _kept(runs)
                await self._cancel([each for each in runs if each.id != kept.id], kept)
                return kept
        return run

    async def _cancel(self, runs: list[WorkflowRun], kept: WorkflowRun) -> None:
        for run in runs:
            if run.is_terminal:
                continue
            try:
                await self._session.exchange(shared.cancel_run(run.id, self.new.identity.key))
            except errors.ApiError as error:
                self._warn(f"run {run.id} is another one, and cancelling it may have failed ({error})", kept)

    def _warn(self, what: str, run: WorkflowRun) -> None:
        _log.warning(
            "The create of run %s of workflow %s was sent more than once: %s. Look with "
            "list_runs(workflow_id=%r), and cancel what there is too much of.",
            run.id,
            self.new.workflow_id,
            what,
            self.new.workflow_id,
        )

    async def _own(self) -> Found:
        """Return the runs of this create that were not known to have failed before, whatever became of them since."""
        found = await self._tagged(since=self.new.identity.since or self._since)
        runs = [
            run
            for run in found.runs
            if run.id not in self._failed and run.metadata.get(FINGERPRINT) == self._fingerprint
        ]
        return replace(found, runs=tuple(runs))

    async def _tagged(self, since: datetime | None) -> Found:
        found = await find_tagged(
            self._session, IDENTITY, self.new.identity.key, workflow_id=self.new.workflow_id, since=since
        )
        return self._without_parent(found)

    def _without_parent(self, found: Found) -> Found:
        """Leave out the run that is restarted: it is not the one that its restart makes."""
        return replace(found, runs=tuple(run for run in found.runs if run.id != self.new.parent_run_id))


def _kept(runs: tuple[WorkflowRun, ...]) -> WorkflowRun:
    """Return the oldest run that has not ended badly, or the youngest where all have."""
    return next((run for run in runs if run.status not in _FAILED), runs[-1])


def _came_before(run: WorkflowRun, seconds: float) -> bool:
    """Whether a run ended badly before its create was sent: it took longer than the create did."""
    began, ended = run.timing.created_at, run.timing.completed_at
    if run.status not in _FAILED or began is None or ended is None:
        return False
    return (ended - began).total_seconds() > seconds
