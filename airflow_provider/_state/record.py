"""What Airflow keeps of a task's run, as one attempt reads and writes it."""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import Context

from airflow_provider._create_once.decide import Kept
from airflow_provider._create_once.errors import text_of
from airflow_provider._state.attempts import Attempt, Entry
from airflow_provider._state.store import memory_of

if TYPE_CHECKING:
    from retab_orchestration import RunIdentity

__all__ = ["Ledger", "kept_run_id"]

_KEY = "retab_run"

_log = logging.getLogger(__name__)


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
