"""Keeping the other processes of a flow run from creating what this one is about to create."""

from collections.abc import Generator
from dataclasses import replace
from functools import partial
from typing import Any

from prefect_collection._create_once.claims import Before, Claim
from prefect_collection._create_once.steps import Apart, AtAnyRate, Pause, Steps
from prefect_collection._state import Memory, Record

__all__ = ["Claiming"]

_BETWEEN_LOOKS = 0.5
"""Seconds after which it is looked again whether another process has come to an end."""


class Claiming:
    """The claim of one call.

    Attributes:
        is_needed: Whether another process may make the same call.
        outcome: What is known by now, for whoever has the claim next; None where that is not known.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._claim: Claim | None = None
        self.outcome: Record | None = None
        # What is called outside of flows is called in this process alone.
        self.is_needed = bool(memory.owner.flow_runs)

    @property
    def is_lost(self) -> bool:
        """Whether the claim was taken, and may be somebody else's by now."""
        return self._claim is not None and not self._claim.is_held

    def take(self, record: Record) -> Generator[Any, Any, Record]:
        """Take the claim, however long another process has it; return what is known of the call then."""
        yield from self.leave()
        self.outcome = None
        if not self.is_needed:
            return record
        self._claim = Claim(self._memory.server, self._memory.owner.flow_runs[-1], record.content)
        before: Before | None = None
        while (before := (yield Apart(self._claim.take))) is None:
            yield Pause(_BETWEEN_LOOKS)
        if before.has_died:
            yield Apart(self._memory.refresh)
            left = yield Apart(partial(self._memory.by_content, record.content))
        else:
            left = Record.read(before.left.get("text"), before.left.get("attempt"), record.content)
        self.outcome = replace(left, facts=record.facts) if left.is_known else record
        return self.outcome

    def leave(self) -> Steps:
        """Let another process go on with the outcome."""
        claim, self._claim = self._claim, None
        if claim is not None:
            yield AtAnyRate(partial(claim.leave, self.outcome.told if self.outcome else None))
