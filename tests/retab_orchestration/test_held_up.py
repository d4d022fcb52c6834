"""Nobody hangs, or waits past its deadline, because of what others of its process do or have left."""

import asyncio
import signal
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from retab_orchestration import (
    AsyncRetabClient,
    PollPolicy,
    RetabClient,
    RetabError,
    RetryPolicy,
    RunIdentity,
    WaitTimeoutError,
)
from retab_orchestration.emulator import Emulator
from tests.retab_orchestration.raw_server import head, ok, raw_server

OWNER = RunIdentity.of("a task")
ONCE = RetryPolicy(attempts=1, find_for=1.0)
LIMIT = 20.0


@contextmanager
def hanging_server():
    """Answer nobody before the end of the block."""
    over = threading.Event()

    def hang(connection):
        connection.request()
        over.wait(60)

    with raw_server(hang) as server:
        try:
            yield server, over
        finally:
            over.set()


@contextmanager
def beside(*calls):
    """Make calls that may fail, each in a thread."""

    def quietly(call):
        with suppress(RetabError):
            call()

    threads = [threading.Thread(target=quietly, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join(60)


def until(is_so):
    for _ in range(500):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("it never is")


def in_a_thread(call):
    """Return what a call returns in another thread, which may hang."""
    found = []
    thread = threading.Thread(target=lambda: found.append(call()), daemon=True)
    thread.start()
    thread.join(LIMIT)
    assert found, "it hangs"
    return found[0]


def seconds_of_a_wait(client):
    began = time.monotonic()
    with pytest.raises(WaitTimeoutError):
        client.wait_for_run("run_1", timeout=0.5)
    return time.monotonic() - began


def test_a_wait_ends_in_time_while_another_call_finds_out_the_routes():
    with hanging_server() as (server, over):
        slow, other = (RetabClient("key", server.url, timeout=t, retry=ONCE) for t in (12.0, 60.0))
        with beside(slow.list_runs):
            until(lambda: server.connections)

            assert seconds_of_a_wait(other) < 7
            over.set()


def test_a_wait_ends_in_time_beside_a_hundred_requests_that_hang():
    with hanging_server() as (server, over):
        client = RetabClient("key", server.url, api="current", auth="bearer", timeout=12.0, retry=ONCE)
        with beside(*[lambda: client.get_run("run_2")] * 100):
            until(lambda: server.connections == 100)

            assert seconds_of_a_wait(client) < 7
            over.set()


@pytest.fixture
def emulator():
    with Emulator(api="current", idempotency="ignored") as emulator:
        yield emulator


@contextmanager
def left(emulator, coroutine, *, is_closed):
    """Leave a coroutine on a loop that stops, and whose thread ends, while the emulator holds its request."""
    loop, tasks = asyncio.new_event_loop(), []
    over = threading.Event()

    async def wait():
        tasks.append(asyncio.create_task(coroutine))
        await asyncio.to_thread(until, lambda: emulator.stats()["held"])

    def close():
        tasks[0]._log_destroy_pending = False  # of what is pending nobody has to be told
        loop.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(wait()))
    thread.start()
    thread.join(60)
    if is_closed:
        close()
    with beside(lambda: over.wait(60)):  # so that no thread gets the number of the one that has ended
        yield
        over.set()
    if not is_closed:
        close()
    # Here and not whenever the garbage is collected: in the middle of whatever another test does.
    with suppress(Exception):
        coroutine.close()


def echo(client):
    inputs = {"json-node-1": {"seconds": 600}}
    return client.create_run("wf_echo", json_inputs=inputs, identity=OWNER, adopt=True)


@pytest.mark.parametrize("is_closed", [False, True])
def test_a_create_does_not_wait_for_one_on_a_loop_that_has_stopped(emulator, is_closed):
    emulator.post_faults([{"match": "POST /v1/workflows/runs", "kind": "hold_before"}])
    settings = {"api": "current", "auth": "bearer", "retry": ONCE}
    awaiting = AsyncRetabClient("key", emulator.url, **settings)
    with (
        left(emulator, echo(awaiting), is_closed=is_closed),
        RetabClient("key", emulator.url, **settings) as client,
    ):
        assert in_a_thread(lambda: echo(client)).id


def test_no_call_waits_for_one_on_a_loop_that_has_stopped_to_find_out_the_routes(emulator):
    emulator.post_faults([{"match": "GET /v1/workflows/steps", "kind": "hold_before"}])
    awaiting = AsyncRetabClient("key", emulator.url, retry=ONCE)
    with (
        left(emulator, awaiting.list_runs(), is_closed=False),
        RetabClient("key", emulator.url, retry=ONCE) as client,
    ):
        assert not in_a_thread(client.list_runs).data


def test_what_a_signals_handler_raises_while_it_connects_is_not_lost(monkeypatch):
    """A name has two addresses, and nobody answers at the first."""

    class OutOfTimeError(TimeoutError):
        pass

    def expire(*_):
        raise OutOfTimeError

    def serve(connection):
        connection.request()
        connection.send(ok(b'{"id": "run_1", "status": "running"}'))

    found = socket.getaddrinfo
    with raw_server(serve) as server, full(server.port):
        addresses = [*found("127.0.0.2", server.port), *found("127.0.0.1", server.port)]
        monkeypatch.setattr(
            socket,
            "getaddrinfo",
            lambda *_, **__: [each for each in addresses if each[1] is socket.SOCK_STREAM],
        )
        client = RetabClient(
            "key", f"http://retab.test:{server.port}", api="current", auth="bearer", timeout=6.0
        )
        before = signal.signal(signal.SIGALRM, expire)
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        try:
            with pytest.raises(OutOfTimeError):
                client.get_run("run_1", outputs=False)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        client.close()


@contextmanager
def full(port):
    """Listen at another address of this machine and take nobody."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.2", port))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(("127.0.0.2", port))
        try:
            yield
        finally:
            for each in waiting:
                each.close()


@pytest.mark.parametrize("colour", ["blocking", "awaiting"])
def test_a_wait_that_finds_out_the_routes_in_vain_ends_no_create(colour):
    asked = threading.Event()

    def flaky(connection):
        while request := connection.request():
            if b"/steps" in request and not asked.is_set():
                asked.set()
                connection.pause(0.3)
                connection.send(head(503, content_length=0))
            elif b"/steps" in request:
                connection.send(ok(b'{"data": []}'))
            else:
                connection.send(ok(b'{"id": "run_1", "status": "completed", "final_outputs": {}}'))

    soon, patient = PollPolicy(first=0), RetryPolicy(base=0.01)

    async def await_both(url):
        async with AsyncRetabClient("key", url, retry=patient) as client:
            wait = asyncio.create_task(client.wait_for_run("run_1", poll=soon))
            await asyncio.to_thread(asked.wait)
            return (await client.create_run("wf_1")).id, (await wait).id

    with raw_server(flaky) as server:
        if colour == "awaiting":
            assert asyncio.run(await_both(server.url)) == ("run_1", "run_1")
        else:
            client = RetabClient("key", server.url, retry=patient)
            with beside(lambda: client.wait_for_run("run_1", poll=soon)):
                assert asked.wait(LIMIT)
                assert client.create_run("wf_1").id == "run_1"
