"""Waiting for one run: what was seen of it and what follows, and the loop that looks, sleeps and looks again."""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from retab_orchestration import errors
from retab_orchestration._core.last_seen import LastSeen
from retab_orchestration._core.resuming import Resuming, check_resuming
from retab_orchestration._core.schedule import Decision, GiveUp, LookAgain, Schedule, Settle
from retab_orchestration._core.session import PASSING, Session
from retab_orchestration._inputs import checked_callback, checked_choice, checked_seconds
from retab_orchestration.models import RunStatus, WorkflowRun
from retab_orchestration.models.row import RunRow
from retab_orchestration.policies import PollPolicy, Trouble

__all__ = [
    "OnOutage",
    "OnReview",
    "Patience",
    "Wait",
    "trouble_of",
    "wait_for",
]

# What Retab does not answer to whoever asks for a run that is there: redirects, teapots, conflicts, bad requests.
_NEVER_SAID = frozenset({errors.ApiStatusError, errors.ConflictError, errors.RequestRejectedError})

# Seconds that a look may take although the deadline is nearer: the last one is made at the deadline itself.
LAST_LOOK = 5.0


class _Watched(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def status(self) -> RunStatus: ...
    @property
    def status_name(self) -> str: ...


W = TypeVar("W", bound=_Watched)

OnOutage = Callable[[errors.ApiError | None], Any]
"""Called with an error when looks begin to fail, and with None when they are understood again."""

OnReview = Literal["return", "wait", "until_decided"]
"""What a wait does when a human is asked: return the run as it is, wait until it has ended, or wait until it is
decided, and return at once where nobody is asked."""
_ON_REVIEW = ("return", "wait", "until_decided")


@dataclass(frozen=True, slots=True)
class Patience:
    """How a caller waits."""

    timeout: float | None
    poll: PollPolicy
    on_review: OnReview = "return"
    on_outage: OnOutage | None = None

    @classmethod
    def read(
        cls, timeout: Any, poll: Any, on_review: Any = "return", on_outage: OnOutage | None = None
    ) -> "Patience":
        """Check what a wait was given.

        Raises:
            InvalidInputError: The message names the argument and says what it should be.
        """
        if not isinstance(poll, PollPolicy):
            raise errors.InvalidInputError(f"poll must be a PollPolicy, not {type(poll).__name__}")
        return cls(
            checked_seconds("timeout", timeout),
            poll,
            checked_choice("on_review", on_review, _ON_REVIEW),
            checked_callback("on_outage", on_outage),
        )


class Wait(LastSeen, Generic[W]):
    """One wait for one run, to be told what each look showed.

    Args:
        run_id: The run.
        patience: How long it may take, and how often to look.
        now: The present time, seconds on a clock that never goes back.
        on_change: Called with the run when it is seen first, and whenever its status, or where it waits, has changed.
    """

    __slots__ = (
        "_failure",
        "_on_change",
        "_patience",
        "_resuming",
        "_seen",
        "run_id",
        "schedule",
    )

    def __init__(
        self, run_id: str, patience: Patience, now: float, on_change: Callable[[W], Any] | None
    ) -> None:
        super().__init__()
        self.run_id = run_id
        self.schedule = Schedule(
            patience.poll,
            started=now,
            timeout=patience.timeout,
            through_review=patience.on_review == "wait",
            until_decided=patience.on_review == "until_decided",
        )
        self._patience = patience
        self._on_change = on_change
        self._seen: W | None = None
        self._failure: errors.ApiError | None = None
        self._resuming: Resuming | None = None

    def resuming(self) -> Resuming | None:
        """Return what is known of the reviews that the run waits for; None while none is waited for."""
        since = self.schedule.review_since
        if since is None or not self.schedule.is_through_review:
            self._resuming = None
        elif self._resuming is None:
            self._resuming = Resuming(self._patience.poll, since)
        return self._resuming

    def needs_run(self, now: float, row: RunRow) -> bool:
        """Tell whether the run has to be asked for: for another review than was seen, or for what became of those."""
        if self._nodes and self.is_moved(row.waiting_for_node_ids):
            return True
        resuming = self.resuming()
        return resuming is not None and resuming.is_due(now)

    def seconds_left(self, now: float) -> float | None:
        """Return how long a look that begins now may take, None for as long as any request."""
        return None if self.schedule.deadline is None else max(self.schedule.deadline - now, LAST_LOOK)

    def saw(self, run: W, now: float, chance: float) -> Decision:
        """Decide after a look at the run itself."""
        self._seen = run
        nodes = run.waiting_for_node_ids if isinstance(run, WorkflowRun) and run.is_waiting else ()
        if self.is_moved(nodes):
            self._understood()
            self._status_name = None  # one review has followed another at once
        self.keep_nodes(nodes)
        return self.heard(run.status, run.status_name, now, chance, run)

    def unchanged(self, now: float, chance: float) -> Decision:
        """Decide after a look that showed the state of the one before."""
        self._understood()
        return self.schedule.still(now, chance)

    def is_news(self, status_name: str) -> bool:
        """Tell whether somebody wants to know of a run in this state."""
        return self._on_change is not None and status_name != self._status_name

    def heard(
        self, status: RunStatus, status_name: str, now: float, chance: float, run: W | None
    ) -> Decision:
        """Decide after a look at the state alone.

        Args:
            status: The state.
            status_name: The server's word for it.
            now: The present time.
            chance: A random number from 0 to 1.
            run: The run, if it is news.
        """
        self._understood()
        before, self._status_name = self._status_name, sys.intern(status_name)
        if status_name != before and self._on_change is not None and run is not None:
            self._on_change(run)
        return self.schedule.saw(status, now, chance)

    def failed(self, error: errors.ApiError, now: float, chance: float) -> Decision:
        """Decide after a look that failed.

        Raises:
            ApiError: The failure itself, as it cannot pass, or was one too many.
        """
        trouble = trouble_of(error, is_known=self._status_name is not None)
        if trouble is None:
            raise error
        if self._failure is None and trouble is Trouble.OUTAGE:
            self._tell(error)
        self._failure = error
        decision = self.schedule.failed(now, chance, error.retry_after, trouble)
        if isinstance(decision, GiveUp):
            raise error
        return decision

    def _understood(self) -> None:
        is_known = self._status_name is not None
        if self._failure is not None and trouble_of(self._failure, is_known=is_known) is Trouble.OUTAGE:
            self._tell(None)
        self._failure = None

    def _tell(self, outage: errors.ApiError | None) -> None:
        if self._patience.on_outage is not None:
            self._patience.on_outage(outage)

    def forget(self) -> None:
        """Let go of the run that was seen, which may be large; its state is kept."""
        self._seen = None

    def expired(self) -> errors.WaitTimeoutError:
        """Return the error of a wait whose deadline has passed."""
        state = f"is still {self._status_name}" if self._status_name else "could not be looked at"
        trouble = f" The last look failed: {self._failure}" if self._failure else ""
        error = errors.WaitTimeoutError(
            f"run {self.run_id} {state} after {self._patience.timeout or 0:g} s; it goes on: wait for it again, "
            f"or cancel it.{trouble}",
            run=self._seen,
            run_id=self.run_id,
        )
        error.__cause__ = self._failure
        return error


def trouble_of(error: errors.ApiError, *, is_known: bool) -> Trouble | None:
    """Tell what kind of trouble a failed look is; None if it ends the wait.

    Args:
        error: What the look raised.
        is_known: Whether the run was seen before. What Retab never says of a run that is there, comes then from what
            stands before it: that there is no such route, that it is elsewhere, or that nobody may ask like that.
    """
    if isinstance(error, errors.NotFoundError):
        is_gateways = is_known and isinstance(error, errors.UnsupportedRouteError)
        return Trouble.OUTAGE if is_gateways else Trouble.MISSING
    never_said = type(error) in _NEVER_SAID and is_known
    return Trouble.OUTAGE if never_said or isinstance(error, PASSING) else None


async def wait_for(
    session: Session,
    run_id: str,
    look: Callable[[float | None], Awaitable[W]],
    patience: Patience,
    on_change: Callable[[W], Any] | None = None,
    *,
    known: W | None = None,
) -> W:
    """Look at a run again and again until it has settled; `known` is the run where it was seen already.

    Raises:
        WaitTimeoutError: The deadline passed.
        ApiError: A look was refused, or looks have failed for too long; the last failure.
    """
    runtime = session.runtime
    wait = Wait(run_id, patience, runtime.now(), on_change)
    if known is not None:
        wait.heard(known.status, known.status_name, runtime.now(), runtime.chance(), None)
    decision: Decision = wait.schedule.first()
    while isinstance(decision, LookAgain):
        await runtime.sleep(max(0.0, decision.at - runtime.now()))
        try:
            run = await look(wait.seconds_left(runtime.now()))
        except errors.ApiError as error:
            decision = wait.failed(error, runtime.now(), runtime.chance())
            continue
        decision = wait.saw(run, runtime.now(), runtime.chance())
        if isinstance(decision, Settle):
            return run
        if isinstance(run, WorkflowRun) and (resuming := wait.resuming()) is not None:
            await check_resuming(session, run, resuming, wait.seconds_left(runtime.now()))
    raise wait.expired()
