"""Answers that are not the server's, or not of now: those of gateways, old rows, and rows that say little."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from retab_orchestration import CreateOutcomeUnknownError, RetabError, RetryPolicy, RunStatus
from retab_orchestration._http import Response
from retab_orchestration._operations import tags
from retab_orchestration._transport import session as sessions
from retab_orchestration.settings import Settings
from tests.retab_orchestration.test_struck_creates import (
    CREATE,
    LIST,
    OWNER,
    alter,
    created,
    echo,
    forget,
    is_call,
    retab,
    statuses,
    stranger,
)

__all__ = ["retab"]

NO_ROUTE = Response(404, b'{"detail": "Not Found"}')
NO_RUN = Response(404, b'{"detail": "Run not found"}')
NO_METHOD = Response(405)
HTML = Response(404, b"<html>")
SILENT = {
    "classic": ("classic", {}),
    "dropped": ("current", {"metadata": "dropped"}),
    "lagging": ("current", {"list_lag": 1000.0}),
}


def instead(runtime, answers):
    """Let `answers(request)` answer for the server wherever it does not return None."""
    sends = runtime.send

    async def send(request):
        answer = answers(request)
        if answer is None:
            return await sends(request)
        runtime.sent.append(request)
        runtime.sent_at.append(runtime.now())
        return answer

    runtime.send = send


def rows_as(runtime, change):
    def alters(request, response):
        if not is_call(request, LIST) or response.status != 200:
            return response
        page = json.loads(response.content)
        page["data"] = change(page["data"])
        return replace(response, content=json.dumps(page).encode())

    alter(runtime, alters)


@pytest.fixture
def silent(connect):
    """Start a client on a server that shows nobody which run an identity has."""

    def build(kind):
        api, traits = SILENT[kind]
        return connect(server=api, api=api, auth="bearer", traits={"idempotency": "ignored", **traits})

    return build


# ---- one's own run


@pytest.mark.parametrize("answer", [NO_ROUTE, NO_RUN, NO_METHOD, HTML], ids=["route", "run", "405", "html"])
@pytest.mark.parametrize("kind", SILENT)
@pytest.mark.parametrize("age", [1.0, 100.0])
def test_one_404_does_not_make_a_process_forget_its_own_run(silent, answer, kind, age):
    client, runtime = silent(kind)
    run = echo(client, identity=OWNER, adopt=True)
    runtime.clock.time += age
    until = runtime.now() + 3
    instead(
        runtime,
        lambda request: answer if request.path.endswith(run.id) and runtime.now() < until else None,
    )

    assert echo(client, identity=OWNER, adopt=True).id == run.id
    assert created(runtime) == 1


@pytest.mark.parametrize("kind", SILENT)
def test_nothing_is_created_where_a_gateway_never_lets_one_see_ones_own_run(silent, kind):
    client, runtime = silent(kind)
    run = echo(client, identity=OWNER, adopt=True)
    runtime.clock.time += 100
    instead(runtime, lambda request: NO_ROUTE if request.path.endswith(run.id) else None)

    with pytest.raises(RetabError):
        echo(client, identity=OWNER, adopt=True)
    assert created(runtime) == 1


@pytest.mark.parametrize("url", ["http://RETAB.test", "http://retab.test:80", "http://retab.test./v1/"])
@pytest.mark.parametrize("kind", SILENT)
def test_a_server_is_the_same_however_its_address_is_spelled(silent, kind, url):
    client, _ = silent(kind)
    run = echo(client, identity=OWNER, adopt=True)
    settings = Settings(api_key="key-1", base_url=url, api=SILENT[kind][0], auth="bearer")
    client._session.settings = settings

    assert echo(client, identity=OWNER, adopt=True).id == run.id


def test_the_last_of_two_interrupted_creates_is_looked_for(retab):
    client, runtime = retab(list_lag=5.0)
    acts = [False, True]

    def strikes(request):
        if is_call(request, CREATE) and acts and not acts.pop(0):
            raise KeyboardInterrupt

    def strikes_after(request, response):
        if is_call(request, CREATE) and len(acts) == 0 and created(runtime) == 1:
            raise KeyboardInterrupt
        return response

    sends = runtime.send
    instead(runtime, strikes)
    alter(runtime, strikes_after)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            echo(client, identity=OWNER, adopt=True)
        runtime.clock.time += 100 if not created(runtime) else 1
    runtime.send = sends

    echo(client, identity=OWNER, adopt=True)

    assert created(runtime) == 1


# ---- routes


def test_a_create_that_finds_other_routes_looks_for_its_run_in_those(connect):
    client, runtime = connect(server="current", traits={"idempotency": "ignored"})
    run = echo(client, identity=OWNER, adopt=True)
    forget()
    sessions._found.clear()
    runtime.clock.time += 100
    asked = []

    def flaps(request):
        if "steps" in request.path and len(asked) < 2:
            asked.append(request)
            return NO_ROUTE
        return None

    instead(runtime, flaps)

    assert echo(client, identity=OWNER, adopt=True).id == run.id
    assert created(runtime) == 1


# ---- rows


@pytest.mark.parametrize("is_lost", [True, False])
def test_an_old_run_on_top_of_a_list_does_not_end_a_search(retab, is_lost):
    client, runtime = retab(metadata="unfiltered")
    other = stranger(runtime)
    other.created_at -= 10 * 86400
    runtime.service.state.add_run(other)
    rows_as(runtime, lambda rows: sorted(rows, key=lambda row: row["timing"]["created_at"]))
    owner = replace(OWNER, since=datetime.fromtimestamp(runtime.clock(), UTC))
    if is_lost:
        runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])
    else:
        echo(client, identity=owner, adopt=True)
        forget()
        runtime.clock.time += 100

    echo(client, identity=owner, adopt=True)

    assert statuses(client, runtime)[1:] == ["running"]


def test_old_runs_on_top_of_a_list_are_not_read_without_end(retab, monkeypatch):
    client, runtime = retab(metadata="unfiltered")
    monkeypatch.setattr(tags, "MOST_ROWS", 20)
    for number in range(30):
        other = stranger(runtime)
        other.id, other.created_at = f"run_old_{number}", other.created_at - (20 * 86400 - number)
        runtime.service.state.add_run(other)
    rows_as(runtime, lambda rows: sorted(rows, key=lambda row: row["timing"]["created_at"]))
    owner = replace(OWNER, since=datetime.fromtimestamp(runtime.clock(), UTC))
    before = created(runtime)

    with pytest.raises(CreateOutcomeUnknownError, match="not among the newest"):
        echo(client, identity=owner, adopt=True)
    assert created(runtime) == before


@pytest.mark.parametrize("value", [None, {}], ids=["null", "empty"])
@pytest.mark.parametrize("is_lost", [True, False])
def test_a_row_of_a_filtered_list_that_shows_no_tags_is_read_anew(retab, value, is_lost):
    client, runtime = retab()
    rows_as(runtime, lambda rows: [{**row, "metadata": value} for row in rows])
    if is_lost:
        runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])
    else:
        echo(client, identity=OWNER, adopt=True)
        forget()

    echo(client, identity=OWNER, adopt=True)

    assert statuses(client, runtime) == ["running"]


def test_a_list_that_does_not_page_may_have_more(retab):
    client, runtime = retab(metadata="unfiltered")
    echo(client, identity=OWNER, adopt=True)
    forget()
    for number in range(150):
        other = stranger(runtime)
        other.id = f"run_other_{number}"
        runtime.clock.time += 1
        runtime.service.state.add_run(other)
    before = created(runtime)
    sends = runtime.send

    async def ignores_cursors(request):
        if is_call(request, LIST):
            request = replace(request, query=tuple(pair for pair in request.query if pair[0] != "after"))
        return await sends(request)

    runtime.send = ignores_cursors

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client, identity=OWNER, adopt=True)
    assert created(runtime) == before


def test_an_old_row_is_not_returned_for_what_has_failed(retab):
    client, runtime = retab()
    first = echo(client, identity=OWNER, adopt=True)
    forget()
    client.cancel_run(first.id)
    rows_as(runtime, lambda rows: [{**row, "lifecycle": {"status": "running"}} for row in rows])
    runtime.clock.time += 100

    run = echo(client, identity=OWNER, adopt=True)

    assert run.id != first.id
    assert run.status is RunStatus.RUNNING


# ---- twins


@pytest.mark.parametrize("which", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("answer", [NO_ROUTE, NO_RUN], ids=["route", "run"])
@pytest.mark.parametrize("seconds", [3.0, 1000.0])
def test_a_twin_that_is_not_found_for_a_while_is_not_forgotten(retab, caplog, which, answer, seconds):
    client, runtime = retab()
    runs = [echo(client, identity=OWNER), echo(client, identity=OWNER)]
    forget()
    hidden, until = {runs[number].id for number in which}, runtime.now() + seconds

    def hides(request):
        is_hidden = request.method == "GET" and request.path.rsplit("/", 1)[1] in hidden
        return answer if is_hidden and runtime.now() < until else None

    instead(runtime, hides)

    assert echo(client, identity=OWNER, adopt=True).id == runs[0].id
    told = "which of them goes on could not be seen" in caplog.text
    runtime.clock.time = 2e9
    assert [run.cancelled_at is None for run in runtime.service.state.runs.values()] == [True, told]
    assert told is (seconds > 100)


# ---- restarts


@pytest.mark.parametrize("api", ["classic", "current"])
def test_a_restart_that_failed_is_not_returned_for_ever(connect, api):
    client, runtime = connect(server=api, api=api, auth="bearer")
    source = echo(client)
    client.cancel_run(source.id)
    restarted = []
    for _ in range(3):
        restarted.append(client.restart_run(source.id, identity=OWNER, adopt=True).id)
        runtime.clock.time += 50
        client.cancel_run(restarted[-1])
        runtime.clock.time += 50
        forget()

    assert len(set(restarted)) == 3


# ---- clocks


@pytest.mark.parametrize("identity", [None, OWNER])
def test_a_run_that_fails_at_once_by_two_clocks_of_its_server_is_not_created_again(retab, identity):
    client, runtime = retab(idempotency="ignored")

    def fails(request, response):
        if not is_call(request, CREATE):
            return response
        run = json.loads(response.content)
        times = {"created_at": "2026-03-01T11:59:52Z", "completed_at": "2026-03-01T12:00:00Z"}
        run |= {"lifecycle": {"status": "error"}, "status": "error", "timing": {**run["timing"], **times}}
        return replace(response, content=json.dumps(run).encode())

    alter(runtime, fails)

    assert echo(client, identity=identity, adopt=identity is not None).status is RunStatus.ERROR
    assert created(runtime) == 1


@pytest.mark.parametrize("metadata", ["kept", "unfiltered"])
@pytest.mark.parametrize("identity", [None, OWNER])
def test_a_run_that_fails_at_once_is_one_in_whatever_zone_its_server_writes(retab, identity, metadata):
    client, runtime = retab(idempotency="ignored", metadata=metadata)
    echo(client, 2)

    def fails(request, response):
        if not is_call(request, CREATE):
            return response
        run = json.loads(response.content)
        times = {"created_at": "2026-03-01T07:00:00", "completed_at": "2026-03-01T12:00:00Z"}
        run |= {"lifecycle": {"status": "error"}, "status": "error", "timing": {**run["timing"], **times}}
        return replace(response, content=json.dumps(run).encode())

    alter(runtime, fails)

    assert echo(client, identity=identity, adopt=identity is not None).status is RunStatus.ERROR
    assert created(runtime) == 2


# ---- waits


@pytest.mark.parametrize("status", [302, 304, 400, 409, 410, 418, 421, 425, 460, 499])
@pytest.mark.parametrize("runs", [1, 4])
def test_what_only_a_gateway_says_of_a_run_that_was_seen_ends_no_wait(connect, status, runs):
    client, runtime = connect(server="current", api="current", auth="bearer")
    run = echo(client)
    began = runtime.now()
    answer = Response(status, b"<html>", {"location": "https://elsewhere.test"})

    def says(request):
        is_its = request.path.endswith(run.id)
        return answer if is_its and began + 10 < runtime.now() < began + 15 + runs else None

    instead(runtime, says)

    assert client.wait_for_run(run.id).status is RunStatus.COMPLETED


def test_a_redirect_of_the_first_look_is_told_at_once(connect):
    client, runtime = connect(server="current", api="current", auth="bearer")
    run = echo(client)
    instead(runtime, lambda _: Response(302, b"", {"location": "https://elsewhere.test"}))

    with pytest.raises(RetabError, match="the server sends elsewhere"):
        client.wait_for_run(run.id)


def test_a_server_that_asks_for_an_hour_is_looked_at_before(connect):
    client, runtime = connect(server="current", api="current", auth="bearer")
    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 60}})
    began = runtime.now()
    busy = Response(503, b"", {"retry-after": "3600"})
    instead(runtime, lambda _: busy if began + 10 < runtime.now() < began + 15 else None)

    assert client.wait_for_run(run.id).status is RunStatus.COMPLETED
    assert runtime.now() - began < 180


@pytest.mark.parametrize(
    "answer", [NO_ROUTE, NO_RUN, Response(503), Response(499), Response(200, b"x")], ids=range(5)
)
@pytest.mark.parametrize("api", ["auto", "current", "classic"])
def test_an_outage_at_its_start_does_not_end_a_wait_for_tests(connect, answer, api):
    auth = "auto" if api == "auto" else "bearer"
    client, runtime = connect(server="both" if api == "auto" else api, api=api, auth=auth)
    test_run = client.create_test_run("wf_invoice")
    sessions._found.clear()
    until = runtime.now() + 8
    instead(runtime, lambda _: answer if runtime.now() < until else None)

    assert client.wait_for_test_run(test_run.id).status.is_terminal


def test_the_word_for_tests_is_not_turned_by_a_gateway(connect):
    client, runtime = connect(server="current", api="current", auth="bearer", retry=RetryPolicy(attempts=1))
    test_run = client.create_test_run("wf_invoice")
    word = client._session.tests_word
    until = runtime.now() + 5
    instead(runtime, lambda _: NO_ROUTE if runtime.now() < until else None)
    with pytest.raises(RetabError):
        client.get_test_run(test_run.id)
    runtime.clock.time += 10

    assert client.get_test_run(test_run.id).id == test_run.id
    assert client._session.tests_word == word
