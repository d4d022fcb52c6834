"""What sweeps on real sockets share: kinds of faults that are worth a socket, and time that passes faster."""

import asyncio
import itertools
import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from retab_orchestration.emulator import Emulator
from tests.sweep.plan import posted

# One of each way in which a request fails; the bare client is swept with every code that a server may answer.
REFUSED = ("http_401", "http_404", "http_422")
AMBIGUOUS = (
    "http_500",
    "garbage",
    "reset_before",
    "reset_after",
    "hold_before",
    "hold_after",
    "timeout_after",
)
KINDS = (*REFUSED, *AMBIGUOUS, "http_429", "slow")
# Seconds: what a client waits for an answer that never comes, what a silent fault takes, and what no life may take.
TIMEOUT, SILENT, HANGS = 0.2, 0.25, 30.0
SILENCES = frozenset({"hold_before", "hold_after", "timeout_after"})
SPEED = 40
# How many cases run at the same time, each on a server of its own: most of a case is waiting.
AT_ONCE = 4

_numbers = itertools.count()


def fresh_key():
    """Return a key that nobody has used, for what was found out about a server is kept by key."""
    return f"rt_sweep_{next(_numbers)}"


def hurry(monkeypatch):
    """Let every sleep take a fraction of what was asked for, as the emulator runs faster than real time."""
    sleep, asleep = time.sleep, asyncio.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(seconds / SPEED))

    async def shorter(seconds, result=None):
        return await asleep(seconds / SPEED, result)

    monkeypatch.setattr(asyncio, "sleep", shorter)


def patience(kind=None):
    """Return for how long a client waits under a kind of fault; where none is silent, no pause of a machine is one."""
    return TIMEOUT if kind in SILENCES else HANGS / 3


def fault(kind, index):
    """Return the fault of this kind for the request of this index, from 0."""
    seconds = {"timeout_after": SILENT, "slow": TIMEOUT / 4}.get(kind)
    return posted(kind, index) if seconds is None else posted(kind, index, seconds=seconds)


def under(emulator, kind, index, live):
    """Live a life under one fault and return what it returned; what is held goes on when its client gave it up."""
    emulator.post_faults([fault(kind, index)])
    is_over = threading.Event()

    def release():
        while emulator.stats()["held"] == 0 and not is_over.wait(0.002):
            pass
        seen = requests_of(emulator)
        while requests_of(emulator) == seen and not is_over.wait(0.002):
            pass
        emulator.release()
        for _ in range(5):
            emulator.stats()  # by now what was released has been acted on

    releasing = threading.Thread(target=release)
    if kind.startswith("hold_"):
        releasing.start()
    began = time.monotonic()
    try:
        return live()
    finally:
        is_over.set()
        if releasing.ident is not None:
            releasing.join(60)
        emulator.post_faults([])
        assert time.monotonic() - began < HANGS


@contextmanager
def servers(family):
    """Start the servers of one family, and give a function that runs a case for each index, some at a time."""
    free = queue.SimpleQueue()
    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(AT_ONCE):
            free.put(stack.enter_context(Emulator(api=family, idempotency="ignored", speed=SPEED)))

        def on_a_server(case, *arguments):
            emulator = free.get()
            try:
                emulator.reset()
                return case(emulator, *arguments)
            finally:
                free.put(emulator)

        def for_each(indices, case):
            return list(pool.map(lambda index: on_a_server(case, index), indices))

        yield for_each


def requests_of(emulator):
    """Return how many requests were made."""
    return sum(emulator.stats()["requests"].values())
