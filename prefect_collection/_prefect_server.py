"""The client of Prefect's server with which calls read and write their records."""

import atexit
import contextvars
import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import PrefectClient, SyncPrefectClient, get_client
from prefect.context import FlowRunContext, SettingsContext, TaskRunContext, get_settings_context
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, Settings, get_current_settings

__all__ = [
    "aopen_client_of_prefect",
    "api_address",
    "context_of_thread",
    "hurried",
    "inputs_of",
    "is_refused",
    "kept_inputs",
    "prefect_client",
    "retrying_at_once",
    "write_input",
]

_AT_ONCE = 2
_REFUSALS = "retab.refusals"

_PAGE = 200

_HURRIED, _PAUSES = 3.0, (0.005, 0.03)
_hurry = threading.local()

T = TypeVar("T")

_opening = threading.Lock()
_clients: dict[Any, SyncPrefectClient] = {}
# The last settings for which they were turned into those of a thread, and these.
_quiet: tuple[Settings, Settings] | None = None


def api_address() -> str:
    """Return the address of Prefect's API, empty where Prefect starts a server for itself."""
    return str(get_current_settings().api.url or "")


def prefect_client() -> SyncPrefectClient:
    """Return the blocking client of this process, for any thread, that waits for a server that restarts.

    Opening one takes longer than a request, so it stays open. Prefect's waits for a server that it has reached before,
    since the address may be wrong; the flow run has reached it.
    """
    api = get_current_settings().api
    # What a client is made of.
    settings = (api.url, api.key, api.auth_string, api.tls_insecure_skip_verify, api.ssl_cert_file)
    with _opening:
        if settings not in _clients:
            opened = get_client(sync_client=True, httpx_settings=retrying_at_once()).__enter__()
            setattr(opened._client, "_has_connected", True)  # noqa: B010, SLF001  Prefect has no setting for it
            _clients[settings] = opened
        return _clients[settings]


def aopen_client_of_prefect() -> PrefectClient:
    """Return an async client, to be entered, that waits as well; outside of runs nothing has reached the server yet."""
    client = get_client()
    is_reached = bool(FlowRunContext.get() or TaskRunContext.get())
    setattr(client._client, "_has_connected", is_reached)  # noqa: B010, SLF001  as above
    return client


def context_of_thread() -> contextvars.Context:
    """Return the present context for a thread of ours, whose requests then send no log records to Prefect.

    Once a flow run has ended, its next record starts another sender of records, while the handler is locked; where the
    requests of senders are logged as well, that one waits for the handler, and the process for ever.
    """
    global _quiet  # noqa: PLW0603
    known, quiet = get_settings_context(), _quiet
    if quiet is None or quiet[0] is not known.settings:
        # Kept, since it takes many milliseconds, perhaps of an event loop.
        quiet = (
            known.settings,
            known.settings.copy_with_update(updates={PREFECT_LOGGING_TO_API_ENABLED: False}),
        )
        _quiet = quiet
    context = contextvars.copy_context()
    context.run(SettingsContext(profile=known.profile, settings=quiet[1]).__enter__)
    return context


def hurried(act: Callable[[], T]) -> T:
    """Make a request again and again while the server is busy, a few times a second; then wait as Prefect does.

    While many tasks begin, something else is written at nearly every moment, and all of them may wait for this request.
    """
    until = time.monotonic() + _HURRIED
    _hurry.is_on = True
    try:
        while time.monotonic() < until:
            with suppress(_BusyError):
                return act()
            time.sleep(random.uniform(*_PAUSES))  # noqa: S311, TID251  nothing is being waited for at Retab
    finally:
        _hurry.is_on = False
    return act()


def write_input(flow_run_id: UUID, key: str, value: str) -> None:
    """Write an input of a flow run.

    Raises:
        PrefectHTTPStatusError: The server refuses it; 409 if there is one of this key.
    """
    # The client's method for it fails in Prefect 3.4.0.
    prefect_client().request(
        "POST",
        "/flow_runs/{id}/input",
        path_params={"id": flow_run_id},
        json={"key": key, "value": value, "sender": None},
    ).raise_for_status()


def inputs_of(flow_run_id: UUID, prefix: str) -> tuple[list[dict[str, Any]], datetime]:
    """Return the inputs of a flow run whose keys begin so, and the time of Prefect's server."""
    found: dict[str, dict[str, Any]] = {}
    while True:
        answer = prefect_client().request(
            "POST",
            "/flow_runs/{id}/input/filter",
            path_params={"id": flow_run_id},
            json={"prefix": prefix, "limit": _PAGE, "exclude_keys": [*found]},
        )
        page = {str(each["key"]): each for each in answer.json()}
        is_last = len(page) < _PAGE or page.keys() <= found.keys()
        found |= page
        if is_last:
            date = answer.headers.get("Date")
            return [*found.values()], parsedate_to_datetime(date) if date else datetime.now(UTC)


def kept_inputs(flow_run_id: UUID, prefix: str) -> list[dict[str, Any]]:
    """Return the inputs of a flow run whose keys begin so, none where the server takes none."""
    try:
        return inputs_of(flow_run_id, prefix)[0]
    except PrefectHTTPStatusError as error:
        if not is_refused(error):
            raise
        return []


def is_refused(error: PrefectHTTPStatusError) -> bool:
    """Return whether the server refuses a request, and would do so again."""
    return 400 <= error.response.status_code < 429


class _BusyError(Exception):
    """The server is busy, and whoever has sent the request sends it again."""


def _close_all() -> None:
    while _clients:
        _, client = _clients.popitem()
        client.__exit__(None, None, None)


def _forget_all() -> None:
    global _opening  # noqa: PLW0603  a thread that is not in the child process may hold it
    _opening = threading.Lock()
    _clients.clear()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_forget_all)  # two processes cannot share a connection


def retrying_at_once() -> dict[str, Any]:
    """Return settings of a Prefect client that repeats a request to a busy server at once, before it begins to wait.

    On SQLite the server answers 503 to a change of labels if anything else was written since it has read them. That is
    so for nearly every create, because Prefect records the start of the task run at that moment. The other write is
    done by then; Prefect's client would wait for two seconds.
    """

    def _hook(response: Any) -> None:
        if response.status_code != 503 or "Retry-After" in response.headers:
            return
        if getattr(_hurry, "is_on", False):
            response.read()  # the connection is used again
            raise _BusyError
        extensions = response.request.extensions
        extensions[_REFUSALS] = extensions.get(_REFUSALS, 0) + 1
        if extensions[_REFUSALS] <= _AT_ONCE:
            response.headers["Retry-After"] = "0"

    return {"event_hooks": {"response": [_hook]}}
