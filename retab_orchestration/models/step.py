"""One step of a run: what a node received, what it gave, and how it went."""

from datetime import datetime
from typing import Any, ClassVar

from pydantic import Field

from retab_orchestration.models._reading import (
    Answer,
    Places,
    Reading,
    anything,
    flag,
    mapping,
    moment,
    obj,
    pick,
    places,
    read_places,
    records,
    rows,
    text,
    whole,
)
from retab_orchestration.models.document import DocumentRef
from retab_orchestration.models.lifecycle import state_of, with_duration
from retab_orchestration.models.status import StepStatus

__all__ = ["HandlePayload", "LoopContainer", "Step", "StepSummary"]


class HandlePayload(Reading):
    """What went through one handle of a node: a JSON value or a document.

    Attributes:
        type: `json` or `file`; `text` on older servers.
        data: The JSON value, or the text.
        document: The file; it may be missing even where the type is `file`.
    """

    type: str = "json"
    data: Any = None
    document: DocumentRef | None = None

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        document = body.get("document")
        data = body.get("data")
        return {
            "type": text(body.get("type")) or ("file" if document else "json"),
            "data": body.get("text") if data is None else data,
            "document": obj(document),
        }


# Where a step has no loop and no iteration of its own, those of the innermost loop around it are.
_INNERMOST = places(loop_id=(text, "container_id"), iteration=whole)


class LoopContainer(Reading):
    """One loop around a step.

    Attributes:
        container_id: The node of the loop.
        iteration: Which pass through it, from 0.
        is_parallel: Whether the passes run at the same time.
        parallel_item_index: Which item this pass is for, from 0.
    """

    container_id: str | None = None
    iteration: int | None = None
    is_parallel: bool = False
    parallel_item_index: int | None = None

    _places: ClassVar[Places] = places(
        container_id=text, iteration=whole, is_parallel=flag, parallel_item_index=whole
    )

    @property
    def number(self) -> int:
        """Which pass this is, from 0: of those that run at the same time, that of its item."""
        item = self.parallel_item_index if self.is_parallel else None
        return (self.iteration if item is None else item) or 0


class StepSummary(Answer):
    """A step as a run lists it.

    Attributes:
        node_id: The node that ran (later API versions say block).
        node_type: Its type, such as `extract`; an open set.
        node_label: Its name in the workflow.
        status: Its state; `status_name` is the server's own word for it.
        step_id: The step's own id: several steps of one node differ in it, inside a loop.
        duration_ms: Milliseconds.
        error: The message, if it failed.
        output: What the node gave, on servers that say so without handles.
        handle_outputs: Handle id -> what left through it; `output-json-0` is the usual one.
        input_document: The document that it read; `output_document` is the one that it wrote. Older servers.
        split_documents: Name -> document, for a split.
        artifact: `{"operation", "id"}` of the stored result.
    """

    node_id: str
    node_type: str | None = None
    node_label: str | None = None
    status: StepStatus = StepStatus.UNKNOWN
    status_name: str | None = None
    step_id: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_ms: int | None = None
    error: str | None = None
    output: Any = None
    handle_outputs: dict[str, HandlePayload] = Field(default_factory=dict)
    input_document: DocumentRef | None = None
    output_document: DocumentRef | None = None
    split_documents: dict[str, DocumentRef] = Field(default_factory=dict)
    requires_human_review: bool | None = None
    human_reviewed_at: datetime | None = None
    human_review_approved: bool | None = None
    artifact: dict[str, Any] = Field(default_factory=dict)

    _places: ClassVar[Places] = places(
        node_type=(text, "node_type", "block_type"),
        node_label=(text, "node_label", "block_label"),
        step_id=text,
        started_at=moment,
        completed_at=moment,
        duration_ms=whole,
        error=(text, "lifecycle.message", "terminal.message", "error", "error.message"),
        output=anything,
        handle_outputs=records,
        input_document=obj,
        output_document=obj,
        split_documents=records,
        requires_human_review=flag,
        human_reviewed_at=moment,
        human_review_approved=flag,
        artifact=mapping,
    )

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        node_id = node_id_of(body)
        if node_id is None:
            raise ValueError("This is no step: `node_id` is missing, and so are `block_id` and `step_id`")
        literal = state_of(StepStatus, body)
        return {
            **with_duration(read_places(cls._places, body)),
            "node_id": node_id,
            "status": StepStatus.read(literal),
            "status_name": literal,
        }


class Step(StepSummary):
    """A step with everything that the server keeps of it.

    Attributes:
        error_stage: Where it failed, such as `document_fetch` or `execution`.
        error_category: `transient`, `permanent` or `quota`: a hint for retrying.
        model: The language model that was used.
        handle_inputs: Handle id -> what came in through it.
        loop_id: The innermost loop around it, None outside loops; `iteration` is the pass through it, from 0.
        iteration_context: The loops around it, as the first servers put it.
        loop_containers: The loops around it, outermost first.
    """

    run_id: str | None = None
    organization_id: str | None = None
    error_stage: str | None = None
    error_category: str | None = None
    error_details: dict[str, Any] = Field(default_factory=dict)
    model: str | None = None
    cost: dict[str, Any] = Field(default_factory=dict)
    tokens: dict[str, Any] = Field(default_factory=dict)
    trace_spans: tuple[dict[str, Any], ...] = ()
    handle_inputs: dict[str, HandlePayload] = Field(default_factory=dict)
    retry_count: int | None = None
    loop_id: str | None = None
    iteration: int | None = None
    iteration_context: dict[str, Any] = Field(default_factory=dict)
    loop_containers: tuple[LoopContainer, ...] = ()
    created_at: datetime | None = None
    updated_at: datetime | None = None

    _places: ClassVar[Places] = StepSummary._places + places(  # noqa: SLF001  it is a summary with more
        run_id=text,
        organization_id=text,
        error_stage=(text, "lifecycle.stage", "terminal.stage", "error_stage", "error.stage"),
        error_category=(text, "lifecycle.category", "terminal.category", "error_category", "error.category"),
        error_details=(mapping, "lifecycle.details", "terminal.details", "error_details", "error.details"),
        model=text,
        cost=mapping,
        tokens=mapping,
        trace_spans=rows,
        handle_inputs=records,
        retry_count=whole,
        loop_id=text,
        iteration=whole,
        iteration_context=mapping,
        loop_containers=(rows, "loop_containers", "iteration_context.containers"),
        created_at=moment,
        updated_at=moment,
    )

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        found = super()._read(body)
        innermost = found.get("loop_containers", [None])[-1]
        return {**read_places(_INNERMOST, innermost), **found}

    @property
    def place(self) -> tuple[int, ...]:
        """Which pass through the loops around it this step is, outermost first; () outside loops."""
        passes = tuple(container.number for container in self.loop_containers)
        return passes or (() if self.iteration is None else (self.iteration,))


def node_id_of(body: Any) -> str | None:
    """Find the node that a step is of; None if it names none."""
    return pick(text, body, "node_id", "block_id", "step_id")
