"""A run is shown everywhere in the shape of the routes that created it; here that is decided."""

from typing import Any

from retab_orchestration.emulator import classic, current
from retab_orchestration.emulator.engine import Run, Step
from retab_orchestration.emulator.state import State

__all__ = ["run_body", "step_body"]


def run_body(state: State, run: Run) -> dict[str, Any]:
    """Return the body of a run as it stands now."""
    write = classic.run_body if run.family == "classic" else current.run_body
    return write(run, state.look(run))


def step_body(run: Run, step: Step) -> dict[str, Any]:
    """Return the body of a step of a run."""
    write = classic.step_body if run.family == "classic" else current.step_body
    return write(run, step)
