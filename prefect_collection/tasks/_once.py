"""One call in one flow run starts one run, whatever is retried, resumed, or started again elsewhere."""

from asyncio import to_thread
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from prefect.context import TaskRunContext

from prefect_collection._memory import Memory, Record
from prefect_collection.blocks import RetabCredentials, namespace_of
from prefect_collection.waiting import run_logger
from retab_orchestration import (
    CreateOutcomeUnknownError,
    NotFoundError,
    RetabError,
    RunIdentity,
    RunStatus,
)

__all__ = ["aonce", "once"]

_FAILED = frozenset({RunStatus.ERROR, RunStatus.CANCELLED})


class _Started(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def status(self) -> RunStatus: ...


class _Send(Protocol):
    def __call__(self, *, identity: RunIdentity | None, adopt: bool) -> _Started: ...


class _AsyncSend(Protocol):
    async def __call__(self, *, identity: RunIdentity | None, adopt: bool) -> _Started: ...


@dataclass(frozen=True)
class _Plan:
    """What to send, given what is known."""

    memory: Memory
    known: Record
    namespace: str

    @property
    def adopt(self) -> bool:
        """Whether to look for a run by its tags first: a request that the first start of a flow run can spare.

        Nor may the first start look: what it would find are documents of the same name and content that are given
        to it twice on purpose.
        """
        return self.memory.owner.again or self.known != Record()

    @property
    def identity(self) -> RunIdentity:
        """Which run is meant; the family is all that its flow run has started."""
        owner = self.memory.owner
        call = "/".join([*owner.path, self.memory.task, self.memory.dedupe_key])
        return RunIdentity.of(self.namespace, "prefect", owner.id, generation=call, on_mismatch="create")

    def refusal(self, target: Mapping[str, str]) -> CreateOutcomeUnknownError:
        """Return why nothing is sent: what was sent before may have taken effect."""
        since = self.known.since or ""
        filters = {**target, "from_date": since[:10]}
        asked = ", ".join(f"{name}={value!r}" for name, value in filters.items())
        return CreateOutcomeUnknownError(
            f"an earlier try, begun at {since}, was cut off, and what it was to create may exist. Nothing was sent "
            f"this time: look for it with list_runs({asked}), or for a test run on the workflow's page; if it is not "
            "there, run with another dedupe_key",
            workflow_id=target.get("workflow_id"),
            since=since,
        )


def _plan(block: RetabCredentials | None) -> _Plan | None:
    context = TaskRunContext.get()
    if context is None:
        return None
    account = block._block_document_name if block else None  # noqa: SLF001  Prefect has no other name for it
    memory = Memory(context, account)
    return _Plan(memory, memory.recall(), namespace_of(block))


def once(
    block: RetabCredentials | None,
    send: _Send,
    *,
    target: Mapping[str, str],
    look: Callable[[str], _Started],
    can_find: Callable[[], bool],
) -> str:
    """Start a run, or return the one that the same call has started in this flow run, unless that ended badly.

    Args:
        block: The account.
        send: Creates the run.
        target: The filter of a list of runs that has what was created.
        look: Reads a run by its id.
        can_find: Whether `send` can find a run by its identity.

    Raises:
        CreateOutcomeUnknownError: An earlier try was cut off, and what it did cannot be found out.
    """
    plan = _plan(block)
    if plan is None:
        return _created(send(identity=None, adopt=False).id)
    known, memory = plan.known, plan.memory
    if known.run_id is not None and _goes_on(known.run_id, look):
        memory.keep(known.run_id)
        return _found(known.run_id)
    found = can_find()
    if known.since is not None and not found:
        raise plan.refusal(target)
    memory.begin()
    try:
        run_id = send(identity=plan.identity if found else None, adopt=plan.adopt and found).id
    except RetabError as error:
        if not isinstance(error, CreateOutcomeUnknownError):
            memory.forget()
        raise
    memory.keep(run_id)
    return _created(run_id)


async def aonce(
    block: RetabCredentials | None,
    send: _AsyncSend,
    *,
    target: Mapping[str, str],
    look: Callable[[str], Awaitable[_Started]],
    can_find: Callable[[], Awaitable[bool]],
) -> str:
    """Do what `once` does, awaiting."""
    plan = await to_thread(_plan, block)
    if plan is None:
        return _created((await send(identity=None, adopt=False)).id)
    known, memory = plan.known, plan.memory
    if known.run_id is not None and await _agoes_on(known.run_id, look):
        await to_thread(memory.keep, known.run_id)
        return _found(known.run_id)
    found = await can_find()
    if known.since is not None and not found:
        raise plan.refusal(target)
    await to_thread(memory.begin)
    try:
        run_id = (await send(identity=plan.identity if found else None, adopt=plan.adopt and found)).id
    except RetabError as error:
        if not isinstance(error, CreateOutcomeUnknownError):
            await to_thread(memory.forget)
        raise
    await to_thread(memory.keep, run_id)
    return _created(run_id)


def _goes_on(run_id: str, look: Callable[[str], _Started]) -> bool:
    """Whether a run is active, waits, or is completed; one that is not to be found yet counts as active."""
    try:
        return look(run_id).status not in _FAILED
    except NotFoundError:
        return True


async def _agoes_on(run_id: str, look: Callable[[str], Awaitable[_Started]]) -> bool:
    try:
        return (await look(run_id)).status not in _FAILED
    except NotFoundError:
        return True


def _created(run_id: str) -> str:
    run_logger().info("Created run %s", run_id)
    return run_id


def _found(run_id: str) -> str:
    run_logger().info("Found run %s, which this flow run has started before", run_id)
    return run_id
