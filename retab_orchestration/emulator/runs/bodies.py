"""Bodies of runs and steps, in the shape of the routes that created the run."""

from typing import Any

from retab_orchestration.emulator.runs import flat, lifecycles
from retab_orchestration.emulator.runs.engine import Run, Step
from retab_orchestration.emulator.state import State

__all__ = ["run_body", "step_body"]


def run_body(state: State, run: Run) -> dict[str, Any]:
    """Return the present body of a run."""
    write = flat.run_body if run.shape.is_flat else lifecycles.run_body
    return write(run, state.view_of(run))


def step_body(run: Run, step: Step) -> dict[str, Any]:
    """Return the body of a step of a run."""
    write = flat.step_body if run.shape.is_flat else lifecycles.step_body
    return write(run, step)
