"""The triggers of each provider, made to look at a run of the bare server; for venvs that hold Airflow."""

import json
import os
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

WEEK = 7 * 24 * 3600.0

Make = Callable[[int, float], Any]
"""From a run's number and a poll interval to a trigger."""


def connect(url: str) -> None:
    """Write one connection for each provider into the environment, before Airflow is imported."""
    host = urlsplit(url).netloc
    os.environ["BENCH_SCHEME"] = urlsplit(url).scheme
    connections = {
        "bench_retab": {"conn_type": "retab", "password": "rt_test_bench", "host": url},
        "bench_dbt": {"conn_type": "dbt_cloud", "password": "token", "login": "1", "host": host},
        "bench_databricks": {
            "conn_type": "databricks",
            "password": "token",
            "host": url,
            "schema": "http",
            "port": urlsplit(url).port,
        },
        "bench_airbyte": {"conn_type": "airbyte", "host": url},
    }
    for name, connection in connections.items():
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(connection)


def ours() -> Make:
    """Return how to make our trigger, with the core imported, as others' clients are with their triggers."""
    import retab_orchestration  # noqa: F401
    from airflow_provider.triggers import RetabRunTrigger

    return lambda number, interval: RetabRunTrigger(
        f"run_{number}", retab_conn_id="bench_retab", poll_interval=interval
    )


def ours_deferred() -> Make:
    """Return how our operator makes it: on Airflow 3.3 no event may fire in the first seconds of a deferral."""
    from airflow_provider.triggers import SHORTEST_DEFERRAL, RetabRunTrigger

    return lambda number, interval: RetabRunTrigger(
        f"run_{number}",
        retab_conn_id="bench_retab",
        not_before=time.time() + SHORTEST_DEFERRAL,
        poll_interval=interval,
    )


def dbt() -> Make:
    """Return how to make dbt Cloud's trigger.

    Its hook speaks https alone. Where the server does not, it is made to speak plain http, which spares it a TLS
    handshake for every look.
    """
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    secure = DbtCloudHook.get_request_url_params

    def plain(*args: Any, **kwargs: Any) -> tuple[str, dict[str, Any]]:
        address, params = secure(*args, **kwargs)
        return address.replace("https://", "http://", 1), params

    if os.environ.get("BENCH_SCHEME") != "https":
        DbtCloudHook.get_request_url_params = staticmethod(plain)  # type: ignore[method-assign]
    return lambda number, interval: DbtCloudRunJobTrigger(
        conn_id="bench_dbt",
        run_id=number,
        end_time=time.time() + WEEK,
        poll_interval=interval,
        account_id=1,
    )


def databricks() -> Make:
    """Return how to make Databricks' trigger."""
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    return lambda number, interval: DatabricksExecutionTrigger(
        run_id=number, databricks_conn_id="bench_databricks", polling_period_seconds=int(interval)
    )


def airbyte() -> Make:
    """Return how to make Airbyte's trigger."""
    from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

    return lambda number, interval: AirbyteSyncTrigger(
        job_id=number, conn_id="bench_airbyte", end_time=time.time() + WEEK, poll_interval=interval
    )


SIDES: dict[str, Callable[[], Make]] = {
    "ours": ours,
    "deferred": ours_deferred,
    "dbt": dbt,
    "databricks": databricks,
    "airbyte": airbyte,
}

GOOD = {"completed", "success"}


def is_good(event: Any) -> bool:
    """Whether an event says that the run ended well."""
    payload = event.payload
    state = json.loads(payload["run_state"])["result_state"] if "run_state" in payload else payload["status"]
    return str(state).lower() in GOOD
