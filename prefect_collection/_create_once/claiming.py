"""The claim of a call: it keeps other processes of the flow run from creating the same run."""

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import Any

from prefect_collection._create_once.claims import Before, Claim
from prefect_collection._create_once.creates import Creates
from prefect_collection._create_once.effects import Effects, InThread, InThreadShielded, Sleep
from prefect_collection._create_once.flow_run_claim import Entry, FlowRunClaim, claim_on
from prefect_collection._state import CallRecords, Record

__all__ = ["Claiming"]

_BETWEEN_TRIES = 0.5
"""Seconds between two tries to take the claim."""


class Claiming:
    """The claim of one call: its process's on all creates of the flow run, or one of its own where that is shared.

    Attributes:
        is_needed: Whether another process may make the same call.
        outcome: The record that the next holder of the claim reads; None where the outcome is not known.
        is_tagged: Whether the outcome is not in the labels, where the next process would look.
    """

    def __init__(self, call_records: CallRecords, begun: int) -> None:
        self._call_records = call_records
        self._begun = begun
        self._of_flow_run: FlowRunClaim | None = None
        self._entry = Entry()
        self._claim: Claim | None = None
        self._content = ""
        self.outcome: Record | None = None
        self.is_tagged = False
        # Only flow runs can have more than one process.
        self.is_needed = bool(call_records.owner.flow_runs)

    @property
    def is_lost(self) -> bool:
        """Whether the claim was taken, and may have run out since."""
        if self._of_flow_run is not None and self._of_flow_run.has_lost(self._entry):
            return True
        return self._claim is not None and not self._claim.is_held

    @property
    def is_of_process(self) -> bool:
        """Whether the create is covered by the claim of its process."""
        return self._entry.epoch > 0

    @property
    def others(self) -> Creates:
        """What other processes of the flow run have created."""
        return self._of_flow_run.others if self._of_flow_run is not None else Creates()

    @property
    def has_news(self) -> bool:
        """Whether another process was found to have created, of which this call, or this process, does not know yet."""
        news = self._of_flow_run.news if self._of_flow_run is not None else 0
        return news > min(self._begun, self._call_records.family.news)

    def enter(self, record: Record) -> Effects:
        """Begin a create, waiting while another process has the flow run."""
        yield from self.leave()
        self.outcome = None
        if not self.is_needed:
            return
        owner = self._call_records.owner
        self._content, self._entry = record.content, Entry()
        self._of_flow_run = claim_on(owner.flow_runs[-1])
        while not (yield InThread(partial(self._of_flow_run.enter, self._entry, is_alone=owner.is_alone))):
            yield Sleep(_BETWEEN_TRIES)

    def take(self, record: Record) -> Generator[Any, Any, Record]:
        """Take a claim of the call itself where the flow run is shared; return the call's record then."""
        self.outcome = record
        if not self.is_needed or self.is_of_process:
            return record
        self.outcome = None
        self._call_records.is_shared = True
        self._claim = Claim(self._call_records.owner.flow_runs[-1], record.content)
        before: Before | None = None
        while (before := (yield InThread(self._claim.take))) is None:
            yield Sleep(_BETWEEN_TRIES)
        if before.has_died:
            yield InThread(partial(self._call_records.refresh_shared, record.content))
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
        of_flow_run, self._of_flow_run = self._of_flow_run, None
        if of_flow_run is not None:
            run = self._call_records.report_of(self.outcome) if self.is_tagged and self.outcome else None
            is_known = self.outcome is not None or not self.is_tagged
            yield InThreadShielded(
                partial(of_flow_run.leave, self._entry, self._content, run, is_known=is_known)
            )
