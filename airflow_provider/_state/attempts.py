"""An attempt, what Airflow keeps of the one before, and the identity that follows from both."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from airflow.providers.common.compat.sdk import Context

from airflow_provider._core import core
from airflow_provider._create_once.decide import Kept, Numbers, Standing
from airflow_provider._create_once.earlier_attempts import text_of
from airflow_provider._state.store import memory_of

if TYPE_CHECKING:
    from retab_orchestration import RunIdentity

__all__ = ["Attempt", "Entry", "Ledger", "identity_of", "kept_run_id"]


_KEY = "retab_run"
_NEEDED = {"identity", "family", "generation"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Attempt:
    """One try of a task instance, by what Airflow says of it."""

    names: tuple[str, str, str, int | None]
    """Of the DAG, the DAG run, the task; and the map index."""
    try_number: int
    numbers: Numbers
    began: datetime | None
    """When the DAG run began; None where that is not told, as by `airflow tasks test`."""
    ti_began: datetime | None

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
        )

    @property
    def is_granted(self) -> bool:
        """Whether this is the first try after a clear, as far as the numbers tell."""
        return self.try_number == self.numbers.max_tries - (self.numbers.retries or 0) + 1

    @property
    def started(self) -> str | None:
        """What tells this DAG run from one of the same id that was deleted; a clear of a finished one changes it."""
        return None if self.began is None else self.began.isoformat(timespec="microseconds")


@dataclass(frozen=True)
class Entry:
    """What is kept of a task's run."""

    identity: str
    family: str
    numbers: Numbers
    since: str | None
    """When an attempt began to start the run, for whoever has to look for it."""
    started: str | None
    run_id: str | None

    @classmethod
    def read(cls, value: Any) -> Self | None:
        """Read what a memory gave; None if that is nothing of ours."""
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
        """When a create was begun of which nothing was heard."""
        return datetime.fromisoformat(self.since) if self.since and not self.run_id else None

    def meant(self, since: datetime | None = None) -> "RunIdentity":
        """Return which run it is of.

        Args:
            since: When the first of its creates can have been sent.
        """
        return core.RunIdentity(self.identity, self.family, since=since, begun=self.begun)

    def written(self) -> dict[str, Any]:
        """Return it as JSON values."""
        entry = {
            "identity": self.identity,
            "family": self.family,
            "generation": self.numbers.max_tries,
            "clear_number": self.numbers.clear_number,
            "retries": self.numbers.retries,
            "since": self.since,
            "started": self.started,
            "run_id": self.run_id,
        }
        return {name: value for name, value in entry.items() if value is not None}

    def is_of(self, attempt: Attempt) -> bool:
        """Whether it is of the DAG run of this attempt, and not of one of the same id that was deleted.

        Both of Airflow's own memories forget with the DAG run; another one may not.
        """
        has_others = None not in {self.started, attempt.started} and self.started != attempt.started
        return not (attempt.try_number == 1 and has_others)


def identity_of(
    attempt: Attempt,
    entry: Entry | None,
    standing: Standing,
    *,
    namespace: str,
    is_shared: bool,
    is_kept: bool = True,
) -> "RunIdentity":
    """Return which run an attempt means.

    Args:
        attempt: The attempt.
        entry: What was kept of the one before.
        standing: What the attempt is to that one.
        namespace: Tells this Airflow from others that use the same account.
        is_shared: Whether it is the same on all workers.
        is_kept: Whether this Airflow keeps entries at all; where it does not, the try before may have been cut off.
    """
    if entry is not None and standing is Standing.RETRY:  # by another host, perhaps, with another name
        return entry.meant(attempt.began)
    generation = f"{attempt.numbers.max_tries} {attempt.started}"
    if entry is not None and entry.numbers.max_tries == attempt.numbers.max_tries:
        generation += f" {attempt.numbers.clear_number}"  # cleared, and only this number tells
    # A DAG run's start, to the microsecond, tells it from that of another Airflow as well as a machine's name would,
    # and is the same on all workers.
    whose = (namespace,) if is_shared or attempt.started is None else ()
    key = core.RunIdentity.of(*whose, *attempt.names, generation=generation).key
    # The first try after a clear has another key than those before it, so none of them can have begun its run.
    is_after_another = attempt.try_number > 1 and not (standing is Standing.CLEARED and attempt.is_granted)
    begun = attempt.ti_began if not is_kept and is_after_another else None
    return core.RunIdentity(
        key, core.RunIdentity.of(namespace, *attempt.names).family, since=attempt.began, begun=begun
    )


def _moment(value: Any) -> datetime | None:
    # A plain one: pendulum's, which Airflow 2 tells, lose their zone where time is subtracted from them.
    return datetime.fromtimestamp(value.timestamp(), UTC) if isinstance(value, datetime) else None


class Ledger:
    """The entry of a task's run, in the memory that this Airflow has, if it has one.

    Args:
        context: The task's.
        attempt: The attempt.
    """

    def __init__(self, context: Context, attempt: Attempt) -> None:
        self._memory = memory_of(context)
        self._attempt = attempt
        self.entry = self._read()
        """That of the attempt before."""
        self._newest = self.entry

    @property
    def is_kept(self) -> bool:
        """Whether this Airflow keeps entries."""
        return self._memory is not None

    @property
    def kept(self) -> Kept:
        """What is known from the attempt before."""
        if self._memory is None:
            return Kept.NOWHERE
        if self.entry is None:
            return Kept.NOTHING
        return Kept.RUN if self.entry.run_id else Kept.INTENT

    def write(self, identity: "RunIdentity", run_id: str | None = None) -> None:
        """Write down that a run is about to be started, or which one it is."""
        if self._memory is None:
            return
        now, attempt = text_of(datetime.now(UTC)), self._attempt
        entry = Entry(identity.key, identity.family, attempt.numbers, now, attempt.started, run_id)
        self._memory.set(_KEY, entry.written())
        self._newest = entry

    def restore(self) -> None:
        """Write what the attempt before has written, as this one has started nothing; unless there is a successor."""
        if self._memory is None or self.successor() is not None:
            return
        try:
            if self.entry:
                self._memory.set(_KEY, self.entry.written())
            else:
                self._memory.delete(_KEY)
        except Exception:  # noqa: BLE001  what made this attempt fail is what its user has to hear
            _log.warning("Airflow still keeps that this task may have a run, which it has not", exc_info=True)

    def successor(self) -> Entry | None:
        """Return what another attempt has written since this one did; None if none has, or where nobody can tell."""
        try:
            entry = self._read()
        except Exception:  # noqa: BLE001  whatever Airflow cannot tell must not fail a task whose run exists
            _log.warning("Airflow did not tell whether this attempt has a successor", exc_info=True)
            return None
        return None if entry == self._newest else entry

    def _read(self) -> Entry | None:
        entry = None if self._memory is None else Entry.read(self._memory.get(_KEY))
        return entry if entry and entry.is_of(self._attempt) else None


def kept_run_id(context: Context) -> str | None:
    """Return the run that Airflow keeps for a task, None where it keeps none; an XCom anybody may delete."""
    entry = Ledger(context, Attempt.of(context, 0)).entry
    return entry.run_id if entry else None
