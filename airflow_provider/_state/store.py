"""The store for what a task keeps over its retries: Airflow 3.3's task state store, or Airflow 2's audit log."""

import json
import sys
from inspect import signature
from typing import Any, Protocol

from airflow.providers.common.compat.sdk import Context


class StateStore(Protocol):
    """JSON values of one task instance that outlive its attempts."""

    def get(self, key: str) -> Any:
        """Return what was kept, None where there is nothing."""

    def set(self, key: str, value: Any) -> None:
        """Store a value; it is stored durably when this returns."""

    def delete(self, key: str) -> None:
        """Delete a value."""


def state_store_of(context: Context) -> StateStore | None:
    """Return the store of a task, None where this Airflow has none: from 3.0 to 3.2.

    XComs cannot be used, because they are deleted when an attempt begins. Variables are global, and would never be
    removed.
    """
    store: StateStore | None = context.get("task_state_store")
    if store is not None:
        return store
    # Only Airflow 2's task instance reads the database, and only there a worker may write to it.
    return AuditLog(context) if hasattr(context["ti"], "current_state") else None


def keep(store: StateStore, key: str, value: Any) -> None:
    """Store a value for as long as the DAG run is there.

    A run may wait for a human for longer than `[state_store] default_retention_days`, after which Airflow 3.3's cleanup
    would delete the only trace of it that classic routes leave.
    """
    never: Any = getattr(sys.modules.get("airflow.sdk"), "NEVER_EXPIRE", None)
    if never is None or "retention" not in signature(store.set).parameters:
        store.set(key, value)
        return
    lasting: Any = store
    lasting.set(key, value, retention=never)


class AuditLog:
    """The entries of a task instance in Airflow 2's audit log, of which the newest counts."""

    def __init__(self, context: Context) -> None:
        self._ti: Any = context["ti"]
        dag_run: Any = context["dag_run"]
        # The entries of a deleted DAG run stay, for the next one of the same id.
        self._dag_run = dag_run.id

    def get(self, key: str) -> Any:
        """Return what was kept, None where there is nothing."""
        from airflow.utils.session import create_session

        log, ti = _log(), self._ti
        names = {"dag_id": ti.dag_id, "task_id": ti.task_id, "run_id": ti.run_id, "map_index": ti.map_index}
        with create_session() as session:
            newest = session.query(log.extra).filter_by(event=key, **names).order_by(log.id.desc()).first()
        entry = json.loads(newest[0]) if newest else {}
        return entry.get("value") if entry.get("dag_run") == self._dag_run else None

    def set(self, key: str, value: Any) -> None:
        """Add an entry."""
        from airflow.utils.session import create_session

        extra = json.dumps({"dag_run": self._dag_run, "value": value})
        with create_session() as session:
            session.add(_log()(event=key, task_instance=self._ti, extra=extra))

    def delete(self, key: str) -> None:
        """Add an entry without a value."""
        self.set(key, None)


def _log() -> Any:
    # In Airflow 2 only, which does not change any more.
    from airflow.models.log import Log  # noqa: TID251

    return Log
