"""Servers are a matrix; what is promised for each cell is the table in docs/servers.md, and holds."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import pytest

from retab_orchestration import CreateOutcomeUnknownError, RunIdentity
from retab_orchestration._operations import process_runs, tags

PAGE = Path(__file__).parents[2] / "docs" / "servers.md"
ROUTES = ("classic", "current")
KEYS = ("compared", "honoured", "ignored")
TAGS = {"filtered": "kept", "unfiltered": "unfiltered", "dropped": "dropped"}
LISTS = {"at once": 0.0, "lag": 10.0}
CELLS = list(product(ROUTES, KEYS, TAGS, LISTS))
ONE, UNKNOWN = "exactly one", "cannot be known"
IDENTITY = RunIdentity.of("a task")
INPUTS = {"json_inputs": {"json-node-1": {"seconds": 600}}}


def promises():
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith(("| classic", "| current"))
    ]
    found = {}
    for routes, key, kept, listed, *promised in rows:
        columns = ((routes, ROUTES), (key, KEYS), (kept, TAGS), (listed, LISTS))
        for cell in product(*(tuple(every) if said == "any" else (said,) for said, every in columns)):
            assert cell not in found, f"{cell} stands twice"
            found[cell] = promised
    return found


PROMISED = promises()


def test_the_page_has_every_cell():
    assert set(PROMISED) == set(CELLS)
    assert {said for row in PROMISED.values() for said in row} == {ONE, UNKNOWN}


@pytest.fixture(params=CELLS, ids="-".join)
def cell(request):
    return request.param


@pytest.fixture
def server(connect, cell):
    routes, key, kept, listed = cell
    traits = {"idempotency": key, "metadata": TAGS[kept], "list_lag": LISTS[listed]}
    client, runtime = connect(server=routes, api=routes, auth="bearer", traits=traits)
    client.create_run("wf_echo")  # somebody else's, long ago
    runtime.clock.time += 3600
    return client, runtime


def alive(runtime):
    runs = list(runtime.service.state.runs.values())[1:]
    return [run for run in runs if run.cancelled_at is None]


@pytest.mark.parametrize("kind", ["reset_before", "reset_after", "timeout_after", "http_503", "garbage"])
def test_a_lost_answer(server, cell, kind):
    client, runtime = server
    runtime.service.faults.post([{"match": "POST /v1/workflows*run*", "kind": kind}])
    before = runtime.service.stats()["runs_created"]

    if PROMISED[cell][0] == ONE:
        run = client.create_run("wf_echo", **INPUTS)
        assert [each.id for each in alive(runtime)] == [run.id]
    else:
        with pytest.raises(CreateOutcomeUnknownError):
            client.create_run("wf_echo", **INPUTS)
        assert len(alive(runtime)) == (1 if kind in {"reset_after", "timeout_after"} else 0)
        assert sum(name.startswith("POST") for name in runtime.requests) == 2
    assert runtime.service.stats()["runs_created"] - before <= 1


@pytest.mark.parametrize("took_effect", [True, False])
def test_a_process_that_dies_while_it_creates(server, cell, took_effect):
    client, runtime = server
    begun = datetime.fromtimestamp(runtime.clock(), UTC)
    if took_effect:
        client.create_run("wf_echo", identity=IDENTITY, **INPUTS)
    tags._known.clear()
    tags._created.clear()
    process_runs._own.clear()
    runtime.clock.time += 2

    again = replace(IDENTITY, begun=begun)
    if PROMISED[cell][1] == UNKNOWN:
        assert client.can_find_runs() is False  # a host sends nothing then
        return
    assert client.can_find_runs() is True
    run = client.create_run("wf_echo", identity=again, adopt=True, **INPUTS)
    assert [each.id for each in alive(runtime)] == [run.id]


def test_two_creates_of_one_owner_with_other_inputs(server, cell):
    client, runtime = server
    owner = RunIdentity.of("a flow run", on_mismatch="create")

    runs = {
        client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 600 + n}}, identity=owner).id
        for n in range(2)
    }

    assert len(runs) == len(alive(runtime)) == 2
