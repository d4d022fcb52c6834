"""The client of Prefect's server with which a call reads and writes its records."""

import threading
from typing import Any

from prefect.client.orchestration import SyncPrefectClient, get_client

__all__ = ["PrefectServer", "open_client_of_prefect", "retrying_at_once"]

_AT_ONCE = 2
_REFUSALS = "retab.refusals"


class PrefectServer:
    """One client for all requests of a call, opened on first use: opening one takes longer than a request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: SyncPrefectClient | None = None

    @property
    def client(self) -> SyncPrefectClient:
        """The client, for any thread."""
        with self._lock:
            if self._client is None:
                opened = open_client_of_prefect(httpx_settings=retrying_at_once())
                self._client = opened.__enter__()
            return self._client

    def close(self) -> None:
        """Close the client."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.__exit__(None, None, None)


def open_client_of_prefect(httpx_settings: dict[str, Any] | None = None) -> SyncPrefectClient:
    """Return a blocking client, to be entered, that waits for a server that restarts.

    Prefect's waits for one that it has reached before, since the address may be wrong; the flow run has reached it.
    """
    client = get_client(sync_client=True, httpx_settings=httpx_settings)
    setattr(client._client, "_has_connected", True)  # noqa: B010, SLF001  Prefect has no setting for it, and no type
    return client


def retrying_at_once() -> dict[str, Any]:
    """Return settings of a Prefect client that repeats a request to a busy server at once, before it begins to wait.

    On SQLite the server answers 503 to a change of labels if anything else was written since it has read them. That is
    so for nearly every create, because Prefect records the start of the task run at that moment. The other write is
    done by then; Prefect's client would wait for two seconds.
    """

    def _hook(response: Any) -> None:
        if response.status_code != 503 or "Retry-After" in response.headers:
            return
        extensions = response.request.extensions
        extensions[_REFUSALS] = extensions.get(_REFUSALS, 0) + 1
        if extensions[_REFUSALS] <= _AT_ONCE:
            response.headers["Retry-After"] = "0"

    return {"event_hooks": {"response": [_hook]}}
