"""Lists of runs, on servers that have other words, know days only, or page another way."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from retab_orchestration import RunStatus
from retab_orchestration._http import Response
from tests.retab_orchestration.conftest import ok

BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)


def row(number, status, created=None):
    moment = created or BEGAN + timedelta(hours=number)
    return {
        "id": f"run_{number}",
        "lifecycle": {"status": status},
        "timing": {"created_at": moment.isoformat(), "started_at": (moment + timedelta(days=9)).isoformat()},
    }


class Server:
    """Answers the list from rows, two a page, and takes the words for a state to the letter."""

    def __init__(self, rows, *, knows=("error", "failed")):
        self.rows = rows
        self.knows = knows
        self.queries = []

    def answer(self, request):
        query = dict(request.query)
        self.queries.append(query)
        if query.get("status", "error") not in self.knows:
            return Response(422, b"{}")
        rows = [each for each in self.rows if each["lifecycle"]["status"] == query.get("status", "")] or (
            [] if "status" in query else self.rows
        )
        rows = [each for each in rows if each["lifecycle"]["status"] != query.get("exclude_status")]
        rows = sorted(
            rows,
            key=lambda each: each["timing"][query.get("sort_by", "timing.created_at").split(".")[1]],
            reverse=query.get("order", "desc") == "desc",
        )
        ids = [each["id"] for each in rows]
        if "before" in query:
            end = ids.index(query["before"]) if query["before"] in ids else len(ids)
            start = max(0, end - 2)
        else:
            start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
            end = min(start + 2, len(ids))
        page = {
            "before": ids[start] if start > 0 else None,
            "after": ids[end - 1] if end < len(ids) else None,
        }
        return ok({"data": rows[start:end], "list_metadata": page})


@pytest.fixture
def serve(script):
    def build(rows, api="current", **options):
        client, runtime = script(api=api)
        server = Server(rows, **options)

        async def send(request):
            return server.answer(request)

        runtime.send = send
        return client, server

    return build


ROWS = [
    row(1, "error"),
    row(2, "failed"),
    row(3, "completed"),
    row(4, "failed"),
    row(5, "error"),
    row(6, "failed"),
]


def numbers(runs):
    return [int(run.id.removeprefix("run_")) for run in runs]


@pytest.mark.parametrize("word", ["error", "failed", RunStatus.ERROR])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [6, 5, 4, 2, 1]),
        ({"order": "desc"}, [6, 5, 4, 2, 1]),
        ({"order": "asc"}, [1, 2, 4, 5, 6]),
        ({"sort_by": "started_at"}, [6, 5, 4, 2, 1]),
    ],
)
def test_whoever_asks_for_failed_runs_gets_those_of_either_word(serve, word, options, expected):
    client, _ = serve(ROWS)

    assert numbers(client.iter_runs(status=word, **options)) == expected


def test_a_server_with_one_word_for_both_gives_each_run_once(serve, connect):
    client, runtime = connect(server="current", api="current", auth="bearer")
    runs = [client.create_run("wf_fail", json_inputs={"json-node-1": {"message": "m"}}) for _ in range(3)]
    for run in runs:
        client.wait_for_run(run.id)
        runtime.clock.time += 5

    assert [run.id for run in client.iter_runs(status="failed")] == [run.id for run in reversed(runs)]


def test_a_server_that_does_not_know_a_word_has_no_such_runs(serve):
    client, _ = serve(ROWS, knows=("error",))

    assert numbers(client.iter_runs(status="failed")) == [5, 1]


def test_classic_servers_are_asked_once(serve):
    client, server = serve([row(1, "error")], api="classic")
    server.rows[0]["timing"] = {"created_at": BEGAN.isoformat()}

    assert numbers(client.iter_runs(status="failed")) == [1]
    assert [query["status"] for query in server.queries] == ["error"]


@pytest.mark.parametrize("word", ["error", "failed"])
def test_whoever_excludes_failed_runs_gets_those_of_neither_word(serve, word):
    client, _ = serve(ROWS)

    assert numbers(client.iter_runs(exclude_status=word)) == [3]
    assert numbers(client.list_runs(exclude_status=word)) in ([], [3])


def test_one_page_is_asked_for_in_the_word_that_the_server_was_seen_to_use(serve):
    client, server = serve(ROWS)

    assert numbers(client.list_runs(status="failed")) == [5, 1]
    client.list_runs()
    assert numbers(client.list_runs(status="error")) == [6, 4]
    assert [query.get("status") for query in server.queries] == ["error", None, "failed"]


# ---- moments


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"from_date": BEGAN + timedelta(hours=4)}, [6, 5, 4]),
        ({"from_date": (BEGAN + timedelta(hours=4)).replace(tzinfo=None)}, [6, 5, 4]),
        ({"to_date": BEGAN + timedelta(hours=4)}, [4, 3, 2, 1]),
        ({"from_date": BEGAN + timedelta(hours=2), "to_date": BEGAN + timedelta(hours=3)}, [3, 2]),
        ({"from_date": date(2026, 3, 1), "to_date": "2026-03-01"}, [6, 5, 4, 3, 2, 1]),
    ],
)
def test_a_moment_is_exact_and_a_day_is_a_day(serve, given, expected):
    client, server = serve(ROWS)

    assert numbers(client.iter_runs(**given)) == expected
    assert {query.get("from_date", query.get("to_date")) for query in server.queries} == {"2026-03-01"}


def test_pages_whose_runs_are_all_outside_of_a_moment_do_not_end_a_list(serve):
    client, server = serve(ROWS)

    assert numbers(client.iter_runs(to_date=BEGAN + timedelta(hours=1))) == [1]
    assert len(server.queries) == 3


# ---- pages


def test_a_page_iterates_over_its_runs(serve):
    client, _ = serve(ROWS)

    assert [run.id for run in client.list_runs(limit=2)] == ["run_6", "run_5"]
    assert json.loads(client.list_runs().model_dump_json())["data"][0]["id"] == "run_6"


@pytest.mark.parametrize(("order", "expected"), [("desc", [3, 4, 5, 6]), ("asc", [1])])
def test_all_before_a_run_come_nearest_first(serve, order, expected):
    client, _ = serve(ROWS)

    assert numbers(client.iter_runs(before="run_2", order=order)) == expected


def test_all_failed_ones_before_a_run_come_nearest_first(serve):
    client, _ = serve([*ROWS, row(7, "error"), row(8, "failed")])

    assert numbers(client.iter_runs(status="failed", before="run_1")) == [2, 4, 5, 6, 7, 8]
