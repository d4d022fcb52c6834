"""Work that takes a while, in threads of ours: those of the event loop may all wait for what this is needed for."""

import asyncio
import contextvars
import functools
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

__all__ = ["in_thread"]

T = TypeVar("T")

# As many as requests of one account in one loop may be in flight.
_THREADS = 32


async def in_thread(work: Callable[[], T], *, slow: bool = False) -> T:
    """Do work in a thread.

    Args:
        work: The work.
        slow: Whether a disk, or a name server, may hold it up for ever. It has a thread for itself, so that it holds up
            nothing else, and the process ends without it.
    """
    inside = partial(contextvars.copy_context().run, _awaitable, work)
    if slow:
        return await asyncio.wrap_future(_started(inside))
    return await asyncio.get_running_loop().run_in_executor(_threads(), inside)


def _awaitable(work: Callable[[], T]) -> T:
    """Do work; raise RuntimeError for a StopIteration, as coroutines do: who awaits a future of one would hang."""
    try:
        return work()
    except StopIteration as error:
        raise RuntimeError("what was given raised StopIteration") from error


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="retab")


class _Worker(threading.Thread):
    """A thread that does one piece of work after the other, as long as the process lives."""

    def __init__(self) -> None:
        super().__init__(name="retab-slow", daemon=True)
        self.queue: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()

    def run(self) -> None:
        while True:
            self._work(*self.queue.get())

    def _work(self, future: "Future[Any]", work: Callable[[], Any]) -> None:
        done: Callable[[], None] | None = None
        if future.set_running_or_notify_cancel():
            try:
                done = partial(future.set_result, work())
            except BaseException as error:  # noqa: BLE001  it is for whoever waits
                done = partial(future.set_exception, error)
        _idle.append(self)  # before anybody knows, so that what follows takes this thread again
        if done is not None:
            done()


_idle: deque[_Worker] = deque()


def _started(work: Callable[[], T]) -> "Future[T]":
    future: Future[T] = Future()
    try:
        worker = _idle.pop()
    except IndexError:
        worker = _Worker()
        worker.start()
    worker.queue.put((future, work))
    return future


def _forget() -> None:
    _threads.cache_clear()
    _idle.clear()


# Threads do not survive a fork.
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget)
