"""The files that runs make: the parts of a PDF, and a PDF with a remark of its own."""

import io
from collections.abc import Iterator
from typing import Any

import pypdf

from retab_orchestration.emulator.documents import File, read_file
from retab_orchestration.emulator.engine import Run
from retab_orchestration.emulator.state import State
from retab_orchestration.emulator.workflows import Node

__all__ = ["create_files"]

_PDF = "application/pdf"


def create_files(state: State, run: Run) -> None:
    """Make the files of a run that begins, from the documents that it was given; `run.created` has them by node.

    A node whose document is no PDF, or is not kept any more, makes none, and fails when its turn comes.
    """
    for node in run.workflow.nodes:
        if node.type not in {"split", "edit"}:
            continue
        source = next(filter(None, (_source(run, before) for before in node.after)), None)
        content = None if source is None else state.file_store.content(source.id)
        if source is None or content is None:
            continue
        stem = source.filename.rpartition(".")[0] or source.filename
        made: dict[str, File] = {}
        for name, part in _read(node, run, content):
            made[name] = read_file(part, f"{stem} {name}.pdf", _PDF, state.clock())
            state.file_store.add(made[name], part)
        if made:
            run.created[node.id] = made if node.type == "split" else made["edited"]


def _read(node: Node, run: Run, content: bytes) -> list[tuple[str, bytes]]:
    try:
        return list(_parts(node, run, content))
    except Exception:  # noqa: BLE001 - there is no end of what a broken PDF makes pypdf raise
        return []


def _source(run: Run, node_id: str) -> File | None:
    """Return the one document that a node gives."""
    made = run.created.get(node_id)
    return made if isinstance(made, File) else run.documents.get(node_id)


def _parts(node: Node, run: Run, content: bytes) -> Iterator[tuple[str, bytes]]:
    reader = pypdf.PdfReader(io.BytesIO(content))
    if node.type == "edit":
        yield "edited", _edited(reader, _remark(run))
        return
    for name, (first, last) in node.parts.items():
        pages = reader.pages[first - 1 : last]
        if pages:
            yield name, _written(pages)


def _written(pages: Any, remark: dict[str, str] | None = None) -> bytes:
    writer = pypdf.PdfWriter()
    for page in pages:
        writer.add_page(page)
    writer.add_metadata(remark or {})
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def _edited(reader: pypdf.PdfReader, remark: str) -> bytes:
    return _written(reader.pages, {"/Subject": remark})


def _remark(run: Run) -> str:
    asked = [value.get("remark") for value in run.json_inputs.values() if isinstance(value, dict)]
    return next((text for text in asked if isinstance(text, str)), "Edited")
