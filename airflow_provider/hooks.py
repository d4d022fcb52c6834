"""RetabHook: clients for the account of an Airflow connection; never an endpoint path.

The core is imported when a client is created and not before, so that DAG files with our operators parse fast.
"""

import asyncio
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowNotFoundException,
    BaseHook,
    Connection,
)

from airflow_provider import get_provider_info
from airflow_provider._connection import (
    Profile,
    missing,
    not_given,
    own_address,
    own_machine,
    read_profile,
)
from airflow_provider._core import core, import_core

if TYPE_CHECKING:
    from retab_orchestration import AsyncRetabClient, AuthenticationError, RetabClient, RetryPolicy

# How often Airflow is asked for a connection, and how many seconds apart: for about a minute.
_ASKED, _BETWEEN = 12, 5.0

Client = TypeVar("Client", "RetabClient", "AsyncRetabClient")


class RetabHook(BaseHook):
    """A Retab account, as a connection of type `retab` describes it.

    The connection's password is the API key, its host the base URL (`https://api.retab.com` when empty). Its extra,
    all optional: `api` (auto, classic, current), `auth` (auto, api-key, bearer), `timeout` (seconds), `verify` (true,
    false, path of a CA bundle), `proxy`, `upload_hosts` (the only hosts that large documents go to),
    `max_response_bytes` (16 MiB), `dashboard_url` (a template with `{workflow_id}` and `{run_id}`), `namespace`.
    """

    conn_name_attr = "retab_conn_id"
    default_conn_name = "retab_default"
    conn_type = "retab"
    hook_name = "Retab"

    def __init__(self, retab_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.retab_conn_id = retab_conn_id
        self._known: Profile | None = None
        self._base_url = ""

    def __reduce__(self) -> "tuple[type[RetabHook], tuple[str]]":
        # A task that is pickled after it ran has its hook with it; a key is in no pickle.
        return type(self), (self.retab_conn_id,)

    def get_conn(self, *, timeout: float | None = None, retry: "RetryPolicy | None" = None) -> "RetabClient":
        """Return a client; use it with `with`.

        Args:
            timeout: Seconds that one request may take, instead of the connection's.
            retry: The retries of a request, instead of the client's default.

        Raises:
            AirflowNotFoundException: There is no such connection; also an AirflowFailException, so that no retry
                follows, where no secrets backend can be the reason.
            ConfigurationError: A field of the connection is missing or wrong; the message says which.
        """
        if self._known is None:
            self._known = _read(self)
        given = {"timeout": timeout, "retry": retry}
        changes = {name: value for name, value in given.items() if value is not None}
        return self._client(core.RetabClient, self._known.client | changes)

    async def aget_conn(self) -> "AsyncRetabClient":
        """Return a client for an event loop; use it with `async with`. It raises what `get_conn` does."""
        await import_core()
        if self._known is None:
            self._known = await _aread(self.retab_conn_id)
        return self._client(core.AsyncRetabClient, self._known.client)

    def get_conn_through_outages(self) -> "RetabClient":
        """Return a client for a run that goes on, asking Airflow for the connection again for about a minute.

        A secrets backend that is away for a moment looks to Airflow like a connection that is not there.

        Raises:
            AirflowException: It was not given in that time; the run goes on for the task's retry.
        """
        for left in reversed(range(_ASKED)):
            try:
                return self.get_conn()
            except (core.RetabError, TimeoutError):
                raise
            except Exception as error:  # noqa: BLE001
                self._was_not_given(error, left)
            if left:
                time.sleep(_BETWEEN)  # noqa: TID251  nothing is being waited for meanwhile
        raise AirflowException(not_given(self.retab_conn_id))

    async def aget_conn_through_outages(self) -> "AsyncRetabClient":
        """Do what `get_conn_through_outages` does, awaiting; whatever Airflow says in the end is a TimeoutError."""
        for left in reversed(range(_ASKED)):
            try:
                return await self.aget_conn()
            except (core.RetabError, TimeoutError):
                raise
            except Exception as error:  # noqa: BLE001
                self._was_not_given(error, left)
            if left:
                await asyncio.sleep(_BETWEEN)  # noqa: TID251  nothing is being waited for meanwhile
        raise TimeoutError(not_given(self.retab_conn_id))

    def _was_not_given(self, error: Exception, left: int) -> None:
        if left == _ASKED - 1:
            what = type(error).__name__  # what it says may be the connection, with the key
            told = "Airflow does not give connection %r (%s), trying on"
            logging.getLogger(__name__).warning(told, self.retab_conn_id, what)

    def has_another_key(self) -> bool:
        """Read the connection again, and return whether its key has changed; False where it cannot be read."""
        try:
            return self._renew(_read(self))
        except Exception as error:  # noqa: BLE001  deleted, or out of order
            return self._was_not_read(error)

    async def ahas_another_key(self) -> bool:
        """Do what `has_another_key` does, awaiting."""
        try:
            return self._renew(await _aread(self.retab_conn_id))
        except Exception as error:  # noqa: BLE001
            return self._was_not_read(error)

    def _was_not_read(self, error: Exception) -> bool:
        what = type(error).__name__  # its text may contain the connection, with the key
        logging.getLogger(__name__).warning("Connection %r was not read again: %s", self.retab_conn_id, what)
        return False

    def _renew(self, profile: "Profile") -> bool:
        before, self._known = self._known, profile
        return before is None or before.client.get("api_key") != profile.client.get("api_key")

    def refused(self, error: "AuthenticationError") -> "AuthenticationError":
        """Return the error of a wait whose key was refused every time."""
        return error.with_message(f"{error.message}, also after the connection was read again")

    def namespace(self) -> str:
        """Return the namespace of this Airflow: that of the connection, else its address or the machine's name."""
        if self._known is None:
            self.get_conn().close()
        return (self._known and self._known.namespace) or own_address() or own_machine()

    def has_shared_namespace(self) -> bool:
        """Return whether `namespace()` is the same on all workers, and not the name of this machine."""
        if self._known is None:
            self.get_conn().close()
        return bool((self._known and self._known.namespace) or own_address())

    def run_url(self, workflow_id: str | None, run_id: str) -> str:
        """Return the address of a run: in the dashboard if the connection names one, else in the API."""
        if self._known is None:
            self.get_conn().close()
        template = self._known and self._known.dashboard_url
        url = template or f"{self._base_url}/v1/workflows/runs/{{run_id}}"
        for placeholder, value in {"{workflow_id}": workflow_id or "", "{run_id}": run_id}.items():
            url = url.replace(placeholder, quote(value, safe=""))
        return url

    def test_connection(self) -> tuple[bool, str]:
        """List one run, which needs a valid key and costs nothing.

        Returns:
            Whether it worked, and a message for the user.
        """
        try:
            with self.get_conn() as client:
                client.list_runs(limit=1)
        except core.RetabError as error:
            from airflow_provider._errors import final_error

            return False, str(final_error(error, self.retab_conn_id))
        except Exception as error:  # noqa: BLE001  Airflow shows whatever went wrong
            return False, str(error)
        return True, "Retab answered and accepted the API key"

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Return the fields of the connection form, for Airflow before 3.2."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from wtforms import PasswordField, StringField

        def field_of(described: dict[str, Any]) -> Any:
            secret = described["schema"].get("format") == "password"
            kind, widget = (
                (PasswordField, BS3PasswordFieldWidget) if secret else (StringField, BS3TextFieldWidget)
            )
            return kind(described["label"], description=described["description"], widget=widget())

        return {name: field_of(described) for name, described in _form()["conn-fields"].items()}

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Return how the standard fields of the connection form are shown, for Airflow before 3.2."""
        behaviour = _form()["ui-field-behaviour"]
        return {name.replace("-", "_"): value for name, value in behaviour.items()}

    def _client(self, kind: "type[Client]", settings: dict[str, Any]) -> "Client":
        try:
            client = kind(**settings)
        except core.ConfigurationError as error:
            from airflow_provider._errors import worded

            raise worded(error, self.retab_conn_id) from None
        self._base_url = client.base_url
        return client


# The last settings of each connection.
_last: dict[str, Profile] = {}


def _form() -> dict[str, Any]:
    form: dict[str, Any] = get_provider_info()["connection-types"][0]
    return form


def _read(hook: RetabHook) -> Profile:
    try:
        connection = hook.get_connection(hook.retab_conn_id)
    except AirflowNotFoundException:
        raise missing(hook.retab_conn_id) from None
    return _kept(hook.retab_conn_id, connection)


async def aget_connection(conn_id: str) -> Connection:
    """Ask Airflow for a connection, on an event loop.

    Raises:
        AirflowNotFoundException: There is none, or it is not given.
    """
    from airflow.providers.common.compat.connection import get_async_connection

    try:
        return await get_async_connection(conn_id)
    except AirflowNotFoundException:
        if not _is_dags_test():
            raise
    return await asyncio.to_thread(BaseHook.get_connection, conn_id)


def _is_dags_test() -> bool:
    """Whether this is `airflow dags test` on Airflow 3, whose supervisor of triggers cannot be asked by awaiting."""
    supervisor = getattr(sys.modules.get("airflow.sdk.execution_time.task_runner"), "SUPERVISOR_COMMS", None)
    return supervisor is not None and not hasattr(supervisor, "asend")


async def _aread(conn_id: str) -> Profile:
    try:
        connection = await aget_connection(conn_id)
    except AirflowNotFoundException:
        raise missing(conn_id) from None
    return _kept(conn_id, connection)


def _kept(conn_id: str, connection: Connection) -> Profile:
    try:
        profile = read_profile(connection)
    except core.ConfigurationError as error:
        raise core.ConfigurationError(f"connection {conn_id!r}: {error}") from None
    # One object for all hooks of a connection, because each of a thousand triggers has a hook.
    if (known := _last.get(conn_id)) == profile:
        return known
    _last[conn_id] = profile
    return profile
