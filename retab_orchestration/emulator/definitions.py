"""Reading users' workflows from a YAML file."""

from pathlib import Path

from retab_orchestration.emulator.workflows import Workflow

__all__ = ["read_workflows"]


def read_workflows(path: Path) -> tuple[Workflow, ...]:
    """Read the workflows of a YAML file."""
    raise NotImplementedError(path)
