"""Many waits on one connection: what they cost, that each ends as it would alone, and that none disturbs another."""

import asyncio
import contextvars
import dataclasses
import gc
import itertools
import json
import sys
import tracemalloc
import weakref
from collections import Counter

import pytest

from retab_orchestration import (
    ApiTimeoutError,
    AsyncRetabClient,
    PollPolicy,
    RateLimitedError,
    RetabError,
    RunStatus,
    WaitTimeoutError,
    WorkflowRun,
)
from retab_orchestration._http import Response
from retab_orchestration._polling import waiting
from retab_orchestration._polling.list_poll import ListCost
from retab_orchestration._transport.session import Session
from retab_orchestration.emulator import Request as WireRequest
from retab_orchestration.emulator import Service
from retab_orchestration.policies import RetryPolicy
from retab_orchestration.settings import Settings
from tests.retab_orchestration.conftest import ok
from tests.retab_orchestration.virtual_loop import SharedFakeRuntime, VirtualLoop

FIVE = PollPolicy(interval=5.0, growth=1e9)


class World:
    """An account with runs of known length, and everyone who waits for them."""

    def __init__(self, clock, *, server="current", runtime=SharedFakeRuntime):
        self.clock = clock
        self.loop = VirtualLoop(clock)
        self.service = Service(api=server, clock=clock, auth="both")
        self.runtime = runtime(self.service, clock)
        self.settings = Settings(api_key="key-1", base_url="http://retab.test")
        self.client = AsyncRetabClient("key-1", "http://retab.test")
        self.client._session = Session(self.runtime, self.settings, RetryPolicy())

    def run(self, coroutine):
        return self.loop.run_until_complete(coroutine)

    def start(self, seconds):
        """Start a run as a client of ours would; a thousand of them without the client."""
        body = {"json_inputs": {"json-node-1": {"seconds": seconds}}}
        if self.service.state.api == "classic":
            path = "/v1/workflows/wf_echo/run"
        else:
            path = "/v1/workflows/runs"
            body |= {"workflow_id": "wf_echo", "metadata": {"retab-orchestration": "1"}}
        if isinstance(self.runtime, Quick):
            run_id = f"run_{len(self.runtime.ends)}"
            self.runtime.ends[run_id] = self.runtime.now() + seconds
            return run_id
        headers = {"authorization": "Bearer key-1"}
        answer = self.service.handle(WireRequest("POST", path, [], headers, json.dumps(body).encode()))
        return json.loads(answer.body)["id"]

    def wait(self, run_ids, **options):
        async def all_of_them():
            waits = [self.client.wait_for_run(each, outputs=False, **options) for each in run_ids]
            return await asyncio.gather(*waits, return_exceptions=True)

        self.sent_before = len(self.runtime.sent)
        return self.run(all_of_them())

    @property
    def requests(self):
        """The requests of the last wait, by kind."""
        sent = self.runtime.sent[self.sent_before :]
        return Counter("list" if request.path == "/v1/workflows/runs" else "run" for request in sent)


class Timed(SharedFakeRuntime):
    """Notes when each request was sent."""

    def __init__(self, *args):
        super().__init__(*args)
        self.times = []

    async def send(self, request):
        self.times.append((self.now(), request.path))
        return await super().send(request)


class Quick(Timed):
    """Answers from a dict of run id -> end, newest first, because the emulator takes its time over thousands."""

    def __init__(self, *args):
        super().__init__(*args)
        self.ends = {}

    async def send(self, request):
        self.times.append((self.now(), request.path))
        self.sent.append(request)
        await asyncio.sleep(self.latency)
        query = dict(request.query)
        if request.path == "/v1/workflows/steps":
            return ok({"data": []})
        if request.path != "/v1/workflows/runs":
            return ok(self.row(request.path.rsplit("/", 1)[1]))
        active = [run_id for run_id, end in reversed(self.ends.items()) if end > self.now()]
        start = active.index(query["after"]) + 1 if "after" in query else 0
        page = active[start : start + int(query["limit"])]
        more = start + len(page) < len(active)
        return ok(
            {
                "data": [self.row(each) for each in page],
                "list_metadata": {"after": page[-1] if more else None},
            }
        )

    def row(self, run_id):
        status = "running" if self.ends[run_id] > self.now() else "completed"
        return {"id": run_id, "lifecycle": {"status": status}, "workflow": {"workflow_id": "wf_echo"}}


@pytest.fixture
def world(clock):
    return World(clock)


def statuses(results):
    return {result.status for result in results}


def test_a_thousand_runs_cost_a_page_per_hundred_and_interval(clock):
    world = World(clock, runtime=Quick)
    ids = [world.start(300) for _ in range(1000)]
    began = world.runtime.now()

    results = world.wait(ids, poll=FIVE)

    assert statuses(results) == {RunStatus.COMPLETED}
    steady = [path for at, path in world.runtime.times if 20 < at - began < 280]
    assert len(steady) <= 260 / 5 * 15
    assert world.requests["run"] <= 1000 + 20  # the answer that ends each wait


def test_at_defaults_two_minutes_of_a_thousand_runs_cost_fifteen_pages_in_ten_seconds(clock):
    world = World(clock, runtime=Quick)
    ids = [world.start(120) for _ in range(1000)]
    began = world.runtime.now()

    assert statuses(world.wait(ids)) == {RunStatus.COMPLETED}

    times = [at - began for at, _ in world.runtime.times if at - began > 20]
    polls = [at for at in times if at < 119]  # past that each is asked for once, because it has ended
    assert polls
    assert max(sum(start <= at < start + 40 for at in polls) for start in polls) <= 150


@pytest.mark.parametrize("seconds", [0.5, 20.0])
def test_a_thousand_who_begin_one_after_the_other_share_the_list_as_well(clock, seconds):
    world = World(clock, runtime=Quick)
    world.runtime.latency = 0.02
    ids = [world.start(400) for _ in range(1000)]  # all on the list when the first of them is waited for
    began = world.runtime.now()

    async def begin(place):
        await asyncio.sleep(seconds * (place // 4) / (len(ids) // 4))  # four in one turn of the loop
        return await world.client.wait_for_run(ids[place], outputs=False, poll=FIVE)

    async def all_of_them():
        return await asyncio.gather(*(begin(place) for place in range(len(ids))))

    assert statuses(world.run(all_of_them())) == {RunStatus.COMPLETED}
    steady = [path for at, path in world.runtime.times if seconds + 20 < at - began < 380]
    assert len(steady) <= (360 - seconds) / 5 * 15


def test_each_of_many_waits_holds_little_memory_also_with_a_client_of_its_own(clock):
    world = World(clock, runtime=Quick)
    ids = [world.start(10_000) for _ in range(600)]
    loop = world.loop

    def begin(run_id):
        key = f"key-{len(ids[:1])}"  # another string each time, as a trigger has that reads its connection
        client = AsyncRetabClient(key, "http://retab.test")
        client._session = Session(world.runtime, client._session.settings, RetryPolicy())
        return loop.create_task(client.wait_for_run(run_id, outputs=False, poll=PollPolicy(interval=5.0)))

    def held():
        loop.run_until_complete(asyncio.sleep(60))
        world.runtime.sent.clear()
        world.runtime.times.clear()
        world.runtime.slept.clear()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracer = sys.gettrace()
    sys.settrace(None)  # that of coverage adds some bytes to each coroutine
    tracemalloc.start()
    try:
        waits = [begin(run_id) for run_id in ids[:100]]
        before = held()
        waits += [begin(run_id) for run_id in ids[100:]]
        each = (held() - before) / 500
    finally:
        tracemalloc.stop()
        sys.settrace(tracer)
        for wait in waits:
            wait.cancel()
        loop.run_until_complete(asyncio.gather(*waits, return_exceptions=True))
    assert each <= 2800


class Callback:
    """An `on_change` that can be seen to be gone."""

    def __call__(self, run):
        pass


def test_nothing_is_kept_of_waits_that_have_ended_while_another_goes_on(clock):
    world = World(clock, runtime=Quick)
    ids = [world.start(60) for _ in range(1000)]
    last = world.start(10_000)
    kept = weakref.WeakSet()

    async def wait(run_id):
        kept.add(callback := Callback())
        await world.client.wait_for_run(run_id, outputs=False, timeout=604_800, poll=FIVE, on_change=callback)

    async def everyone():
        other = asyncio.ensure_future(world.client.wait_for_run(last, outputs=False, poll=FIVE))
        await asyncio.gather(*map(wait, ids))
        await asyncio.sleep(0)
        gc.collect()
        runs = sum(isinstance(each, WorkflowRun) for each in gc.get_objects())
        other.cancel()
        await asyncio.gather(other, return_exceptions=True)
        return len(kept), runs

    before = sum(isinstance(each, WorkflowRun) for each in gc.get_objects())
    callbacks, runs = world.run(everyone())

    assert callbacks == 0
    assert runs - before <= 2


def test_few_runs_are_asked_for_one_by_one(world):
    ids = [world.start(30), world.start(600)]

    assert statuses(world.wait(ids)) == {RunStatus.COMPLETED}
    assert world.requests["list"] == 0


def test_many_runs_end_at_most_an_interval_late(clock):
    world = World(clock, runtime=Quick)
    ids = [world.start(20 + 0.1 * number) for number in range(400)]
    noticed = {}

    async def one(run_id):
        await world.client.wait_for_run(run_id, outputs=False, poll=FIVE)
        noticed[run_id] = world.runtime.now()

    async def everyone():
        await asyncio.gather(*map(one, ids))

    world.run(everyone())

    lags = [noticed[run_id] - world.runtime.ends[run_id] for run_id in ids]
    assert len(lags) == 400
    assert max(lags) <= 5.5
    assert min(lags) >= 0


def test_a_short_run_among_long_ones_is_noticed_as_fast_as_alone(world):
    long = [world.start(3600) for _ in range(200)]
    noticed = []

    async def short():
        await asyncio.sleep(1000)
        started = world.runtime.now()
        run = await world.client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 3}})
        await world.client.wait_for_run(run.id, outputs=False)
        noticed.append(world.runtime.now() - started)

    async def everyone():
        waits = [asyncio.ensure_future(world.client.wait_for_run(each, outputs=False)) for each in long]
        await short()
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    world.run(everyone())

    assert noticed[0] <= 4.1


@pytest.mark.parametrize("lie", ["completed", "error", "gone"])
def test_the_list_alone_ends_no_wait(clock, lie):
    class Liar(SharedFakeRuntime):
        async def send(self, request):
            answer = await super().send(request)
            if request.path != "/v1/workflows/runs" or request.method != "GET":
                return answer
            page = answer.json()
            rows = [] if lie == "gone" else page["data"]
            for row in rows:
                row["lifecycle"] = {"status": lie}
            return Response(200, json.dumps({"data": rows, "list_metadata": {}}).encode())

    world = World(clock, runtime=Liar)
    ids = [world.start(60) for _ in range(50)]
    began = world.runtime.now()

    results = world.wait(ids, poll=FIVE)

    assert statuses(results) == {RunStatus.COMPLETED}
    assert world.runtime.now() - began >= 60
    assert world.requests["list"] > 0


@pytest.mark.parametrize("kind", ["http_500", "http_422", "http_403", "garbage", "timeout_after"])
def test_a_list_that_fails_costs_no_wait_anything(world, kind):
    ids = [world.start(60) for _ in range(50)]
    fault = {"match": "GET /v1/workflows/runs", "kind": kind, "times": 1000}
    world.service.faults.post([fault | ({"seconds": 5.0} if kind == "timeout_after" else {})])
    began = world.runtime.now()

    assert statuses(world.wait(ids, poll=FIVE)) == {RunStatus.COMPLETED}

    assert world.runtime.now() - began <= 60 + 5 + 15
    assert world.requests["list"] <= 6  # it is left alone for longer each time


def test_a_crowded_organisation_is_not_paged_for_a_few_runs(clock):
    world = World(clock, runtime=Quick)
    ids = [world.start(300) for _ in range(20)]
    for _ in range(2000):
        world.start(3600)

    assert statuses(world.wait(ids, poll=FIVE)) == {RunStatus.COMPLETED}

    alone = 20 * (300 / 4.75 + 2)
    assert sum(world.requests.values()) <= 1.1 * alone
    assert world.requests["list"] <= 0.05 * alone


@pytest.mark.parametrize(("runs", "waits", "newer"), [(1, 3, 2000), (20, 2, 2000), (2, 2, 100)])
def test_several_who_wait_for_each_run_of_a_crowded_organisation_are_all_told(clock, runs, waits, newer):
    world = World(clock, runtime=Quick)
    ids = [world.start(60) for _ in range(runs)]
    for _ in range(newer):
        world.start(3600)

    assert statuses(world.wait(ids * waits, poll=FIVE)) == {RunStatus.COMPLETED}

    assert world.requests["list"] <= 15
    assert world.requests["run"] <= runs * (60 / 4.5 + 6)


def test_a_list_that_paid_again_stays_open_when_fewer_wait():
    cost = ListCost()
    cost.read_page(25, 25_000)
    cost.ended(polls=20, saved=0, spent=60_000.0)
    assert not cost.is_cheaper(20, 20, 10.0)
    assert cost.is_cheaper(40, 40, 10.0)

    cost.ended(polls=40, saved=40, spent=80_000.0)

    assert cost.is_cheaper(20, 20, 20.0)


def test_runs_that_the_list_does_not_show_are_asked_for_and_the_list_is_not(clock):
    class Blind(SharedFakeRuntime):
        async def send(self, request):
            answer = await super().send(request)
            if request.path == "/v1/workflows/runs" and request.method == "GET":
                return Response(200, b'{"data": [], "list_metadata": {}}')
            return answer

    world = World(clock, runtime=Blind)
    ids = [world.start(280) for _ in range(50)]

    assert statuses(world.wait(ids, poll=FIVE)) == {RunStatus.COMPLETED}
    assert world.requests["list"] <= 4


def test_one_who_stops_waiting_disturbs_nobody_and_the_last_one_closes(world):
    ids = [world.start(60) for _ in range(50)]

    async def everyone():
        waits = [asyncio.ensure_future(world.client.wait_for_run(each, outputs=False)) for each in ids]
        await asyncio.sleep(10)
        for each in waits[:25]:
            each.cancel()
        results = await asyncio.gather(*waits, return_exceptions=True)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        return results, left

    results, left = world.run(everyone())

    assert all(isinstance(result, asyncio.CancelledError) for result in results[:25])
    assert statuses(results[25:]) == {RunStatus.COMPLETED}
    assert world.runtime.closed == 1
    assert left == set()
    assert not any(waiting._watchers.values())


def test_the_last_one_closes_also_when_it_is_cancelled(world):
    ids = [world.start(60) for _ in range(3)]

    async def everyone():
        waits = [asyncio.ensure_future(world.client.wait_for_run(each, outputs=False)) for each in ids]
        await asyncio.sleep(0.6)
        for each in waits:
            each.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        return asyncio.all_tasks() - {asyncio.current_task()}

    assert world.run(everyone()) == set()
    assert world.runtime.closed == 1


def test_who_waits_after_the_last_has_gone_begins_anew(world):
    first, second = world.start(10), world.start(10)

    assert statuses(world.wait([first])) == {RunStatus.COMPLETED}
    assert statuses(world.wait([second])) == {RunStatus.COMPLETED}
    assert world.runtime.closed == 2


def test_what_the_server_asks_of_one_holds_for_all(clock):
    world = World(clock, runtime=Timed)
    ids = [world.start(200) for _ in range(5)]
    world.service.faults.post(
        [{"match": "GET /v1/workflows/runs*", "kind": "http_429", "retry_after": 60, "nth": 30, "times": 1}]
    )
    began = world.runtime.now()

    assert statuses(world.wait(ids, poll=FIVE)) == {RunStatus.COMPLETED}

    times = [at - began for at, path in world.runtime.times if path.startswith("/v1/workflows/runs")]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert max(gaps) == pytest.approx(60, abs=1)


def test_a_server_that_always_says_too_many_ends_the_waits(world):
    ids = [world.start(10_000) for _ in range(50)]
    world.service.faults.post(
        [{"match": "GET /v1/workflows/runs*", "kind": "http_429", "retry_after": 5, "times": 100_000}]
    )

    results = world.wait(ids)

    assert all(isinstance(result, RateLimitedError) for result in results)


def test_each_wait_has_its_own_deadline_and_looks_at_the_run_itself_then(world):
    ids = [world.start(100) for _ in range(40)]

    async def one(number, run_id):
        try:
            await world.client.wait_for_run(run_id, outputs=False, timeout=10 + number)
        except WaitTimeoutError as expired:
            return world.runtime.now(), expired

    async def everyone():
        return await asyncio.gather(*(one(*each) for each in enumerate(ids)))

    began = world.runtime.now()
    results = world.run(everyone())

    for number, (at, expired) in enumerate(results):
        assert at - began == pytest.approx(10 + number, abs=0.01)
        assert (expired.run_id, expired.run.id) == (ids[number], ids[number])
        assert "still running" in str(expired)


def test_a_run_that_ends_just_before_the_deadline_is_not_late(world):
    ids = [world.start(29.9) for _ in range(40)]

    assert statuses(world.wait(ids, timeout=30)) == {RunStatus.COMPLETED}


def test_a_failed_look_ends_only_the_wait_that_it_is_of(world):
    ids = [world.start(60) for _ in range(3)]
    world.service.faults.post(
        [{"match": f"GET /v1/workflows/runs/{ids[1]}", "kind": "http_500", "times": 1000}]
    )

    results = world.wait(ids)

    assert [type(result).__name__ for result in results] == ["WorkflowRun", "ServerError", "WorkflowRun"]


def test_a_refused_look_ends_its_wait_at_once(world):
    ids = [world.start(60) for _ in range(3)]
    world.service.faults.post([{"match": f"GET /v1/workflows/runs/{ids[1]}", "kind": "http_403", "times": 1}])

    results = world.wait(ids)

    assert [type(result).__name__ for result in results] == [
        "WorkflowRun",
        "PermissionDeniedError",
        "WorkflowRun",
    ]


def test_changes_are_told_in_the_context_of_whom_they_concern(world):
    task_id = contextvars.ContextVar("task_id", default="nobody")
    ids = [world.start(40) for _ in range(40)]
    told, inside = [], []
    plain = world.runtime.send

    async def send(request):
        inside.append(task_id.get())
        return await plain(request)

    async def one(number, run_id):
        task_id.set(number)
        await world.client.wait_for_run(
            run_id, outputs=False, on_change=lambda run: told.append((task_id.get(), run.id, run.status_name))
        )

    async def everyone():
        world.runtime.send = send
        await asyncio.gather(*(one(*each) for each in enumerate(ids)))

    world.run(everyone())

    assert set(inside) == {"nobody"}
    for number, run_id in enumerate(ids):
        assert [name for who, run, name in told if who == number and run == run_id] == [
            "running",
            "completed",
        ]
    assert len(told) == 80


def test_a_mistake_in_on_change_is_its_owners(world):
    ids = [world.start(40) for _ in range(40)]

    def mistaken(run):
        raise LookupError(run.id)

    async def everyone():
        waits = [
            world.client.wait_for_run(each, outputs=False, on_change=mistaken if each == ids[7] else None)
            for each in ids
        ]
        return await asyncio.gather(*waits, return_exceptions=True)

    results = world.run(everyone())

    assert isinstance(results.pop(7), LookupError)
    assert statuses(results) == {RunStatus.COMPLETED}


@pytest.mark.parametrize("error", [StopIteration, GeneratorExit])
def test_what_no_future_takes_in_on_change_is_its_owners(world, error):
    ids = [world.start(40) for _ in range(5)]

    def mistaken(run):
        raise error

    async def everyone():
        waits = [
            world.client.wait_for_run(each, outputs=False, on_change=mistaken if each == ids[2] else None)
            for each in ids
        ]
        return await asyncio.gather(*waits, return_exceptions=True)

    results = world.run(everyone())

    assert f"on_change raised {error.__name__}" in str(results.pop(2))
    assert statuses(results) == {RunStatus.COMPLETED}


def test_a_tick_is_its_owners_and_comes_every_second_whatever_is_polled(world):
    ids, ticks = [world.start(400) for _ in range(40)], []

    class Stopped(BaseException):
        pass

    def tick():
        ticks.append(world.runtime.now())
        if len(ticks) > 50:
            raise Stopped

    async def everyone():
        waits = [
            world.client.wait_for_run(each, outputs=False, on_tick=tick if each == ids[7] else None)
            for each in ids
        ]
        return await asyncio.gather(*waits, return_exceptions=True)

    results = world.run(everyone())

    assert isinstance(results.pop(7), Stopped)
    assert statuses(results) == {RunStatus.COMPLETED}
    assert len(ticks) == 51
    assert ticks[-1] - ticks[0] == pytest.approx(50, abs=0.1)


@pytest.mark.parametrize("created_at", ["0001-01-01T00:00:00Z", "yesterday", 7])
def test_an_odd_time_of_creation_ends_no_wait(clock, created_at):
    class Odd(Quick):
        def row(self, run_id):
            return super().row(run_id) | {"timing": {"created_at": created_at}}

    world = World(clock, runtime=Odd)
    ids = [world.start(60) for _ in range(40)]

    assert statuses(world.wait(ids, poll=FIVE)) == {RunStatus.COMPLETED}
    assert world.requests["list"] > 2


def test_a_mistake_of_ours_leaves_nobody_waiting(world):
    ids = [world.start(4000) for _ in range(40)]

    def broken():
        raise ZeroDivisionError

    world.runtime.chance = broken

    results = world.wait(ids)
    assert {type(result) for result in results} == {RetabError}
    assert {"defect" in str(result) and "ZeroDivisionError" in str(result) for result in results} == {True}


def test_a_page_that_hangs_holds_nobody_up_for_long(clock):
    class Stuck(Timed):
        async def send(self, request):
            if request.path == "/v1/workflows/runs" and request.method == "GET":
                self.times.append((self.now(), "stuck"))
                await asyncio.sleep(min(60, request.timeout))
                raise ApiTimeoutError("hangs", sent=True)
            return await super().send(request)

    world = World(clock, runtime=Stuck)
    ids = [world.start(3) for _ in range(40)]
    began = world.runtime.now()

    assert statuses(world.wait(ids)) == {RunStatus.COMPLETED}
    assert any(path == "stuck" for _, path in world.runtime.times)
    assert world.runtime.now() - began <= 5.5


def test_large_rows_make_small_pages(clock):
    class Fat(SharedFakeRuntime):
        largest = 0

        async def send(self, request):
            answer = await super().send(request)
            if request.path != "/v1/workflows/runs" or request.method != "GET":
                return answer
            page = answer.json()
            for row in page["data"]:
                row["padding"] = "x" * 8000
            content = json.dumps(page).encode()
            self.largest = max(self.largest, len(content))
            return dataclasses.replace(answer, content=content)

    world = World(clock, runtime=Fat)
    ids = [world.start(40) for _ in range(100)]

    assert statuses(world.wait(ids, poll=FIVE)) == {RunStatus.COMPLETED}
    assert 100_000 < world.runtime.largest <= 2 * 256 * 1024


def test_classic_routes_are_narrowed_by_what_they_know(clock):
    world = World(clock, server="classic")
    ids = [world.start(60) for _ in range(50)]

    assert statuses(world.wait(ids, poll=FIVE)) == {RunStatus.COMPLETED}

    pages = [dict(each.query) for each in world.runtime.sent if each.path == "/v1/workflows/runs"]
    assert pages
    assert all("metadata" not in page for page in pages)
    assert pages[-1]["workflow_id"] == "wf_echo"
    assert pages[-1]["exclude_status"] == "completed"
    assert pages[-1]["from_date"] == "2026-02-28"


def test_current_routes_are_narrowed_to_runs_of_ours(world):
    ids = [world.start(60) for _ in range(50)]

    world.wait(ids, poll=FIVE)

    pages = [
        dict(each.query) for each in world.runtime.sent if each.path == "/v1/workflows/runs" and each.query
    ]
    assert {json.loads(page["metadata"])["retab-orchestration"] for page in pages} == {"1"}


def test_two_who_wait_for_one_run_share_its_looks(world):
    run_id = world.start(30)

    results = world.wait([run_id] * 10)

    assert statuses(results) == {RunStatus.COMPLETED}
    assert world.requests["run"] <= 2 * 15


def test_a_review_ends_the_waits_that_do_not_go_through_it(world):
    from tests.invoices import invoice_pdf

    async def everyone():
        made = [
            await world.client.create_run(
                "wf_invoice_review", documents={"start-node-1": ("a.pdf", invoice_pdf())}
            )
            for _ in range(30)
        ]
        waits = [world.client.wait_for_run(run.id, outputs=False) for run in made]
        return await asyncio.gather(*waits)

    assert statuses(world.run(everyone())) == {RunStatus.WAITING_FOR_HUMAN}
