"""The list of runs: filters, order, pages, and how strict each age is about them."""

import json
from datetime import UTC, datetime

import pytest

from tests.emulator.conftest import Caller

RUNS = "/v1/workflows/runs"


def ids(call, **query):
    return [run["id"] for run in call.get(RUNS, **query)["data"]]


@pytest.fixture
def five(call, clock):
    """Five runs, one per second: echo, echo, fail, review, echo (the last one still running)."""
    made = [
        call.start("wf_echo", json_input={"seconds": 0.1}),
        call.start("wf_echo", json_input={"seconds": 3}, family="current", metadata={"a": "1", "b": "2"}),
        call.start("wf_fail"),
        call.start("wf_invoice_review"),
    ]
    clock.tick(10)
    made.append(call.start("wf_echo", json_input={"seconds": 60}))
    return [run["id"] for run in made]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ({}, [4, 3, 2, 1, 0]),
        ({"order": "asc"}, [0, 1, 2, 3, 4]),
        ({"sort_by": "created_at"}, [4, 3, 2, 1, 0]),
        ({"sort_by": "timing.started_at", "order": "asc"}, [0, 1, 2, 3, 4]),
        ({"workflow_id": "wf_echo"}, [4, 1, 0]),
        ({"workflow_id": "wf_unknown"}, []),
        ({"status": "completed"}, [1, 0]),
        ({"status": "failed"}, [2]),
        ({"status": "error"}, [2]),
        ({"status": "awaiting_review"}, [3]),
        ({"status": "waiting_for_human"}, [3]),
        ({"status": "queued"}, []),
        ({"statuses": "completed,error"}, [2, 1, 0]),
        ({"exclude_status": "completed"}, [4, 3, 2]),
        ({"exclude_status": "failed"}, [4, 3, 1, 0]),
        ({"trigger_type": "api"}, [4, 3, 2, 1, 0]),
        ({"trigger_types": "schedule,restart"}, []),
        ({"from_date": "2026-03-01", "to_date": "2026-03-01"}, [4, 3, 2, 1, 0]),
        ({"from_date": "2026-03-02"}, []),
        ({"to_date": "2026-03-01T12:00:05Z"}, [3, 2, 1, 0]),
        ({"min_duration_ms": "1000"}, [1]),
        ({"max_duration_ms": "100"}, [0]),
        ({"min_duration_ms": "0"}, [4, 3, 2, 1, 0]),
        ({"metadata": json.dumps({"a": "1"})}, [1]),
        ({"metadata": json.dumps({"a": "1", "b": "3"})}, []),
        ({"nonsense": "1"}, [4, 3, 2, 1, 0]),
        ({"status": ""}, [4, 3, 2, 1, 0]),
    ],
)
def test_every_filter(call, five, query, wanted):
    assert ids(call, **query) == [five[number] for number in wanted]


@pytest.mark.parametrize(
    ("api", "name", "is_known"),
    [
        ("classic", "min_duration", True),
        ("classic", "min_duration_ms", False),
        ("current", "min_duration", False),
        ("current", "min_duration_ms", True),
        ("both", "min_duration", True),
        ("both", "min_duration_ms", True),
    ],
)
def test_each_age_has_its_own_name_for_a_duration(clock, api, name, is_known):
    call = Caller(clock, api=api)
    family = "classic" if api == "classic" else "current"
    runs = [call.start("wf_echo", json_input={"seconds": seconds}, family=family) for seconds in (0.1, 3)]
    clock.tick(10)

    wanted = runs[1:] if is_known else runs[::-1]
    assert ids(call, **{name: "1000"}) == [run["id"] for run in wanted]


def test_search_finds_the_beginning_of_an_id(call, five):
    assert ids(call, search=five[2][:12]) == [five[2]]
    assert ids(call, search=five[2][4:]) == []


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_meet_every_run_once_in_both_directions(call, five, order):
    there, after = [], None
    while True:
        page = call.get(RUNS, order=order, limit="2", **({"after": after} if after else {}))
        there += [run["id"] for run in page["data"]]
        after = page["list_metadata"]["after"]
        if after is None:
            break
    assert there == (five if order == "asc" else five[::-1])

    back, before = page["data"], page["list_metadata"]["before"]
    back = [run["id"] for run in back]
    while before is not None:
        page = call.get(RUNS, order=order, limit="2", before=before)
        back = [run["id"] for run in page["data"]] + back
        before = page["list_metadata"]["before"]
    assert back == there


def test_no_run_is_seen_twice_when_others_come_in_between(call, five):
    first = call.get(RUNS, limit="3")
    call.start("wf_echo")

    assert ids(call, after=first["list_metadata"]["after"]) == five[1::-1]


def test_twenty_is_the_usual_page(call):
    for _ in range(21):
        call.start("wf_echo")

    assert len(ids(call)) == 20
    assert len(ids(call, limit="100")) == 21


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"limit": "0"}, 422),
        ({"limit": "101"}, 422),
        ({"limit": "many"}, 422),
        ({"limit": "9" * 30}, 422),
        ({"order": "sideways"}, 422),
        ({"status": "done"}, 422),
        ({"exclude_status": "done"}, 422),
        ({"trigger_type": "magic"}, 422),
        ({"from_date": "yesterday"}, 400),
        ({"to_date": "2026-13-01"}, 400),
        ({"from_date": "2026-03-02", "to_date": "2026-03-01"}, 422),
        ({"sort_by": "colour"}, 400),
        ({"metadata": "a=1"}, 422),
        ({"metadata": '{"a": 1}'}, 422),
        ({"min_duration_ms": "-1"}, 422),
        ({"before": "run_a", "after": "run_b"}, 400),
    ],
)
def test_what_makes_no_sense_is_refused(call, query, status):
    assert call("GET", RUNS, **query).status == status


@pytest.mark.parametrize(
    ("query", "classic", "both", "current"),
    [
        ({"sort_by": "created_at"}, 200, 200, 400),
        ({"sort_by": "timing.created_at"}, 400, 200, 200),
        ({"status": "waiting_for_human"}, 200, 200, 422),
        ({"status": "awaiting_review"}, 422, 200, 200),
        ({"status": "failed"}, 422, 200, 200),
        ({"after": "run_unknown"}, 200, 200, 422),
    ],
)
def test_each_age_knows_its_own_words(clock, query, classic, both, current):
    for api, status in {"classic": classic, "both": both, "current": current}.items():
        assert Caller(clock, api=api)("GET", RUNS, **query).status == status, api


def test_fields_slim_the_rows_down_where_they_are_known(call, clock, five):
    assert set(call.get(RUNS, fields="status,workflow_id")["data"][0]) == {"id", "status", "workflow_id"}
    strict = Caller(clock, api="current")
    strict.start("wf_echo", family="current")
    assert "timing" in strict.get(RUNS, fields="id")["data"][0]


def test_several_statuses_and_metadata_are_unknown_to_the_other_age(clock):
    current, classic = Caller(clock, api="current"), Caller(clock, api="classic")
    current.start("wf_echo", family="current")
    classic.start("wf_echo")

    assert len(ids(current, statuses="error")) == 1
    assert len(ids(classic, metadata='{"a": "1"}')) == 1


def test_a_run_is_listed_in_the_shape_of_the_routes_that_created_it(call):
    call.start("wf_echo")
    call.start("wf_echo", family="current")

    newest, oldest = call.get(RUNS)["data"]

    assert "lifecycle" in newest
    assert "status" in oldest


def test_a_bare_to_date_reaches_to_the_end_of_its_day(call, clock):
    clock.now = datetime(2026, 3, 1, 23, 59, 59, tzinfo=UTC).timestamp()
    run = call.start("wf_echo")

    assert ids(call, to_date="2026-03-01") == [run["id"]]
    assert ids(call, to_date="2026-02-28") == []
