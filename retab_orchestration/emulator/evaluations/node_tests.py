"""The state of a test run at a given time; each test has the verdict of its definition."""

from dataclasses import dataclass

from retab_orchestration.emulator.generations import Generation
from retab_orchestration.emulator.workflows.values import NodeTest, Workflow

__all__ = ["Outcome", "TestRun"]

_PENDING = 0.1
_EACH = 0.4


@dataclass(frozen=True)
class Outcome:
    """The state of one test of a test run at one moment."""

    test: NodeTest
    status: str
    """pending, running, completed or cancelled."""
    started_at: float | None
    completed_at: float | None


@dataclass
class TestRun:
    """A test run: one test after the other, each 0.4 s long, after 0.1 s of waiting."""

    id: str
    workflow: Workflow
    word: str
    """The routes' name for a test: `test` or `eval`."""
    shape: Generation
    """What its body and those of its results look like."""
    tests: tuple[NodeTest, ...]
    created_at: float
    speed: float
    test_id: str | None = None
    block_id: str | None = None
    cancelled_at: float | None = None

    def status(self, now: float) -> str:
        """Return pending, running, completed or cancelled."""
        if self.completed_at(now) is not None:
            return "completed" if self._end <= (self.cancelled_at or self._end) else "cancelled"
        return "pending" if now < self._start else "running"

    def started_at(self, now: float) -> float | None:
        """Return when the first test began, None before."""
        return self._start if self._start <= min(now, self.cancelled_at or now) else None

    def completed_at(self, now: float) -> float | None:
        """Return when it ended, None before."""
        end = min(self._end, self.cancelled_at or self._end)
        return end if end <= now else None

    def outcomes(self, now: float) -> list[Outcome]:
        """Return all its tests in order."""
        return [self._outcome(test, number, now) for number, test in enumerate(self.tests)]

    @property
    def _start(self) -> float:
        return self.created_at + _PENDING / self.speed

    @property
    def _end(self) -> float:
        return self._start + _EACH / self.speed * len(self.tests)

    def _outcome(self, test: NodeTest, number: int, now: float) -> Outcome:
        start = self._start + _EACH / self.speed * number
        end = start + _EACH / self.speed
        seen = min(now, self.cancelled_at or now)
        if end <= seen:
            return Outcome(test, "completed", start, end)
        if self.cancelled_at is not None and self.cancelled_at <= now:
            return Outcome(test, "cancelled", None, self.cancelled_at)
        return (
            Outcome(test, "running", start, None) if start <= seen else Outcome(test, "pending", None, None)
        )
