"""Attempts: this one, the record of the one before, and the identity that follows from both."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import Context

from airflow_provider._core import core
from airflow_provider._create_once.decide import Kept, Numbers, Standing
from airflow_provider._create_once.earlier_attempts import text_of
from airflow_provider._state.store import keep, state_store_of

if TYPE_CHECKING:
    from retab_orchestration import RunIdentity

__all__ = ["Attempt", "Record", "TaskRecords", "identity_of", "kept_run_id"]


_KEY = "retab_run"
_NEEDED = {"identity", "family", "generation"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """One try of a task instance, from its context."""

    names: tuple[str, str, str, int | None]
    """Of the DAG, the DAG run, the task; and the map index."""
    try_number: int
    numbers: Numbers
    began: datetime | None
    """When the DAG run began; None where that is not known, as in `airflow tasks test`."""
    ti_began: datetime | None
    repeats: bool = False
    """Whether this try was begun before, as by a worker that could not load the DAG when it resumed the task."""

    @classmethod
    def of(cls, context: Context, retries: int) -> Self:
        """Read a context.

        Args:
            context: The task's.
            retries: Those of the task.
        """
        ti: Any = context["ti"]
        dag_run: Any = context.get("dag_run")
        clear_number = getattr(dag_run, "clear_number", None)
        return cls(
            (ti.dag_id, ti.run_id, ti.task_id, ti.map_index),
            ti.try_number,
            Numbers(ti.max_tries, clear_number if isinstance(clear_number, int) else None, retries),
            _moment(getattr(dag_run, "start_date", None)),
            _moment(getattr(ti, "start_date", None)),
            bool(context.get("task_reschedule_count")),
        )

    @property
    def is_granted(self) -> bool:
        """Whether this is the first try after a clear, as far as the counters show."""
        is_first = self.try_number == self.numbers.max_tries - (self.numbers.retries or 0) + 1
        return is_first and not self.repeats

    @property
    def started(self) -> str | None:
        """The start of the DAG run, which tells it from a deleted one of the same id; a clear may change it."""
        return None if self.began is None else self.began.isoformat(timespec="microseconds")


@dataclass(frozen=True)
class Record:
    """The record of a task's run that outlives an attempt."""

    identity: str
    family: str
    numbers: Numbers
    since: str | None
    """When an attempt began to create the run, for searching for it."""
    started: str | None
    run_id: str | None

    @classmethod
    def read(cls, value: Any) -> Self | None:
        """Return the record of a stored value; None if it is not one of ours."""
        if not isinstance(value, dict) or not set(value) >= _NEEDED:
            return None
        return cls(
            value["identity"],
            value["family"],
            Numbers(value["generation"], value.get("clear_number"), value.get("retries")),
            value.get("since"),
            value.get("started"),
            value.get("run_id"),
        )

    @property
    def begun(self) -> datetime | None:
        """When a create was begun whose outcome is not known."""
        return datetime.fromisoformat(self.since) if self.since and not self.run_id else None

    def meant(self, since: datetime | None = None) -> "RunIdentity":
        """Return the identity of its run.

        Args:
            since: The earliest time of its first create.
        """
        return core.RunIdentity(self.identity, self.family, since=since, begun=self.begun)

    def written(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        record = {
            "identity": self.identity,
            "family": self.family,
            "generation": self.numbers.max_tries,
            "clear_number": self.numbers.clear_number,
            "retries": self.numbers.retries,
            "since": self.since,
            "started": self.started,
            "run_id": self.run_id,
        }
        return {name: value for name, value in record.items() if value is not None}

    def is_of(self, attempt: Attempt) -> bool:
        """Return whether it belongs to the DAG run of this attempt, and not to a deleted one of the same id.

        Airflow's own stores delete it with the DAG run; another store may not.
        """
        has_others = None not in {self.started, attempt.started} and self.started != attempt.started
        return not (attempt.try_number == 1 and has_others)


def identity_of(
    attempt: Attempt,
    record: Record | None,
    standing: Standing,
    *,
    namespace: str,
    is_shared: bool,
    is_kept: bool = True,
) -> "RunIdentity":
    """Return the identity of an attempt's run.

    Args:
        attempt: The attempt.
        record: The record of the one before.
        standing: How the attempt follows that one.
        namespace: Tells this Airflow from others that use the same account.
        is_shared: Whether the namespace is the same on all workers.
        is_kept: Whether this Airflow keeps records; where it does not, the try before may have been cut off.
    """
    if (
        record is not None and standing is Standing.RETRY
    ):  # which may have run on another host, with another name
        return record.meant(attempt.began)
    generation = f"{attempt.numbers.max_tries} {attempt.started}"
    if record is not None and record.numbers.max_tries == attempt.numbers.max_tries:
        generation += f" {attempt.numbers.clear_number}"  # a clear that only this number shows
    # The start of a DAG run, to the microsecond, tells it from the DAG runs of another Airflow as a machine's name
    # does, and is the same on all workers.
    whose = (namespace,) if is_shared or attempt.started is None else ()
    key = core.RunIdentity.of(*whose, *attempt.names, generation=generation).key
    # The first try after a clear has another key than those before it, so none of them can have begun its run.
    is_first = standing is Standing.FIRST or (standing is Standing.CLEARED and attempt.is_granted)
    begun = None if is_kept or is_first else attempt.ti_began
    return core.RunIdentity(
        key, core.RunIdentity.of(namespace, *attempt.names).family, since=attempt.began, begun=begun
    )


def _moment(value: Any) -> datetime | None:
    # A plain datetime: those of pendulum, which Airflow 2 has, lose their zone in subtractions.
    return datetime.fromtimestamp(value.timestamp(), UTC) if isinstance(value, datetime) else None


class TaskRecords:
    """The record of a task's run in the store of this Airflow, if it has one.

    Args:
        context: The task's.
        attempt: The attempt.
    """

    def __init__(self, context: Context, attempt: Attempt) -> None:
        self._store = state_store_of(context)
        self._attempt = attempt
        self.previous = self._read()
        """The record of the attempt before."""
        self._newest = self.previous

    @property
    def is_kept(self) -> bool:
        """Whether this Airflow keeps records."""
        return self._store is not None

    @property
    def kept(self) -> Kept:
        """What is known from the attempt before."""
        if self._store is None:
            return Kept.NOWHERE
        if self.previous is None:
            return Kept.NOTHING
        return Kept.RUN if self.previous.run_id else Kept.INTENT

    def write(self, identity: "RunIdentity", run_id: str | None = None) -> None:
        """Record that a run is about to be created, or which one it is."""
        if self._store is None:
            return
        now, attempt = text_of(datetime.now(UTC)), self._attempt
        record = Record(identity.key, identity.family, attempt.numbers, now, attempt.started, run_id)
        keep(self._store, _KEY, record.written())
        self._newest = record

    def restore(self) -> None:
        """Write the record of the attempt before again, as this one created nothing; not if there is a successor."""
        if self._store is None or self.successor() is not None:
            return
        self._newest = self.previous
        try:
            if self.previous:
                keep(self._store, _KEY, self.previous.written())
            else:
                self._store.delete(_KEY)
        except Exception:  # noqa: BLE001 the error of the attempt counts, not this one
            _log.warning("Airflow still keeps that this task may have a run, which it has not", exc_info=True)

    def successor(self) -> Record | None:
        """Return the record that another attempt has written since; None if there is none, or if it cannot be read."""
        try:
            record = self._read()
        except Exception:  # noqa: BLE001 a task whose run exists must not fail because of this
            _log.warning("Airflow did not tell whether this attempt has a successor", exc_info=True)
            return None
        return None if record == self._newest else record

    def _read(self) -> Record | None:
        record = None if self._store is None else Record.read(self._store.get(_KEY))
        return record if record and record.is_of(self._attempt) else None


def kept_run_id(context: Context) -> str | None:
    """Return the run in the record of a task, None without one; unlike an XCom, a user cannot delete it."""
    record = TaskRecords(context, Attempt.of(context, 0)).previous
    return record.run_id if record else None
