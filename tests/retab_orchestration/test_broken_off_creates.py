"""A create that was broken off in this process, twins whose rows are old, and servers that show little of a run."""

import json
from dataclasses import replace

import pytest

from retab_orchestration import CreateOutcomeUnknownError, RunIdentity, RunStatus
from retab_orchestration._http import Response
from tests.retab_orchestration.test_struck_creates import (
    CREATE,
    LIST,
    OWNER,
    alter,
    created,
    echo,
    forget,
    is_call,
    metadata_as,
    retab,
    statuses,
    stranger,
    without_metadata,
)

__all__ = ["retab"]

ANY_CREATE = "POST /v1/workflows/*run*"
SEVERAL = replace(OWNER, on_mismatch="create")


class StruckError(BaseException):
    """What a signal's handler raises, or an event loop that cancels a task."""


def break_off(runtime, sendings=1):
    """Let the first creates act, and raise in the middle of the caller instead of answering."""
    left = [sendings]

    def strikes(request, response):
        if request.method == "POST" and request.path.startswith("/v1/workflows/") and left[0]:
            left[0] -= 1
            raise StruckError
        return response

    alter(runtime, strikes)


# ---- the same call again, in the same process


@pytest.mark.parametrize("owner", [OWNER, SEVERAL], ids=["one run", "several"])
@pytest.mark.parametrize("idempotency", ["ignored", "honoured", "compared"])
@pytest.mark.parametrize("metadata", ["kept", "unfiltered"])
@pytest.mark.parametrize("lag", [0.0, 20.0])
def test_a_create_that_was_interrupted_is_found_by_the_same_call(retab, owner, idempotency, metadata, lag):
    client, runtime = retab(idempotency=idempotency, metadata=metadata, list_lag=lag)
    break_off(runtime)
    with pytest.raises(StruckError):
        echo(client, identity=owner, adopt=True)

    run = echo(client, identity=owner, adopt=True)

    assert [*runtime.service.state.runs] == [run.id]


@pytest.mark.parametrize("lag", [0.0, 20.0])
def test_a_create_whose_outcome_is_unknown_is_found_by_the_same_call(retab, lag):
    client, runtime = retab(list_lag=lag)
    create = {"match": CREATE, "kind": "reset_after", "times": 9}
    runtime.service.faults.post([create, {"match": LIST, "kind": "http_500", "nth": 2, "times": 999}])
    with pytest.raises(CreateOutcomeUnknownError):
        echo(client, identity=OWNER, adopt=True)
    runtime.service.faults.post([])

    run = echo(client, identity=OWNER, adopt=True)

    assert [*runtime.service.state.runs] == [run.id]


@pytest.mark.parametrize("server", ["classic", "dropped"])
@pytest.mark.parametrize("how", ["interrupted", "lost"])
def test_a_create_that_nothing_finds_is_not_sent_again_by_the_same_call(connect, server, how):
    api = "classic" if server == "classic" else "current"
    traits = {"metadata": "dropped"} if server == "dropped" else {}
    client, runtime = connect(server=api, api=api, auth="bearer", traits={"idempotency": "ignored", **traits})
    echo(client)
    if how == "lost":
        runtime.service.faults.post([{"match": ANY_CREATE, "kind": "reset_after", "times": 9}])
    else:
        break_off(runtime)
    with pytest.raises((CreateOutcomeUnknownError, StruckError)):
        echo(client, identity=OWNER, adopt=True)
    before = created(runtime)
    runtime.service.faults.post([])

    with pytest.raises(CreateOutcomeUnknownError, match="was cut off at"):
        echo(client, identity=OWNER, adopt=True)

    assert created(runtime) == before


def test_a_create_that_was_refused_is_not_looked_for_for_long(retab):
    client, runtime = retab()
    runtime.service.faults.post([{"match": CREATE, "kind": "http_422"}])
    with pytest.raises(Exception, match="422"):
        echo(client, identity=OWNER, adopt=True)
    before = runtime.clock()

    echo(client, identity=OWNER, adopt=True)

    assert runtime.clock() - before < 1


def test_another_identity_is_not_held_up_by_one_that_was_interrupted(retab):
    client, runtime = retab()
    break_off(runtime)
    with pytest.raises(StruckError):
        echo(client, identity=SEVERAL, adopt=True)
    before = runtime.clock()

    echo(client, 2, identity=SEVERAL, adopt=True)
    echo(client, identity=RunIdentity.of("another"), adopt=True)

    assert runtime.clock() - before < 1
    assert created(runtime) == 3


@pytest.mark.parametrize("metadata", ["kept", "dropped"])
@pytest.mark.parametrize("lag", [0.0, 1000.0])
@pytest.mark.parametrize("failures", [2, 3])
def test_a_run_that_fails_within_a_second_is_not_returned_for_ever(retab, metadata, lag, failures):
    client, runtime = retab(idempotency="honoured", metadata=metadata, list_lag=lag)
    for _ in range(failures):
        client.cancel_run(echo(client, identity=OWNER, adopt=True).id)

    assert echo(client, identity=OWNER, adopt=True).status is RunStatus.RUNNING
    assert created(runtime) == failures + 1


# ---- twins


def rows_as_of_creation(request, response):
    """Show every run in the list as it was when it was created."""
    if not is_call(request, LIST):
        return response
    page = json.loads(response.content)
    for row in page["data"]:
        row["lifecycle"] = {"status": "running"}
        row["status"] = "running"
    return replace(response, content=json.dumps(page).encode())


def twins(client):
    runs = [echo(client, identity=OWNER), echo(client, identity=OWNER)]
    forget()
    return runs


def test_an_old_row_does_not_cancel_the_only_good_run(retab):
    client, runtime = retab()
    older, younger = twins(client)
    client.cancel_run(older.id)
    alter(runtime, rows_as_of_creation)

    assert echo(client, identity=OWNER, adopt=True).id == younger.id
    assert statuses(client, runtime) == ["cancelled", "running"]


def test_of_rows_that_are_all_old_none_is_returned(retab):
    client, runtime = retab()
    for run in twins(client):
        client.cancel_run(run.id)
    alter(runtime, rows_as_of_creation)

    run = echo(client, identity=OWNER, adopt=True)

    assert run.status is RunStatus.RUNNING
    assert statuses(client, runtime) == ["cancelled", "cancelled", "running"]


def test_the_younger_one_is_kept_where_it_is_completed(retab):
    client, runtime = retab()
    older = echo(client, identity=OWNER)
    runtime.clock.time += 1
    younger = echo(client, identity=OWNER)
    forget()
    state = runtime.service.state
    state.runs[younger.id].duration = 0.0

    def completed(request, response):
        if younger.id not in response.content.decode() or request.method != "GET":
            return response
        return replace(response, content=_completed(json.loads(response.content), younger.id))

    alter(runtime, completed)

    assert echo(client, identity=OWNER, adopt=True).id == younger.id
    assert client.get_run(older.id).status is RunStatus.CANCELLED


def _completed(body, run_id):
    for run in body.get("data", [body]):
        if run["id"] == run_id:
            run["lifecycle"] = {"status": "completed"}
            run["status"] = "completed"
    return json.dumps(body).encode()


def test_nothing_is_cancelled_where_the_twins_cannot_be_looked_at(retab, caplog):
    client, runtime = retab()
    older, _ = twins(client)

    def unreadable(request, response):
        return Response(403, b"{}") if request.method == "GET" and "run_" in request.path else response

    send = runtime.send
    alter(runtime, unreadable)

    assert echo(client, identity=OWNER, adopt=True).id == older.id
    assert "which of them goes on could not be seen" in caplog.text
    runtime.send = send
    assert statuses(client, runtime) == ["running", "running"]


# ---- servers that show little


@pytest.mark.parametrize("strangers", [1, 5])
def test_newer_runs_without_metadata_do_not_mean_that_a_server_keeps_none(retab, strangers):
    client, runtime = retab(metadata="unfiltered")
    run = echo(client, identity=OWNER)
    for number in range(strangers):
        other = stranger(runtime)
        other.id = f"run_other_{number}"
        runtime.clock.time += 1
        runtime.service.state.add_run(other)
    alter(runtime, metadata_as(lambda tags: tags or None))
    forget()

    assert client.can_find_runs() is True
    assert echo(client, identity=OWNER, adopt=True).id == run.id
    assert created(runtime) == 1 + strangers


@pytest.mark.parametrize("others", [0, 30])
def test_rows_that_leave_out_the_tags_are_read_anew_where_a_list_is_not_filtered(retab, others):
    client, runtime = retab(metadata="unfiltered")
    run = echo(client, identity=OWNER)
    for number in range(others):
        echo(client, number)
    alter(runtime, without_metadata)
    forget()

    assert echo(client, identity=OWNER, adopt=True).id == run.id
    assert echo(client, identity=RunIdentity.of("another"), adopt=True).id != run.id


def test_rows_that_leave_out_their_metadata_are_read_anew_where_it_is_asked_for(retab):
    client, runtime = retab(metadata="unfiltered")
    echo(client, metadata={"batch": "b0"})
    run = echo(client, metadata={"batch": "b1"})
    alter(runtime, without_metadata)

    assert [found.id for found in client.iter_runs(metadata={"batch": "b1"})] == [run.id]


def test_so_many_rows_without_tags_that_not_all_can_be_looked_at_are_a_doubt(retab):
    client, runtime = retab(metadata="unfiltered")
    for number in range(101):
        echo(client, number)
    alter(runtime, without_metadata)
    forget()

    with pytest.raises(CreateOutcomeUnknownError, match="not among the newest"):
        echo(client, identity=OWNER, adopt=True)
    assert created(runtime) == 101


def test_a_server_that_learns_to_keep_tags_is_asked_again(retab):
    client, runtime = retab(metadata="dropped")
    echo(client)
    assert client.can_find_runs() is False
    runtime.service.state.traits = replace(runtime.service.state.traits, metadata="kept")

    run = echo(client, identity=OWNER)

    assert client.can_find_runs() is True
    assert [found.id for found in client.find_runs(OWNER)] == [run.id]


def test_the_oldest_is_kept_whatever_order_a_list_has(retab):
    client, runtime = retab()
    older = echo(client, identity=OWNER)
    runtime.clock.time += 5
    echo(client, identity=OWNER)
    forget()

    def newest_first(request, response):
        if not is_call(request, LIST):
            return response
        page = json.loads(response.content)
        page["data"].sort(key=lambda row: row["id"] == older.id)
        return replace(response, content=json.dumps(page).encode())

    alter(runtime, newest_first)

    assert client.find_runs(OWNER)[0].id == older.id
    assert echo(client, identity=OWNER, adopt=True).id == older.id
    assert statuses(client, runtime) == ["running", "cancelled"]
