"""RunWatcher: the looks of everyone who waits on one connection in one event loop."""

import itertools
import logging
import math
from collections.abc import Callable, Iterable
from typing import Any

from retab_orchestration import errors
from retab_orchestration._calls import shared
from retab_orchestration._core.comparing import checked_run
from retab_orchestration._core.session import Session
from retab_orchestration._core.waiting import Patience, Wait
from retab_orchestration._http import SharedRuntime
from retab_orchestration._watch.agenda import Agenda
from retab_orchestration._watch.economy import Economy
from retab_orchestration._watch.errands import Errands
from retab_orchestration._watch.sweep import Hearers, narrowed, sweep, worth_a_sweep
from retab_orchestration._watch.waiter import Waiter, check_waits
from retab_orchestration.models import WorkflowRun
from retab_orchestration.models.row import RunRow

__all__ = ["RunWatcher"]

_log = logging.getLogger(__name__)

# Seconds without a word from the list after which nobody waits for it any longer.
_LONGEST_SILENCE = 2.0
# Seconds that the list, or a question about reviews, may take.
_LONGEST_LOOK = 15.0
# So many are asked for one by one while the list is being read.
_AT_ONCE = 16


class RunWatcher:
    """Looks at runs for many who wait, for the price of a page of the list for each hundred of them.

    The list is a hint: a run that it shows as ended, or does not show, is asked for, and only that answer ends a wait.
    Nothing of whoever waits is touched: timers and tasks run in a context of their own, `on_change` in its owner's.

    Args:
        session: The account, on a runtime of its own.
        runtime: That runtime.
    """

    def __init__(self, session: Session, runtime: SharedRuntime) -> None:
        self._session = session
        self._runtime = runtime
        self._economy = Economy()
        self._agenda = Agenda(self._runtime.now, self._on_time)
        self._errands = Errands(self._answer, self._fail)
        self._waiters: dict[str, list[Waiter]] = {}
        self._sweeping = False
        self._rest_until = self._heard_at = -math.inf

    @property
    def is_idle(self) -> bool:
        """Whether nobody waits any more."""
        return not self._waiters

    def begin(
        self, run_id: str, patience: Patience, on_change: Callable[[WorkflowRun], Any] | None
    ) -> Waiter:
        """Wait for a run: `settled` is the run once it has ended, or waits for a human and the caller does not.

        It raises WaitTimeoutError when the deadline has passed, and ApiError when a look was refused, or too many in a
        row failed.
        """
        waiter = Waiter(Wait(run_id, patience, self._runtime.now(), on_change))
        self._waiters.setdefault(run_id, []).append(waiter)
        self._agenda.put(waiter, waiter.wait.schedule.first().at)
        return waiter

    def end(self, waiter: Waiter) -> None:
        """Wait no longer, whether it has settled or not."""
        others = self._waiters[waiter.run_id]
        others.remove(waiter)
        if not others:
            del self._waiters[waiter.run_id]
            self._errands.forget(waiter.run_id)

    async def aclose(self) -> None:
        """Look no more, and give the connections back."""
        self._agenda.close()
        await self._errands.aclose()
        await self._runtime.aclose()

    def _all(self) -> Iterable[Waiter]:
        return itertools.chain.from_iterable(self._waiters.values())

    def _fail(self, error: Exception) -> None:
        """Let a mistake of ours leave nobody waiting for ever."""
        _fail_for_defect(self._all(), error)

    def _on_time(self) -> None:
        try:
            self._look(self._runtime.now())
        except Exception as error:  # noqa: BLE001  see _fail
            self._fail(error)

    def _look(self, now: float) -> None:
        """Look at every run that is due: in the list if that is cheaper, else one by one."""
        due = self._agenda.take()
        if self._sweeping:
            due = self._impatient(due, now)
        elif wanted := worth_a_sweep(self._economy, due, self._all(), now):
            if now >= self._rest_until:
                self._sweeping, self._heard_at = True, now
                self._errands.start(self._sweep(due, wanted))
            due = [waiter for waiter in due if not self._put_off(waiter, now)]
        for waiter in due:
            self._ask(waiter)

    def _put_off(self, waiter: Waiter, now: float) -> bool:
        """Put a look off for as long as the list may tell, or rests; never one that it cannot tell of."""
        listed = waiter.may_be_listed(now)
        if listed:
            waiter.held = self._sweeping
            self._agenda.put(waiter, now + waiter.late if self._sweeping else self._rest_until)
        return listed

    def _impatient(self, due: list[Waiter], now: float) -> list[Waiter]:
        """Return those who are not to wait for what is still to come of the list: a few, or all if it hangs."""
        overdue = sum(waiter.held for waiter in due)
        hangs = now > self._heard_at + _LONGEST_SILENCE
        few = overdue <= _AT_ONCE and self._errands.is_idle
        return [
            waiter for waiter in due if (waiter.held and (few or hangs)) or not self._put_off(waiter, now)
        ]

    def _ask(self, waiter: Waiter) -> None:
        """Ask for the run itself, as soon as there is room."""
        now, waiter.due = self._runtime.now(), None
        if waiter.is_over(now):
            waiter.fail(waiter.wait.expired())
            return
        self._errands.ask(waiter.run_id, urgent=waiter.is_last(now))
        if (limit := waiter.limit(now)) is not None:
            self._agenda.put(waiter, limit)  # the answer may be long in coming

    async def _answer(self, run_id: str) -> None:
        """Ask for a run itself, and tell all who wait for it."""
        now, waiters = self._runtime.now(), self._waiters.get(run_id, ())
        if all(self._agenda.hold_up(waiter, now) for waiter in waiters):
            return
        seconds = max((waiter.seconds(now) for waiter in waiters), default=0.0)
        try:
            answer = await self._session.exchange_once(shared.get_run(run_id), seconds=seconds)
            run = checked_run(answer, run_id)
        except errors.ApiError as error:
            self._agenda.hold(error.retry_after or 0.0)
            failure = error
            self._tell(run_id, lambda waiter, now, chance: waiter.failed(failure, now, chance))
        except errors.RetabError as error:
            for waiter in self._waiters.get(run_id, ()):
                waiter.fail(error)
        except Exception as error:  # noqa: BLE001  whatever an answer makes us do, it is about this run alone
            _fail_for_defect(self._waiters.get(run_id, ()), error)
        else:
            self._tell(run_id, lambda waiter, now, chance: waiter.saw(run, now, chance))
            await check_waits(self._session, run, self._waiters.get(run.id, ()), _LONGEST_LOOK)

    def _tell(self, run_id: str, learn: Callable[[Waiter, float, float], float | None]) -> None:
        now, chance = self._runtime.now(), self._runtime.chance()
        for waiter in self._waiters.get(run_id, ()):
            waiter.held = False
            at = learn(waiter, now, chance)
            if at is not None:
                self._agenda.put(waiter, at)

    async def _sweep(self, due: list[Waiter], wanted: set[str]) -> None:
        """Read the list for everyone, on behalf of those whose look is due."""
        began = self._runtime.now()
        watched = [waiter for waiter in self._all() if waiter.is_listed(began)]
        hearers = Hearers({waiter.run_id for waiter in watched}, wanted, self._take)
        complete = False
        try:
            family = await self._session.within(_LONGEST_LOOK).family()
            filters = narrowed(family, watched, self._runtime.utc().date())
            complete = await sweep(self._session, self._economy, filters, hearers)
        except errors.ApiError as error:
            self._economy.failed(self._runtime.now())
            self._agenda.hold(error.retry_after or 0.0)
        except Exception:  # noqa: BLE001  the list is a hint: whatever is wrong with it ends no wait
            _log.debug("The list of runs could not be read", exc_info=True)
            self._economy.failed(self._runtime.now())
        finally:
            self._sweeping = False
        now = self._runtime.now()
        self._rest_until = now + (now - began)
        for waiter in watched if complete else due:
            if waiter.settled.done() or waiter.run_id not in hearers.watched:
                continue
            if complete:
                waiter.missing(now)
            self._ask(waiter)  # and not in another listing, or nobody might ever ask for it

    def _take(self, row: RunRow) -> None:
        """Learn from a row of the list."""
        self._heard_at = now = self._runtime.now()
        chance = self._runtime.chance()
        for waiter in self._waiters.get(row.id, ()):
            waiter.held = False
            at = waiter.hear(row, now, chance)
            if at is not None:
                self._agenda.put(waiter, at)
            elif not waiter.settled.done():
                self._ask(waiter)


def _fail_for_defect(waiters: Iterable[Waiter], error: Exception) -> None:
    """End waits because of a mistake of ours, and leave it in the log with its place."""
    waiting = [waiter for waiter in waiters if not waiter.settled.done()]
    if not waiting:
        return
    _log.error("A wait failed because of a defect in retab_orchestration", exc_info=error)
    defect = errors.RetabError(
        f"the wait failed because of a defect in retab_orchestration ({type(error).__name__}); the run goes on: wait "
        "for it again, and report this with the traceback in the log"
    )
    for waiter in waiting:
        waiter.fail(defect)
