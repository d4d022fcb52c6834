"""The settings of an Airflow connection, the namespace where it has none, and what goes on while it fails."""

import json
import logging
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowNotFoundException,
    Connection,
)

from airflow_provider._arguments import given
from airflow_provider._core import core

if TYPE_CHECKING:
    from airflow_provider.hooks import RetabHook
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun

__all__ = [
    "MissingConnectionError",
    "Profile",
    "missing",
    "not_given",
    "own_address",
    "own_machine",
    "read_profile",
    "through_key_changes",
    "through_outages",
    "warn_of_names",
]

T = TypeVar("T")

# Seconds between two tries to poll a run whose time is over, or to cancel it.
_BETWEEN_TRIES = 5.0

_log = logging.getLogger(__name__)


# Where Airflow keeps the name of a secrets backend of the user's own.
_SECRETS_BACKENDS = (("secrets", "backend"), ("workers", "secrets_backend"))


class MissingConnectionError(AirflowFailException, AirflowNotFoundException):
    """Airflow has no such connection: create it, or name another one. No retry of the task helps."""


def missing(conn_id: str) -> Exception:
    """Return the error for a connection that Airflow does not find.

    A secrets backend that does not answer looks to Airflow as if the connection was not there, so where there is one
    the task may be retried.
    """
    from airflow.configuration import conf

    advice = (
        f"create it on the page Admin, Connections, of type Retab, or as AIRFLOW_CONN_{str(conn_id).upper()} for all "
        "processes of Airflow; or give the task another retab_conn_id"
    )
    if any(conf.get(section, option, fallback="") for section, option in _SECRETS_BACKENDS):
        away: Exception = AirflowNotFoundException(
            f"Airflow finds no connection {conn_id!r}: see that the secrets backend answers. If it is not there, "
            f"{advice}"
        )
        return away
    return MissingConnectionError(f"Airflow has no connection {conn_id!r}: {advice}")


def not_given(conn_id: str) -> str:
    """Return what is said of a connection that Airflow has not given for as long as it was asked."""
    return f"Airflow does not give connection {conn_id!r}: see that it exists, and that its secrets backend answers"


@dataclass(frozen=True)
class Profile:
    """The checked settings of a connection."""

    client: dict[str, Any] = field(repr=False)
    """The settings of a client, by the names of its parameters."""
    dashboard_url: str | None
    namespace: str | None


def read_profile(connection: Connection) -> Profile:
    """Read a connection.

    Raises:
        ConfigurationError: The message says which field is wrong, and what to set.
    """
    # `extra_dejson` masks secrets with a blocking call, which fails on an event loop before Airflow 3.3.2.
    extra = _extra(connection.extra)
    if not (connection.password or "").strip():
        raise core.ConfigurationError(
            "its password is empty; put the Retab API key there, which is the field API key of the form"
        )
    client = {
        "api_key": connection.password,
        "base_url": _base_url(connection),
        "api": _given(extra, "api", "auto"),
        "auth": _given(extra, "auth", "auto"),
        "verify": _verify(extra.get("verify")),
        "proxy": _given(extra, "proxy", None),
        "upload_hosts": _hosts(extra.get("upload_hosts")),
    }
    for name, unit in {"timeout": "seconds", "requests_per_second": "requests"}.items():
        if (value := extra.get(name)) not in (None, ""):
            client[name] = _number(name, unit, value)
    if (most := extra.get("max_response_bytes")) not in (None, ""):
        client["max_response_bytes"] = _whole("max_response_bytes", "bytes", most)
    return Profile(client, _dashboard_url(extra.get("dashboard_url")), _namespace(extra.get("namespace")))


def _field_of(setting: str) -> str:
    from airflow_provider._errors import field_of

    return field_of(setting)


def _given(extra: dict[str, Any], name: str, usual: Any) -> Any:
    # An empty field of the form is an empty text.
    value = extra.get(name)
    return usual if value is None or value == "" else value


def _extra(text: str | None) -> dict[str, Any]:
    try:
        extra = json.loads(text or "{}")
    except (ValueError, RecursionError):
        extra = None
    if not isinstance(extra, dict):
        raise core.ConfigurationError(
            'its extra is not a JSON object; write it like {"api": "auto", "timeout": 60}'
        )
    return extra


def _base_url(connection: Connection) -> str | None:
    host = (connection.host or "").strip()
    if not host:
        return None
    if "://" not in host:
        host = f"{connection.schema or 'https'}://{host}"
    if not connection.port:
        return host
    scheme, _, rest = host.partition("://")
    name, slash, path = rest.partition("/")  # a host with a path has its port before that
    return f"{scheme}://{name}:{connection.port}{slash}{path}"


def _whole(name: str, unit: str, value: Any) -> int:
    number = _number(name, unit, value)
    if not number.is_integer():
        raise core.ConfigurationError(
            f"its {_field_of(name)} must be a whole number of {unit}, not {given(value)}"
        )
    return int(number)


def _number(name: str, unit: str, value: Any) -> float:
    try:
        return float("" if isinstance(value, bool) else value)
    except (TypeError, ValueError, OverflowError):
        raise core.ConfigurationError(
            f"its {_field_of(name)} must be a number of {unit}, not {given(value)}"
        ) from None


def _verify(value: Any) -> bool | str:
    # A form field is text, a JSON extra is a boolean.
    words: dict[Any, bool] = {"": True, "true": True, "false": False}
    if value is None or isinstance(value, bool):
        return value is not False
    if not isinstance(value, str):
        raise core.ConfigurationError(
            f"its {_field_of('verify')} must be true, false or the path of a CA bundle, not {given(value)}"
        )
    return words.get(value.strip().lower(), value)


def _hosts(value: Any) -> Any:
    # A form field is text, a JSON extra may be a list.
    return [host for host in re.split(r"[,\s]+", value) if host] or None if isinstance(value, str) else value


def _dashboard_url(template: Any) -> str | None:
    if template is None or template == "":
        return None
    is_text = isinstance(template, str) and template.isprintable()
    if not is_text or not template.startswith(("http://", "https://")):
        raise core.ConfigurationError(
            f"its {_field_of('dashboard_url')} must be like https://HOST/workflows/{{workflow_id}}/runs/{{run_id}}"
        )
    return str(template)


def _namespace(name: Any) -> str | None:
    if name is None or name == "":
        return None
    if not isinstance(name, str) or not name.strip():
        raise core.ConfigurationError(
            f"its {_field_of('namespace')} must be a name such as 'production', not {given(name)}"
        )
    return name.strip()


def own_address() -> str | None:
    """Return the configured address of this Airflow, None for one that every machine has."""
    from airflow.configuration import conf

    address = _base_url_of(conf)
    host = urlsplit(address).hostname or ""
    is_local = host in {"", "localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104  nothing listens here
    return None if is_local else address.rstrip("/")


def own_machine() -> str:
    """Return the namespace by this machine's name, which differs on every worker with a host name of its own."""
    from airflow.configuration import AIRFLOW_HOME, conf

    return f"{socket.gethostname()} {AIRFLOW_HOME} {_base_url_of(conf)}"


def warn_of_names(client: "RetabClient", run: "WorkflowRun", identity: "RunIdentity") -> None:
    """Warn that a worker with another host name would not find this run, if the server keeps tags at all."""
    try:
        is_found = identity.tags.items() <= run.metadata.items() or client.can_find_runs()
    except core.RetabError:
        return  # the run exists, so this must not fail the task
    if is_found:
        _log.warning(
            "This Airflow keeps nothing for a task, and finds its runs by the name of the worker's machine, so that a "
            "run which another worker started may go on beside run %s. Set `namespace` in the extra of the "
            "connection, to a name such as 'production'",
            run.id,
        )


def _base_url_of(conf: Any) -> str:
    sections = ("api", "webserver")  # of Airflow 3, of Airflow 2
    addresses = (str(conf.get(name, "base_url", fallback="") or "") for name in sections)
    return next(filter(None, addresses), "")


def through_key_changes(hook: "RetabHook", act: "Callable[[RetabClient], T]") -> "T":
    """Do something that only reads, again with the connection read anew where its key is refused.

    Raises:
        AuthenticationError: The key is refused every time; the message names the connection.
    """
    refusals = core.policies.KeyRefusals()
    while True:
        try:
            with hook.get_conn() as client:
                return act(client)
        except core.AuthenticationError as error:
            pause = refusals.pause_after(time.monotonic(), is_changed=hook.has_another_key())
            if pause is None:
                raise hook.refused(error) from error
            time.sleep(pause)  # noqa: TID251  nothing is being waited for meanwhile


def through_outages(act: "Callable[[], T]") -> "T":
    """Poll a run, or cancel it, trying for as long as polls may fail.

    Raises:
        RetabError: What failed last.
    """
    budget = core.policies.ErrorBudget(core.PollPolicy().error_budget)
    while True:
        try:
            return act()
        except core.RetabError as error:
            if not error.retryable or not budget.failed(core.policies.Trouble.OUTAGE, time.monotonic()):
                raise
            time.sleep(_BETWEEN_TRIES)  # noqa: TID251  nothing is being waited for meanwhile
