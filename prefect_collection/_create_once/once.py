"""One call in one flow run starts one run, whatever is retried, resumed, or started again elsewhere."""

import asyncio
import contextvars
import functools
import os
import threading
import time
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from anyio import CancelScope

from prefect_collection._create_once.call import Call, created
from prefect_collection._create_once.creation import Creation
from prefect_collection._create_once.steps import Apart, Ask, AtAnyRate, Pause, Step, Steps, Wait
from prefect_collection._create_once.turns import LONGEST_TURN, TURNS
from prefect_collection._documents import told_of
from prefect_collection._identity import Owner
from prefect_collection._state import Given, Memory
from prefect_collection.credentials import name_of
from retab_orchestration import RetabError

__all__ = ["Creation", "aonce", "once"]


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(16, thread_name_prefix="retab")


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_threads.cache_clear)  # the threads are the parent's


def once(creation: Creation) -> str:
    """Start a run, or return the one that the same call has started in this flow run, unless that ended badly.

    Raises:
        CreateOutcomeUnknownError: An earlier try was cut off, and what it did cannot be found out.
        InvalidInputError: A document is gone, and which run was meant cannot be told.
    """
    steps = _steps(creation)
    try:
        step = next(steps)
        while True:
            try:
                answer = _block_on(step)
            except BaseException as error:  # noqa: BLE001  it is the steps' own
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as stop:
        return str(stop.value)


async def aonce(creation: Creation) -> str:
    """Do what `once` does, awaiting."""
    steps = _steps(creation)
    try:
        step = next(steps)
        while True:
            try:
                answer = await _await(step)
            except BaseException as error:  # noqa: BLE001  it is the steps' own
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as stop:
        return str(stop.value)


def _block_on(step: Step) -> Any:
    if isinstance(step, Pause):
        return time.sleep(step.seconds)  # noqa: TID251  nothing is being waited for at Retab
    if not isinstance(step, Wait):
        return step.do()
    if step.running.thread == threading.get_ident():
        return False  # a call on the event loop that this would hold up
    try:
        step.running.ended.result(timeout=LONGEST_TURN)
    except TimeoutError:
        raise RetabError(
            f"an equal call in this flow run has been under way for {LONGEST_TURN:g} s, and this one waits for it: "
            "await the calls of an async flow, instead of blocking its event loop or the threads of asyncio.to_thread"
        ) from None
    return True


async def _await(step: Step) -> Any:
    if isinstance(step, Pause):
        return await asyncio.sleep(step.seconds)  # noqa: TID251  nothing is being waited for at Retab
    if isinstance(step, Apart):
        return await _in_thread(step)
    if isinstance(step, Ask):
        answer: Awaitable[Any] = step.do()
        return await answer
    # Who stops waiting must not stop the others.
    await asyncio.shield(asyncio.wrap_future(step.running.ended))
    return True


async def _in_thread(step: Apart) -> Any:
    # Not in the loop's own threads: those may all wait for the turn that this is needed to end.
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    done = loop.run_in_executor(_threads(), context.run, step.do)
    if not isinstance(step, AtAnyRate):
        return await done
    # A time-out of Prefect's stops one await after another, and with it whatever is still in the queue for a thread.
    with CancelScope(shield=True):
        await asyncio.shield(done)
    return done.result()


def _remember(creation: Creation) -> Memory | None:
    owner = Owner.of_this_call()
    if owner is None:
        return None
    given = Given(creation.operation, creation.inputs, creation.dedupe_key, creation.places)
    return Memory(owner, given, name_of(creation.block))


def _steps(creation: Creation) -> Steps:
    begun = TURNS.now()
    memory: Memory | None = yield Apart(partial(_remember, creation))
    if memory is None:
        run = yield Ask(partial(creation.send, creation.documents, identity=None, adopt=False))
        return created(run.id)
    call = Call(creation, memory)
    try:
        taken = yield from call.by_places()
        return taken if taken is not None else (yield from _in_turn(call, memory, begun))
    finally:
        memory.server.close()


def _in_turn(call: Call, memory: Memory, begun: int) -> Steps:
    content = memory.content_of(told_of(call.documents))
    running = TURNS.take(content)
    while running is not None and (yield Wait(running)):
        running = TURNS.take(content)
    try:
        if running is not None or TURNS.ended_since(content, begun):
            yield Apart(memory.refresh)
        # A call whose end could not be waited for has the claim, and needs this thread to give it back.
        return (yield from call.by_content(content, in_turn=running is None))
    finally:
        if running is None:
            TURNS.leave(content)
