"""Review gates, where runs wait for a human: the versions under review, and the one decision that each takes."""

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from retab_orchestration.emulator.runs.engine import Decision, Run, Step, Version, plain, review_id
from retab_orchestration.emulator.serving.wire import Refusal
from retab_orchestration.emulator.state import State

__all__ = ["ReviewGate", "decide", "find_gate", "gates_of", "version_id"]


@dataclass(frozen=True)
class ReviewGate:
    """A review gate that a run has reached."""

    run: Run
    step: Step

    @property
    def review_id(self) -> str:
        """The id of its review."""
        return review_id(self.run.id, self.step.id)

    @property
    def decision(self) -> Decision | None:
        """The decision, None before there is one."""
        return self.run.decisions.get(self.step.id)

    @property
    def versions(self) -> list[Version]:
        """The versions of what is under review, the workflow's own first."""
        known = self.run.versions.setdefault(self.step.id, [])
        if not known:
            value = plain(next(iter(self.step.inputs.values()), None))
            snapshot = value if isinstance(value, dict) else {"output": value}
            known.append(Version(version_id(self, snapshot), None, snapshot, None, self.step.started_at))
        return known

    def version(self, wanted: str) -> Version:
        """Return one version.

        Raises:
            Refusal: 404 when this review has no such version.
        """
        for version in self.versions:
            if version.id == wanted:
                return version
        raise Refusal(404, "review version not found")


def version_id(gate: ReviewGate, snapshot: dict[str, Any]) -> str:
    """Return the id of a content in a review: the same content has the same id."""
    content = f"{gate.review_id}/{json.dumps(snapshot, sort_keys=True)}"
    return "rvr_" + base64.b32encode(hashlib.sha256(content.encode()).digest()).decode()[:26]


def gates_of(state: State, run: Run) -> list[ReviewGate]:
    """Return the gates that a run has reached."""
    gates = [ReviewGate(run, step) for step in state.view_of(run).steps if step.node.is_gate]
    state.gates.update({gate.review_id: (run.id, gate.step.id) for gate in gates})
    return gates


def find_gate(state: State, run: Run, wanted: str) -> ReviewGate | None:
    """Return a gate of a run, None when the run has not reached it.

    Args:
        state: The emulator's memory.
        run: The run.
        wanted: The id of its step, or of its node: in a loop that is the pass that has waited longest, else the last.

    Raises:
        Refusal: 404 when the workflow has no such gate.
    """
    gates = gates_of(state, run)
    for gate in gates:
        if gate.step.id == wanted:
            return gate
    node = run.workflow.node(wanted)
    if node is None or not node.is_gate:
        raise Refusal(404, f"Node {wanted} of workflow {run.workflow.id} takes no human decision")
    passed = [gate for gate in gates if gate.step.node.id == wanted]
    return next((gate for gate in passed if gate.decision is None), passed[-1] if passed else None)


def decide(
    state: State,
    gate: ReviewGate,
    *,
    approved: bool,
    version: Version | None,
    reason: str | None = None,
    resumes: bool = True,
) -> None:
    """Record the decision at a gate, from which moment the run goes on.

    Args:
        state: The emulator's memory.
        gate: The gate; it has to be undecided and its run waiting.
        approved: Whether the run goes on.
        version: The version that is decided on; None means the workflow's own.
        reason: Why, for a rejection.
        resumes: Whether the run goes on at all.
    """
    seed = gate.versions[0]
    meant = version or seed
    changed = meant.snapshot if approved and meant is not seed else None
    decision = Decision(state.clock(), approved, changed, reason, meant.id, resumes)
    gate.run.decisions[gate.step.id] = decision
