"""Event loops and sockets that are not those of the standard library: troubles of the network are the same on them."""

import asyncio
import socket
import types

import pytest

from retab_orchestration import ApiConnectionError, AsyncRetabClient, RetabClient, RetryPolicy
from tests.retab_orchestration.fake_runtime import Clock
from tests.retab_orchestration.test_watch import World

OPTIONS = {"api": "classic", "auth": "bearer", "retry": RetryPolicy(attempts=1)}
# What a package would have in its own modules: `raise` is a frame of theirs.
PACKAGE = """
import asyncio, socket

class Loop(asyncio.SelectorEventLoop):
    async def create_connection(self, *args, **kwargs):
        raise ConnectionRefusedError(111, "refused")

class Socket(socket.socket):
    def connect(self, address):
        wait(self)

def wait(sock):
    raise ConnectionRefusedError(111, "refused")
"""


@pytest.fixture
def package():
    module = types.ModuleType("otherloop.loop")
    exec(PACKAGE, module.__dict__)  # noqa: S102
    return module


def test_a_connection_that_another_loop_could_not_open_was_never_sent_on(package):
    async def call():
        async with AsyncRetabClient("key", "http://127.0.0.1:9", **OPTIONS) as client:
            await client.get_run("run_1")

    with asyncio.Runner(loop_factory=package.Loop) as runner, pytest.raises(ApiConnectionError) as broken:
        runner.run(call())

    assert not broken.value.sent


def test_a_connection_that_another_socket_could_not_open_was_never_sent_on(package, monkeypatch):
    monkeypatch.setattr(socket, "socket", package.Socket)

    with (
        RetabClient("key", "http://127.0.0.1:9", **OPTIONS) as client,
        pytest.raises(ApiConnectionError) as broken,
    ):
        client.get_run("run_1")

    assert not broken.value.sent


def without_context(loop, coroutine):
    """Make a task as factories did before Python 3.11."""
    return asyncio.Task(coroutine, loop=loop)


def test_waits_share_their_polls_on_a_loop_whose_task_factory_takes_no_context():
    world = World(Clock())
    world.loop.set_task_factory(without_context)
    runs = [world.start(5) for _ in range(6)]

    assert {run.status for run in world.wait(runs)} == {"completed"}
