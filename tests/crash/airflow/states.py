"""The states of all tasks, asked for once however many threads look at them."""

import threading
import time
from contextlib import suppress

from httpx import HTTPStatusError, TransportError

from tests.crash.airflow.scenario import TASK

_NEWEST = 60
_FRESH = 0.4


class States:
    """A view of the newest tasks that is at most some tenths of a second old."""

    def __init__(self, api):
        self._api = api
        self._lock = threading.Lock()
        self._seen = {}
        self._asked = 0.0

    def of(self, dag_id, run_id):
        """Return the task instance of a DAG run, None before there is one."""
        with self._lock:
            if time.monotonic() - self._asked > _FRESH:
                # On SQLite nothing may be said while a writer keeps it locked; what was seen before holds on.
                with suppress(TransportError, HTTPStatusError):
                    self._refresh()
            if (dag_id, run_id) in self._seen:
                return self._seen[dag_id, run_id]
        return next(iter(self._api.task_instances(dag_id, run_id)), None)

    def _refresh(self):
        page = self._api.get(
            "/dags/~/dagRuns/~/taskInstances", limit=_NEWEST, order_by="-run_after", task_id=TASK
        )
        self._seen = {(each["dag_id"], each["dag_run_id"]): each for each in page["task_instances"]}
        self._asked = time.monotonic()
