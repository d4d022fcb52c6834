"""What tells this Airflow from others that use the same account, where its connection does not say."""

import logging
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider._core import core

if TYPE_CHECKING:
    from retab_orchestration import RetabClient, RunIdentity, WorkflowRun

__all__ = ["own_address", "own_machine", "warn_of_names"]

_log = logging.getLogger(__name__)


def own_address() -> str | None:
    """Return the address that this Airflow was given, None for one that every machine has."""
    from airflow.configuration import conf

    address = _base_url_of(conf)
    host = urlsplit(address).hostname or ""
    is_local = host in {"", "localhost", "127.0.0.1", "::1", "0.0.0.0"}  # noqa: S104  nothing listens here
    return None if is_local else address.rstrip("/")


def own_machine() -> str:
    """Return what tells this machine's Airflow from others; every worker with a host name of its own has another."""
    from airflow.configuration import AIRFLOW_HOME, conf

    return f"{socket.gethostname()} {AIRFLOW_HOME} {_base_url_of(conf)}"


def warn_of_names(client: "RetabClient", run: "WorkflowRun", identity: "RunIdentity") -> None:
    """Say that another worker would not find this run, unless there are no tags by which anybody could."""
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
