"""What hangs in a thread, a document or the user's own work, holds up nothing else."""

import asyncio
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from retab_orchestration import AsyncRetabClient, RetryPolicy
from tests.retab_orchestration.raw_server import answering, ok, raw_server

RUN = json.dumps({"id": "run_1", "status": "running"}).encode()
OPTIONS = {"api": "classic", "auth": "bearer", "retry": RetryPolicy(attempts=1)}
# Seconds in which anything is done that is not held up.
SOON = 10


class Hanging:
    """A document on a store that does not answer."""

    name = "a.pdf"

    def __init__(self):
        self.opened = threading.Event()
        self.let_go = threading.Event()

    def open(self, mode):
        self.opened.set()
        self.let_go.wait()
        raise OSError(mode)


async def test_documents_that_hang_hold_up_no_other_run():
    document = Hanging()
    with raw_server(answering(ok(RUN))) as server:
        async with AsyncRetabClient("k", server.url, **OPTIONS) as client:
            hanging = [
                asyncio.create_task(client.create_run("wf_1", documents={"n": document})) for _ in range(40)
            ]
            await asyncio.sleep(0.1)
            async with asyncio.timeout(SOON):
                assert (await client.create_run("wf_1")).id == "run_1"
                assert (await client.create_run("wf_1", documents={"n": ("a.pdf", b"x")})).id == "run_1"
            document.let_go.set()
            await asyncio.gather(*hanging, return_exceptions=True)


async def test_a_server_is_found_by_its_name_while_all_threads_of_the_loop_are_busy():
    let_go = threading.Event()
    threads = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(threads)
    busy = asyncio.create_task(asyncio.to_thread(let_go.wait))
    await asyncio.sleep(0)
    with raw_server(answering(ok(RUN))) as server:
        async with AsyncRetabClient("k", f"http://localhost:{server.port}", **OPTIONS) as client:
            async with asyncio.timeout(SOON):
                assert (await client.get_run("run_1", outputs=False)).id == "run_1"
    let_go.set()
    await busy


PROGRAM = """
import asyncio
from retab_orchestration import AsyncRetabClient
from tests.retab_orchestration.test_threads import Hanging

async def main():
    async with AsyncRetabClient("k", "http://127.0.0.1:9", api="classic", auth="bearer") as client:
        document = Hanging()
        task = asyncio.create_task(client.create_run("wf_1", documents={"n": document}))
        while not document.opened.is_set():
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait({task})

asyncio.run(main())
print("over")
"""


def test_a_program_ends_while_a_document_hangs_that_nobody_waits_for():
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True, timeout=60
    )

    assert (ended.stdout, ended.returncode) == ("over\n", 0), ended.stderr


class Exhausted(type(Path())):
    """A path of a store whose answers are read with `next`."""

    def stat(self, **_):
        raise StopIteration


async def test_a_document_that_raises_what_no_future_takes_hangs_nobody():
    async with AsyncRetabClient("k", "http://127.0.0.1:9", **OPTIONS) as client, asyncio.timeout(SOON):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await client.create_run("wf_1", documents={"n": Exhausted("a.pdf")})
