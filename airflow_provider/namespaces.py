"""What tells this Airflow from others that use the same account, where its connection does not say."""

import socket
from typing import Any
from urllib.parse import urlsplit

__all__ = ["own_address", "own_machine"]


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


def _base_url_of(conf: Any) -> str:
    sections = ("api", "webserver")  # of Airflow 3, of Airflow 2
    addresses = (str(conf.get(name, "base_url", fallback="") or "") for name in sections)
    return next(filter(None, addresses), "")
