"""Emulator: runs inside the calling process, in a thread of its own."""

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from retab_orchestration.emulator.service import OnUpload, Service
from retab_orchestration.emulator.serving.allowed_hosts import names_allowed
from retab_orchestration.emulator.serving.server import REQUEST_TIMEOUT, Server, address, listen
from retab_orchestration.emulator.serving.wire import Refusal
from retab_orchestration.emulator.workflows.definitions import read_workflows
from retab_orchestration.emulator.workflows.values import Workflow

__all__ = ["Emulator"]

T = TypeVar("T")

_START_TIMEOUT = 30.0
"""Seconds within which the thread answers requests."""


class Emulator:
    """A local Retab on loopback, for as long as the `with` block lasts.

    Args:
        api: The routes to serve: `both`, `classic`, `current`, or those of one generation, `g1a` to `g3c`.
        api_key: The one valid key; None accepts any that is not empty.
        speed: How many times faster than in real time runs go.
        workflows: Workflows besides the built-in ones: the path of a YAML file, or a list.
        host: The address to listen on.
        port: The port to listen on, 0 for any free one.
        auth: The header that may carry the key: `both`, `api-key` or `bearer`; None for what the routes had.
        idempotency: What a repeated `Idempotency-Key` means: `compared` (the answer is the run of the first create, or
            409 if the requests differ), `honoured` (that run, whatever the request) or `ignored` (another run); the
            real API promises nothing.
        metadata: What the server does with a run's metadata: `kept`, `unfiltered` (kept, but no filter of the list) or
            `dropped`.
        list_lag: Seconds for which a new run is in no list.
        absent_routes: How a path is refused that other servers have: as `unknown`, or as one of a `workflow` that there
            is not.
        allow_hosts: Allowed host names besides those of loopback; IP addresses are always allowed.
        request_timeout: Seconds within which a request has to arrive as a whole; the connection is closed then.
        on_upload: Called in the emulator's thread with a file's name, its bytes so far and all that it has, while it is
            uploaded.

    Raises:
        ValueError: when an argument has none of its allowed values.
        OSError: when it cannot listen on the address.
    """

    def __init__(
        self,
        *,
        api: str = "both",
        api_key: str | None = None,
        speed: float = 1.0,
        workflows: str | Path | Iterable[Workflow] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        auth: str | None = None,
        idempotency: str = "compared",
        metadata: str = "kept",
        list_lag: float = 0.0,
        absent_routes: str = "unknown",
        allow_hosts: Iterable[str] = (),
        request_timeout: float = REQUEST_TIMEOUT,
        on_upload: OnUpload | None = None,
    ) -> None:
        self._service = Service(
            api=api,
            api_key=api_key,
            workflows=_read(workflows),
            speed=speed,
            auth=auth,
            idempotency=idempotency,
            metadata=metadata,
            list_lag=list_lag,
            absent_routes=absent_routes,
            allow_hosts=names_allowed(host, allow_hosts),
            on_upload=on_upload,
        )
        self._host, self._port = host, port
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server = Server(self._service, self._on_ready, request_timeout=request_timeout)
        self._thread = threading.Thread(target=self._run, name="retab-emulator", daemon=True)
        self.url = ""
        """`http://HOST:PORT` once it is listening."""

    def __enter__(self) -> Self:
        self._socket = listen(self._host, self._port)
        self.url = address(self._host, self._socket)
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT) or self._loop is None:
            raise RuntimeError("The emulator's server did not start.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)

    def stats(self) -> dict[str, Any]:
        """Return `{"requests": {"METHOD /template": count}, "runs_created": count, "held": count}`."""
        return self._on_loop(self._service.stats)

    def run_ids(self) -> list[str]:
        """Return the ids of all runs, oldest first, also of those that the list does not show yet."""
        return self._on_loop(lambda: list(self._service.state.runs))

    def post_faults(self, faults: Iterable[Mapping[str, Any]]) -> None:
        """Replace all faults, see `docs/emulator.md`.

        Raises:
            ValueError: when one of them is invalid; the message says which and why.
        """
        posted = [dict(fault) for fault in faults]
        try:
            self._on_loop(lambda: self._service.faults.post(posted))
        except Refusal as refusal:
            raise ValueError(f"these faults are refused: {refusal.detail}") from refusal

    def release(self) -> int:
        """Release all held requests, and return how many there were."""
        return self._on_loop(self._service.faults.release)

    def set_key(self, api_key: str) -> None:
        """Set the one valid key; requests with any other key are answered with 401 from now on.

        Raises:
            ValueError: when it is empty.
        """
        try:
            self._on_loop(lambda: self._service.set_key({"api_key": api_key}))
        except Refusal as refusal:
            raise ValueError(f"this key is refused: {refusal.detail}") from refusal

    def reset(self) -> None:
        """Delete all runs, files, faults and statistics; the key stays."""
        self._on_loop(self._service.reset)

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._ready.set()

    def _on_ready(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready.set()

    def _on_loop(self, act: Callable[[], T]) -> T:
        async def call() -> T:
            return act()

        if self._loop is None or not self._thread.is_alive():
            return act()
        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(timeout=30)


def _read(workflows: str | Path | Iterable[Workflow] | None) -> tuple[Workflow, ...]:
    return read_workflows(Path(workflows)) if isinstance(workflows, str | Path) else tuple(workflows or ())
