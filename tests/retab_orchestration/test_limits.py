"""What one process asks of an account at once, and per second, on real sockets."""

import asyncio
import time
from contextlib import asynccontextmanager
from weakref import ref

import pytest

from retab_orchestration import ApiTimeoutError, AsyncRetabClient, RetabClient
from retab_orchestration._http import Request
from retab_orchestration._transport import AsyncioRuntime, BlockingRuntime
from retab_orchestration._transport.awaiting import _Shared
from retab_orchestration._transport.pools import Transport
from retab_orchestration.emulator import Emulator
from retab_orchestration.settings import Settings
from tests.retab_orchestration.fake_runtime import Clock
from tests.retab_orchestration.virtual_loop import VirtualLoop

RUN = b'{"id": "run_1", "status": "running"}'


class Crowd:
    """A server that answers after a while, and counts how many requests it has at once."""

    def __init__(self):
        self.present = {"GET": 0, "POST": 0}
        self.most = {"GET": 0, "POST": 0, "all": 0}

    async def serve(self, reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                method = head.split(b" ", 1)[0].decode()
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                if length:
                    await reader.readexactly(int(length[0].split(b":")[1]))
                self.present[method] += 1
                self.most[method] = max(self.most[method], self.present[method])
                self.most["all"] = max(self.most["all"], sum(self.present.values()))
                await asyncio.sleep(0.3)  # in which they come together, also on a machine that is busy
                self.present[method] -= 1
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(RUN), RUN))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def crowded():
    crowd = Crowd()
    server = await asyncio.start_server(crowd.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with AsyncRetabClient("key", f"http://{host}:{port}", api="classic", auth="bearer") as client:
        yield crowd, client
    server.close()


async def test_requests_in_flight_are_bounded_and_creates_never_take_every_place():
    async with crowded() as (crowd, client):
        creates = [client.create_run("wf_1") for _ in range(60)]
        looks = [client.get_run("run_1", outputs=False) for _ in range(120)]
        await asyncio.gather(*creates, *looks)

    assert crowd.most["all"] == 32
    assert crowd.most["POST"] == 16
    assert crowd.most["GET"] >= 16


@pytest.fixture
def emulator():
    with Emulator() as running:
        yield running


def test_both_kinds_of_client_keep_to_the_rate_of_their_account_together(emulator):
    options = {"api": "current", "auth": "bearer", "requests_per_second": 50}

    async def awaiting():
        async with AsyncRetabClient("key", emulator.url, **options) as client:
            await client.create_run("wf_echo", json_inputs={"json-node-1": {}})
            await asyncio.gather(*(client.list_runs(limit=1) for _ in range(14)))

    began = time.monotonic()
    asyncio.run(awaiting())
    with RetabClient("key", emulator.url, **options) as client:
        for _ in range(15):
            client.list_runs(limit=1)

    assert time.monotonic() - began >= 29 / 50


async def test_calls_that_are_cancelled_while_they_wait_for_their_turn_put_off_no_other(emulator):
    options = {"api": "current", "auth": "bearer", "requests_per_second": 20}
    async with AsyncRetabClient("key-2", emulator.url, **options) as client:
        calls = [asyncio.create_task(client.list_runs(limit=1)) for _ in range(30)]
        for _ in range(5):
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        began = time.monotonic()
        await client.list_runs(limit=1)

    assert time.monotonic() - began < 0.9  # of the 1.5 s that all of them would have taken


@pytest.mark.parametrize("kind", [BlockingRuntime, AsyncioRuntime])
def test_a_request_waits_for_its_turn_no_longer_than_it_may_take(emulator, kind):
    async def send():
        runtime = kind(Settings(f"key-{kind.__name__}", emulator.url, requests_per_second=0.05))
        await runtime.send(request)
        began = time.monotonic()
        with pytest.raises(ApiTimeoutError) as late:
            await runtime.send(request)
        await (runtime.aclose() if kind is AsyncioRuntime else asyncio.to_thread(runtime.close))
        return late.value.sent, time.monotonic() - began

    request = Request("GET", "/v1/workflows/runs", base_url=emulator.url, timeout=0.3)
    was_sent, took = asyncio.run(send())

    assert not was_sent
    assert took < 3


def test_uploads_that_hang_hold_up_no_other_for_ever():
    clock = Clock()
    loop = VirtualLoop(clock)

    async def main():
        shared, over = _Shared(ref(loop), Transport(Settings("key", "http://retab.test"))), asyncio.Event()

        async def upload():
            async with shared.slot(long_running=True):
                await over.wait()

        hanging = [loop.create_task(upload()) for _ in range(40)]
        await asyncio.sleep(0)
        async with shared.slot(long_running=True):
            waited = loop.time()
        async with shared.slot(long_running=False):
            over.set()
        await asyncio.gather(*hanging)
        free = [shared.creating._value, shared.in_flight._value, sum(shared.slow.values())]
        return waited, free

    waited, free = loop.run_until_complete(main())
    loop.close()

    assert waited < 120
    assert free == [16, 32, 0]
