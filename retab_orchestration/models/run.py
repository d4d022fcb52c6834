"""A run of a workflow, as any generation of the API sends it."""

from typing import Any, ClassVar, Self

from pydantic import Field

from retab_orchestration._texts import without_signatures
from retab_orchestration.errors import RunCancelledError, RunFailedError
from retab_orchestration.models._reading import (
    Answer,
    Places,
    Value,
    fields,
    flag,
    ident,
    is_object,
    mapping,
    node_ids,
    pick,
    places,
    read_places,
    records,
    rows,
    strings,
    text,
)
from retab_orchestration.models.document import DocumentRef
from retab_orchestration.models.lifecycle import (
    CANCELLATION,
    Cancellation,
    RunError,
    Timing,
    Trigger,
    error_of,
    state_of,
    timing_of,
    trigger_of,
)
from retab_orchestration.models.outputs import final_outputs_of
from retab_orchestration.models.status import RunStatus
from retab_orchestration.models.step import StepSummary, node_id_of
from retab_orchestration.models.usage import Usage

__all__ = ["RunInputs", "WorkflowRun"]

# Where runs, and rows of their list, have these.
WORKFLOW_ID = ("workflow_id", "workflow.workflow_id")
WAITING_FOR = (
    "lifecycle.waiting_for_node_ids",
    "lifecycle.waiting_for_block_ids",
    "waiting_for_node_ids",
    "waiting_for_block_ids",
)

_INPUTS = ("inputs", "input_documents", "input_json_data", "input_text_data")
_RUN_INPUTS = places(
    documents=(records, "inputs.documents", "input_documents"),
    json_data=(mapping, "inputs.json_data", "input_json_data"),
    text=(strings, "inputs.text", "input_text_data"),
)

# Characters of the server's own message that an exception repeats: it ends in a log line.
_LONGEST_MESSAGE = 1000


class RunInputs(Value):
    """What a run was started with; every map is by the id of the start node.

    Attributes:
        documents: Start node id -> reference to the document, never its bytes.
        json_data: Start node id -> JSON value.
        text: Start node id -> text, on the first servers.
    """

    documents: dict[str, DocumentRef] = Field(default_factory=dict)
    json_data: dict[str, Any] = Field(default_factory=dict)
    text: dict[str, str] = Field(default_factory=dict)


class WorkflowRun(Answer):
    """One run of a workflow. Only `id` and `status` are always known; `raw` keeps the body as it came.

    Attributes:
        id: The run's id, `run_…`.
        status: Its state; `status_name` is the server's own word for it.
        version_id: The version of the workflow that ran, or the snapshot of it on older servers.
        trigger: What started it: `type`, `email`, `parent`.
        execution_phase: `created`, `dispatching`, `started` or `running`, on older servers.
        steps: Summaries of its steps, where the server sends them with the run; `list_steps` always has them.
        inputs: What it was started with: `documents` as references, `json_data`, `text`.
        final_outputs: Node id -> `{"label", "json_data"}`, with `"document"` where the output is a file.
        has_final_outputs: Whether the outputs are known, be they empty; servers of today leave them to steps.
        waiting_for_node_ids: The nodes where it waits for a human.
        timing: When it was created, started and ended, in UTC; durations are in milliseconds.
        error: Why it failed, None if it did not.
        cost: What it cost, as the server adds it up.
        resume_status: How far the server is with going on after a human decision, on older servers.
        cancellation: What is known of its cancelling; `cancellation.status` answers a cancel request.
        metadata: The caller's own tags.
        usage: What it cost in all, where that was asked for and the server says it.
    """

    id: str
    status: RunStatus
    status_name: str = ""
    workflow_id: str | None = None
    workflow_name: str | None = None
    organization_id: str | None = None
    dataset_id: str | None = None
    version_id: str | None = None
    trigger: Trigger = Trigger()
    execution_phase: str | None = None
    steps: tuple[StepSummary, ...] = ()
    inputs: RunInputs = RunInputs()
    final_outputs: dict[str, dict[str, Any]] = Field(default_factory=dict)
    has_final_outputs: bool = False
    waiting_for_node_ids: tuple[str, ...] = ()
    timing: Timing = Timing()
    error: RunError | None = None
    cost: dict[str, Any] = Field(default_factory=dict)
    trace_spans: tuple[dict[str, Any], ...] = ()
    resume_status: str | None = None
    cancellation: Cancellation = Cancellation()
    metadata: dict[str, str] = Field(default_factory=dict)
    usage: Usage | None = None

    _places: ClassVar[Places] = places(
        id=ident,
        workflow_id=(text, *WORKFLOW_ID),
        workflow_name=(text, "workflow_name", "workflow.name_at_run_time"),
        organization_id=text,
        dataset_id=text,
        version_id=(
            text,
            "version_id",
            "workflow_version_id",
            "workflow.version_id",
            "workflow.snapshot_id",
            "config_snapshot_id",
        ),
        execution_phase=text,
        steps=rows,
        has_final_outputs=flag,
        waiting_for_node_ids=(node_ids, *WAITING_FOR),
        cost=(mapping, "cost_summary", "cost"),
        trace_spans=rows,
        resume_status=(text, "run_resume_status", "resume_status"),
        metadata=strings,
    )

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        run = _unwrapped(body)
        literal = _required("status", state_of(RunStatus, run), run)
        status = RunStatus.read(literal)
        found = read_places(cls._places, run)
        steps = [step for step in found.get("steps", ()) if node_id_of(step)]
        outputs = run.get("final_outputs")
        return {
            "has_final_outputs": is_object(outputs),  # where the server does not say
            **found,
            "id": _required("id", found.get("id"), run),
            "status": status,
            "status_name": literal,
            "trigger": trigger_of(run),
            "steps": steps,
            "inputs": read_places(_RUN_INPUTS, run),
            "final_outputs": final_outputs_of(outputs, _labels_of(steps)) if outputs else {},
            "timing": timing_of(run),
            "error": error_of(run, status),
            "cancellation": read_places(CANCELLATION, run),
            **({"usage": run["usage"]} if run.get("usage") and is_object(run["usage"]) else {}),
        }

    @property
    def is_terminal(self) -> bool:
        """Whether the run has ended: completed, error or cancelled."""
        return self.status.is_terminal

    @property
    def is_waiting(self) -> bool:
        """Whether the run stands still until a human decides."""
        return self.status.is_waiting

    @property
    def is_cancel_refused(self) -> bool:
        """Whether this answers a cancel request that the server refused: the run has not ended, and goes on."""
        return not self.is_terminal and self.cancellation.status == "cancellation_failed"

    @property
    def has_inputs(self) -> bool:
        """Whether the server told what the run was started with, be it nothing."""
        run = _unwrapped(self.raw)
        return any(run.get(key) is not None for key in _INPUTS)

    @property
    def outputs(self) -> dict[str, Any]:
        """The JSON values alone: node id -> value, None where the output is only a document."""
        return {node: output["json_data"] for node, output in self.final_outputs.items()}

    def with_outputs(self, outputs: dict[str, Any]) -> Self:
        """Return a copy of the run with these outputs, in any form that `final_outputs` may have."""
        known = final_outputs_of(outputs, _labels_of(self.steps))
        return self.model_copy(update={"final_outputs": known, "has_final_outputs": True})

    def raise_for_status(self) -> Self:
        """Return the run itself unless it ended badly.

        Raises:
            RunFailedError: It ended in error: fix what the message names, or run it again.
            RunCancelledError: It was cancelled: run it again if that was not meant.
        """
        if self.status is RunStatus.ERROR:
            raise RunFailedError(_failure(self.id, self.error or RunError()), run=self)
        if self.status is RunStatus.CANCELLED:
            raise RunCancelledError(_cancelling(self.id, self.cancellation), run=self)
        return self


_ADVICE = {
    "transient": "The cause may pass: start a new run",
    "quota": "A quota is used up: raise it, or start a new run later",
    "permanent": "The same run would fail again: change the inputs or the workflow, then start a new run",
}


def _failure(run_id: str, error: RunError) -> str:
    kind = f" ({error.category})" if error.category else ""
    stage = f" at stage {error.stage}" if error.stage else ""
    step = f" in step {error.failing_step_id}" if error.failing_step_id else ""
    message = _shortened(error.message or "the server gave no message")
    look = f"See list_steps({run_id!r}) for what failed, then start a new run"
    advice = _ADVICE.get(error.category or "", look)
    return f"Run {run_id} failed{stage}{step}{kind}: {message.rstrip('.')}. {advice}"


def _cancelling(run_id: str, cancellation: Cancellation) -> str:
    reason = f": {_shortened(cancellation.reason).rstrip('.')}" if cancellation.reason else ""
    return f"Run {run_id} was cancelled{reason}. Start a new run if that was not meant"


def _shortened(message: str) -> str:
    shown = without_signatures(message[: 2 * _LONGEST_MESSAGE])
    return shown if len(shown) <= _LONGEST_MESSAGE else shown[:_LONGEST_MESSAGE] + "…"


def _unwrapped(body: dict[str, Any]) -> dict[str, Any]:
    # The answers to cancel and resume hold the run together with what became of the request.
    inner = {} if "id" in body else fields(body.get("run"))
    return {**inner, "cancellation_status": body.get("cancellation_status")} if inner else body


def _required(name: str, value: str | None, run: dict[str, Any]) -> str:
    if value is None:
        names = "`status`, `lifecycle.status` and `lifecycle.kind`" if name == "status" else f"`{name}`"
        whose = f" (run {run['id']})" if text(run.get("id")) else ""
        raise ValueError(f"This is no workflow run{whose}: it has no {name}; looked for {names}")
    return value


def _labels_of(steps: Any) -> dict[str, str]:
    labels = {node_id_of(step): pick(text, step, "node_label", "block_label") for step in steps}
    return {node: label for node, label in labels.items() if node and label}
