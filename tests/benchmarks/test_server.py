"""The bare server that is measured against tells the truth: its pages, filters, ends and sizes."""

import json
from datetime import UTC, datetime

import pytest

from dev.benchmarks.server.bodies import shapes
from dev.benchmarks.server.runs import FIRST, Plan, Runs
from dev.benchmarks.server.site import Site

TAGGED = json.dumps({"retab-orchestration": "1"})


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def runs_of(clock, **plan):
    return Runs(Plan(**plan), clock=clock, wall=lambda: 1_750_000_000.0 + clock.now)


def walk(runs, **query):
    """Every id of every page, as a client that follows the cursor sees them."""
    found, after = [], None
    while True:
        page = json.loads(runs.page({**query, **({"after": after} if after else {})}))
        found += [row["id"] for row in page["data"]]
        assert len(page["data"]) <= int(query.get("limit", "20"))
        after = page["list_metadata"]["after"]
        if after is None:
            return found


@pytest.mark.parametrize("size", [400, 8_000, 200_000])
@pytest.mark.parametrize("shape", ["retab", "dbt", "databricks", "airbyte"])
def test_bodies_are_json_of_the_same_size(size, shape):
    running, ended = (
        shapes(size)[shape].body(b"7", b"2026-01-01T00:00:00Z", ended=end) for end in (False, True)
    )

    assert json.loads(running) != json.loads(ended)
    assert abs(len(running) - size) < 120


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_the_pages_hold_every_run_once_and_in_order(clock, order):
    runs = runs_of(clock, watched=7, others=16)

    found = walk(runs, limit="5", order=order)

    expected = [f"run_{FIRST + place}" for place in range(23)]
    assert found == (expected if order == "asc" else expected[::-1])


def test_the_tag_gives_those_that_are_watched(clock):
    runs = runs_of(clock, watched=7, others=16)

    assert sorted(walk(runs, metadata=TAGGED)) == sorted(f"run_{number}" for number in runs.watched)
    assert walk(runs, metadata='{"of": "another"}') == []


@pytest.mark.parametrize("filters", [{"status": "running"}, {"exclude_status": "completed"}])
def test_a_run_that_has_ended_leaves_the_list_of_those_that_run(clock, filters):
    runs = runs_of(clock, watched=4, others=6, others_active=2)
    assert len(walk(runs, limit="3", **filters)) == 6

    runs.end(after=1.0, over=4.0)
    clock.now += 3.1
    left = walk(runs, **filters)

    still = {f"run_{number}" for number in runs.watched if runs.ends[number] > clock.now}
    assert {f"run_{number}" for number in runs.watched} & set(left) == still
    assert len(still) == 1
    assert set(walk(runs, status="completed")).isdisjoint(left)


def test_a_date_leaves_out_what_is_older(clock):
    runs = runs_of(clock, watched=10, age=100.0)
    earliest = datetime.fromtimestamp(1_750_000_000.0 + clock.now - 50.0, UTC).isoformat()

    found = walk(runs, from_date=earliest)

    assert found == [f"run_{FIRST + place}" for place in range(9, 4, -1)]


def test_no_run_is_in_another_workflow(clock):
    assert walk(runs_of(clock, watched=3), workflow_id="wf_other") == []


@pytest.mark.parametrize(
    ("target", "running", "ended"),
    [
        (
            f"/v1/workflows/runs/run_{FIRST}",
            ("lifecycle", "status", "running"),
            ("lifecycle", "status", "completed"),
        ),
        (f"/api/v2/accounts/1/runs/{FIRST}/", ("data", "status", 3), ("data", "status", 10)),
        (
            f"/api/2.2/jobs/runs/get?run_id={FIRST}",
            ("state", "life_cycle_state", "RUNNING"),
            ("state", "life_cycle_state", "TERMINATED"),
        ),
    ],
)
def test_each_service_sees_the_end_at_its_moment(clock, target, running, ended):
    site = Site(clock=clock, wall=clock)
    site.runs = runs_of(clock, watched=1, lasting=10.0)

    def state(outer, inner, _):
        status, body = site.answer("GET", target, b"")
        assert status == 200
        return json.loads(body)[outer][inner]

    clock.now += 9.9
    assert state(*running) == running[2]
    clock.now += 0.2
    assert state(*ended) == ended[2]
    assert site.told()["kinds"] == ["get", "get"]


def test_an_unknown_run_is_missing(clock):
    site = Site(clock=clock, wall=clock)
    site.runs = runs_of(clock, watched=1)

    status, _ = site.answer("GET", "/v1/workflows/runs/run_1", b"")

    assert status == 404
