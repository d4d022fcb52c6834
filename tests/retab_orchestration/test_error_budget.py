"""How long the looks of a wait may fail: every course of failures, and many waits through one outage."""

from itertools import product
from pathlib import Path

import pytest

from retab_orchestration import (
    NotFoundError,
    OutputsUnavailableError,
    PermissionDeniedError,
    PollPolicy,
    RunStatus,
    ServerError,
    UnsupportedRouteError,
)
from retab_orchestration._http import Response
from retab_orchestration.policies import ErrorBudget, KeyRefusals, Trouble
from retab_orchestration.settings import Settings
from tests.retab_orchestration.test_watch import World

PDF = Path(__file__).parents[1] / "samples" / "documents" / "invoice.pdf"
# Which only the steps have.
OUTPUT = {"output_nodes": ["extract-node-1"]}
OUTAGE, MISSING = Trouble.OUTAGE, Trouble.MISSING


def after(*looks):
    """Return a budget of 600 s that has seen these looks, `(what, when)`; None is an answer."""
    budget = ErrorBudget(600.0)
    for trouble, at in looks:
        if trouble is None:
            budget.understood(at)
        else:
            budget.failed(trouble, at)
    return budget


BEFORE = {
    # what was seen before a failure at 1000 s -> since when an outage lasts, and how many 404s count already
    "nothing": ((), None, 0, True),
    "an answer": (((None, 0.0),), None, 0, False),
    "an outage": (((OUTAGE, 500.0),), 500.0, 0, False),
    "an outage of ten minutes": (((OUTAGE, 400.0),), 400.0, 0, False),
    "an outage, then an answer": (((OUTAGE, 300.0), (None, 900.0)), None, 0, False),
    "an outage, then a 404": (((OUTAGE, 300.0), (MISSING, 900.0)), None, 1, False),
    "a 404 at first": (((MISSING, 0.0),), None, 0, False),
    "two late 404s": (((None, 0.0), (MISSING, 900.0), (MISSING, 930.0)), None, 2, False),
    "two late 404s, then an answer": (
        ((None, 0.0), (MISSING, 900.0), (MISSING, 930.0), (None, 960.0)),
        None,
        0,
        False,
    ),
    "two late 404s with an outage between": (
        ((None, 0.0), (MISSING, 900.0), (OUTAGE, 930.0), (MISSING, 960.0)),
        None,
        2,
        False,
    ),
}


@pytest.mark.parametrize(("seen", "trouble"), list(product(BEFORE, Trouble)))
def test_whether_a_look_that_fails_is_followed_by_another(seen, trouble):
    looks, outage_since, missing, is_first = BEFORE[seen]

    goes_on = after(*looks).failed(trouble, 1000.0)

    if trouble is OUTAGE:
        assert goes_on is (outage_since is None or outage_since + 600.0 > 1000.0)
    else:
        assert goes_on is (is_first or missing + 1 < 3)


@pytest.mark.parametrize(("at", "counts"), [(0.0, False), (59.9, False), (60.0, True)])
def test_a_404_counts_from_a_minute_after_the_first_look(at, counts):
    budget = after((None, 0.0))

    assert [budget.failed(MISSING, at) for _ in range(3)] == [True, True, not counts]


@pytest.mark.parametrize(("grace", "at"), [(0.0, 0.0), (5.0, 5.0), (600.0, 600.0)])
def test_a_404_counts_once_its_grace_is_over(grace, at):
    budget = ErrorBudget(600.0, not_found_grace=grace)
    budget.understood(0.0)

    assert not grace or all(budget.failed(MISSING, at - 0.1) for _ in range(3))
    assert [budget.failed(MISSING, at) for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("refusals", "becomes"),
    [
        ([(0, False)], 25.0),
        ([(0, False), (25, False)], 25.0),
        ([(0, False), (25, False), (50, False)], None),
        ([(0, True)], 0.0),
        ([(0, False), (25, False), (50, True)], 0.0),
        ([(0, False), (25, True), (25, False), (50, False)], 25.0),
        ([(0, False), (25, True), (25, False), (50, False), (75, False)], None),
        ([(0, False), (25, False), (90_000, False)], 25.0),
    ],
)
def test_how_often_a_refused_key_is_tried(refusals, becomes):
    keys = KeyRefusals()

    for now, is_changed in refusals:
        pause = keys.pause_after(float(now), is_changed=is_changed)

    assert pause == becomes


@pytest.fixture
def world(clock):
    return World(clock)


def failing(world, began, ended, code=503):
    """Let every request fail between two moments."""
    send = world.runtime.send

    async def sometimes(request):
        down = began <= world.runtime.now() < ended
        world.service.faults.post([{"match": "GET *", "kind": f"http_{code}", "times": 9999}] if down else [])
        return await send(request)

    world.runtime.send = sometimes


@pytest.mark.parametrize("seconds", [20, 590])
@pytest.mark.parametrize("code", [503, 429])
def test_an_outage_within_the_budget_ends_none_of_fifty_waits(world, seconds, code):
    run_ids = [world.start(700) for _ in range(50)]
    failing(world, 30.0, 30.0 + seconds, code)
    told = []

    results = world.wait(run_ids, on_outage=told.append)

    assert {result.status for result in results} == {RunStatus.COMPLETED}
    assert 0 < sum(each is None for each in told) <= 50
    assert len(told) == 2 * sum(each is None for each in told)


def test_an_outage_that_does_not_end_ends_the_waits_after_the_budget(world):
    run_ids = [world.start(5000) for _ in range(5)]
    failing(world, 30.0, 1e9)

    results = world.wait(run_ids, poll=PollPolicy(error_budget=120.0))

    assert {type(result) for result in results} == {ServerError}
    assert 150.0 <= world.runtime.now() < 200.0


def answering(world, began, ended, answer):
    """Let something that stands before the server answer for it between two moments."""
    send = world.runtime.send

    async def sometimes(request):
        if not began <= world.runtime.now() < ended:
            return await send(request)
        world.runtime.sent.append(request)
        return answer

    world.runtime.send = sometimes


HTML = Response(404, b"<html><title>404 Not Found</title></html>", {"content-type": "text/html"})
NO_ROUTE = Response(404, b'{"detail": "Not Found"}', {"content-type": "application/json"})


@pytest.mark.parametrize("runs", [1, 50])
@pytest.mark.parametrize(("answer", "seconds"), [(HTML, 5), (HTML, 15), (NO_ROUTE, 20), (NO_ROUTE, 400)])
def test_a_gateway_that_knows_no_run_for_a_while_ends_no_wait(world, runs, answer, seconds):
    run_ids = [world.start(700) for _ in range(runs)]
    answering(world, 120.0, 120.0 + seconds, answer)

    results = world.wait(run_ids)

    assert {result.status for result in results} == {RunStatus.COMPLETED}


def test_a_run_that_is_not_found_any_more_ends_its_wait_within_minutes(world):
    run_ids = [world.start(5000) for _ in range(3)]
    answering(world, 120.0, 1e9, HTML)

    results = world.wait(run_ids)

    assert {type(result) for result in results} == {NotFoundError}
    assert world.runtime.now() < 300.0


def test_a_route_that_was_never_there_ends_a_wait_within_minutes(world):
    answering(world, 0.0, 1e9, NO_ROUTE)
    world.client._session.settings = Settings(
        api_key="key-1", base_url="http://retab.test", api="current", auth="bearer"
    )

    assert [type(result) for result in world.wait(["run_1"])] == [UnsupportedRouteError]
    assert world.runtime.now() < 300.0


# ---- the outputs of a run that was waited for


def completed(connect, **options):
    client, runtime = connect(server="current", **options)
    return client, runtime, client.create_run("wf_invoice", documents={"start-node-1": PDF})


def test_outputs_are_read_through_an_outage(connect):
    client, runtime, run = completed(connect)
    runtime.service.faults.post([{"match": "GET /v1/workflows/steps*", "kind": "http_503", "times": 20}])
    told = []

    waited = client.wait_for_run(run.id, **OUTPUT, on_outage=told.append)

    assert waited.final_outputs
    assert [type(each) for each in told] == [ServerError, type(None)]


def test_outputs_that_cannot_be_read_are_told_with_the_run_and_read_by_the_next_wait(connect):
    client, runtime, run = completed(connect)
    runtime.service.faults.post([{"match": "GET /v1/workflows/steps*", "kind": "http_500", "times": 10_000}])

    with pytest.raises(OutputsUnavailableError) as caught:
        client.wait_for_run(run.id, **OUTPUT, poll=PollPolicy(error_budget=100.0))

    error = caught.value
    assert (error.run_id, error.run.status, error.retryable) == (run.id, RunStatus.COMPLETED, True)
    assert "is completed, but its outputs could not be read" in str(error)
    assert isinstance(error.__cause__, ServerError)
    before = runtime.now()
    runtime.service.faults.post([])
    assert client.wait_for_run(run.id, **OUTPUT).final_outputs
    assert runtime.now() - before < 2


@pytest.mark.parametrize(("timeout", "least", "most"), [(30.0, 60.0, 200.0), (None, 600.0, 760.0)])
def test_outputs_are_tried_for_a_minute_however_near_the_deadline_is(connect, timeout, least, most):
    client, runtime, run = completed(connect)
    runtime.service.faults.post([{"match": "GET /v1/workflows/steps*", "kind": "http_500", "times": 10_000}])
    before = runtime.now()

    with pytest.raises(OutputsUnavailableError):
        client.wait_for_run(run.id, **OUTPUT, timeout=timeout)

    assert least <= runtime.now() - before < most


def test_outputs_that_are_refused_are_not_asked_for_again(connect):
    client, runtime, run = completed(connect)
    runtime.service.faults.post([{"match": "GET /v1/workflows/steps*", "kind": "http_403", "times": 10_000}])

    with pytest.raises(PermissionDeniedError):
        client.wait_for_run(run.id, **OUTPUT)
