"""What bodies of several shapes have in common: names of nodes, references to files, handles of steps."""

from collections.abc import Iterable
from typing import Any

from retab_orchestration.emulator.files.documents import File
from retab_orchestration.emulator.generations import Generation
from retab_orchestration.emulator.runs.engine import Step, is_split, plain
from retab_orchestration.emulator.workflows.values import CURRENT_TYPES, Node

# What the types of nodes are called, where that differs from the oldest names.
_TYPES = {
    "nodes": {},
    "functions": {"functions": "function"},
    "starts": {"functions": "function", "start": "start_document", "hil": "review"},
    "blocks": CURRENT_TYPES,
}

__all__ = [
    "error_details",
    "input_handles",
    "loop_facts",
    "node_facts",
    "node_type",
    "output_handles",
    "reference",
]


def node_facts(shape: Generation, **facts: Any) -> dict[str, Any]:
    """Return facts of a node under the names that a generation has for them, such as `node_id` or `block_id`."""
    return {f"{word}_{name}": value for word in shape.words for name, value in facts.items()}


def error_details(shape: Generation, step: Step) -> dict[str, Any] | None:
    """Return the details of the error of a step, None where it has none."""
    if not step.error:
        return None
    return {
        "message": step.error["message"],
        **node_facts(shape, id=step.node.id, name=step.node.label),
        **{key: step.error.get(key) for key in ("stack_trace", "error_code", "context")},
    }


def loop_facts(shape: Generation, step: Step) -> dict[str, Any]:
    """Return where a step is in loops, under the keys that a generation has for it."""
    containers = [
        {
            "container_id": each.loop.id,
            "iteration": each.number,
            "is_parallel": each.is_parallel,
            "parallel_item_index": each.number if each.is_parallel else None,
        }
        for each in step.passes
    ]
    # The oldest names know `while_loop` alone; the pass of a `for_each` is told where nothing else is.
    repeated = next((each for each in reversed(step.passes) if not each.is_parallel), None)
    place = repeated or (step.passes[-1] if step.passes else None)
    facts = {
        "loop_id": repeated.loop.id if repeated else None,
        "iteration": place.number if place else None,
        "iteration_context": {"containers": containers} if containers else None,
        "loop_containers": containers,
    }
    return {key: facts[key] for key in shape.loop_keys}


def node_type(shape: Generation, node: Node) -> str:
    """Return what a generation calls the type of a node."""
    return _TYPES[shape.types].get(node.type, node.type)


def reference(shape: Generation, file: File) -> dict[str, str]:
    """Return the reference to a file as a generation writes it."""
    return {
        **dict.fromkeys(shape.file_keys, file.id),
        "filename": file.filename,
        "mime_type": file.mime_type,
    }


def output_handles(shape: Generation, step: Step) -> dict[str, Any]:
    """Return the outputs of a completed step, as `{"output-json-0": {"type": "json", "data": …}}` or a file handle.

    Args:
        shape: What the bodies of its run look like; where it has no text handles, text is JSON.
        step: The step; one that has not completed has no outputs.
    """
    return _handles(shape, "output", [step.output]) if step.status == "completed" else {}


def input_handles(shape: Generation, step: Step) -> dict[str, Any]:
    """Return the inputs of a step, without nodes that gave no output."""
    return _handles(shape, "input", (value for value in step.inputs.values() if value is not None))


def _handles(shape: Generation, side: str, values: Iterable[Any]) -> dict[str, Any]:
    handles: dict[str, Any] = {}
    for value in values:
        if is_split(value):
            parts = {f"{side}-file-{name}": _payload(shape, file)[1] for name, file in value.items()}
            handles.update(parts)
            continue
        kind, payload = _payload(shape, value)
        number = sum(name.startswith(f"{side}-{kind}-") for name in handles)
        handles[f"{side}-{kind}-{number}"] = payload
    return handles


def _payload(shape: Generation, value: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(value, File):
        return "file", {"type": "file", "document": reference(shape, value)}
    if isinstance(value, str) and shape.has_texts:
        return "text", {"type": "text", "text": value}
    return "json", {"type": "json", "data": plain(value)}
