"""The claim of a call: it keeps other processes of the flow run from creating the same run."""

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import Any

from prefect_collection._create_once.claims import Before, Claim
from prefect_collection._create_once.effects import Effects, InThread, InThreadShielded, Sleep
from prefect_collection._state import CallRecords, Record

__all__ = ["Claiming"]

_BETWEEN_TRIES = 0.5
"""Seconds between two tries to take the claim."""


class Claiming:
    """The claim of one call.

    Attributes:
        is_needed: Whether another process may make the same call.
        outcome: The record that the next holder of the claim reads; None where the outcome is not known.
    """

    def __init__(self, call_records: CallRecords) -> None:
        self._call_records = call_records
        self._claim: Claim | None = None
        self.outcome: Record | None = None
        # Only flow runs can have more than one process.
        self.is_needed = bool(call_records.owner.flow_runs)

    @property
    def is_lost(self) -> bool:
        """Whether the claim was taken, and may have run out since."""
        return self._claim is not None and not self._claim.is_held

    def take(self, record: Record) -> Generator[Any, Any, Record]:
        """Take the claim, waiting while another process has it; return the call's record then."""
        yield from self.leave()
        self.outcome = None
        if not self.is_needed:
            return record
        self._claim = Claim(self._call_records.server, self._call_records.owner.flow_runs[-1], record.content)
        before: Before | None = None
        while (before := (yield InThread(self._claim.take))) is None:
            yield Sleep(_BETWEEN_TRIES)
        if before.has_died:
            yield InThread(self._call_records.refresh)
            left = yield InThread(partial(self._call_records.by_content, record.content))
        else:
            left = Record.read(before.left.get("text"), before.left.get("attempt"), record.content)
        self.outcome = replace(left, facts=record.facts) if left.is_known else record
        return self.outcome

    def leave(self) -> Effects:
        """Give the claim up, leaving the outcome to the next holder."""
        claim, self._claim = self._claim, None
        if claim is not None:
            yield InThreadShielded(partial(claim.leave, self.outcome.as_json if self.outcome else None))
