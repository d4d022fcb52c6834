"""Answers that do not end: they cost the runs that they are about, and nobody else."""

import asyncio
import json
import multiprocessing
import re
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from retab_orchestration import (
    ApiTimeoutError,
    AsyncRetabClient,
    OutputsUnavailableError,
    PollPolicy,
    RetabClient,
    RetabError,
    RetryPolicy,
    UnreadableAnswerError,
    WaitTimeoutError,
)
from tests.retab_orchestration.raw_server import head, ok, raw_server

OPTIONS = {"api": "classic", "auth": "bearer"}


def name_in(request):
    found = re.match(rb"GET /v1/workflows/runs/(\w+) ", request)
    return found[1].decode() if found else ""


def serving(stuck, *, list_too=False):
    """Return a script of a server of runs that have completed; the answers about those that are stuck drip."""

    def script(connection):
        while request := connection.request():
            name = name_in(request)
            if name in stuck or (list_too and not name):
                connection.send(head(200, content_length=100_000))
                connection.drip(b"{" * 100_000)
            elif name:
                connection.send(ok(json.dumps({"id": name, "status": "completed"}).encode()))
            else:
                connection.send(head(500, content_length=0))

    return script


async def _waited(url, names, timeout, **options):
    """Return what became of each wait, and when the last of those that ended well did."""
    ended = {}

    async def wait(client, name):
        began = time.monotonic()
        try:
            run = await client.wait_for_run(name, timeout=timeout, outputs=False)
            ended[name] = run.status.value, time.monotonic() - began
        except Exception as error:  # noqa: BLE001
            ended[name] = error, time.monotonic() - began

    async with AsyncRetabClient("k", url, **options) as client:
        await asyncio.gather(*(wait(client, name) for name in names))
    return ended


@pytest.mark.parametrize(("number", "list_too"), [(16, False), (16, True), (40, False)])
def test_answers_that_drip_hold_up_none_of_the_other_waits(number, list_too):
    """All have a minute; the others end while every stuck one still waits, in a third of it on a busy machine."""
    stuck = [f"stuck_{each}" for each in range(number)]
    others = [f"run_{each}" for each in range(60)]

    async def main(url):
        async with AsyncRetabClient("k", url, **OPTIONS) as client:
            held = [
                asyncio.create_task(client.wait_for_run(name, timeout=60, outputs=False)) for name in stuck
            ]
            began = time.monotonic()
            runs = await asyncio.gather(
                *(client.wait_for_run(name, timeout=60, outputs=False) for name in others)
            )
            took = time.monotonic() - began
            still_held = [task for task in held if not task.done()]
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            return runs, took, len(still_held)

    with raw_server(serving(set(stuck), list_too=list_too)) as server:
        runs, took, still_held = asyncio.run(main(server.url))

    assert [run.status.value for run in runs] == ["completed"] * 60
    assert took < 20
    assert still_held == number


def test_waits_for_answers_that_drip_end_by_their_own_time():
    stuck = [f"stuck_{each}" for each in range(40)]
    with raw_server(serving(set(stuck))) as server:
        ended = asyncio.run(_waited(server.url, stuck, 2, **OPTIONS))

    assert {type(ended[name][0]) for name in stuck} == {WaitTimeoutError}
    assert max(ended[name][1] for name in stuck) < 2 + 5 + 8


def test_what_a_server_speaks_may_be_stuck_as_well():
    with raw_server(serving({"run_1"}, list_too=True)) as server:
        ended = asyncio.run(_waited(server.url, ["run_1", "run_2", "run_3", "run_4"], 1))

    assert {type(error) for error, _ in ended.values()} == {WaitTimeoutError}
    assert max(took for _, took in ended.values()) < 8


def test_a_wait_that_blocks_finds_out_what_a_server_speaks_in_the_time_that_it_has():
    with raw_server(serving({"run_1"}, list_too=True)) as server, RetabClient("k", server.url) as client:
        began = time.monotonic()
        with pytest.raises(WaitTimeoutError):
            client.wait_for_run("run_1", timeout=1)

    assert time.monotonic() - began < 8


def test_other_requests_go_on_beside_answers_that_drip():
    """More of them than there are places for requests in flight."""

    async def main(url):
        async with AsyncRetabClient("k", url, retry=RetryPolicy(attempts=1), **OPTIONS) as client:
            held = [asyncio.create_task(client.get_run(f"stuck_{each}", outputs=False)) for each in range(40)]
            await asyncio.sleep(0.1)
            began = time.monotonic()
            runs = await asyncio.gather(*(client.get_run(f"run_{each}", outputs=False) for each in range(40)))
            took = time.monotonic() - began
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            return runs, took

    with raw_server(serving({f"stuck_{each}" for each in range(40)})) as server:
        runs, took = asyncio.run(main(server.url))

    assert {run.status.value for run in runs} == {"completed"}
    assert took < 8


BAD = {
    "a date out of range": head(
        503, content_length=0, retry_after="Thu, 01 Jan 1970 00:00:00 +99999999999999"
    ),
    "details without end": head(422, content_length=12_000 + 25)
    + b'{"code": "x", "details": '
    + b"[" * 6000
    + b"]" * 6000,
    "an answer without end": ok(b"[" * 100_000),
    "a number without end": ok(b'{"id": "bad", "status": 1' + b"0" * 5000 + b"}"),
    "no HTTP": b"\0\1\2\3\r\n\r\n",
    "a header without end": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000 + b"\r\n\r\n",
    "bytes in headers": b"HTTP/1.1 500 \xff\r\nx-request-id: \xff\xfe\r\ncontent-length: 0\r\n\r\n",
    "a surrogate": ok(b'{"id": "\\ud800", "status": "completed"}'),
    "another run": ok(b'{"id": "other", "status": "completed"}'),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_answer_is_about_its_own_run_alone(name):
    def script(connection):
        while request := connection.request():
            run_id = name_in(request)
            if run_id == "bad":
                connection.send(BAD[name])
                return
            body = json.dumps({"id": run_id, "status": "completed"}).encode()
            connection.send(ok(body) if run_id else head(500, content_length=0))

    with raw_server(script) as server:
        ended = asyncio.run(
            _waited(server.url, ["bad", *(f"run_{each}" for each in range(19))], 2, **OPTIONS)
        )

    error, took = ended.pop("bad")
    assert type(error).__module__.startswith("retab_orchestration")
    assert took < 12
    assert {result for result, _ in ended.values()} == {"completed"}


RUN_1 = ok(b'{"id": "run_1", "status": "completed"}')
SURPLUS = ok(b'{"id": "run_2", "status": "completed"}')
RUN_2 = ok(b'{"id": "run_2", "status": "running"}')


@pytest.fixture(params=["blocking", "asyncio"])
def two_looks(request):
    """Look at one run, and a little later at another, on one client."""

    async def awaited(url):
        async with AsyncRetabClient("k", url, **OPTIONS) as client:
            first = await client.get_run("run_1", outputs=False)
            await asyncio.sleep(0.3)
            return first, await client.get_run("run_2", outputs=False)

    def blocking(url):
        with RetabClient("k", url, **OPTIONS) as client:
            first = client.get_run("run_1", outputs=False)
            time.sleep(0.3)
            return first, client.get_run("run_2", outputs=False)

    return blocking if request.param == "blocking" else lambda url: asyncio.run(awaited(url))


@pytest.mark.parametrize(
    "parts", [(RUN_1 + SURPLUS,), (RUN_1, SURPLUS), (RUN_1 + SURPLUS[:9],), (RUN_1, b"\n")]
)
def test_a_surplus_answer_is_no_answer_to_the_next_request(two_looks, parts):
    def script(connection):
        connection.request()
        if server.connections > 1:
            connection.send(RUN_2)
        else:
            for part in parts:
                connection.send(part)
                connection.pause(0.05)
        connection.request()

    with raw_server(script) as server:
        first, second = two_looks(server.url)

    assert (first.status.value, second.status.value) == ("completed", "running")
    assert server.connections == 2


def test_outputs_that_drip_end_the_wait_too():
    def script(connection):
        while request := connection.request():
            if name_in(request):
                connection.send(ok(b'{"id": "run_1", "status": "completed"}'))
            else:
                connection.send(head(200, content_length=100_000))
                connection.drip(b"{" * 100_000)

    poll = PollPolicy(error_budget=1)
    with raw_server(script) as server, RetabClient("k", server.url, **OPTIONS) as client:
        began = time.monotonic()
        with pytest.raises((OutputsUnavailableError, UnreadableAnswerError)):
            client.wait_for_run("run_1", poll=poll)

    assert time.monotonic() - began < 10


def flooding(piece):
    """Return a script that answers once, so that the client has all that it makes once, and then floods it."""

    def script(connection):
        connection.request()
        connection.send(ok(b'{"id": "run_1", "status": "running"}'))
        connection.request()
        connection.send(head(200, transfer_encoding="chunked") if piece.endswith(b" \r\n") else b"")
        while True:
            connection.send(piece * 10_000)

    return script


@pytest.mark.parametrize("piece", [b"HTTP/1.1 100 \r\n\r\n", b"1\r\n \r\n"], ids=["1xx", "chunks"])
def test_a_flood_of_tiny_parts_lets_the_loop_go_on(piece):
    """Counted in the loop's own processor time, which other processes take nothing of."""

    async def main(url):
        async with AsyncRetabClient("k", url, timeout=1, retry=RetryPolicy(attempts=1), **OPTIONS) as client:
            await client.get_run("run_1", outputs=False)
            asking = asyncio.create_task(client.get_run("run_1", outputs=False))
            lags = []
            while not asking.done():
                began = time.thread_time()
                await asyncio.sleep(0.001)
                lags.append(time.thread_time() - began)
            await asyncio.gather(asking, return_exceptions=True)
            return lags, asking.exception()

    with served_by_another_process(flooding(piece)) as url:
        lags, error = asyncio.run(main(url))

    assert isinstance(error, ApiTimeoutError)
    assert max(lags) < 0.4


@contextmanager
def served_by_another_process(script):
    """Serve without taking turns with the client."""
    forked = multiprocessing.get_context("fork")
    ours, theirs = forked.Pipe()

    def serve():
        with raw_server(script) as server:
            theirs.send(server.url)
            time.sleep(60)

    process = forked.Process(target=serve, daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join(60)


def hanging(connection):
    connection.request()
    connection.wait()


def test_a_wait_that_blocks_has_its_time_while_another_thread_finds_out_what_the_server_speaks():
    with raw_server(hanging) as server:
        first, second = (RetabClient("k", server.url, timeout=12) for _ in range(2))
        asking = threading.Thread(target=lambda: failing(lambda: first.get_run("run_1")), daemon=True)
        asking.start()
        time.sleep(0.3)
        began = time.monotonic()
        with pytest.raises(WaitTimeoutError):
            second.wait_for_run("run_1", timeout=1)
        took = time.monotonic() - began

    assert took < 8


def failing(call):
    with suppress(RetabError):
        call()


def test_a_wait_for_tests_has_its_time_while_no_place_is_free_for_its_requests():
    """More answers hang than leave their places to others."""

    async def main(url):
        async with AsyncRetabClient("k", url, timeout=30, retry=RetryPolicy(attempts=1), **OPTIONS) as client:
            held = [asyncio.create_task(client.get_run(f"run_{each}", outputs=False)) for each in range(100)]
            await asyncio.sleep(4.5)  # by then as many have left their places as may
            began = time.monotonic()
            with pytest.raises(WaitTimeoutError):
                await client.wait_for_test_run("trun_1", timeout=1)
            took = time.monotonic() - began
            for task in held:
                task.cancel()
            await asyncio.gather(*held, return_exceptions=True)
            return took

    with raw_server(hanging) as server:
        assert asyncio.run(main(server.url)) < 8
