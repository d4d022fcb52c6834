"""The files that runs make: the parts and the pages of a PDF, and a PDF with a remark of its own."""

import io
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pypdf

from retab_orchestration.emulator.files.documents import File, read_file
from retab_orchestration.emulator.runs.engine import Run
from retab_orchestration.emulator.runs.loops import MOST_PASSES
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.workflows.values import Node

__all__ = ["create_files"]

_PDF = "application/pdf"

_MAKING = frozenset({"split", "edit", "for_each"})
"""The types of nodes that make files."""


def create_files(state: State, run: Run) -> None:
    """Make the files of a run that begins, from the documents that it was given; `run.created` has them by step.

    A node whose document is no PDF, or is not kept any more, makes none, and fails when its turn comes.
    """
    _create(state, run, run.workflow.nodes, run.documents, "")


def _create(state: State, run: Run, nodes: Iterable[Node], given: Mapping[str, File], place: str) -> None:
    """Make the files of nodes, which those after them may take.

    Args:
        state: The emulator's memory.
        run: The run that begins.
        nodes: The nodes of its workflow, or those in one pass through a loop.
        given: Node id -> the document that it gives.
        place: What the ids of their steps begin with.
    """
    known = dict(given)
    for node in nodes:
        source = next((known[before] for before in node.after if before in known), None)
        content = None if source is None or node.type not in _MAKING else state.file_store.content(source.id)
        if source is None or content is None:
            continue
        stem = source.filename.rpartition(".")[0] or source.filename
        made: dict[str, File] = {}
        for name, part in _read(node, run, content):
            made[name] = read_file(part, f"{stem} {name}.pdf", _PDF, state.clock())
            state.file_store.add(made[name], part)
        if node.type == "edit" and made:
            run.created[place + node.id] = known[node.id] = made["edited"]
        elif made:
            run.created[place + node.id] = made
        for number, page in enumerate(made.values() if node.is_loop else ()):
            inner = f"{place}{node.id}_iter_{number}_"
            _create(state, run, node.body, {node.body[0].id: page}, inner)


def _read(node: Node, run: Run, content: bytes) -> list[tuple[str, bytes]]:
    try:
        return list(_parts(node, run, content))
    except Exception:  # noqa: BLE001 - there is no end of what a broken PDF makes pypdf raise
        return []


def _parts(node: Node, run: Run, content: bytes) -> Iterator[tuple[str, bytes]]:
    reader = pypdf.PdfReader(io.BytesIO(content))
    if node.type == "edit":
        yield "edited", _written(reader.pages, {"/Subject": _remark(run)})
    elif node.type == "split":
        for name, (first, last) in node.parts.items():
            if pages := reader.pages[first - 1 : last]:
                yield name, _written(pages)
    elif len(reader.pages) <= MOST_PASSES:
        for number, page in enumerate(reader.pages, 1):
            yield f"page {number}", _written([page])


def _written(pages: Any, remark: dict[str, str] | None = None) -> bytes:
    writer = pypdf.PdfWriter()
    for page in pages:
        writer.add_page(page)
    writer.add_metadata(remark or {})
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def _remark(run: Run) -> str:
    asked = [value.get("remark") for value in run.json_inputs.values() if isinstance(value, dict)]
    return next((text for text in asked if isinstance(text, str)), "Edited")
