"""The same faults on real sockets: what a reset, a silence or a late answer is to httpx."""

import asyncio
import concurrent.futures
import threading

import pytest

from retab_orchestration import AsyncRetabClient, PollPolicy, RetabClient, RetabError, RetryPolicy, RunStatus
from retab_orchestration._core import dialects
from retab_orchestration._runtimes import AsyncioRuntime, BlockingRuntime
from retab_orchestration.emulator import Emulator
from tests.sweep.core.world import IDENTITY
from tests.sweep.plan import AMBIGUOUS, HARMLESS, expected, posted

# Seconds: what a client waits for an answer, what a fault takes at least, and what no life may ever take.
TIMEOUT, LONGER, HANGS = 0.2, 0.4, 20.0
SPEED = 40
POLL = PollPolicy(first=0.02, shortest=0.02, interval=0.1)
SECONDS = {"timeout_after": LONGER, "slow": TIMEOUT / 4, "http_429": 0.0}
ROLES = {
    "classic": ["probe", "second probe", "probe", "create", "look"],
    "current": ["probe", "find", "create", "look"],
}


class Hurried:
    """Sleeps a fraction of what it is asked to, as the emulator runs faster than real time."""

    async def sleep(self, seconds):
        await super().sleep(seconds / SPEED)


class HurriedBlocking(Hurried, BlockingRuntime):
    pass


class HurriedAsyncio(Hurried, AsyncioRuntime):
    pass


def inputs():
    return {
        "json_inputs": {"json-node-1": {"seconds": 1}},
        "identity": IDENTITY,
        "adopt": True,
    }


def connected(kind, runtime, url, timeout):
    client = kind("key-1", url, timeout=timeout, retry=RetryPolicy(base=0.01))
    client._runtime = client._session.runtime = runtime(client._session.settings)
    return client


def blocking_life(url):
    with connected(RetabClient, HurriedBlocking, url, TIMEOUT) as client:
        return client.wait_for_run(client.create_run("wf_echo", **inputs()).id, poll=POLL)


def awaiting_life(url):
    async def live():
        async with connected(AsyncRetabClient, HurriedAsyncio, url, TIMEOUT) as client:
            return await client.wait_for_run((await client.create_run("wf_echo", **inputs())).id, poll=POLL)

    return asyncio.run(live())


def ended(life, url):
    """Live a life in a process of its own, as it were, and return how it ended; one that hangs is a failure."""
    dialects._found.clear()
    dialects._failures.clear()
    end = concurrent.futures.Future()

    def live():
        try:
            end.set_result(life(url))
        except RetabError as error:
            end.set_result(error)
        except BaseException as error:  # noqa: BLE001 -- the test shall see it, not the thread
            end.set_exception(error)

    threading.Thread(target=live, daemon=True).start()
    return end.result(HANGS)


@pytest.fixture(scope="module", params=["classic", "current"])
def server(request):
    with Emulator(api=request.param, idempotency=False, speed=SPEED) as emulator:
        yield request.param, emulator


@pytest.mark.parametrize("life", [blocking_life, awaiting_life])
@pytest.mark.parametrize("kind", [*AMBIGUOUS, *HARMLESS])
def test_one_fault_at_any_request(server, life, kind, count):
    family, emulator = server
    for index, role in enumerate(ROLES[family]):
        emulator.reset()
        options = {"seconds": SECONDS[kind]} if kind in {"timeout_after", "slow"} else {}
        emulator.post_faults([{**posted(kind, index), **options}])
        outcome = expected(kind, role, family)
        held = threading.Timer(TIMEOUT * 1.2, emulator.release)
        if kind.startswith("hold_"):
            held.start()

        end = ended(life, emulator.url)

        if held.is_alive():
            held.join()
        if outcome.error is None:
            assert not isinstance(end, Exception), repr(end)
            assert end.status is RunStatus.COMPLETED
        else:
            assert isinstance(end, outcome.error), repr(end)
        assert emulator.stats()["runs_created"] == outcome.created
        count("sockets")
