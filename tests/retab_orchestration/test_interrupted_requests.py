"""Requests that are interrupted, or that interrupt others: whatever a client does at that moment, it can be used."""

import asyncio
import ctypes
import gc
import json
import sys
import threading
import time

import pytest

from retab_orchestration import AsyncRetabClient, RetabClient, RetryPolicy
from tests.retab_orchestration.raw_server import answering, ok, raw_server

RUN = json.dumps({"id": "run_1", "status": "running"}).encode()
OPTIONS = {"api": "classic", "auth": "bearer", "retry": RetryPolicy(attempts=1)}
# Seconds after which somebody waits for ever.
FOR_EVER = 120


class InterruptionError(Exception):
    """What a signal's handler raises."""


def interrupted(work, at, act):
    """Work, and act at this line of what sends, as a signal's handler does; return whether it came to that line."""
    left = [at]

    def trace(frame, event, _):
        if not any(name in frame.f_code.co_filename for name in ("httpcore", "_transport")):
            return None
        if event == "line":
            left[0] -= 1
            if not left[0]:
                act()
        return trace

    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(None)
    return left[0] <= 0


def in_time(work):
    """Work in a thread, which may hang."""
    ended = []
    thread = threading.Thread(target=lambda: ended.append(work()), daemon=True)
    thread.start()
    thread.join(FOR_EVER)
    return ended


def look(client):
    return client.get_run("run_1", outputs=False).id


def test_a_signals_handler_may_use_the_client_at_any_line_of_a_request():
    def every_line():
        lines = 1
        while interrupted(lambda: look(client), lines, lambda: look(client)):
            lines += 1
        return lines

    with raw_server(answering(ok(RUN))) as server:
        client = RetabClient("k", server.url, **OPTIONS)
        [lines] = in_time(every_line) or [0]
        assert lines > 100
        client.close()


# Where it raises while a connection is opened, nobody is left to close its socket.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_signals_handler_raises_at_any_line_of_a_request_leaves_the_client_as_good_as_before():
    def give_up():
        raise InterruptionError

    def every_line():
        lines, was_raised = 1, True
        while was_raised:
            try:
                was_raised = interrupted(lambda: look(client), lines, give_up)
            except InterruptionError:
                was_raised = True
            assert look(client) == "run_1"
            lines += 1
        return lines

    with raw_server(answering(ok(RUN))) as server:
        client = RetabClient("k", server.url, **OPTIONS)
        [lines] = in_time(every_line) or [0]
        assert lines > 100
        client.close()
        gc.collect()


def test_what_another_thread_sets_off_in_the_one_that_waits_for_an_answer_ends_its_call():
    asked, ended = threading.Event(), []

    def script(connection):
        while connection.request():
            asked.set()
            connection.pause(0.5)
            connection.send(ok(RUN))

    def call():
        try:
            ended.append(look(client))
        except InterruptionError as error:
            ended.append(error)

    with raw_server(script) as server, RetabClient("k", server.url, **OPTIONS) as client:
        thread = threading.Thread(target=call)
        thread.start()
        assert asked.wait(FOR_EVER)
        name, error = ctypes.c_ulong(thread.ident), ctypes.py_object(InterruptionError)
        assert ctypes.pythonapi.PyThreadState_SetAsyncExc(name, error) == 1
        thread.join(FOR_EVER)

    assert [type(each) for each in ended] == [InterruptionError]


class Connections:
    """Counts those that are open."""

    open = 0

    async def serve(self, reader, writer):
        self.open += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(ok(RUN))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


async def test_a_call_that_is_cancelled_at_any_step_takes_no_connection_with_it():
    served = Connections()
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with AsyncRetabClient("k", f"http://{host}:{port}", **OPTIONS) as client:
        await client.get_run("run_1", outputs=False)
        for steps in range(200):
            call = asyncio.create_task(client.get_run("run_1", outputs=False))
            for _ in range(steps % 40):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await client.get_run("run_1", outputs=False)
        await asyncio.sleep(0.1)
        assert served.open <= 1
    server.close()


def test_a_hundred_answers_that_hang_hold_up_no_other_thread():
    def script(connection):
        while request := connection.request():
            if b"run_stuck" in request:
                connection.wait()
            connection.send(ok(RUN))

    def stuck():
        with pytest.raises(Exception):  # noqa: B017, PT011  whatever the end of the server comes to
            client.get_run("run_stuck", outputs=False)

    with raw_server(script) as server:
        client = RetabClient("k", server.url, **OPTIONS)
        threads = [threading.Thread(target=stuck) for _ in range(110)]
        for thread in threads:
            thread.start()
        while server.connections < 100:
            time.sleep(0.01)
        began = time.monotonic()
        assert look(client) == "run_1"
        took = time.monotonic() - began
    for thread in threads:
        thread.join(FOR_EVER)

    assert took < 10


def test_closing_a_client_breaks_off_no_call_that_is_under_way(colour):
    closed = threading.Event()

    def script(connection):
        while connection.request():
            closed.wait(FOR_EVER)
            connection.send(ok(RUN))

    def blocking(url):
        client = RetabClient("k", url, **OPTIONS)
        timer = threading.Timer(0.3, lambda: (client.close(), closed.set()))
        timer.start()
        return look(client)

    async def awaiting(url):
        client = AsyncRetabClient("k", url, **OPTIONS)
        call = asyncio.create_task(client.get_run("run_1", outputs=False))
        await asyncio.sleep(0.3)
        await client.aclose()
        closed.set()
        return (await call).id

    with raw_server(script) as server:
        found = blocking(server.url) if colour == "blocking" else asyncio.run(awaiting(server.url))

    assert found == "run_1"


@pytest.fixture(params=["blocking", "awaiting"])
def colour(request):
    return request.param
