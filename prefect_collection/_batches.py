"""Requests that concurrent calls share: while one is on its way, what comes in gathers for the next one."""

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

__all__ = ["Batches"]

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(eq=False)
class _Batch(Generic[Item, Result]):
    items: list[Item] = field(default_factory=list)
    done: "Future[Result]" = field(default_factory=Future)


class _Queue(Generic[Item, Result]):
    """The batches of one key, one after the other."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.turn = threading.Lock()
        self.gathering: _Batch[Item, Result] | None = None

    def add(self, item: Item, own: _Batch[Item, Result]) -> _Batch[Item, Result]:
        """Add an item to the batch that gathers; that is the call's own where none does, which has to do the work."""
        with self.lock:
            batch = self.gathering = self.gathering or own
            batch.items.append(item)
            return batch

    def close(self, own: _Batch[Item, Result]) -> None:
        """Let nothing more gather in a batch."""
        with self.lock:
            if self.gathering is own:
                self.gathering = None


class Batches(Generic[Key, Item, Result]):
    """Does a piece of work once for all calls that wait for it.

    Args:
        do: The work, given the key and the items of these calls, in the order in which they came.
    """

    def __init__(self, do: Callable[[Key, list[Item]], Result]) -> None:
        self._do = do
        self._lock = threading.Lock()
        self._queues: WeakValueDictionary[Key, _Queue[Item, Result]] = WeakValueDictionary()

    def join(self, key: Key, item: Item) -> Result:
        """Return the result of work that was begun after this call, and that has its item.

        Raises:
            Exception: What the work has raised.
        """
        queue, own = self._queue(key), _Batch[Item, Result]()
        try:
            batch = queue.add(item, own)
            if batch is own:
                self._lead(key, queue, own)
        except BaseException as error:
            queue.close(own)
            own.done.set_exception(error if _is_of_the_work(error) else _InterruptedError())
            raise
        try:
            return batch.done.result()
        except _InterruptedError:
            return self.join(key, item)

    def submit(self, key: Key, item: Item, start: Callable[[Callable[[], None]], Any]) -> "Future[Result]":
        """Return what `join` does, once it is there; `start` runs the work in a thread that does nothing else."""
        queue, own = self._queue(key), _Batch[Item, Result]()
        batch = queue.add(item, own)

        def work() -> None:
            try:
                self._lead(key, queue, own)
            except BaseException as error:  # noqa: BLE001  those that wait for it raise it
                queue.close(own)
                own.done.set_exception(error)

        if batch is own:
            start(work)
        return batch.done

    def _queue(self, key: Key) -> _Queue[Item, Result]:
        with self._lock:
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = _Queue()
            return queue

    def _lead(self, key: Key, queue: _Queue[Item, Result], batch: _Batch[Item, Result]) -> None:
        with queue.turn:
            queue.close(batch)
            batch.done.set_result(self._do(key, batch.items))


class _InterruptedError(Exception):
    """The call that did the work was interrupted, which means nothing to those that wait for it."""


def _is_of_the_work(error: BaseException) -> bool:
    # A handler of a signal may raise anything, and runs in the main thread.
    return isinstance(error, Exception) and threading.current_thread() is not threading.main_thread()
