"""One call in one flow run starts one run, over retries, resumptions and starts elsewhere."""

import asyncio
import contextvars
import functools
import os
import threading
import time
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for_all
from functools import partial
from typing import Any

from anyio import CancelScope

from prefect_collection._create_once.call import Call
from prefect_collection._create_once.create import created
from prefect_collection._create_once.creation import Creation
from prefect_collection._create_once.effects import (
    AwaitCall,
    Effect,
    Effects,
    InThread,
    InThreadShielded,
    Request,
    Share,
    Sleep,
)
from prefect_collection._create_once.turns import LONGEST_TURN, TURNS
from prefect_collection._documents import contents_of
from prefect_collection._identity import READS, Owner, flow_run_of_this_call
from prefect_collection._prefect_server import api_address, context_of_thread
from prefect_collection._state import CallRecords, Given
from prefect_collection.credentials import account_of, name_of
from retab_orchestration import RetabError

__all__ = ["Creation", "aonce", "once"]


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(16, thread_name_prefix="retab")


@functools.cache
def _sharing_threads() -> ThreadPoolExecutor:
    # The other threads may all wait for what is done in these.
    return ThreadPoolExecutor(4, thread_name_prefix="retab-shared")


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_threads.cache_clear)  # the child process has none of the threads
    os.register_at_fork(after_in_child=_sharing_threads.cache_clear)


def once(creation: Creation) -> str:
    """Start a run, or return the one that the same call has started in this flow run, unless it ended badly.

    Raises:
        CreateOutcomeUnknownError: An earlier attempt was cut off, and its outcome cannot be found.
        InvalidInputError: A document is gone, and it is not known which run it belonged to.
    """
    effects = _effects(creation)
    try:
        effect = next(effects)
        while True:
            try:
                answer = _block_on(effect)
            except BaseException as error:  # noqa: BLE001  it is the steps' own
                effect = effects.throw(error)
            else:
                effect = effects.send(answer)
    except StopIteration as stop:
        return str(stop.value)


async def aonce(creation: Creation) -> str:
    """Do what `once` does, awaiting."""
    effects = _effects(creation)
    try:
        effect = next(effects)
        while True:
            try:
                answer = await _await(effect)
            except BaseException as error:  # noqa: BLE001  it is the steps' own
                effect = effects.throw(error)
            else:
                effect = effects.send(answer)
    except StopIteration as stop:
        return str(stop.value)


def _block_on(effect: Effect) -> Any:
    if isinstance(effect, Sleep):
        return time.sleep(effect.seconds)  # noqa: TID251  nothing is being waited for at Retab
    if isinstance(effect, Share):
        return effect.batches.join(effect.key, effect.item)
    if not isinstance(effect, AwaitCall):
        return effect.do()
    if effect.running.thread == threading.get_ident():
        return False  # a call on the event loop that this thread would block
    wait_for_all([effect.running.ended], timeout=effect.longest or LONGEST_TURN)
    return _has_ended(effect)


async def _await(effect: Effect) -> Any:
    if isinstance(effect, Sleep):
        return await asyncio.sleep(effect.seconds)  # noqa: TID251  nothing is being waited for at Retab
    if isinstance(effect, Share):
        return await _shared(effect)
    if isinstance(effect, InThread):
        return await _in_thread(effect)
    if isinstance(effect, Request):
        answer: Awaitable[Any] = effect.do()
        return await answer
    # A call on this loop goes on meanwhile; one on another loop may not, if this call blocks that.
    is_here = effect.running.thread == threading.get_ident()
    # Neither the end of the time nor cancelling one waiting call cancels the others.
    await asyncio.wait(
        [asyncio.wrap_future(effect.running.ended)],
        timeout=effect.longest or (None if is_here else LONGEST_TURN),
    )
    return _has_ended(effect)


def _has_ended(effect: AwaitCall) -> bool:
    """Return whether the call that was waited for has ended.

    Raises:
        RetabError: It has not, and this call cannot do without.
    """
    if effect.running.ended.done():
        return True
    if effect.longest is not None:
        return False
    raise RetabError(
        f"an equal call in this flow run has been under way for {LONGEST_TURN:g} s, and this one waits for it: "
        "await the calls of an async flow, instead of blocking its event loop or the threads of asyncio.to_thread"
    )


async def _shared(effect: Share) -> Any:
    done = effect.batches.submit(
        effect.key, effect.item, lambda work: _sharing_threads().submit(context_of_thread().run, work)
    )
    # Cancelling one call must not cancel the others.
    return await asyncio.shield(asyncio.wrap_future(done))


async def _in_thread(effect: InThread) -> Any:
    # Not in the loop's own threads: those may all wait for a turn that only this work can end.
    loop, context = asyncio.get_running_loop(), contextvars.copy_context()
    done = loop.run_in_executor(_threads(), context.run, effect.do)
    if not isinstance(effect, InThreadShielded):
        return await done
    # A timeout of Prefect's cancels one await after another, and with it work that is still queued for a thread.
    # A task that is cancelled itself, as by a loop that ends, raises that once the work is done.
    stopped: asyncio.CancelledError | None = None
    with CancelScope(shield=True):
        while not done.done():
            try:
                await asyncio.shield(done)
            except asyncio.CancelledError as error:
                stopped = error
    if stopped is not None:
        raise stopped
    return done.result()


def _effects(creation: Creation) -> Effects:
    begun = TURNS.now()
    flow_run_id = flow_run_of_this_call()
    flow_runs = None if flow_run_id is None else (yield Share(READS, (api_address(), flow_run_id)))
    owner = Owner.read(flow_runs)
    if owner is None:
        run = yield Request(partial(creation.send, creation.documents, identity=None, adopt=False))
        return created(run.id)
    given = Given(creation.operation, creation.inputs, creation.dedupe_key, creation.places)
    call_records = CallRecords(owner, given, name_of(creation.block), account_of(creation.block))
    call = Call(creation, call_records, begun)
    taken = yield from call.by_places()
    return taken if taken is not None else (yield from _in_turn(call, call_records, begun))


def _in_turn(call: Call, call_records: CallRecords, begun: int) -> Effects:
    content = call_records.content_of(contents_of(call.documents))
    running = TURNS.take(content)
    while running is not None and (yield AwaitCall(running)):
        running = TURNS.take(content)
    try:
        if running is not None or TURNS.ended_since(content, begun):
            yield InThread(call_records.refresh)
        # An equal call that cannot be waited for has the claim, and needs this thread to give it up.
        return (yield from call.by_content(content, in_turn=running is None))
    finally:
        if running is None:
            TURNS.leave(content)
