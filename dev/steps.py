"""Count the steps of two ways through the packages: calls of our functions, files that they are in, changes of file.

`python -m dev.steps create` follows a small PDF from `RetabClient.create_run` to the socket, on a server whose routes
are known. `python -m dev.steps poll`, where Airflow is installed, follows a page of the run list that shows one of six
runs as ended to the event of that run's trigger. Each prints what it counted; `--calls` prints the calls as well.
"""

import argparse
import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = tuple(
    str(ROOT / name) for name in ("retab_orchestration", "airflow_provider", "prefect_collection")
)
EMULATOR = str(ROOT / "retab_orchestration" / "emulator")
WAITS = 6
PDF = b"%PDF-1.4\n%%EOF\n"


@dataclass
class Walk:
    """The calls of our functions between two moments, in order.

    Attributes:
        calls: File and function of each; a coroutine that goes on after it was suspended is not called again.
    """

    calls: list[tuple[str, str]] = field(default_factory=list)

    @property
    def steps(self) -> int:
        """How many calls."""
        return len(self.calls)

    @property
    def files(self) -> int:
        """In how many files."""
        return len({file for file, _ in self.calls})

    @property
    def changes(self) -> int:
        """How often a call is in another file than the one before."""
        return sum(one[0] != other[0] for one, other in zip(self.calls, self.calls[1:], strict=False))

    def __str__(self) -> str:
        return f"{self.steps} steps, {self.files} files, {self.changes} changes of file"


class _Recorder:
    """Follows one thread from `start` to `stop`."""

    def __init__(self) -> None:
        self.walk = Walk()
        self._seen: set[FrameType] = set()  # frames that were called, held so that no other takes their place

    def start(self, ends_at: Callable[[Any], bool] = lambda _: False) -> None:
        def follow(frame: FrameType, event: str, argument: Any) -> None:
            if event == "c_call" and ends_at(argument):
                self.stop()
            file = frame.f_code.co_filename
            if event != "call" or not file.startswith(PACKAGES) or file.startswith(EMULATOR):
                return
            if frame not in self._seen:
                self._seen.add(frame)
                self.walk.calls.append((str(Path(file).relative_to(ROOT)), frame.f_code.co_qualname))

        sys.setprofile(follow)

    def stop(self) -> None:
        sys.setprofile(None)
        self._seen.clear()


def create() -> Walk:
    """Follow a small PDF from `RetabClient.create_run` to the first byte that the socket takes."""
    from retab_orchestration import RetabClient
    from retab_orchestration.emulator import Emulator

    recorder = _Recorder()
    with Emulator() as server, RetabClient("rt_test_steps", server.url) as client:
        document = {"start-node-1": ("invoice.pdf", PDF)}
        client.create_run("wf_invoice", documents=document)  # finds out the routes
        recorder.start(_sends)
        client.create_run("wf_invoice", documents=document)
        recorder.stop()
    return recorder.walk


def _sends(call: Any) -> bool:
    return isinstance(getattr(call, "__self__", None), socket.socket) and call.__name__ in {"send", "sendall"}


def poll() -> Walk:
    """Follow a page of the list that shows one of six runs as ended to the event of that run's trigger."""
    return asyncio.run(_poll())


async def _poll() -> Walk:
    server = _RunServer()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    connection = {"conn_type": "retab", "password": "rt_test_steps", "host": f"http://127.0.0.1:{port}"}
    os.environ["AIRFLOW_CONN_RETAB_STEPS"] = json.dumps(connection)
    from airflow_provider.triggers import RetabRunTrigger

    triggers = [
        RetabRunTrigger(f"run_{number}", retab_conn_id="retab_steps", poll_interval=0.5)
        for number in range(WAITS)
    ]
    waits = [asyncio.create_task(_event(trigger)) for trigger in triggers]
    try:
        await asyncio.wait_for(asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED), 60)
        server.recorder.stop()
    finally:
        sys.setprofile(None)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        listener.close()
    return server.recorder.walk


async def _event(trigger: Any) -> Any:
    return await anext(trigger.run())


class _RunServer:
    """Six running runs on current routes; on the third page of the list, and from then on, the first has completed.

    It is on the loop of those who wait, so the moment at which that page is sent is a place in their walk.
    """

    def __init__(self) -> None:
        self.recorder = _Recorder()
        self._pages = 0
        self._has_ended = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                body = json.dumps(self._answer(head.split(b" ", 2)[1].decode().partition("?")[0])).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n\r\n%b" % (len(body), body)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def _answer(self, path: str) -> Any:
        if path == "/v1/workflows/steps":
            return {"data": []}
        if path != "/v1/workflows/runs":
            return self._run(path.rpartition("/")[2])
        self._pages += 1
        if self._pages == 3 and not self._has_ended:
            self._has_ended = True
            self.recorder.start()
        rows = [self._run(f"run_{number}") for number in range(WAITS)]
        return {"data": rows, "list_metadata": {"after": None}}

    def _run(self, run_id: str) -> dict[str, Any]:
        status = "completed" if self._has_ended and run_id == "run_0" else "running"
        return {
            "id": run_id,
            "workflow": {"workflow_id": "wf_steps", "version_id": "ver_1"},
            "lifecycle": {"status": status},
            "timing": {"created_at": "2026-08-07T12:00:00Z"},
            "metadata": {"retab-orchestration": "1"},
        }


def main() -> None:
    """Print the counts of one walk."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("walk", choices=("create", "poll"))
    arguments.add_argument("--calls", action="store_true")
    chosen = arguments.parse_args()
    walk = {"create": create, "poll": poll}[chosen.walk]()
    if chosen.calls:
        for file, function in walk.calls:
            print(f"{file:45} {function}")
    print(walk)


if __name__ == "__main__":
    main()
