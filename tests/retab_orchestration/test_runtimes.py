"""The real outside world, on loopback: sockets, forks, threads and event loops."""

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from dev.hosts.processes import wait_until
from retab_orchestration import (
    ApiConnectionError,
    ApiTimeoutError,
    AsyncRetabClient,
    ConfigurationError,
    CreateOutcomeUnknownError,
    InvalidInputError,
    RetabClient,
    RetryPolicy,
    UnreadableAnswerError,
    __version__,
)
from retab_orchestration._blocking import run_blocking
from retab_orchestration._http import Body, Request
from retab_orchestration._transport import AsyncioRuntime, BlockingRuntime
from retab_orchestration._transport.environment import tls
from retab_orchestration.emulator import Emulator
from retab_orchestration.settings import Settings

RUN = b'{"id": "run_1", "status": "running"}'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_one_request(self):
        self.server.connections.add(self.client_address)
        super().handle_one_request()

    def answer(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.command, self.path, dict(self.headers), body))
        behave = self.server.behave
        if behave == "close":
            self.close_connection = True
            return
        if behave == "hang":
            self.server.released.wait(10)
            self.close_connection = True
            return
        self.send_response(200)
        self.send_header("X-Request-Id", "req_7")
        if behave == "badly compressed":
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(RUN)))
        self.end_headers()
        self.wfile.write(RUN)

    do_GET = do_POST = answer  # noqa: N815  the base class looks for these names

    def log_message(self, *args):
        pass


@contextmanager
def server(behave="answer"):
    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.behave, served.seen, served.connections, served.released = behave, [], set(), threading.Event()
    served.url = f"http://127.0.0.1:{served.server_port}"
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield served
    finally:
        served.released.set()
        served.shutdown()
        thread.join(60)
        served.server_close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def settings(url, **more):
    return Settings(api_key="k", base_url=url, api="classic", auth="bearer", **more)


@pytest.fixture(params=["blocking", "asyncio"])
def send(request):
    def exchange(url, asked, **more):
        if request.param == "blocking":
            runtime = BlockingRuntime(settings(url, **more))
            try:
                runtime_send = runtime.send(asked)
                runtime_send.send(None)
            except StopIteration as stop:
                return stop.value
            finally:
                runtime.close()

        async def main():
            runtime = AsyncioRuntime(settings(url, **more))
            try:
                return await runtime.send(asked)
            finally:
                await runtime.aclose()

        return asyncio.run(main())

    return exchange


def get(url):
    return Request("GET", "/v1/x%2Fy", (("a", "1 2"), ("a", "ü")), base_url=url)


def test_a_request_arrives_as_it_was_meant(send):
    body = Body(6, lambda: iter([b"abc", b"def"]), "text/plain")
    with server() as served:
        send(served.url, Request("POST", "/v1/x", body=body, base_url=served.url, headers={"Api-Key": "k"}))
        response = send(served.url, get(served.url))

    (method, _, headers, sent), (_, path, _, _) = served.seen
    assert (method, sent, headers["Content-Length"], headers["Content-Type"]) == (
        "POST",
        b"abcdef",
        "6",
        "text/plain",
    )
    assert headers["Api-Key"] == "k"
    assert headers["User-Agent"] == f"retab-orchestration/{__version__}"
    assert "Transfer-Encoding" not in headers
    assert path.replace("%20", "+") == "/v1/x%2Fy?a=1+2&a=%C3%BC"  # httpx 0.27 writes %20
    assert (response.status, response.headers["x-request-id"], response.json()["id"]) == (
        200,
        "req_7",
        "run_1",
    )


def test_a_port_where_nobody_listens_was_never_sent_to(send):
    with pytest.raises(ApiConnectionError, match="check base_url") as refused:
        send(url := f"http://127.0.0.1:{free_port()}", get(url))
    assert not refused.value.sent


def test_a_connection_that_is_closed_without_an_answer_may_have_been_sent_to(send):
    with server("close") as served, pytest.raises(ApiConnectionError) as broken:
        send(served.url, get(served.url))
    assert broken.value.sent


def test_a_server_that_does_not_answer_in_time(send):
    with server("hang") as served, pytest.raises(ApiTimeoutError) as late:
        send(served.url, get(served.url), timeout=0.05)
    assert late.value.sent


def test_an_answer_that_cannot_be_unpacked(send):
    with server("badly compressed") as served, pytest.raises(UnreadableAnswerError):
        send(served.url, get(served.url))


def test_what_is_wrong_with_the_document_passes_through(send):
    def chunks():
        yield b"abc"
        raise InvalidInputError("changed")

    with server() as served, pytest.raises(InvalidInputError, match="changed"):
        send(served.url, Request("POST", "/v1/x", body=Body(6, chunks), base_url=served.url))


def test_reads_share_a_connection_and_creates_have_one_of_their_own():
    with server() as served, RetabClient("k", served.url, api="classic", auth="bearer") as client:
        for _ in range(3):
            client.get_run("run_1")
        assert len(served.connections) == 1
        client.create_run("wf_1")
        client.create_run("wf_1")
        client.get_run("run_1")

    assert len(served.connections) == 3


def _create(url):
    with RetabClient("k", url, api="classic", auth="bearer") as client:
        client.create_run("wf_1")


async def _acreate(url):
    async with AsyncRetabClient("k", url, api="classic", auth="bearer") as client:
        await client.create_run("wf_1")


def test_a_lost_create_is_one_request_on_a_real_socket(colour):
    create = _create if colour == "blocking" else lambda url: asyncio.run(_acreate(url))
    with server("close") as served:
        with pytest.raises(CreateOutcomeUnknownError):
            create(served.url)
        assert len(served.seen) == 1


@pytest.fixture
def left_loops():
    """Return the loops of which something is kept although they are gone, but for those that other tests have left."""
    before = list(AsyncioRuntime._pools)

    def find():
        gc.collect()
        return [loop for loop in AsyncioRuntime._pools if loop not in before]

    return find


def test_clients_of_one_loop_share_their_connections_and_the_last_one_closes_them(left_loops):
    async def main():
        with server() as served:
            one, two = (AsyncRetabClient("k", served.url, api="classic", auth="bearer") for _ in range(2))
            await one.get_run("run_1")
            await two.get_run("run_1")
            assert len(served.connections) == 1
            await one.aclose()
            await two.get_run("run_1")
            assert len(served.connections) == 1
            await two.aclose()
            assert not any(AsyncioRuntime._pools[asyncio.get_running_loop()].values())
            await one.get_run("run_1")  # a closed client opens anew
            assert len(served.connections) == 2
            await one.aclose()
            await one.aclose()

    asyncio.run(main())
    assert left_loops() == []


def test_clients_with_other_settings_share_nothing():
    async def main():
        with server() as served:
            async with (
                AsyncRetabClient("k", served.url, api="classic", auth="bearer") as one,
                AsyncRetabClient("k2", served.url, api="classic", auth="bearer") as two,
            ):
                await one.get_run("run_1")
                await two.get_run("run_1")
            assert len(served.connections) == 2

    asyncio.run(main())


def _use(client, queue):
    queue.put(client.get_run("run_1").id)


def test_a_client_made_before_a_fork_opens_connections_of_its_own():
    context = multiprocessing.get_context("fork")
    with server() as served, RetabClient("k", served.url, api="classic", auth="bearer") as client:
        client.get_run("run_1")
        queue = context.SimpleQueue()
        child = context.Process(target=_use, args=(client, queue))
        child.start()
        child.join(60)

        assert (child.exitcode, queue.get()) == (0, "run_1")
        client.get_run("run_1")

    assert len(served.connections) == 2


def _forked(client, queue):
    try:
        client.list_runs()
    except ApiConnectionError:
        queue.put("failed as it should")


def test_a_fork_in_the_middle_of_a_probe_does_not_hang_the_child():
    context = multiprocessing.get_context("fork")
    with server("hang") as served:
        options = {"timeout": 0.3, "retry": RetryPolicy(attempts=1)}
        busy = threading.Thread(
            target=_forked, args=(RetabClient("k", served.url, timeout=3), context.SimpleQueue())
        )
        busy.start()
        deadline = time.monotonic() + 60
        while not served.connections:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        queue = context.SimpleQueue()
        child = context.Process(target=_forked, args=(RetabClient("k", served.url, **options), queue))
        child.start()
        child.join(60)
        alive = child.is_alive()
        child.kill()
        served.released.set()
        busy.join(60)

    assert not alive
    assert queue.get() == "failed as it should"


def test_threads_share_one_client():
    with server() as served, RetabClient("k", served.url, api="classic", auth="bearer") as client:
        threads = [threading.Thread(target=client.get_run, args=("run_1",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(client._runtime._pools) == 1
        assert len(served.seen) == 8


def test_a_client_may_be_used_on_one_loop_after_another(left_loops):
    with server() as served:
        client = AsyncRetabClient("k", served.url, api="classic", auth="bearer")
        for _ in range(2):
            assert asyncio.run(client.get_run("run_1")).id == "run_1"
        asyncio.run(client.aclose())

    assert left_loops() == []


def test_a_client_may_be_used_in_several_loops_at_once():
    with server() as served:
        client = AsyncRetabClient("k", served.url, api="classic", auth="bearer")
        together, failures = threading.Barrier(4), []

        async def look():
            async with client:
                for _ in range(10):
                    await asyncio.gather(*(client.get_run("run_1", outputs=False) for _ in range(5)))

        def in_a_loop():
            together.wait(60)
            try:
                asyncio.run(look())
            except Exception as error:  # noqa: BLE001
                failures.append(error)

        threads = [threading.Thread(target=in_a_loop) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)

    assert failures == []
    assert len(served.seen) == 4 * 50
    assert client._session.runtime._shared == {}


def test_a_client_that_is_closed_while_it_opens_says_so_and_leaves_nothing_open():
    async def main(url):
        client = AsyncRetabClient("k", url, api="classic", auth="bearer")
        looking = asyncio.create_task(client.get_run("run_1"))
        await asyncio.sleep(0)
        await client.aclose()
        with pytest.raises(RuntimeError, match="closed while it was used"):
            await looking
        assert not any(AsyncioRuntime._pools[asyncio.get_running_loop()].values())

    with server() as served:
        asyncio.run(main(served.url))


def test_waits_that_start_together_share_one_failure_of_the_probe():
    async def main(url):
        clients = [AsyncRetabClient("k3", url, timeout=0.3) for _ in range(12)]
        waits = (client.wait_for_run("run_1", timeout=1) for client in clients)
        ended = await asyncio.gather(*waits, return_exceptions=True)
        for client in clients:
            await client.aclose()
        return ended

    with server("hang") as served:
        ended = asyncio.run(main(served.url))

    assert {type(error).__name__ for error in ended} == {"WaitTimeoutError"}
    assert len(served.seen) <= 6


def test_a_closed_client_opens_anew():
    with server() as served:
        client = RetabClient("k", served.url, api="classic", auth="bearer")
        client.get_run("run_1")
        client.close()
        assert client.get_run("run_1").id == "run_1"
        client.close()


def test_our_requests_leave_no_line_in_the_log_and_others_do(caplog):
    caplog.set_level(logging.INFO)
    with server() as served, RetabClient("k", served.url, api="classic", auth="bearer") as client:
        client.get_run("run_1")
        asyncio.run(_aget(served.url))
        assert [record for record in caplog.records if record.name == "httpx"] == []
        httpx.get(served.url + "/other")

    assert [record.name for record in caplog.records] == ["httpx"]


async def _aget(url):
    async with AsyncRetabClient("k", url, api="classic", auth="bearer") as client:
        await client.get_run("run_1")


def test_one_tls_context_serves_the_process(tmp_path):
    assert tls(verify=True) is tls(verify=True)
    assert tls(verify=True).verify_mode is ssl.CERT_REQUIRED
    assert tls(verify=False).verify_mode is ssl.CERT_NONE
    assert tls(str(tmp_path)).verify_mode is ssl.CERT_REQUIRED


def test_certificate_authorities_that_are_not_there_are_refused():
    with pytest.raises(ConfigurationError, match="verify"):
        tls("/nowhere/ca.pem")


def test_a_proxy_is_used():
    with server() as proxy:
        with RetabClient("k", "http://retab.test", api="classic", auth="bearer", proxy=proxy.url) as client:
            client.get_run("run_1")
        assert proxy.seen[0][1] == "http://retab.test/v1/workflows/runs/run_1"


def test_time_passes_and_chance_is_fair():
    runtime = BlockingRuntime(settings("http://x"))
    before = runtime.now()
    with pytest.raises(StopIteration):
        runtime.sleep(0.001).send(None)

    assert runtime.now() - before >= 0.001
    assert runtime.utc().tzinfo is not None
    assert 0 <= runtime.chance() < 1


def test_a_lock_of_a_name_lets_one_in_at_a_time():
    async def main():
        inside = []

        async def enter(runtime, name):
            async with runtime.lock(name):
                inside.append(name)
                assert inside.count(name) == 1
                await asyncio.sleep(0)
                inside.remove(name)

        one, two = AsyncioRuntime(settings("http://x")), AsyncioRuntime(settings("http://y"))
        await asyncio.gather(enter(one, "a"), enter(two, "a"), enter(one, "a"), enter(two, "b"))

    asyncio.run(main())


def test_a_lock_is_handed_on_past_a_coroutine_that_was_cancelled_while_it_waited():
    async def main():
        runtime, entered = AsyncioRuntime(settings("http://x")), []

        async def enter(number):
            async with runtime.lock("handed on"):
                entered.append(number)
                await asyncio.sleep(0.01)

        tasks = [asyncio.create_task(enter(number)) for number in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return entered

    assert asyncio.run(main()) == [0, 3]


def test_what_interrupts_the_holder_of_a_lock_does_not_wait_for_it():
    """As a signal handler does, and blocking code in a coroutine."""
    entered = []

    async def enter(runtime, number, inside=None):
        async with runtime.lock("interrupted"):
            entered.append(number)
            if inside is not None:
                inside()

    def block(number, inside=None):
        run_blocking(enter(BlockingRuntime(settings("http://x")), number, inside))

    def loop(number, inside=None):
        run = enter(AsyncioRuntime(settings("http://x")), number, inside)
        thread = asyncio.new_event_loop()
        try:
            asyncio.events._set_running_loop(None)  # as in the handler of a signal that came while a loop ran
            thread.run_until_complete(run)
        finally:
            thread.close()

    block(1, lambda: loop(2, lambda: block(3, lambda: loop(4))))
    block(5)

    assert entered == [1, 2, 3, 4, 5]


def test_fifty_looks_that_start_together_ask_once_what_the_server_speaks():
    async def main(url):
        async with AsyncRetabClient("k", url, retry=RetryPolicy(attempts=1)) as client:
            run = await client.create_run("wf_echo")
        clients = [AsyncRetabClient("k2", url) for _ in range(50)]
        await asyncio.gather(*(client.get_run(run.id, outputs=False) for client in clients))
        for client in clients:
            await client.aclose()

    with Emulator() as emulator:
        asyncio.run(main(emulator.url))
        assert emulator.stats()["requests"]["GET /v1/workflows/steps"] == 2


def test_a_signal_handler_may_use_the_client_while_its_server_is_found_out():
    with Emulator() as emulator, RetabClient("k", emulator.url) as client:
        emulator.post_faults([{"match": "GET /v1/workflows/steps", "kind": "slow", "seconds": 1}])
        seen = []

        def interrupt(number, frame):
            seen.append(client.list_runs().data)

        def strike():
            wait_until(lambda: emulator.stats()["requests"], timeout=30, what="the probe", interval=0.01)
            os.kill(os.getpid(), signal.SIGUSR1)

        before = signal.signal(signal.SIGUSR1, interrupt)
        try:
            threading.Thread(target=strike).start()
            assert client.list_runs().data == ()
        finally:
            signal.signal(signal.SIGUSR1, before)

        assert seen == [()]


def test_a_system_that_cannot_fork_can_import_the_client():
    program = (
        "import os; del os.register_at_fork, os.fork; import retab_orchestration as r; r.RetabClient('k')"
    )

    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
