"""Runs: create, look at, wait for and cancel them; the only wait loop."""

import inspect
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar

from retab_orchestration import errors
from retab_orchestration._calls import classic, shared
from retab_orchestration._core.details import with_details
from retab_orchestration._core.once import create_once
from retab_orchestration._core.schedule import Decision, Expire, LookAgain, Schedule, Settle
from retab_orchestration._core.session import PASSING, Session
from retab_orchestration._http import Call
from retab_orchestration._inputs import NewRun, checked_choice
from retab_orchestration.documents import FileReference
from retab_orchestration.identity import RESERVED_PREFIX, RunIdentity
from retab_orchestration.models import DocumentRef, RunStatus, WorkflowRun
from retab_orchestration.policies import PollPolicy

__all__ = ["OnReview", "Patience", "cancel_run", "get_run", "restart_run", "wait_for", "wait_for_run"]


class _Watched(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def status(self) -> RunStatus: ...
    @property
    def status_name(self) -> str: ...


# Seconds that a look may take although the deadline is nearer: the last one is made at the deadline itself.
_LAST_LOOK = 5.0

W = TypeVar("W", bound=_Watched)

OnReview = Literal["return", "wait"]
"""What a wait does when a human is asked: return the run as it is, or wait until it has ended."""


@dataclass(frozen=True)
class Patience:
    """How a caller waits."""

    timeout: float | None
    poll: PollPolicy
    on_review: OnReview = "return"

    @classmethod
    def read(cls, timeout: Any, poll: Any, on_review: Any = "return") -> "Patience":
        """Check what a wait was given.

        Raises:
            InvalidInputError: The message names the argument and says what it should be.
        """
        wrong = isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0
        if timeout is not None and wrong:
            raise errors.InvalidInputError(
                f"timeout must be seconds, more than 0, or None for no limit, not {timeout!r}"
            )
        if not isinstance(poll, PollPolicy):
            raise errors.InvalidInputError(f"poll must be a PollPolicy, not {type(poll).__name__}")
        return cls(timeout, poll, checked_choice("on_review", on_review, ("return", "wait")))


async def restart_run(
    session: Session, run_id: str, *, identity: RunIdentity | None, adopt: bool
) -> WorkflowRun:
    """Run the inputs of a run again, in the version that is published now, once for an identity."""
    if await session.family() == "classic":
        command_id = identity.key if identity else uuid.uuid4().hex
        return await session.exchange(classic.restart_run(run_id, command_id))
    source = await session.exchange(shared.get_run(run_id))
    new = NewRun.read(
        source.workflow_id,
        documents={node: _reference(document) for node, document in source.inputs.documents.items()},
        json_inputs=source.inputs.json_data,
        metadata={
            key: value for key, value in source.metadata.items() if not key.startswith(RESERVED_PREFIX)
        },
        identity=identity,
    )
    return await create_once(session, replace(new, parent_run_id=run_id), adopt=adopt)


def _reference(document: DocumentRef) -> FileReference:
    # An id can always be turned into a url that is good now; the url in an old run may not be any more.
    url = None if document.id else document.url
    return FileReference(id=document.id, filename=document.filename, mime_type=document.mime_type, url=url)


async def get_run(
    session: Session, run_id: str, *, outputs: bool, nodes: tuple[str, ...] | None
) -> WorkflowRun:
    """Look at a run once."""
    run = await session.exchange(shared.get_run(run_id))
    return await with_details(session, run, nodes) if outputs else run


async def cancel_run(session: Session, run_id: str) -> WorkflowRun:
    """Ask for a run to be cancelled."""
    return await session.exchange(shared.cancel_run(run_id, uuid.uuid4().hex))


async def wait_for_run(
    session: Session,
    run_id: str,
    patience: Patience,
    *,
    outputs: bool,
    nodes: tuple[str, ...] | None,
    on_change: Callable[[WorkflowRun], Any] | None,
) -> WorkflowRun:
    """Look at a run until it has ended, or waits for a human and the caller does not.

    Raises:
        InvalidInputError: `on_change` is a coroutine function, which nobody would await.
    """
    if inspect.iscoroutinefunction(on_change):
        raise errors.InvalidInputError("on_change must be a plain function: it is called, not awaited")
    run = await wait_for(session, run_id, shared.get_run(run_id), patience, on_change)
    return await with_details(session, run, nodes) if outputs else run


async def wait_for(
    session: Session,
    run_id: str,
    call: Call[W],
    patience: Patience,
    on_change: Callable[[W], Any] | None = None,
) -> W:
    """Make a call again and again until what it reads has settled.

    Raises:
        WaitTimeoutError: The deadline passed.
        ApiError: A look was refused, or too many in a row failed; the last failure.
    """
    runtime = session.runtime
    schedule = Schedule(
        patience.poll,
        started=runtime.now(),
        timeout=patience.timeout,
        through_review=patience.on_review == "wait",
    )
    decision: Decision = schedule.first()
    seen: W | None = None
    failure: errors.ApiError | None = None
    while isinstance(decision, LookAgain):
        await runtime.sleep(max(0.0, decision.at - runtime.now()))
        left = None if schedule.deadline is None else max(schedule.deadline - runtime.now(), _LAST_LOOK)
        try:
            run = await session.exchange_once(call, seconds=left)
        except (*PASSING, errors.NotFoundError) as error:
            # A run that was created a moment ago may not be found yet, so a 404 counts as a look that failed.
            failure = error
            decision = schedule.failed(runtime.now(), runtime.chance(), error.retry_after)
            if not isinstance(decision, LookAgain | Expire):
                raise
            continue
        if on_change is not None and (seen is None or run.status_name != seen.status_name):
            on_change(run)
        seen, failure = run, None
        decision = schedule.saw(run.status, runtime.now(), runtime.chance())
        if isinstance(decision, Settle):
            return run
    raise _expired(run_id, patience, seen, failure) from failure


def _expired(
    run_id: str, patience: Patience, seen: _Watched | None, failure: errors.ApiError | None
) -> errors.WaitTimeoutError:
    state = f"is still {seen.status_name}" if seen is not None else "could not be looked at"
    trouble = f" The last look failed: {failure}" if failure else ""
    return errors.WaitTimeoutError(
        f"run {run_id} {state} after {patience.timeout or 0:g} s; it goes on: wait for it again, or cancel it."
        + trouble,
        run=seen,
        run_id=run_id,
    )
