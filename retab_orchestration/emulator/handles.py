"""Handles: the values that pass between nodes, as steps show them."""

from collections.abc import Iterable
from typing import Any

from retab_orchestration.emulator.documents import File
from retab_orchestration.emulator.engine import Step

__all__ = ["input_handles", "output_handles"]


def output_handles(step: Step, *, texts: bool) -> dict[str, Any]:
    """Return the outputs of a completed step, as `{"output-json-0": {"type": "json", "data": …}}` or a file handle.

    Args:
        step: The step; one that has not completed has no outputs.
        texts: Whether the reader knows text handles; without them text is JSON.
    """
    return _handles("output", [step.output], texts=texts) if step.status == "completed" else {}


def input_handles(step: Step, *, texts: bool) -> dict[str, Any]:
    """Return the inputs of a step, without nodes that gave no output."""
    return _handles("input", (value for value in step.inputs.values() if value is not None), texts=texts)


def _handles(side: str, values: Iterable[Any], *, texts: bool) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    for value in values:
        kind, payload = _payload(value, texts=texts)
        number = sum(name.startswith(f"{side}-{kind}-") for name in handles)
        handles[f"{side}-{kind}-{number}"] = payload
    return handles


def _payload(value: Any, *, texts: bool) -> tuple[str, dict[str, Any]]:
    if isinstance(value, File):
        return "file", {"type": "file", "document": value.reference()}
    if isinstance(value, str) and texts:
        return "text", {"type": "text", "text": value}
    return "json", {"type": "json", "data": value}
