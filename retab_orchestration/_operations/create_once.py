"""One create on current routes: what is known of its identity's runs, and the steps that follow its answers."""

from collections.abc import Awaitable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Protocol

from retab_orchestration import errors
from retab_orchestration._arguments import NewRun
from retab_orchestration._operations.create_decision import Answer, Search, Step, next_step, pauses
from retab_orchestration._operations.create_errors import cut_off, inputs_changed, may_exist, not_found
from retab_orchestration._operations.identity_runs import (
    FAILED,
    Siblings,
    always_failed_before,
    kept_of,
    until_listed,
)
from retab_orchestration._operations.process_runs import (
    begun,
    begun_of,
    latest_of,
    note_begun,
    note_own,
    own_runs,
    remember_own,
)
from retab_orchestration._operations.tags import Tags, tags_of
from retab_orchestration._transport.session import Session
from retab_orchestration.identity import FINGERPRINT
from retab_orchestration.models import WorkflowRun

__all__ = ["Creation"]

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
        self._siblings = Siblings(session, new, fingerprint)
        self._failures = 0
        self._what = (session, new.identity, fingerprint)
        self._known_before: tuple[str | None, datetime | None] | None = None
        # What an earlier process has sent and not heard of may act as late as what this one sends.
        self._lost = int(new.identity.begun is not None)

    async def adopt(self) -> WorkflowRun | None:
        """Return the run of this identity that goes on, or is completed; None where there is none.

        Raises:
            InputsChangedError: It has other inputs, and the identity may have one run only.
            CreateOutcomeUnknownError: There may be one that the list did not come to.
        """
        self._known_before = latest_of(*self._what)
        cut_off_at = begun_of(*self._what)
        identity = replace(self.new.identity, begun=cut_off_at)
        self.new, self._lost = replace(self.new, identity=identity), int(cut_off_at is not None)
        look = partial(self._siblings.tagged, identity.since)
        found = await until_listed(self._session, identity.begun, look, self._is_that_begun)
        # Its server may keep nothing that tells the inputs of one of ours.
        own = await own_runs(self._session, identity, found.runs)
        found = self._siblings.without_parent(replace(found, runs=(*found.runs, *own.values())))
        living = self._siblings.living_in(found)
        self._failures = len(found.runs) - len(living)
        self._siblings.were_listed = found.is_complete
        same = [run for run in living if run is own.get(self._fingerprint) or self._is_same(run)]
        if living and not same and identity.on_mismatch == "error":
            raise inputs_changed(living[0], self.new)
        if not same and not found.is_complete:
            await self._refuse_to_guess()
        return await self._kept_of(same) if same else None

    async def _kept_of(self, runs: list[WorkflowRun]) -> WorkflowRun | None:
        """Return the one of them that is kept; None where all have ended badly meanwhile, whatever the list says."""
        kept = await self._siblings.only(runs)
        if kept.status not in FAILED:
            return kept
        self._failures += len(runs)
        self._siblings.failed |= {run.id for run in runs}
        return None

    def _is_same(self, run: WorkflowRun) -> bool:
        return run.metadata.get(FINGERPRINT) == self._fingerprint

    def _is_that_begun(self, run: WorkflowRun) -> bool:
        """Whether a run can be the one whose create was cut off, or is a reason to look for it no longer."""
        return run.status not in FAILED and (self.new.identity.on_mismatch == "error" or self._is_same(run))

    async def _refuse_to_guess(self) -> None:
        """Raise where there may be a run that was not seen, and it is not known that none was begun."""
        if await tags_of(self._session) is Tags.DROPPED:
            if self.new.identity.begun is not None:
                raise cut_off(self.new, self.new.identity.begun)
            return
        raise may_exist(self.new)

    async def send(self) -> WorkflowRun:
        """Send the create, and do what follows its answers until there is a run."""
        before = self._known_before
        if before is not None and before != latest_of(*self._what):
            # By what has interrupted this thread, or by blocking code on its loop, one may have been made meanwhile.
            found = await self.adopt()
            if found is not None:
                return found
            before = self._known_before
        with begun(*self._what, is_lost=lambda: self._lost > 0):
            step, run = Step.SEND, None
            while step is Step.SEND or run is None:
                answer, run, error = await self._sent()
                # What came in between may have made a run as well.
                is_overtaken = before is not None and latest_of(*self._what)[0] != before[0]
                self._lost += (answer is Answer.LOST) + is_overtaken
                search, tags = Search.NOT_YET, Tags.UNKNOWN
                while (step := self._step(answer, search, tags)) is Step.SEARCH:
                    search, tags, run = await self._search()
                if step in {Step.RAISE_LAST, Step.RAISE_UNKNOWN} and error is not None:
                    raise self._raised(step, answer, error)
            if step is Step.SETTLE:
                note_own(*self._what, run.id)  # whatever breaks this off, and however far the list lags
                run = await self._siblings.settled(run)
        remember_own(*self._what, run.id)
        return run

    def _step(self, answer: Answer, search: Search, tags: Tags) -> Step:
        again = self.new.is_tried_again
        return next_step(answer, search, tags=tags, lost=self._lost, is_tried_again=again)

    def _raised(self, step: Step, answer: Answer, error: errors.RetabError) -> errors.RetabError:
        if step is Step.RAISE_LAST:
            cause = error.__cause__ if isinstance(error, errors.CreateOutcomeUnknownError) else None
            return cause if isinstance(cause, errors.ApiError) else error
        if isinstance(error, errors.CreateOutcomeUnknownError):
            return error
        until = self._session.runtime.utc()
        return not_found(self.new, error, self._siblings.since, until, is_known=answer is Answer.CONFLICT)

    async def _sent(self) -> _Answered:
        answered: set[str] = set()
        while True:
            note_begun(*self._what)
            try:
                run = await self._send(self.new, failed=self._failures)
            except errors.CreateOutcomeUnknownError as unknown:
                return Answer.LOST, None, unknown
            except errors.ApiError as refusal:
                if isinstance(refusal, errors.ConflictError) and refusal.code not in _DOCUMENTED_CONFLICTS:
                    return Answer.CONFLICT, None, refusal
                if not self._lost:
                    raise
                return Answer.REFUSED, None, refusal
            if run.id in answered or not await self._siblings.came_before(run):
                return Answer.CREATED, run, None
            # A server that honours the key has answered with a run that had failed: this one is to be another.
            answered.add(run.id)
            if (endless := always_failed_before(answered, self.new.workflow_id)) is not None:
                raise endless
            self._siblings.failed |= {run.id}
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
                found = await self._siblings.of_this_create()
                if found.runs:
                    # A gateway may have sent one create twice.
                    self._lost = max(self._lost, len(found.runs))
                    return Search.FOUND, tags, kept_of(found.runs)
                if not found.is_complete:
                    result = Search.FAILED
                if not number:
                    tags = await tags_of(self._session)
            except errors.ApiError:
                result = Search.FAILED
            if tags is Tags.DROPPED:
                break
        return result, tags, None
