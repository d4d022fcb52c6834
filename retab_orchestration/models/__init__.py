"""What Retab answers, as frozen values that read the body of every API generation."""

from retab_orchestration._texts import is_id
from retab_orchestration.models.document import DocumentRef
from retab_orchestration.models.lifecycle import Cancellation, RunError, Timing, Trigger
from retab_orchestration.models.outputs import (
    RunDocument,
    documents_of_run,
    outputs_from_steps,
    sink_nodes,
)
from retab_orchestration.models.page import (
    Page,
    ReviewPage,
    ReviewVersionPage,
    RunPage,
    StepPage,
    TestResultPage,
    TestRunPage,
)
from retab_orchestration.models.review import (
    Actor,
    Review,
    ReviewDecision,
    ReviewOverlay,
    ReviewVersion,
    Verdict,
)
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
from retab_orchestration.models.usage import Usage, usage_from_primitives, usage_from_steps

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
    "ReviewOverlay",
    "ReviewPage",
    "ReviewVersion",
    "ReviewVersionPage",
    "RouteFamily",
    "RunDocument",
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
    "TestRunPage",
    "TestTarget",
    "Timing",
    "Trigger",
    "TriggerType",
    "Usage",
    "Verdict",
    "WorkflowRun",
    "WorkflowTestResult",
    "WorkflowTestRun",
    "documents_of_run",
    "is_id",
    "outputs_from_steps",
    "sink_nodes",
    "usage_from_primitives",
    "usage_from_steps",
]
