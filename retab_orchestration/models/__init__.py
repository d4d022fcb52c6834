"""What Retab answers, as frozen values that read the body of every API generation."""

from retab_orchestration._texts import is_id
from retab_orchestration.models.document import DocumentRef
from retab_orchestration.models.lifecycle import Cancellation, RunError, Timing, Trigger
from retab_orchestration.models.outputs import outputs_from_steps, sink_nodes
from retab_orchestration.models.page import (
    Page,
    ReviewPage,
    ReviewVersionPage,
    RunPage,
    StepPage,
    TestResultPage,
)
from retab_orchestration.models.review import Actor, Review, ReviewDecision, ReviewVersion, Verdict
from retab_orchestration.models.run import RunInputs, WorkflowRun
from retab_orchestration.models.status import RouteFamily, RunStatus, StepStatus, TriggerType
from retab_orchestration.models.step import HandlePayload, LoopContainer, Step, StepSummary
from retab_orchestration.models.test_run import (
    AssertionResult,
    TestCounts,
    TestTarget,
    WorkflowTestResult,
    WorkflowTestRun,
)

__all__ = [
    "Actor",
    "AssertionResult",
    "Cancellation",
    "DocumentRef",
    "HandlePayload",
    "LoopContainer",
    "Page",
    "Review",
    "ReviewDecision",
    "ReviewPage",
    "ReviewVersion",
    "ReviewVersionPage",
    "RouteFamily",
    "RunError",
    "RunInputs",
    "RunPage",
    "RunStatus",
    "Step",
    "StepPage",
    "StepStatus",
    "StepSummary",
    "TestCounts",
    "TestResultPage",
    "TestTarget",
    "Timing",
    "Trigger",
    "TriggerType",
    "Verdict",
    "WorkflowRun",
    "WorkflowTestResult",
    "WorkflowTestRun",
    "is_id",
    "outputs_from_steps",
    "sink_nodes",
]
