"""Servers that refuse, hang and lag: nobody's loop stops, no wait is late for another's trouble, none is forgotten."""

import asyncio
import signal
from contextlib import contextmanager

import pytest

from retab_orchestration import ApiError, ApiTimeoutError, PollPolicy, RetabError, RunStatus, WaitTimeoutError
from retab_orchestration._http import Response
from retab_orchestration._polling.list_poll import ListCost
from tests.retab_orchestration.conftest import ok
from tests.retab_orchestration.test_watch import FIVE, Quick, World, statuses

STEADY = PollPolicy(interval=5.0, growth=1e9, jitter=0.0)


class LoopStoodStillError(BaseException):
    """Raised by a timer of the system, because a loop that stands still has none that goes off."""


@contextmanager
def at_most(seconds):
    def ring(*_):
        raise LoopStoodStillError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def too_many(after):
    return Response(429, b'{"detail": "Too many requests"}', {"retry-after": str(after)})


class RefusesOnce(Quick):
    """Answers one request, 20 s after the start, with 429."""

    after = 60
    refused = False

    async def send(self, request):
        if not self.refused and self.now() >= 20 and request.path != "/v1/workflows/steps":
            self.refused = True
            self.times.append((self.now(), "429"))
            return too_many(self.after)
        return await super().send(request)


class Hangs(Quick):
    """Has no list, and some runs of which it never says anything."""

    hanging = frozenset()

    async def send(self, request):
        if request.path == "/v1/workflows/runs":
            return Response(403, b"{}")
        if request.path.rsplit("/", 1)[1] in self.hanging:
            await asyncio.sleep(min(60, request.timeout or 60))
            raise ApiTimeoutError("no answer", sent=True)
        return await super().send(request)


async def ended(*waits):
    for each in waits:
        each.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


def test_a_deadline_just_before_the_end_of_a_hold_does_not_stop_the_loop(clock):
    world = World(clock, runtime=RefusesOnce)
    rare = PollPolicy(interval=500, growth=1e9, jitter=0)

    async def everyone():
        wait = world.client.wait_for_run
        return await asyncio.gather(
            wait(world.start(300), outputs=False, poll=STEADY),
            wait(world.start(300), outputs=False, poll=STEADY),
            wait(world.start(300), outputs=False, poll=rare, timeout=80.4),
            return_exceptions=True,
        )

    with at_most(10):
        *completed, late = world.run(everyone())

    assert statuses(completed) == {RunStatus.COMPLETED}
    assert isinstance(late, WaitTimeoutError)


def test_a_hold_moves_no_wait_past_its_deadline(clock):
    world = World(clock, runtime=RefusesOnce)
    world.runtime.after = 600
    ids = [world.start(3000) for _ in range(5)]
    began = world.runtime.now()

    results = world.wait(ids, poll=FIVE, timeout=30)

    assert {type(result) for result in results} == {WaitTimeoutError}
    assert world.runtime.now() - began <= 30 + 6


def test_a_poll_that_is_put_off_is_not_put_past_its_deadline(clock):
    world = World(clock, runtime=RefusesOnce)
    world.runtime.after = 100
    ids = [world.start(3000) for _ in range(5)]
    began = world.runtime.now()

    results = world.wait(ids, poll=FIVE, timeout=30)

    assert {type(result) for result in results} == {WaitTimeoutError}
    assert world.runtime.now() - began == pytest.approx(30, abs=0.01)


def test_deadlines_are_exact_while_a_page_hangs(clock):
    class Stuck(Quick):
        async def send(self, request):
            if request.path == "/v1/workflows/runs":
                await asyncio.sleep(min(60, request.timeout))
                raise ApiTimeoutError("hangs", sent=True)
            return await super().send(request)

    world = World(clock, runtime=Stuck)
    late = []

    async def one(number):
        began, timeout = world.runtime.now(), 3 + 0.31 * number
        with pytest.raises(WaitTimeoutError):
            await world.client.wait_for_run(world.start(3000), outputs=False, poll=FIVE, timeout=timeout)
        late.append(world.runtime.now() - began - timeout)

    async def everyone():
        await asyncio.gather(*map(one, range(40)))

    world.run(everyone())

    assert (min(late), max(late)) == (pytest.approx(0, abs=0.01), pytest.approx(0, abs=0.01))


def test_deadlines_are_not_late_behind_hundreds_of_looks(clock):
    world = World(clock, runtime=Quick)
    world.runtime.latency = 1.5
    poll = PollPolicy(interval=20.0, growth=1e9, jitter=0)
    late = []

    async def one(run_id):
        began = world.runtime.now()
        with pytest.raises(WaitTimeoutError):
            await world.client.wait_for_run(run_id, outputs=False, poll=poll, timeout=26)
        late.append(world.runtime.now() - began - 26)

    async def everyone():
        ids = [world.start(3000) for _ in range(600)]
        others = [
            asyncio.ensure_future(world.client.wait_for_run(each, outputs=False, poll=poll))
            for each in ids[10:]
        ]
        await asyncio.gather(*map(one, ids[:10]))
        await ended(*others)

    world.run(everyone())

    assert len(late) == 10
    assert max(late) <= 5 + 1.5


def test_a_server_that_takes_twenty_requests_a_second_ends_no_wait(clock):
    class Limited(Quick):
        second = count = -1

        async def send(self, request):
            if request.path.startswith("/v1/workflows/runs"):
                if int(self.now()) != self.second:
                    self.second, self.count = int(self.now()), 0
                self.count += 1
                if self.count > 20:
                    await asyncio.sleep(self.latency)
                    return too_many(1)
            return await super().send(request)

    world = World(clock, runtime=Limited)
    world.runtime.latency = 0.01
    ids = [world.start(60) for _ in range(400)]

    assert statuses(world.wait(ids, poll=FIVE)) == {RunStatus.COMPLETED}


def test_a_list_that_fails_for_weeks_is_tried_again():
    cost = ListCost()

    for _ in range(2000):
        cost.failed(0.0)

    assert not cost.is_cheaper(100, 100, 599.0)
    assert cost.is_cheaper(100, 100, 601.0)


def test_a_list_that_was_not_worth_its_price_once_may_be_later(clock):
    world = World(clock, runtime=Quick)
    few = [world.start(7200) for _ in range(20)]
    for _ in range(2000):
        world.start(300)

    async def everyone():
        def begin(ids):
            return [
                asyncio.ensure_future(world.client.wait_for_run(each, outputs=False, poll=FIVE))
                for each in ids
            ]

        waits = begin(few)
        await asyncio.sleep(3000)
        waits += begin([world.start(2000) for _ in range(500)])
        await asyncio.sleep(700)
        now = world.runtime.now()
        await ended(*waits)
        return sum(now - 50 <= at < now for at, _ in world.runtime.times) / 10

    assert world.run(everyone()) <= 15


def test_sixteen_runs_that_hang_hold_nobody_up_for_long(clock):
    world = World(clock, runtime=Hangs)
    hanging = [world.start(3000) for _ in range(16)]
    world.runtime.hanging = frozenset(hanging)

    async def everyone():
        waits = [asyncio.ensure_future(world.client.wait_for_run(each, outputs=False)) for each in hanging]
        await asyncio.sleep(2)
        began = world.runtime.now()
        await world.client.wait_for_run(world.start(3), outputs=False)
        took = world.runtime.now() - began
        await ended(*waits)
        return took

    assert world.run(everyone()) <= 3 + 15


def test_the_deadline_of_one_is_not_late_behind_the_hanging_look_of_another(clock):
    world = World(clock, runtime=Hangs)
    run_id = world.start(3000)
    world.runtime.hanging = frozenset([run_id])

    async def everyone():
        other = asyncio.ensure_future(world.client.wait_for_run(run_id, outputs=False))
        await asyncio.sleep(1)
        began = world.runtime.now()
        with pytest.raises(WaitTimeoutError):
            await world.client.wait_for_run(run_id, outputs=False, timeout=3)
        took = world.runtime.now() - began
        await ended(other)
        return took

    assert world.run(everyone()) <= 3 + 5 + 0.5


def test_an_on_change_that_says_it_was_cancelled_ends_its_wait_and_no_other(clock):
    world = World(clock, runtime=Quick)
    first, second = world.start(30), world.start(30)

    def cancelled(run):
        raise asyncio.CancelledError

    async def everyone():
        return await asyncio.gather(
            world.client.wait_for_run(first, outputs=False, on_change=cancelled),
            world.client.wait_for_run(second, outputs=False),
            return_exceptions=True,
        )

    broken, completed = world.run(everyone())

    assert isinstance(broken, asyncio.CancelledError)
    assert completed.status is RunStatus.COMPLETED


def test_an_on_change_that_cancels_whoever_waits_ends_no_other_wait(clock):
    world = World(clock, runtime=Quick)
    first, second = world.start(30), world.start(60)

    def cancel(run):
        if run.is_terminal:
            waiting[0].cancel()

    async def everyone():
        wait = world.client.wait_for_run
        waiting.append(asyncio.create_task(wait(first, outputs=False, on_change=cancel)))
        others = wait(first, outputs=False), wait(second, outputs=False)
        return await asyncio.gather(*waiting, *others, return_exceptions=True)

    waiting = []
    cancelled, twin, other = world.run(everyone())

    assert isinstance(cancelled, asyncio.CancelledError)
    assert [twin.status, other.status] == [RunStatus.COMPLETED] * 2


class OwnError(RetabError):
    """An error of the user's, of which nobody can make a copy."""

    def __init__(self, *, reason):
        super().__init__(reason)


def test_an_error_of_the_users_own_that_cannot_be_copied_ends_its_wait_and_no_other(clock):
    world = World(clock, runtime=Quick)
    first, second = world.start(30), world.start(30)

    def refuse(run):
        raise OwnError(reason=run.id)

    async def everyone():
        return await asyncio.gather(
            world.client.wait_for_run(first, outputs=False, on_change=refuse),
            world.client.wait_for_run(second, outputs=False),
            return_exceptions=True,
        )

    refused, completed = world.run(everyone())

    assert isinstance(refused, OwnError)
    assert completed.status is RunStatus.COMPLETED


class StaysBehind(Quick):
    """Has a list that shows for ever what it showed after 20 s."""

    frozen = None

    async def send(self, request):
        if request.path != "/v1/workflows/runs":
            return await super().send(request)
        if self.frozen is None or self.now() < 20:
            self.frozen = await super().send(request)
        self.times.append((self.now(), request.path))
        return self.frozen


@pytest.mark.parametrize("seconds", [60, 900, 7000])
def test_a_list_that_stays_behind_does_not_hide_for_ever_that_a_run_has_ended(clock, seconds):
    world = World(clock, runtime=StaysBehind)

    results = world.wait([world.start(seconds) for _ in range(50)], poll=STEADY)

    assert {result.status for result in results} == {RunStatus.COMPLETED}
    assert world.runtime.now() < max(1200 + 60, seconds + 7200 + 60)
    asked = sum(path != "/v1/workflows/runs" for _, path in world.runtime.times)
    assert asked <= 50 * 6


class ShowsReviewsLate(Quick):
    """Has runs that are reviewed from 20 s to 60 s after the start, and a list that shows what was so 10 s ago."""

    def row(self, run_id, ago=0.0):
        now = self.now() - ago
        status = (
            "awaiting_review" if 20 <= now < 60 else "running" if self.ends[run_id] > now else "completed"
        )
        return {"id": run_id, "lifecycle": {"status": status}, "workflow": {"workflow_id": "wf_echo"}}

    async def send(self, request):
        if request.path != "/v1/workflows/runs":
            return await super().send(request)
        self.times.append((self.now(), request.path))
        return ok({"data": [self.row(run_id, 10.0) for run_id in reversed(self.ends)], "list_metadata": {}})


def test_a_list_that_lags_tells_nobody_of_a_review_that_ends_and_begins_again(clock):
    world = World(clock, runtime=ShowsReviewsLate)
    told = {world.start(120): [] for _ in range(20)}

    async def wait(run_id, begins):
        await asyncio.sleep(begins)
        return await world.client.wait_for_run(
            run_id,
            outputs=False,
            on_review="wait",
            poll=PollPolicy(first=0, interval=5, growth=1e9, jitter=0.0, review_interval=5),
            on_change=lambda run: told[run_id].append(run.status.value),
        )

    async def all_of_them():
        # The last one is alone when it begins, so that it looks at its run itself; the list comes after that.
        begins = [0.0] * 19 + [22.6]
        return await asyncio.gather(*map(wait, told, begins))

    assert statuses(world.run(all_of_them())) == {RunStatus.COMPLETED}
    course = ["running", "waiting_for_human", "running", "completed"]
    for seen in told.values():
        assert seen == course[-len(seen) :], seen


class SaysNo(Quick):
    """Refuses to tell of a run, with an answer or without one."""

    refusal = None

    async def send(self, request):
        if request.path.startswith("/v1/workflows/runs/"):
            if isinstance(self.refusal, Exception):
                raise self.refusal
            return self.refusal
        return await super().send(request)


@pytest.mark.parametrize("refusal", [Response(403, b"{}"), ApiTimeoutError("no answer", sent=True)])
def test_two_waits_for_one_run_have_an_error_each(clock, refusal):
    world = World(clock, runtime=SaysNo)
    world.runtime.refusal = refusal
    run_id = world.start(300)

    first, second = world.wait([run_id, run_id], poll=PollPolicy(error_budget=10.0))

    assert isinstance(first, ApiError)
    assert first is not second
    assert (type(first), first.args, first.__dict__) == (type(second), second.args, second.__dict__)
    assert first.__traceback__ is not None


class Slow(Quick):
    """Takes its time for each run, and is given up by whoever has less."""

    seconds = 20.0

    async def send(self, request):
        if not request.path.startswith("/v1/workflows/runs/"):
            return await super().send(request)
        if request.timeout < self.seconds:
            await asyncio.sleep(request.timeout)
            raise ApiTimeoutError("no answer in time")
        await asyncio.sleep(self.seconds)
        return await super().send(request)


def test_an_answer_may_take_as_long_as_the_account_says(clock):
    world = World(clock, runtime=Slow)

    assert statuses(world.wait([world.start(5)])) == {RunStatus.COMPLETED}
    assert world.runtime.now() < 60


def test_a_hasty_wait_does_not_hurry_the_looks_of_another_for_the_same_run(clock):
    world = World(clock, runtime=Slow)
    world.runtime.seconds = 10.0
    run_id = world.start(5)

    async def hasty():
        while True:
            began = world.runtime.now()
            with pytest.raises(WaitTimeoutError):
                await world.client.wait_for_run(run_id, outputs=False, timeout=1.0)
            assert world.runtime.now() - began < 7

    async def both():
        other = asyncio.ensure_future(hasty())
        run = await world.client.wait_for_run(run_id, outputs=False)
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        return run

    assert world.run(both()).status is RunStatus.COMPLETED
    assert world.runtime.now() < 60
