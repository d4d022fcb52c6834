"""The outputs of a run in one form, node id -> `{"label", "json_data"[, "document"]}`, from wherever."""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from retab_orchestration.models._reading import Value, fields, is_object, mapping, pick, text
from retab_orchestration.models.document import DocumentRef, document_fields
from retab_orchestration.models.status import StepStatus
from retab_orchestration.models.step import HandlePayload, Step

__all__ = [
    "RunDocument",
    "documents_of_run",
    "nodes_of",
    "outputs_from_steps",
    "sink_nodes",
    "sinks_shown",
]

_DEFAULT_HANDLE = "output-json-0"
_ENVELOPE = frozenset({"label", "data", "document", "type"})
_EPOCH = datetime.fromtimestamp(0, UTC)
_LATEST = datetime.max.replace(tzinfo=UTC)


class RunDocument(Value):
    """A document that a run has made.

    Attributes:
        node_id: The node, and `node_label` its name in the workflow.
        step_id: The step, None on servers that do not name them.
        iteration: The passes through the loops around it, outermost first, from 0; () outside loops.
        handle: Where it left the node, such as `output-file-0`, or the name of a part of a split; "" for what only
            the outputs of the run have.
        document: The file: its `id`, `filename` and `mime_type`.
    """

    node_id: str
    node_label: str | None = None
    step_id: str | None = None
    iteration: tuple[int, ...] = ()
    handle: str = ""
    document: DocumentRef


def documents_of_run(
    steps: Iterable[Step], inputs: Iterable[DocumentRef], outputs: Mapping[str, Mapping[str, Any]]
) -> list[RunDocument]:
    """Return every document that a run has made, each once and where it was made.

    Args:
        steps: Every step of the run; only completed ones count.
        inputs: The documents that the run was given, which it has not made.
        outputs: The outputs that the run carries, which may have documents that no step has.
    """
    completed = sorted(_completed(steps), key=_makers_first)
    starts = [item for step in completed if _is_start(step.node_type) for _, item in _documents_of(step)]
    done = [step for step in completed if not _is_scaffolding(step.node_type)]
    known = {None, *(document.id for document in (*inputs, *starts))}
    created = {item.id for step in done for _, item in _documents_of(step) if item.id not in _read_by(step)}
    found: list[tuple[datetime, RunDocument]] = []
    for step, each in (*_of_steps(done), *_of_outputs(outputs)):
        is_passed_on = step is not None and each.document.id in created & _read_by(step)
        if each.document.id not in known and not is_passed_on:
            known.add(each.document.id)
            found.append((_LATEST if step is None else step.started_at or _EPOCH, each))
    return [each for _, each in sorted(found, key=lambda pair: pair[0])]


def _makers_first(step: Step) -> tuple[datetime, int, datetime]:
    """Order steps so that one that makes a document comes before those that pass it on: a loop begins before it."""
    began = step.started_at or _EPOCH
    return step.completed_at or began, -len(step.place), began


def _of_steps(steps: Iterable[Step]) -> Iterator[tuple[Step | None, RunDocument]]:
    for step in steps:
        for handle, document in _documents_of(step):
            yield (
                step,
                RunDocument(
                    node_id=step.node_id,
                    node_label=step.node_label,
                    step_id=step.step_id,
                    iteration=step.place,
                    handle=handle,
                    document=document,
                ),
            )


def _of_outputs(outputs: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[Step | None, RunDocument]]:
    for node_id, output in outputs.items():
        label = output.get("label")
        for iteration, document in _of_passes(output.get("document")):
            yield (
                None,
                RunDocument(node_id=node_id, node_label=label, iteration=iteration, document=document),
            )


def _of_passes(value: Any, passes: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], DocumentRef]]:
    if is_object(value):
        yield passes, DocumentRef.model_validate(fields(value))
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _of_passes(item, (*passes, number))


def _read_by(step: Step) -> set[str | None]:
    inputs = [payload.document for payload in step.handle_inputs.values()]
    return {document.id for document in (*inputs, step.input_document) if document is not None}


def _documents_of(step: Step) -> Iterator[tuple[str, DocumentRef]]:
    for handle, payload in step.handle_outputs.items():
        if payload.document is not None:
            yield handle, payload.document
    yield from step.split_documents.items()
    if step.output_document is not None:
        yield "output_document", step.output_document


def final_outputs_of(value: Any, labels: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Read the outputs that a run carries, in any of the forms that servers give them.

    Args:
        value: Node id -> `{"label", "json_data"}`, `{"document", "data"}` or the bare JSON value.
        labels: Node id -> label, for forms that have none; a node without either is called by its id.
    """
    return {node: _output(node, item, labels.get(node)) for node, item in (mapping(value) or {}).items()}


def outputs_from_steps(steps: Iterable[Step], nodes: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Derive the outputs of some nodes from the steps of a completed run.

    Args:
        steps: Every step of the run; only completed ones count.
        nodes: The nodes whose outputs are wanted; one that did not complete is left out.

    Returns:
        Node id -> `{"label", "json_data"}`, with `"document"` where a file left the node. For a node in a
        loop both are lists in the order of the iterations.
    """
    passes: dict[str, list[Step]] = {}
    for step in _completed(steps):
        passes.setdefault(step.node_id, []).append(step)
    return {node: _output_of_passes(passes[node]) for node in nodes if node in passes}


def sink_nodes(steps: Sequence[Step], edges: Sequence[Mapping[str, Any]] | None) -> tuple[str, ...]:
    """Name the nodes whose outputs are the run's: end nodes, else those from which nothing leads on.

    Where the steps show none of those, the workflow was changed after the run, and the last nodes that ran count.

    Args:
        steps: Every step of the run; only completed ones count, and no start, note or loop sentinel.
        edges: The edges of the workflow (`source_block` and `target_block`, or `source` and `target`).
            None where they are not to be had: then the nodes that completed last count.

    Returns:
        Node ids in the order of the steps, each once.
    """
    done = [step for step in _completed(steps) if not _is_scaffolding(step.node_type)]
    ends = [step for step in done if step.node_type == "end"]
    if ends:
        return _nodes(ends)
    if edges is None:
        latest = max((_end_of(step) for step in done), default=_EPOCH)
        return _nodes([step for step in done if _end_of(step) == latest])
    if sinks_shown(steps, edges):
        return _nodes([step for step in done if step.node_id not in _inner(edges)])
    # The workflow has other nodes by now, behind those that have run.
    inner = _inner(edges, {step.node_id for step in done})
    return _nodes([step for step in done if step.node_id not in inner])


def sinks_shown(steps: Iterable[Step], edges: Sequence[Mapping[str, Any]]) -> list[Step]:
    """Return the steps, in whatever state, of nodes from which nothing leads on."""
    inner = _inner(edges)
    return [step for step in steps if step.node_id not in inner and not _is_scaffolding(step.node_type)]


def nodes_of(edges: Iterable[Mapping[str, Any]]) -> set[str]:
    """Return the nodes that edges connect."""
    return {node for edge in edges for node in _ends(edge) if node is not None}


def _inner(edges: Iterable[Mapping[str, Any]], among: Container[str] | None = None) -> set[str | None]:
    """Return the nodes from which an edge leads on, to one of some nodes if there are any given."""
    pairs = [pair for pair in map(_ends, edges) if pair[0] != pair[1]]
    return {source for source, target in pairs if among is None or target in among}


def _completed(steps: Iterable[Step]) -> list[Step]:
    return [step for step in steps if step.status is StepStatus.COMPLETED]


def _output(node: str, value: Any, label: str | None) -> dict[str, Any]:
    parts = fields(value)
    known = parts if _is_envelope(parts) else {"json_data": value}
    data = known.get("json_data")
    output = {
        "label": text(known.get("label")) or label or node,
        "json_data": known.get("data") if data is None else data,
    }
    document = _documents(known.get("document"))
    return {**output, "document": document} if document else output


def _is_envelope(parts: Mapping[str, Any]) -> bool:
    if "json_data" in parts:
        return True
    if not parts or not _ENVELOPE.issuperset(parts):
        return False
    # `document` may well be a field of somebody's schema: only a reference under it makes this an envelope.
    return "data" in parts or is_object(parts.get("document"))


def _documents(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_documents(item) for item in value]
    return document_fields(value) or None if is_object(value) else None


def _output_of_passes(steps: Sequence[Step]) -> dict[str, Any]:
    outputs = [_output_of(step) for step in sorted(steps, key=lambda step: step.place)]
    if len(outputs) == 1 and not steps[0].place:
        return outputs[0]
    merged = {"label": outputs[0]["label"], "json_data": [output["json_data"] for output in outputs]}
    documents = [output.get("document") for output in outputs]
    return {**merged, "document": documents} if any(documents) else merged


def _output_of(step: Step) -> dict[str, Any]:
    handles = step.handle_outputs
    files = [payload.document for payload in handles.values() if payload.document is not None]
    values = [payload for payload in handles.values() if payload.type != "file"]
    default = handles.get(_DEFAULT_HANDLE) or (values[0] if values else HandlePayload(data=step.output))
    output = {"label": step.node_label or step.node_id, "json_data": default.data}
    document = document_fields(files[0]) if files else None
    return {**output, "document": document} if document else output


def _is_scaffolding(node_type: str | None) -> bool:
    kind = node_type or ""
    return _is_start(kind) or kind == "note" or "_sentinel_" in kind


def _is_start(node_type: str | None) -> bool:
    return (node_type or "").startswith("start")


def _end_of(step: Step) -> datetime:
    return step.completed_at or _EPOCH


def _nodes(steps: Iterable[Step]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step.node_id for step in steps))


def _ends(edge: Mapping[str, Any]) -> tuple[str | None, str | None]:
    source = pick(text, edge, "source_block", "source_node", "source")
    return source, pick(text, edge, "target_block", "target_node", "target")
