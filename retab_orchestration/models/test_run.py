"""A run of a workflow's tests (evals, in later API versions) and the result of each."""

from typing import Any, ClassVar

from pydantic import Field

from retab_orchestration.models._reading import (
    Answer,
    Places,
    Reading,
    anything,
    flag,
    ident,
    mapping,
    number,
    obj,
    pick,
    places,
    read_places,
    records,
    text,
    texts,
    whole,
)
from retab_orchestration.models.lifecycle import (
    RunError,
    Timing,
    Trigger,
    error_of,
    state_of,
    timing_of,
    trigger_of,
)
from retab_orchestration.models.status import RunStatus
from retab_orchestration.models.step import HandlePayload

__all__ = ["AssertionResult", "TestCounts", "TestTarget", "WorkflowTestResult", "WorkflowTestRun"]


_VERDICTS = frozenset({"passed", "failed", "blocked"})


class TestTarget(Reading):
    """What a test run is limited to.

    Attributes:
        type: `block`.
        block_id: The node whose tests are run.
    """

    __test__ = False

    type: str | None = None
    block_id: str | None = None

    _places: ClassVar[Places] = places(type=text, block_id=(text, "block_id", "node_id"))


class TestCounts(Reading):
    """How many tests of a run stand where; `queued` includes those that are pending."""

    __test__ = False

    queued: int = 0
    running: int = 0
    passed: int = 0
    failed: int = 0
    blocked: int = 0
    error: int = 0
    cancelled: int = 0

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        counts = {
            name: pick(whole, body, f"outcome.{name}", f"lifecycle_counts.{name}", name) or 0
            for name in cls.model_fields
        }
        counts["queued"] += pick(whole, body, "lifecycle_counts.pending", "pending") or 0
        return counts


class WorkflowTestRun(Answer):
    """One run of some or all tests of a workflow's draft. It never waits for a human.

    Attributes:
        id: The test run's id, `wftestrun_…` or `wfevalrun_…`.
        status: Its state; `status_name` is the server's own word for it. Completed does not mean passed.
        version_id: The version that is tested; `requested_version` is what was asked for, such as `draft`.
        test_id: The one test that is run, None if it is several.
        target: The node whose tests are run, None if it is not limited to one.
        total_tests: How many tests it has, None where the server does not say.
        counts: How many stand where; all 0 if `has_counts` is False.
        error: Why the run itself failed; a failed test is no such error.
        freshness: How far the results still hold for the present draft.
    """

    id: str
    status: RunStatus
    status_name: str = ""
    workflow_id: str | None = None
    workflow_name: str | None = None
    version_id: str | None = None
    requested_version: str | None = None
    trigger: Trigger = Trigger()
    timing: Timing = Timing()
    test_id: str | None = None
    target: TestTarget | None = None
    total_tests: int | None = None
    counts: TestCounts = TestCounts()
    has_counts: bool = False
    error: RunError | None = None
    freshness: dict[str, Any] = Field(default_factory=dict)

    _places: ClassVar[Places] = places(
        workflow_id=(text, "workflow_id", "workflow.workflow_id"),
        workflow_name=(text, "workflow_name", "workflow.name_at_run_time"),
        version_id=(text, "version_id", "workflow_version_id", "workflow.version_id"),
        requested_version=(text, "requested_version", "workflow.requested_version"),
        test_id=(text, "test_id", "eval_id"),
        target=obj,
        total_tests=(whole, "total_tests", "total_evals"),
        counts=obj,
        has_counts=flag,
        freshness=mapping,
    )

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        identity, literal = pick(ident, body, "id"), state_of(RunStatus, body)
        if identity is None or literal is None:
            missing = "id" if identity is None else "state (`lifecycle.status`, `lifecycle.kind` or `status`)"
            raise ValueError(f"This is no test run: it has no {missing}")
        status = RunStatus.read(literal)
        return {
            "has_counts": bool(pick(mapping, body, "counts")),
            **read_places(cls._places, body),
            "id": identity,
            "status": status,
            "status_name": literal,
            "trigger": trigger_of(body),
            "timing": timing_of(body),
            "error": error_of(body, status),
        }

    @property
    def is_terminal(self) -> bool:
        """Whether the test run has ended: completed, error or cancelled."""
        return self.status.is_terminal

    @property
    def passed(self) -> bool | None:
        """Whether every test passed; None as long as that is not known.

        A run that completed has passed if no test failed, was blocked, broke or was cancelled; without counts of all of
        its tests nobody knows. One that ended in error or was cancelled has not passed.
        """
        if not self.is_terminal:
            return None
        if self.status is not RunStatus.COMPLETED:
            return False
        counts = self.counts
        if counts.failed + counts.blocked + counts.error + counts.cancelled:
            return False
        are_counted = self.has_counts and not counts.queued + counts.running
        return True if are_counted and counts.passed >= (self.total_tests or 0) else None


class AssertionResult(Reading):
    """What came of the one assertion that a test makes.

    Attributes:
        outcome: `passed`, `failed` or `blocked` (it could not be evaluated: `failure` says why).
        actual_value: What the node gave.
        expected_value: What the test expects.
        score: How close they are, where the kind of condition measures it; `threshold` is what is asked for.
        failure: `{"code", "message", "details"}`, {} if there is none.
    """

    assertion_id: str | None = None
    condition_kind: str | None = None
    outcome: str | None = None
    actual_value: Any = None
    expected_value: Any = None
    score: float | None = None
    threshold: float | None = None
    failure: dict[str, Any] = Field(default_factory=dict)

    _places: ClassVar[Places] = places(
        assertion_id=text,
        condition_kind=text,
        outcome=(text, "outcome", "status"),
        actual_value=anything,
        expected_value=anything,
        score=number,
        threshold=number,
        failure=mapping,
    )


class WorkflowTestResult(Answer):
    """What came of one test in a test run.

    Attributes:
        id: The result's id, `wfresult_…`.
        test_run_id: The test run that it belongs to.
        status: How far the test is; `status_name` is the server's own word for it.
        verdict: `passed`, `failed` or `blocked`; None until there is one.
        handle_outputs: Handle id -> what the tested node gave; `handle_inputs` is what it was given.
        assertion: What came of the assertion, None until there is an outcome.
        verdict_summary: How many assertions passed, failed and were blocked, where the server counts them.
        error: Why the test could not run.
    """

    id: str
    test_run_id: str | None = None
    test_id: str | None = None
    workflow_id: str | None = None
    node_id: str | None = None
    node_type: str | None = None
    status: RunStatus = RunStatus.UNKNOWN
    status_name: str | None = None
    timing: Timing = Timing()
    verdict: str | None = None
    handle_inputs: dict[str, HandlePayload] = Field(default_factory=dict)
    handle_outputs: dict[str, HandlePayload] = Field(default_factory=dict)
    assertion: AssertionResult | None = None
    verdict_summary: dict[str, Any] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    artifact: dict[str, Any] = Field(default_factory=dict)
    routing_decisions: tuple[str, ...] = ()
    error: RunError | None = None

    _places: ClassVar[Places] = places(
        test_run_id=(text, "test_run_id", "workflow_test_run_id", "workflow_eval_run_id", "run_id"),
        test_id=(text, "test_id", "eval_id"),
        workflow_id=text,
        node_id=(text, "node_id", "block_id"),
        node_type=(text, "node_type", "block_type"),
        handle_inputs=records,
        handle_outputs=(records, "handle_outputs", "outputs"),
        assertion=(obj, "assertion", "assertion_result"),
        verdict_summary=mapping,
        warnings=texts,
        artifact=mapping,
        routing_decisions=texts,
    )

    @classmethod
    def _read(cls, body: dict[str, Any]) -> dict[str, Any]:
        identity = pick(ident, body, "id")
        if identity is None:
            raise ValueError("This is no test result: it has no `id`")
        literal = state_of(RunStatus, body)
        verdict = pick(text, body, "verdict", "verdict.status")
        if verdict is None and literal in _VERDICTS:
            # In the oldest records the verdict stands where the state belongs.
            verdict, literal = literal, RunStatus.COMPLETED.value
        status = RunStatus.read(literal)
        return {
            **read_places(cls._places, body),
            "id": identity,
            "status": status,
            "status_name": literal,
            "timing": timing_of(body),
            "verdict": verdict,
            "error": error_of(body, status),
        }

    @property
    def passed(self) -> bool | None:
        """Whether the test passed; None until there is a verdict."""
        return None if self.verdict is None else self.verdict == "passed"
