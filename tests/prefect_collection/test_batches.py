"""Requests that concurrent calls share."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from prefect_collection._batches import Batches

LIMIT = 10.0


class Work:
    """Work that goes on when it is let go, and remembers which items it was done for at once."""

    def __init__(self):
        self.done, self.begun, self.go_on = [], threading.Semaphore(0), threading.Semaphore(0)
        self.errors = []

    def __call__(self, key, items):
        self.begun.release()
        assert self.go_on.acquire(timeout=LIMIT)
        self.done.append((key, sorted(items)))
        if self.errors:
            raise self.errors.pop()
        return len(self.done)


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def threads():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def gathered(batches, key, count):
    """Wait until so many items have gathered for the next batch."""
    queue = batches._queues[key]
    for _ in range(1000):
        if queue.gathering is not None and len(queue.gathering.items) == count:
            return
        threading.Event().wait(0.005)
    raise AssertionError


def test_what_comes_while_work_is_done_is_done_together_afterwards(work, threads):
    batches = Batches(work)
    first = threads.submit(batches.join, "a", 0)
    assert work.begun.acquire(timeout=LIMIT)
    others = [threads.submit(batches.join, "a", number) for number in (1, 2, 3)]
    gathered(batches, "a", 3)
    work.go_on.release(2)

    assert first.result(LIMIT) == 1
    assert [other.result(LIMIT) for other in others] == [2, 2, 2]
    assert work.done == [("a", [0]), ("a", [1, 2, 3])]


def test_another_key_is_not_waited_for(work, threads):
    batches = Batches(work)
    both = [threads.submit(batches.join, key, 0) for key in "ab"]

    assert all(work.begun.acquire(timeout=LIMIT) for _ in both)
    work.go_on.release(2)
    assert sorted(each.result(LIMIT) for each in both) == [1, 2]


def test_all_that_share_work_have_its_error_and_the_next_have_not(work, threads):
    batches = Batches(work)
    work.errors = [OSError("out of order")]
    work.go_on.release()
    with pytest.raises(OSError, match="out of order"):
        threads.submit(batches.join, "a", 0).result(LIMIT)
    work.go_on.release()

    assert batches.join("a", 1) == 2


class InterruptError(Exception):
    """What a handler of a signal raises, in the main thread."""


def test_what_interrupts_one_call_means_nothing_to_those_that_share_its_work(threads):
    held, release, joined = threading.Event(), threading.Event(), []

    def work(key, items):
        if items == ["first"]:
            held.set()
            assert release.wait(LIMIT)
        if threading.current_thread() is threading.main_thread():
            raise InterruptError
        return items

    batches = Batches(work)

    def join_the_main_thread():
        gathered(batches, "a", 1)
        joined.append(threads.submit(batches.join, "a", "other"))
        gathered(batches, "a", 2)
        release.set()

    first = threads.submit(batches.join, "a", "first")
    assert held.wait(LIMIT)
    joining = threads.submit(join_the_main_thread)
    with pytest.raises(InterruptError):
        batches.join("a", "own")

    joining.result(LIMIT)
    assert first.result(LIMIT) == ["first"]
    assert joined[0].result(LIMIT) == ["other"]
