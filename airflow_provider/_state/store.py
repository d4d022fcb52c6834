"""What a task remembers over its retries: in Airflow 3.3's task state store, in Airflow 2's audit log, else nowhere."""

import json
from typing import Any, Protocol

from airflow.providers.common.compat.sdk import Context


class Memory(Protocol):
    """JSON values of one task instance that outlive its attempts, however these end."""

    def get(self, key: str) -> Any:
        """Return what was kept, None where there is nothing."""

    def set(self, key: str, value: Any) -> None:
        """Keep a value; it is safe when this returns."""

    def delete(self, key: str) -> None:
        """Forget a value."""


def memory_of(context: Context) -> Memory | None:
    """Return the memory of a task, None where this Airflow has none: from 3.0 to 3.2.

    XComs are no memory, they are deleted when an attempt begins. Variables are everybody's, and nothing would ever
    remove them.
    """
    store: Memory | None = context.get("task_state_store")
    if store is not None:
        return store
    # Only Airflow 2's task instance asks the database, and only there a worker may write to it.
    return AuditLog(context) if hasattr(context["ti"], "current_state") else None


class AuditLog:
    """The entries of a task instance in Airflow 2's audit log, of which the newest counts."""

    def __init__(self, context: Context) -> None:
        self._ti: Any = context["ti"]
        dag_run: Any = context["dag_run"]
        # A DAG run that was deleted leaves its entries to the next one of the same name.
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
        """Add an entry that there is nothing."""
        self.set(key, None)


def _log() -> Any:
    # Airflow 2 only, which changes no more.
    from airflow.models.log import Log  # noqa: TID251

    return Log
