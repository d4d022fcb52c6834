"""The workflows that every emulator has."""

from collections.abc import Sequence
from dataclasses import replace

from retab_orchestration.emulator.workflows.values import Field, Node, NodeTest, Workflow

__all__ = ["BUILT_IN"]

_INVOICE = {
    "invoice_number": Field("Invoice number"),
    "invoice_date": Field("Invoice date"),
    "vendor_name": Field("Vendor"),
    "currency": Field("Currency"),
    "total_amount": Field("Total amount", is_number=True),
}
_INVOICE_STARTS = (
    Node("start-node-1", "start", "Invoice Input"),
    Node("json-node-1", "start_json", "Options"),
)
_EXTRACT = Node("extract-node-1", "extract", "Extract Data", ("start-node-1", "json-node-1"), _INVOICE)
_JSON = Node("json-node-1", "start_json", "JSON Input")
_STEP = Node("step-node-1", "functions", "Step")
_PASSING_ON = (_JSON, Node("end-node-1", "end", "Output", ("json-node-1",)))
_REVIEW = Node("hil-node-1", "hil", "Human Review", ("extract-node-1",))


def _tests(prefix: str, verdicts: Sequence[str], node_id: str = "extract-node-1") -> tuple[NodeTest, ...]:
    return tuple(
        NodeTest(f"wfnodetest_{prefix}_{n}", node_id, verdict) for n, verdict in enumerate(verdicts, 1)
    )


BUILT_IN: tuple[Workflow, ...] = (
    Workflow(
        "wf_invoice",
        "Invoice Processing",
        (*_INVOICE_STARTS, _EXTRACT, Node("end-node-1", "end", "Output", ("extract-node-1",))),
        tests=_tests("invoice", ["passed", "passed"]),
    ),
    Workflow(
        "wf_invoice_review",
        "Invoice Processing with Review",
        (*_INVOICE_STARTS, _EXTRACT, _REVIEW, Node("end-node-1", "end", "Output", ("hil-node-1",))),
        tests=_tests("review", ["passed"]),
    ),
    Workflow(
        "wf_invoice_review_error",
        "Invoice Processing that a Rejection fails",
        (*_INVOICE_STARTS, _EXTRACT, _REVIEW, Node("end-node-1", "end", "Output", ("hil-node-1",))),
        on_reject="error",
    ),
    Workflow(
        "wf_split",
        "Split a PDF",
        (
            *_INVOICE_STARTS,
            Node(
                "split-node-1",
                "split",
                "Split",
                ("start-node-1",),
                parts={"Invoice": (1, 1), "Attachments": (2, None)},
            ),
            Node("end-node-1", "end", "Output", ("split-node-1",)),
        ),
        seconds=0.5,
    ),
    Workflow(
        "wf_edit",
        "Edit a PDF",
        (
            *_INVOICE_STARTS,
            Node("edit-node-1", "edit", "Edit", ("start-node-1",)),
            Node("end-node-1", "end", "Output", ("edit-node-1",)),
        ),
        seconds=0.5,
    ),
    Workflow(
        "wf_echo",
        "Echo",
        (
            _JSON,
            Node("text-node-1", "start_text", "Text Input"),
            Node("end-node-1", "end", "Output", ("json-node-1", "text-node-1")),
        ),
        seconds=0.5,
    ),
    Workflow(
        "wf_fail",
        "Always Fails",
        (
            Node("json-node-1", "start_json", "Error to fail with"),
            Node(
                "fail-node-1",
                "functions",
                "Fail",
                ("json-node-1",),
                error={
                    "message": "The workflow failed as it was asked to",
                    "stage": "execution",
                    "category": "permanent",
                    "error_code": "asked_to_fail",
                    "stack_trace": "in fail-node-1: asked to fail",
                    "context": {"tried": 3},
                },
                retries=2,
            ),
            Node("end-node-1", "end", "Output", ("fail-node-1",)),
        ),
        seconds=0.5,
        tests=_tests("fail", ["failed"], "fail-node-1"),
    ),
    Workflow(
        "wf_queued",
        "Queued before it runs",
        _PASSING_ON,
        seconds=0.5,
        pending_seconds=0.5,
        queued_seconds=0.5,
    ),
    Workflow("wf_by_email", "Started by an Email", _PASSING_ON, seconds=0.5, trigger_type="email"),
    Workflow("wf_by_hand", "Started by Hand", _PASSING_ON, seconds=0.5, trigger_type="manual"),
    Workflow(
        "wf_uncancellable",
        "Never Cancelled",
        _PASSING_ON,
        cancel_error="The engine took no signal",
    ),
    Workflow(
        "wf_for_each",
        "Every Page of a PDF",
        (
            *_INVOICE_STARTS,
            Node.loop(
                "for-each-node-1",
                "for_each",
                "Pages",
                ("start-node-1",),
                (
                    replace(_EXTRACT, after=("for-each-node-1-start",)),
                    Node("edit-node-1", "edit", "Edit", ("for-each-node-1-start", "extract-node-1")),
                ),
            ),
            Node("end-node-1", "end", "Output", ("for-each-node-1",)),
        ),
    ),
    Workflow(
        "wf_for_each_review",
        "Every Item with Review",
        (
            _JSON,
            Node.loop(
                "for-each-node-1",
                "for_each",
                "Items",
                ("json-node-1",),
                (_STEP, replace(_REVIEW, after=(_STEP.id,))),
            ),
            Node("end-node-1", "end", "Output", ("for-each-node-1",)),
        ),
    ),
    Workflow(
        "wf_while",
        "Again and Again",
        (
            _JSON,
            Node.loop("while-node-1", "while_loop", "Repeat", ("json-node-1",), (_STEP,)),
            Node("end-node-1", "end", "Output", ("while-node-1",)),
        ),
    ),
    Workflow(
        "wf_nested_loops",
        "Loops in a Loop",
        (
            _JSON,
            Node.loop(
                "for-each-node-1",
                "for_each",
                "Items",
                ("json-node-1",),
                (Node.loop("while-node-1", "while_loop", "Repeat", (), (_STEP,)),),
            ),
            Node("end-node-1", "end", "Output", ("for-each-node-1",)),
        ),
    ),
)
"""The workflows that every emulator has; `docs/emulator.md` says what each shows."""
