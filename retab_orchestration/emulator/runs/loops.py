"""What the passes through a loop take, and what it makes of what they give."""

from typing import Any

from retab_orchestration.emulator.files.documents import File
from retab_orchestration.emulator.runs.engine import Run, Step, plain

__all__ = ["MOST_PASSES", "counted", "gathered", "items_of"]

MOST_PASSES = 100
"""Passes that a loop may have; one that would have more fails."""

_USUAL_PASSES = 3


def items_of(run: Run, step: Step) -> list[Any]:
    """Return what a loop is given, for each of its passes.

    A `for_each` goes through the pages of a PDF, or the `items` of a JSON object; a `while_loop` passes a JSON object
    on, as many times as its `passes` say.
    """
    if step.id in run.created:
        return list(run.created[step.id].values())
    given = next((value for value in step.inputs.values() if isinstance(value, dict)), {})
    if step.node.type == "for_each":
        items = given.get("items")
        return [_as_object(item) for item in items] if isinstance(items, list) else []
    passes = given.get("passes", _USUAL_PASSES)
    is_number = isinstance(passes, int) and not isinstance(passes, bool)
    # One more than allowed is enough to fail.
    return [given] * (max(1, min(passes, MOST_PASSES + 1)) if is_number else _USUAL_PASSES)


def counted(value: Any, number: int) -> dict[str, Any]:
    """Return what a pass of a `while_loop` takes: what the pass before it gave, and its own number."""
    return {**_as_object(value), "count": number}


def gathered(outputs: list[Any]) -> Any:
    """Return the output of a `for_each`: files by their numbers, or what its passes gave as `items`."""
    if outputs and all(isinstance(output, File) for output in outputs):
        return {str(number): file for number, file in enumerate(outputs)}
    return {"items": [plain(output) for output in outputs]}


def _as_object(value: Any) -> dict[str, Any]:
    """Return a value as an object, which alone the JSON handles of the oldest servers take."""
    return value if isinstance(value, dict) else {"value": plain(value)}
