"""What thousands of waits cost, in requests and bytes, next to polling each run by itself: counted, in virtual time."""

import asyncio
import functools
import itertools
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from retab_orchestration import PollPolicy
from retab_orchestration._http import Response
from retab_orchestration._polling.list_poll import ListCost
from retab_orchestration._polling.wait import Wait, WaitOptions
from retab_orchestration.models import RunStatus
from tests.retab_orchestration.conftest import ok
from tests.retab_orchestration.fake_runtime import Clock
from tests.retab_orchestration.test_watch import World
from tests.retab_orchestration.virtual_loop import SharedFakeRuntime

STEADY = PollPolicy(interval=5.0, growth=1e9, jitter=0.0)
LIST, RUN = "/v1/workflows/runs", "/v1/workflows/runs/"


class Sized:
    """So many bytes of a body that nobody reads."""

    def __init__(self, size):
        self.size = size

    def __len__(self):
        return self.size


@dataclass(frozen=True)
class Built(Response):
    """An answer whose JSON is there already: to write and to read gigabytes of it is not what is tested."""

    body: object = None

    def json(self):
        return self.body


class Fleet(SharedFakeRuntime):
    """An account with running runs, newest first, that counts what it is asked for and what it answers."""

    body = 400
    """Bytes of a run."""
    page_takes = 0.01
    run_takes = 0.05

    def __init__(self, *args):
        super().__init__(*args)
        self.rows = []
        self.log = []
        """Moment, kind and bytes of each answer."""
        self.pages = 0

    def grow(self, count):
        created = datetime(2026, 2, 28, tzinfo=UTC)
        self.rows = [
            {
                "id": f"run_{number}",
                "lifecycle": {"status": "running"},
                "workflow": {"workflow_id": "wf_echo"},
                "timing": {"created_at": (created + timedelta(seconds=number)).isoformat()},
            }
            for number in range(count)
        ]

    async def send(self, request):
        if request.path == LIST:
            return await self.page(dict(request.query))
        if not request.path.startswith(RUN):
            return ok({"data": []})
        await asyncio.sleep(self.run_takes)
        self.count("run", self.body)
        return Built(200, Sized(self.body), body=self.row(int(request.path.rpartition("_")[2])))

    async def page(self, query):
        self.pages += 1
        await asyncio.sleep(self.seconds_of_page())
        if (refusal := self.refusal()) is not None:
            self.count("page", 0)
            return refusal
        last = int(query["after"].rpartition("_")[2]) if "after" in query else len(self.rows)
        first = max(0, last - int(query["limit"]))
        rows = [self.row_of_list(number) for number in range(last - 1, first - 1, -1)]
        self.count("page", self.body * len(rows))
        after = f"run_{first}" if first else None
        return Built(
            200,
            Sized(self.body * len(rows)),
            body={"data": rows, "list_metadata": {"after": after}},
        )

    def seconds_of_page(self):
        return self.page_takes

    def refusal(self):
        return None

    def row(self, number):
        return self.rows[number]

    row_of_list = row

    def count(self, kind, size):
        self.log.append((self.now(), kind, size))


class Slow(Fleet):
    """Takes longer for each page than anybody waits in silence."""

    page_takes = 3.0


class Hiccups(Fleet):
    """Takes nine seconds for every thirtieth page."""

    def seconds_of_page(self):
        return 9.0 if self.pages % 30 == 0 else self.page_takes


class Fails(Fleet):
    """Refuses every fortieth page."""

    def refusal(self):
        return Response(503, b"{}") if self.pages % 40 == 0 else None


class Lags(Fleet):
    """Shows in the list that runs are queued which run already."""

    def row_of_list(self, number):
        return (
            self.row(number) | {"lifecycle": {"status": "queued"}} if number % 100 == 0 else self.row(number)
        )


@dataclass
class Cost:
    requests: Counter
    bytes: int

    @property
    def total(self):
        """As a reader of answers feels it: a request takes as much work as 32 KiB."""
        return sum(self.requests.values()) * 32 * 1024 + self.bytes


def spent(world, count, seconds, poll=STEADY):
    """Let so many wait for so long; the answers are in the log of the account."""
    world.runtime.grow(count)

    async def everyone():
        waits = [
            asyncio.ensure_future(world.client.wait_for_run(f"run_{number}", outputs=False, poll=poll))
            for number in range(count)
        ]
        await asyncio.sleep(seconds)
        assert not any(wait.done() for wait in waits)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    world.run(everyone())


@functools.cache
def log_of(kind, body, count, seconds):
    """Return the answers that so many who wait for so long are given: several tests read the same."""
    world = world_of(kind, body)
    spent(world, count, seconds)
    return tuple(world.runtime.log)


def shared(kind, body, count, seconds, since=0.0):
    """Return what waits that share the list have cost from a moment on."""
    found = [(what, size) for at, what, size in log_of(kind, body, count, seconds) if at >= since]
    return Cost(Counter(what for what, _ in found), sum(size for _, size in found))


def alone(body, count, seconds, since=0.0, poll=STEADY):
    """Return what the same waits would have cost by themselves."""

    @dataclass
    class Running:
        id = "run_1"
        status = RunStatus.RUNNING
        status_name = "running"

    wait = Wait("run_1", WaitOptions(None, poll), 0.0)
    polls = 0
    while wait.due < seconds:
        polls += wait.due >= since
        wait.saw(Running(), wait.due + Fleet.run_takes, 0.0)
    return Cost(Counter(run=count * polls), count * polls * body)


def world_of(kind, body):
    world = World(Clock(), runtime=kind)
    world.runtime.body = body
    return world


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (Fleet, 400),
        (Fleet, 8_000),
        (Fleet, 16_000),
        (Slow, 8_000),
        (Hiccups, 16_000),
        (Fails, 400),
        (Fails, 8_000),
        (Lags, 8_000),
    ],
)
def test_five_thousand_waits_never_cost_more_than_each_by_itself(kind, body):
    cost, single = shared(kind, body, 5_000, 60), alone(body, 5_000, 60)

    assert cost.total <= single.total
    assert sum(cost.requests.values()) <= sum(single.requests.values())
    assert cost.requests["page"] > 0


@pytest.mark.parametrize(
    ("kind", "body"),
    [(Fleet, 400), (Fleet, 8_000), (Slow, 400), (Hiccups, 16_000), (Fails, 400), (Lags, 16_000)],
)
def test_twenty_thousand_waits_never_cost_more_than_each_by_itself(kind, body):
    cost, single = shared(kind, body, 20_000, 25), alone(body, 20_000, 25)

    assert cost.total <= single.total
    assert sum(cost.requests.values()) <= sum(single.requests.values())
    assert cost.requests["page"] > 0


@pytest.mark.parametrize(
    ("kind", "body"),
    [(Fleet, 400), (Fleet, 8_000), (Fleet, 16_000), (Fails, 400), (Fails, 8_000), (Lags, 8_000)],
)
def test_a_list_that_answers_is_not_left_and_hardly_a_run_is_polled_by_itself(kind, body):
    cost, single = shared(kind, body, 5_000, 60, since=20), alone(body, 5_000, 60, since=20)

    assert cost.requests["run"] <= 0.02 * single.requests["run"]
    # A page holds a hundred rows, or 256 KiB of them.
    assert cost.requests["page"] <= 1.3 * single.requests["run"] / min(100, 256 * 1024 // body)


def test_one_silence_does_not_turn_the_list_into_single_polls():
    class Stops(Fleet):
        def seconds_of_page(self):
            return 8.0 if self.pages == 300 else self.page_takes

    world = world_of(Stops, 8_000)

    spent(world, 5_000, 60)

    assert world.runtime.pages > 300
    stop = next(at for number, (at, kind, _) in enumerate(_pages(world)) if number == 299)
    runs = [at for at, kind, _ in world.runtime.log if kind == "run"]
    assert (
        sum(stop - 6.5 <= at <= stop + 0.1 for at in runs) > 500
    )  # nobody waits for a list that says nothing
    assert sum(stop + 1 <= at for at in runs) <= 50


def _pages(world):
    return [each for each in world.runtime.log if each[1] == "page"]


def test_who_begins_while_others_wait_finds_the_list_worth_it_at_once():
    """The first hundred are the oldest of five thousand: the list pays for them only once all are waited for."""
    world = world_of(Fleet, 8_000)
    world.runtime.grow(5_000)

    async def everyone():
        waits = []

        def begin(first, last):
            for number in range(first, last):
                run_id = f"run_{number}"
                wait = world.client.wait_for_run(run_id, outputs=False, poll=PollPolicy(interval=5.0))
                waits.append(asyncio.ensure_future(wait))

        begin(0, 100)
        await asyncio.sleep(10)
        for first in range(100, 5_000, 100):
            begin(first, first + 100)
            await asyncio.sleep(0.03)
        await asyncio.sleep(50)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    world.run(everyone())

    steady = Counter(kind for at, kind, _ in world.runtime.log if 35 <= at < 60)
    assert steady["run"] <= 50
    assert 5 * 150 <= steady["page"] <= 6 * 170


def test_who_begins_while_the_list_is_read_is_told_by_it_as_well():
    """The oldest half is waited for first, so that a poll of the list begins with runs that nobody waits for yet."""
    world = world_of(Fleet, 8_000)
    world.runtime.page_takes = 0.1
    world.runtime.grow(5_000)

    async def everyone():
        def begin(first, last):
            waits = (
                world.client.wait_for_run(f"run_{number}", outputs=False, poll=STEADY)
                for number in range(first, last)
            )
            return [asyncio.ensure_future(wait) for wait in waits]

        waits = begin(0, 2_500)
        await asyncio.sleep(1)
        waits += begin(2_500, 5_000)
        await asyncio.sleep(16)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    world.run(everyone())

    assert sum(kind == "run" for _, kind, _ in world.runtime.log) <= 500


# ---- the decision


def test_a_list_that_has_paid_is_left_only_after_several_polls_of_it_that_did_not():
    cost = ListCost()
    cost.read_page(32, 32 * 8_000)
    price = 157 * (32 * 1024 + 256_000)
    for _ in range(20):
        cost.ended(polls=5_000, saved=5_000, spent=price)

    left_after = next(
        number
        for number in itertools.count(1)
        if cost.ended(polls=5_000, saved=0, spent=price) or not cost.is_cheaper(5_000, 5_000, 0.0)
    )

    assert left_after >= 3


def test_a_list_that_was_left_is_tried_again_when_single_polls_have_paid_for_it():
    cost = ListCost()
    cost.read_page(25, 25_000)
    cost.ended(polls=100, saved=0, spent=100 * cost.single)
    assert not cost.is_cheaper(100, 100, 0.0)

    polls = 0
    while not cost.is_cheaper(100, 100, 0.0):
        cost.polled_one()
        polls += 1

    assert 40 * 100 <= polls <= 60 * 100


def test_a_page_that_fails_is_asked_for_again_before_the_list_is_left():
    cost = ListCost()

    assert (cost.failed(0.0), cost.failed(1.0), cost.failed(4.0)) == (1.0, 3.0, None)
    assert not cost.is_cheaper(100, 100, 12.9)
    assert cost.is_cheaper(100, 100, 13.1)

    cost.read_page(25, 25_000)
    assert cost.failed(20.0) == 1.0
