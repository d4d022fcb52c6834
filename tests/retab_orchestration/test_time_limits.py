"""How long a server may take, whatever it does meanwhile."""

import asyncio
import os
import signal
import socket
import threading
import time

import pytest

from retab_orchestration import (
    ApiConnectionError,
    ApiTimeoutError,
    RetabClient,
    WaitTimeoutError,
)
from retab_orchestration._blocking import run_blocking
from retab_orchestration._http import Body, Request
from retab_orchestration._transport import AsyncioRuntime, BlockingRuntime
from retab_orchestration._transport.exchange import LEAST_PER_TIMEOUT, Limits
from retab_orchestration.settings import Settings
from tests.retab_orchestration.raw_server import answering, head, ok, raw_server

RUN = b'{"id": "run_1", "status": "running"}'
# Seconds of `timeout` in these tests, and by which a busy machine may be late.
TIMEOUT = 0.3
LATE = 10.0


@pytest.fixture(params=["blocking", "asyncio"])
def send(request):
    """Send one request in either colour."""

    def exchange(server, asked=None, **more):
        settings = Settings("k", server.url, api="classic", auth="bearer", **{"timeout": TIMEOUT, **more})
        asked = asked or Request("GET", "/v1/workflows/runs/run_1", base_url=server.url)
        if request.param == "blocking":
            runtime = BlockingRuntime(settings)
            try:
                return run_blocking(runtime.send(asked))
            finally:
                runtime.close()

        async def main():
            runtime = AsyncioRuntime(settings)
            try:
                return await runtime.send(asked)
            finally:
                await runtime.aclose()

        return asyncio.run(main())

    return exchange


def dripping_status_line(connection):
    connection.request()
    connection.drip(b"HTTP/1.1 200 " + b"O" * 10_000)


def dripping_headers(connection):
    connection.request()
    connection.send(b"HTTP/1.1 200 OK\r\n")
    connection.drip(b"x: y\r\n" * 10_000)


def dripping_body(connection):
    connection.request()
    connection.send(head(200, **{"content-length": 10_000}))
    connection.drip(b"{" * 10_000)


def dripping_chunks(connection):
    connection.request()
    connection.send(head(200, **{"transfer-encoding": "chunked"}))
    connection.drip(b"1\r\n{\r\n" * 10_000)


def dripping_until_closed(connection):
    connection.request()
    connection.send(head(200))
    connection.drip(b"{" * 10_000)


def informing(connection):
    connection.request()
    while True:
        connection.drip(b"HTTP/1.1 103 Early Hints\r\n\r\n", every=0.001)


def silent(connection):
    connection.request()
    connection.wait()


SLOW = (
    dripping_status_line,
    dripping_headers,
    dripping_body,
    dripping_chunks,
    dripping_until_closed,
    informing,
    silent,
)


@pytest.mark.parametrize("script", SLOW, ids=lambda script: script.__name__)
def test_an_answer_that_does_not_end_is_given_up_after_twice_the_timeout(send, script):
    with raw_server(script) as server:
        began = time.monotonic()
        with pytest.raises(ApiTimeoutError) as late:
            send(server)
        took = time.monotonic() - began

    assert late.value.sent
    assert took < 2 * TIMEOUT + LATE


@pytest.mark.parametrize("script", SLOW, ids=lambda script: script.__name__)
def test_a_request_with_a_limit_of_its_own_ends_then(send, script):
    asked = Request("GET", "/v1/workflows/runs/run_1", timeout=0.4)
    with raw_server(script) as server:
        began = time.monotonic()
        with pytest.raises(ApiTimeoutError):
            send(server, asked, timeout=60.0)
        took = time.monotonic() - began

    assert took < 0.4 + LATE


def test_an_answer_in_pieces_is_read_whole(send):
    def script(connection):
        connection.request()
        connection.drip(ok(RUN), every=0.001)

    with raw_server(script) as server:
        assert send(server, timeout=20.0).content == RUN


def body_of(size):
    return Body(size, lambda: iter([b"x" * 65536] * (size // 65536)))


def taking(bytes_each, pause):
    """Return a script that takes the body slowly, and answers when it has all of it."""

    def script(connection):
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        left = MIB
        received = connection.sock.recv(1)
        while left > 0:
            connection.pause(pause)
            part = connection.sock.recv(bytes_each)
            if not part:
                return
            left -= len(part)
            received += part
        connection.send(ok(RUN))
        connection.wait()

    return script


MIB = 1024 * 1024


def test_a_server_that_takes_next_to_nothing_of_a_body_is_given_up(send):
    """Of 64 MiB, so that what the kernel takes on the way does not do."""
    asked = Request("POST", "/v1/x", body=body_of(64 * MIB))
    with raw_server(taking(512, 0.05)) as server:
        began = time.monotonic()
        with pytest.raises(ApiTimeoutError) as late:
            send(server, asked)
        took = time.monotonic() - began

    assert not late.value.sent
    assert took < 30


def test_an_answer_is_read_that_comes_before_the_body_is_read_whatever_becomes_of_the_rest(send):
    """Or a create that has taken effect would be sent again."""
    piece = b"x" * 1024 * 1024

    def script(connection):
        connection.sock.recv(1024)
        connection.send(ok(RUN))
        connection.wait()

    with raw_server(script) as server:
        body = Body(64 * len(piece), lambda: iter([piece] * 64))
        answer = send(server, Request("POST", "/v1/workflows/runs", body=body, base_url=server.url))

    assert (answer.status, answer.content) == (200, RUN)


def test_a_server_that_takes_a_body_slowly_and_steadily_has_the_time_it_needs(send):
    """Only the last of it is in the kernel's hands when the answer is waited for."""
    asked = Request("POST", "/v1/x", body=body_of(32 * MIB))

    def script(connection):
        received = 0
        while received < 32 * MIB:
            received += len(connection.sock.recv(256 * 1024))
            connection.pause(0.02)
        connection.send(ok(RUN))
        connection.wait()

    with raw_server(script) as server:
        began = time.monotonic()
        assert send(server, asked, timeout=1.0).content == RUN

    assert time.monotonic() - began > 2


def test_a_time_in_which_the_document_is_read_is_not_the_servers(send):
    def chunks():
        for _ in range(4):
            time.sleep(TIMEOUT)
            yield b"x" * 1024

    asked = Request("POST", "/v1/x", body=Body(4096, chunks))
    with raw_server(answering(ok(RUN))) as server:
        assert send(server, asked).content == RUN


def test_a_connection_that_nobody_accepts_is_given_up(send):
    class Full:
        url = ""

    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        Full.url = f"http://127.0.0.1:{port}"
        waiting = []
        try:
            for _ in range(8):  # until the backlog is full
                waiting.append(socket.socket())
                waiting[-1].setblocking(False)
                waiting[-1].connect_ex(("127.0.0.1", port))
            began = time.monotonic()
            with pytest.raises((ApiTimeoutError, ApiConnectionError)) as late:
                send(Full)
        finally:
            for sock in waiting:
                sock.close()

    assert not late.value.sent
    assert time.monotonic() - began < TIMEOUT + LATE


@pytest.mark.parametrize(
    "script", [dripping_body, dripping_headers, informing], ids=lambda each: each.__name__
)
def test_a_wait_ends_at_its_deadline_or_after_five_seconds(script):
    with raw_server(script) as server, RetabClient("k", server.url, api="classic", auth="bearer") as client:
        began = time.monotonic()
        with pytest.raises(WaitTimeoutError):
            client.wait_for_run("run_1", timeout=1, outputs=False)

    assert time.monotonic() - began < 6 + LATE


# What happens to the limits of a request with a timeout of 10 s, and 30 s for everything: (call, then what is left).
TABLE = [
    (
        "connecting is one time for all of its steps",
        [("connecting", 0, 10), ("connecting", 4, 6), ("connecting", 11, -1)],
    ),
    (
        "each part of an answer has its time",
        [("receiving", 0, 10), ("receiving", 8, 10), ("receiving", 15, 5)],
    ),
    ("the answer has twice the time", [("receiving", 0, 10), ("receiving", 20, 0), ("receiving", 21, -1)]),
    ("an answer begins after the request", [("receiving", 0, 10), ("sending", 5, 10), ("receiving", 9, 10)]),
    ("everything ends together", [("connecting", 0, 10), ("sending", 25, 5), ("receiving", 27, 3)]),
]


@pytest.mark.parametrize("steps", [steps for _, steps in TABLE], ids=[name for name, _ in TABLE])
def test_the_time_that_is_left(steps):
    limits = Limits(10, 30, 0)

    assert [getattr(limits, step)(now) for step, now, _ in steps] == [left for *_, left in steps]


# The bytes that a connection takes and the seconds it needs for them; then the seconds it has for the next.
SENDING = [
    ([], 10),
    ([(1, 4)], 6),
    ([(1, 4), (1, 6)], 0),
    ([(1, 4), (LEAST_PER_TIMEOUT - 1, 5)], 10),
    ([(LEAST_PER_TIMEOUT, 9), (1, 9)], 1),
    ([(0, 10)], 0),
    ([(LEAST_PER_TIMEOUT * 10, 9.9)] * 5, 10),
]


@pytest.mark.parametrize(("steps", "left"), SENDING)
def test_a_connection_has_to_take_16_kib_in_every_timeout(steps, left):
    limits = Limits(10, None, 0)
    for count, seconds in steps:
        limits.sent(count, seconds)

    assert limits.sending(1000.0) == pytest.approx(left)


class TooSlowError(Exception):
    """What a program of somebody's makes of a signal."""


@pytest.mark.parametrize(
    "raised", [TooSlowError(), TimeoutError("too slow"), ValueError("too slow")], ids=repr
)
def test_what_a_signals_handler_raises_in_the_middle_of_a_request_is_not_taken_for_an_answer(raised):
    def stop(*_):
        raise raised

    with raw_server(lambda connection: (connection.request(), connection.wait())) as server:
        settings = Settings("k", server.url, api="classic", auth="bearer", timeout=4.0)
        runtime = BlockingRuntime(settings)
        before = signal.signal(signal.SIGUSR1, stop)
        timer = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGUSR1])
        timer.start()
        try:
            with pytest.raises(type(raised)) as caught:
                run_blocking(runtime.send(Request("GET", "/v1/workflows/runs/run_1", base_url=server.url)))
        finally:
            timer.join()
            signal.signal(signal.SIGUSR1, before)
            runtime.close()

    assert caught.value is raised
