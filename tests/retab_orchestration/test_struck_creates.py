"""What else may happen around a create: late runs, odd rows, refusals after a loss, others with the same identity."""

import asyncio
import json
import logging
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from retab_orchestration import (
    ApiStatusError,
    AsyncRetabClient,
    AuthenticationError,
    CreateOutcomeUnknownError,
    FileReference,
    InputsChangedError,
    InvalidInputError,
    PermissionDeniedError,
    RateLimitedError,
    RequestRejectedError,
    RetabClient,
    RunIdentity,
    RunStatus,
    ServerError,
    UnreadableAnswerError,
)
from retab_orchestration._arguments import NewRun
from retab_orchestration._http import Response
from retab_orchestration._operations import process_runs, tags
from retab_orchestration.documents import LARGE
from retab_orchestration.emulator import Emulator
from retab_orchestration.emulator.generations import CURRENT
from retab_orchestration.emulator.runs.engine import Run

CREATE = "POST /v1/workflows/runs"
CANCEL = "POST /v1/workflows/runs/*/cancel"
LIST = "GET /v1/workflows/runs"
OWNER = RunIdentity.of("prod", "dag", "run", "task")


@pytest.fixture
def retab(connect):
    def build(**traits):
        traits = {"idempotency": "ignored", **traits}
        return connect(server="current", api="current", auth="bearer", traits=traits)

    return build


def echo(client, number=1, **options):
    return client.create_run("wf_echo", json_inputs={"json-node-1": {"n": number, "seconds": 600}}, **options)


def created(runtime):
    return runtime.service.stats()["runs_created"]


def statuses(client, runtime):
    return [client.get_run(run_id).status.value for run_id in runtime.service.state.runs]


def alter(runtime, alters):
    """Let `alters(request, response)` say what the client is answered."""
    sends = runtime.send

    async def send(request):
        return alters(request, await sends(request))

    runtime.send = send


def is_call(request, call):
    return f"{request.method} {request.path}" == call


# ---- rows


def without_metadata(request, response):
    """Leave out of the rows what the runs have."""
    if not is_call(request, LIST):
        return response
    page = json.loads(response.content)
    page["data"] = [{key: row[key] for key in row.keys() - {"metadata"}} for row in page["data"]]
    return replace(response, content=json.dumps(page).encode())


@pytest.mark.parametrize("kind", ["reset_after", "reset_before"])
def test_rows_that_leave_out_the_tags_are_read_anew(retab, kind):
    client, runtime = retab()
    alter(runtime, without_metadata)
    runtime.service.faults.post([{"match": CREATE, "kind": kind}])

    run = echo(client, identity=OWNER)

    assert created(runtime) == 1
    assert echo(client, identity=OWNER, adopt=True).id == run.id
    assert [found.id for found in client.find_runs(OWNER)] == [run.id]


@pytest.mark.parametrize("metadata", ["kept", "unfiltered"])
@pytest.mark.parametrize("length", [1, 100])
@pytest.mark.parametrize("start", ["a", "x"])
def test_an_identity_of_the_callers_own_is_found_whatever_its_length(retab, metadata, length, start):
    client, runtime = retab(metadata=metadata)
    one, two = (RunIdentity(start * length + end, "owner") for end in "12")
    run = echo(client, identity=one)
    process_runs._own.clear()
    echo(client, identity=two)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_before"}])
    echo(client, 2)  # for which it is found out, by the run before, whether the server keeps tags

    assert echo(client, identity=one, adopt=True).id == run.id


@pytest.mark.parametrize("key", ["x" * 151, "a\nb", "\ud800"])
def test_an_identity_that_cannot_be_searched_for_is_refused(key):
    with pytest.raises(InvalidInputError, match="must be strings of 1 to 150 printable characters"):
        RunIdentity(key, "owner")


# ---- other runs of the same identity


def test_a_run_of_other_inputs_is_not_the_one_whose_answer_was_lost(retab):
    client, runtime = retab()
    other = echo(client, 1, identity=OWNER)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])

    run = echo(client, 2, identity=OWNER)

    assert run.id != other.id
    assert run.inputs.json_data["json-node-1"]["n"] == 2
    assert statuses(client, runtime) == ["running", "running"]


def test_a_run_that_had_failed_is_not_taken_for_the_one_whose_answer_was_lost(retab):
    client, runtime = retab()
    client.cancel_run(echo(client, identity=OWNER).id)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])

    run = echo(client, identity=OWNER)

    assert run.status is RunStatus.RUNNING
    assert list(runtime.service.state.runs)[1] == run.id


@pytest.mark.parametrize("metadata", ["kept", "unfiltered", "dropped"])
@pytest.mark.parametrize("failures", [1, 2])
def test_a_run_that_had_failed_is_not_returned_for_ever_where_keys_are_honoured(retab, metadata, failures):
    client, runtime = retab(idempotency="honoured", metadata=metadata)
    for _ in range(failures):
        failed = echo(client, identity=OWNER, adopt=True)
        runtime.clock.time += 5
        client.cancel_run(failed.id)

    run = echo(client, identity=OWNER, adopt=True)

    assert run.status is RunStatus.RUNNING
    assert created(runtime) == failures + 1


def test_a_run_is_not_restarted_as_itself(retab):
    client, runtime = retab()
    first = echo(client, identity=OWNER)

    again = client.restart_run(first.id, identity=OWNER, adopt=True)

    assert again.id != first.id
    assert client.restart_run(first.id, identity=OWNER, adopt=True).id == again.id
    assert created(runtime) == 2


def test_a_restart_does_not_leave_text_out(connect):
    client, runtime = connect(server="both", api="classic", auth="bearer")
    run = client.create_run("wf_echo", text_inputs={"text-node-1": "hello"})
    current, _ = connect(server="both", api="current", auth="bearer")
    current._session.runtime.service.state.runs.update(runtime.service.state.runs)

    with pytest.raises(InvalidInputError, match="text_inputs"):
        current.restart_run(run.id)


def test_a_run_whose_server_does_not_tell_its_inputs_is_not_run_again_without_them(retab):
    client, runtime = retab()
    run = echo(client)

    def without_inputs(request, response):
        body = json.loads(response.content)
        return replace(response, content=json.dumps({**body, "inputs": None}).encode())

    alter(runtime, without_inputs)

    with pytest.raises(UnreadableAnswerError, match="cannot be run again; nothing was created"):
        client.restart_run(run.id)

    assert created(runtime) == 1


# ---- the younger of two


def lost_and_late(retab, **traits):
    """A server on which a create is answered nothing and shown in no list until another one was sent."""
    client, runtime = retab(list_lag=40.0, **traits)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])
    return client, runtime


def test_of_two_runs_the_one_that_failed_is_not_kept(retab):
    client, runtime = lost_and_late(retab)

    def fails(request, response):
        if is_call(request, CREATE):
            first = next(iter(runtime.service.state.runs.values()))
            first.cancel_requested_at = first.cancelled_at = runtime.clock()
        return response

    alter(runtime, fails)
    run = echo(client, identity=OWNER)

    assert statuses(client, runtime) == ["cancelled", "running"]
    assert run.id == list(runtime.service.state.runs)[1]


def test_the_run_that_fails_after_the_younger_gave_way_to_it_is_returned(retab):
    client, runtime = retab()
    runtime.service.faults.post([{"match": CREATE, "kind": "hold_before"}])
    sends = runtime.send

    async def send(request):
        if is_call(request, CREATE) and runtime.service.faults.release():
            runtime.clock.time += 0.1
        response = await sends(request)
        for run in runtime.service.state.runs.values():
            run.seconds = 20.0
        return response

    runtime.send = send
    run = client.create_run("wf_fail", identity=OWNER)

    assert statuses(client, runtime) == ["error", "cancelled"]
    assert run.id == next(iter(runtime.service.state.runs))
    assert run.status is RunStatus.ERROR


def test_the_older_run_is_returned_although_cancelling_the_younger_was_not_answered(retab, caplog):
    client, runtime = lost_and_late(retab)
    faults = [
        {"match": CREATE, "kind": "reset_after"},
        {"match": CANCEL, "kind": "reset_after", "times": 99},
    ]
    runtime.service.faults.post(faults)

    run = echo(client, identity=OWNER)

    assert statuses(client, runtime) == ["running", "cancelled"]
    assert run.id == next(iter(runtime.service.state.runs))
    assert "cancelling it may have failed" in caplog.text


def test_a_run_that_could_not_be_compared_with_others_is_told(retab, caplog):
    client, runtime = lost_and_late(retab)

    def unavailable(request, response):
        sent_twice = runtime.requests.count(CREATE) == 2
        return Response(403, b"{}") if sent_twice and is_call(request, LIST) else response

    alter(runtime, unavailable)
    with caplog.at_level(logging.WARNING):
        run = echo(client, identity=OWNER)

    assert created(runtime) == 2
    [record] = [record for record in caplog.records if "sent more than once" in record.message]
    assert run.id in record.message
    assert "list_runs(workflow_id='wf_echo')" in record.message


def test_what_a_process_that_died_has_sent_may_act_after_the_next_create(retab):
    client, runtime = retab()
    held = [{"match": CREATE, "kind": "hold_before"}]
    runtime.service.faults.post(held)
    begun = datetime.fromtimestamp(runtime.clock(), UTC)
    lone = RunIdentity.of("another")
    # Its process dies while this is on its way: nobody looks for it but the next one.
    client._session.retry = replace(client._session.retry, find_for=0.0)
    runtime.service.faults.post([*held, {"match": LIST + "*", "kind": "http_403", "times": 99}])
    with pytest.raises(CreateOutcomeUnknownError):
        echo(client, identity=OWNER)
    runtime.service.faults.post([])
    client._session.retry = replace(client._session.retry, find_for=30.0)
    echo(client, identity=lone)

    def acts_late(request, response):
        if is_call(request, CREATE):
            runtime.service.faults.release()
        return response

    alter(runtime, acts_late)
    run = echo(client, identity=replace(OWNER, begun=begun), adopt=True)

    ours = client.find_runs(OWNER)
    assert [each.status.value for each in ours] == ["running", "cancelled"]
    assert run.id == ours[0].id


# ---- a refusal after a loss

REFUSALS = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    422: RequestRejectedError,
    429: RateLimitedError,
}


def refusing(retab, status):
    """A server that never gets the first create, and refuses those after it."""
    client, runtime = retab()
    echo(client, 0)  # so that it is known what becomes of tags
    client.find_runs(OWNER)
    runtime.service.faults.post(
        [
            {"match": CREATE, "kind": "reset_before"},
            {"match": CREATE, "kind": f"http_{status}", "nth": 2, "times": 99},
        ]
    )
    return client, runtime


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_after_a_lost_answer_is_raised_where_the_next_call_looks_first(retab, status):
    client, _ = refusing(retab, status)

    with pytest.raises(REFUSALS[status]):
        echo(client, identity=OWNER)


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_after_a_lost_answer_leaves_open_what_a_call_did_that_nobody_makes_again(retab, status):
    client, _ = refusing(retab, status)

    with pytest.raises(CreateOutcomeUnknownError, match="was not answered") as unknown:
        echo(client)

    assert unknown.value.status == status


@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_after_a_lost_answer_leads_to_the_run_that_appears(retab, status):
    client, runtime = refusing(retab, status)
    runtime.service.faults.post(
        [
            {"match": CREATE, "kind": "hold_before"},
            {"match": CREATE, "kind": f"http_{status}", "nth": 2, "times": 99},
        ]
    )

    def acts_late(request, response):
        if is_call(request, CREATE):
            runtime.service.faults.release()
        return response

    alter(runtime, acts_late)

    assert echo(client).id == list(runtime.service.state.runs)[1]
    assert created(runtime) == 2


@pytest.mark.parametrize("status", [460, 499])
def test_a_gateway_that_gave_up_leaves_open_what_became_of_a_create(retab, status):
    client, runtime = retab()

    def gave_up(request, response):
        return (
            Response(status)
            if is_call(request, CREATE) and not gone.append(1) and len(gone) == 1
            else response
        )

    gone = []
    alter(runtime, gave_up)

    echo(client)

    assert created(runtime) == 1


# ---- error bodies


@pytest.mark.parametrize("depth", [30, 700, 20_000])
def test_an_error_body_that_is_nested_deeply_is_an_error_of_its_status(script, depth):
    details = b'{"code":"x","message":"no","details":' + b"[" * depth + b"]" * depth + b"}"
    client, _ = script(*[Response(503, details)] * 9, api="current")

    with pytest.raises(ServerError):
        client.get_run("run_1")


def test_a_date_that_no_clock_has_is_no_retry_after(script):
    headers = {"retry-after": "Thu, 01 Jan 1970 00:00:00 +99999999999999"}
    client, _ = script(*[Response(503, b"{}", headers)] * 9, api="current")

    with pytest.raises(ApiStatusError) as refused:
        client.get_run("run_1")

    assert refused.value.retry_after is None


# ---- inputs


def test_inputs_that_their_owner_changes_meanwhile_are_sent_as_they_were(retab):
    client, runtime = retab()
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_before"}])
    inputs = {"json-node-1": {"n": 1, "seconds": 600}}

    def changes(request, response):
        if is_call(request, LIST):
            inputs["json-node-1"]["n"] = 2
        return response

    alter(runtime, changes)
    run = client.create_run("wf_echo", json_inputs=inputs)

    assert run.inputs.json_data["json-node-1"]["n"] == 1


# ---- side by side, and one after the other at once


@pytest.mark.parametrize("seconds", [3.0, 1000.0])
def test_the_second_call_finds_what_the_first_one_made_however_far_the_list_lags(retab, seconds):
    client, runtime = retab(list_lag=seconds)

    first = echo(client, identity=OWNER, adopt=True)

    assert echo(client, identity=OWNER, adopt=True).id == first.id
    assert created(runtime) == 1


def test_threads_with_one_identity_make_one_run():
    with Emulator(api="current", idempotency="ignored", list_lag=5.0) as emulator:
        found, clients = [], [RetabClient("k", emulator.url, api="current", auth="bearer") for _ in range(4)]
        threads = [
            threading.Thread(target=lambda each=each: found.append(echo(each, identity=OWNER, adopt=True).id))
            for each in clients * 2
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        for client in clients:
            client.close()

        assert len(found) == 8
        assert found == [*emulator.run_ids()] * 8


async def test_coroutines_with_one_identity_make_one_run():
    with Emulator(api="current", idempotency="ignored", list_lag=5.0) as emulator:
        async with AsyncRetabClient("k", emulator.url, api="current", auth="bearer") as client:
            runs = await asyncio.gather(*[echo(client, identity=OWNER, adopt=True) for _ in range(8)])

        assert [run.id for run in runs] == [*emulator.run_ids()] * 8


def test_threads_and_loops_with_one_identity_make_one_run():
    with Emulator(api="current", idempotency="ignored", list_lag=5.0) as emulator:
        options = {"api": "current", "auth": "bearer"}
        found = []

        def block():
            with RetabClient("k", emulator.url, **options) as client:
                found.append(echo(client, identity=OWNER, adopt=True).id)

        async def wait():
            async with AsyncRetabClient("k", emulator.url, **options) as client:
                runs = await asyncio.gather(*[echo(client, identity=OWNER, adopt=True) for _ in range(3)])
                found.extend(run.id for run in runs)

        threads = [threading.Thread(target=block) for _ in range(4)]
        threads += [threading.Thread(target=asyncio.run, args=[wait()]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)

        assert found == [*emulator.run_ids()] * 16


def test_runs_that_this_process_made_are_found_however_far_the_list_lags(retab):
    client, _ = retab(list_lag=1000.0)
    again = RunIdentity.of("prod", "dag", "run", "task", generation=1)
    first, second = echo(client, identity=OWNER), echo(client, identity=again)

    assert [run.id for run in client.find_runs(OWNER)] == [first.id]
    assert {run.id for run in client.find_runs(OWNER, any_generation=True)} == {first.id, second.id}
    assert client.find_runs(RunIdentity.of("other")) == []


SERVERS = {
    "lagging": ("current", {"list_lag": 1000.0}),
    "dropped": ("current", {"metadata": "dropped"}),
    "classic": ("classic", {}),
}


@pytest.mark.parametrize("server", SERVERS)
def test_what_this_process_made_is_taken_up_wherever_nothing_shows_it(connect, server):
    api, traits = SERVERS[server]
    client, runtime = connect(server=api, api=api, auth="bearer", traits={"idempotency": "ignored", **traits})
    first = echo(client, identity=OWNER, adopt=True)

    assert echo(client, identity=OWNER, adopt=True).id == first.id
    with pytest.raises(InputsChangedError, match=first.id):
        echo(client, 2, identity=OWNER, adopt=True)
    assert created(runtime) == 1

    client.cancel_run(first.id)
    assert echo(client, 2, identity=OWNER, adopt=True).id != first.id
    several = replace(OWNER, on_mismatch="create")
    assert echo(client, 3, identity=several, adopt=True).id != first.id
    assert created(runtime) == 3


OLDER = {
    "failed": lambda client: client.cancel_run(echo(client, 1, identity=OWNER).id).id,
    "of other inputs": lambda client: echo(client, 2, identity=OWNER).id,
}


@pytest.mark.parametrize("older", OLDER)
def test_an_older_run_of_the_identity_is_not_the_one_whose_create_was_cut_off(retab, older):
    client, runtime = retab(list_lag=10.0)
    before = OLDER[older](client)
    runtime.clock.time += 20.0
    begun = datetime.fromtimestamp(runtime.clock.time, UTC)
    cut_off = echo(client, identity=OWNER)
    process_runs._own.clear()  # its process is gone
    again = replace(OWNER, begun=begun, on_mismatch="create")

    found = [run.id for run in client.find_runs(again)]
    process_runs._own.clear()
    taken_up = echo(client, identity=again, adopt=True)

    assert found == [before, cut_off.id]
    assert taken_up.id == cut_off.id
    assert created(runtime) == 2


@pytest.mark.parametrize(("seconds", "runs"), [(20.0, 1), (1000.0, 2)])
def test_a_server_may_not_know_at_once_what_it_has_just_created(retab, seconds, runs):
    client, runtime = retab(list_lag=1000.0)
    first = echo(client, identity=OWNER, adopt=True)
    until = runtime.now() + seconds

    def unknown(request, response):
        is_early = is_call(request, f"GET /v1/workflows/runs/{first.id}") and runtime.now() < until
        return Response(404, b'{"detail": "Run not found"}') if is_early else response

    alter(runtime, unknown)
    again = echo(client, identity=OWNER, adopt=True)

    assert (again.id == first.id) is (runs == 1)
    assert created(runtime) == runs


def test_a_search_that_leaves_out_older_runs_says_so(retab, caplog, monkeypatch):
    monkeypatch.setattr(tags, "MOST_ROWS", 3)
    client, _ = retab(metadata="unfiltered")
    for number in range(5):
        echo(client, number)
    process_runs._own.clear()

    with caplog.at_level(logging.WARNING):
        assert client.find_runs(OWNER) == []

    assert "does not filter its list by tags" in caplog.text


async def test_whoever_is_told_of_the_last_byte_may_still_stop_the_create():
    with Emulator(api="classic") as emulator:

        def stops(progress):
            if progress.sent == progress.size:
                raise KeyError("enough")

        async with AsyncRetabClient("k", emulator.url, api="classic", auth="bearer") as client:
            with pytest.raises(KeyError):
                await client.create_run(
                    "wf_invoice",
                    documents={"start-node-1": ("a.pdf", b"%PDF" + bytes(LARGE))},
                    on_progress=stops,
                )

        assert emulator.run_ids() == []


# ---- what a server does with tags


def metadata_as(change):
    """Let a server show each run's metadata as `change` makes it; None leaves it out."""

    def shown(run):
        metadata = change(run.get("metadata") or {})
        rest = {key: value for key, value in run.items() if key != "metadata"}
        return rest if metadata is None else {**rest, "metadata": metadata}

    def alters(request, response):
        if "/runs" not in request.path or response.status >= 300:
            return response
        body = json.loads(response.content)
        if isinstance(body.get("data"), list):
            body["data"] = [shown(run) for run in body["data"]]
        elif isinstance(body.get("run"), dict):
            body["run"] = shown(body["run"])
        else:
            body = shown(body)
        return replace(response, content=json.dumps(body).encode())

    return alters


@pytest.mark.parametrize(
    "change",
    [lambda tags: {}, lambda tags: {key: value[:40] for key, value in tags.items()}],
    ids=["empty", "cut"],
)
def test_tags_that_come_back_otherwise_are_no_tags(retab, change):
    client, runtime = retab()
    alter(runtime, metadata_as(change))
    echo(client, 0)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client, identity=OWNER)

    assert created(runtime) == 2
    assert client.can_find_runs() is False


@pytest.mark.parametrize(
    "change",
    [
        lambda tags: {key.upper(): tag for key, tag in tags.items()},
        lambda tags: {key.replace(".", "_"): tag.upper() for key, tag in tags.items()},
        lambda tags: {key: tag.upper() for key, tag in tags.items()},
        lambda tags: {key: tag[:40] for key, tag in tags.items()},
        json.dumps,
    ],
    ids=["other names", "no dots, upper case", "upper case", "cut", "a text"],
)
def test_a_tag_that_a_server_changes_leaves_open_what_became_of_a_create(retab, change):
    client, runtime = retab(metadata="unfiltered")
    runtime.service.state.add_run(stranger(runtime, {"team": "a"}))
    alter(runtime, metadata_as(change))
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client, identity=OWNER)

    assert created(runtime) == 2  # with that of the stranger


def test_a_run_of_somebody_else_without_metadata_does_not_mean_that_none_is_kept(retab):
    client, runtime = retab()
    run = echo(client, identity=OWNER)
    runtime.service.state.add_run(stranger(runtime))
    alter(runtime, metadata_as(lambda tags: tags or None))
    forget()

    assert client.can_find_runs() is True
    assert echo(client, identity=OWNER, adopt=True).id == run.id


def stranger(runtime, metadata=None):
    state = runtime.service.state
    run = Run("run_0", state.workflows["wf_echo"], CURRENT, runtime.clock(), 1.0)
    return replace(run, metadata=metadata)


def forget():
    """Be another process."""
    tags._known.clear()
    tags._created.clear()
    process_runs._own.clear()


@pytest.mark.parametrize("server", ["classic", "dropped"])
def test_a_create_that_was_cut_off_is_not_sent_again_where_nothing_finds_its_run(connect, server):
    traits = {"metadata": "dropped"} if server == "dropped" else {}
    api = "classic" if server == "classic" else "current"
    client, runtime = connect(server=api, api=api, auth="bearer", traits=traits)
    echo_inputs = {"json_inputs": {"json-node-1": {"seconds": 600}}}
    client.create_run("wf_echo", **echo_inputs)
    begun = datetime.fromtimestamp(runtime.clock(), UTC)

    with pytest.raises(CreateOutcomeUnknownError, match="was cut off at"):
        client.create_run("wf_echo", **echo_inputs, identity=replace(OWNER, begun=begun), adopt=True)

    assert created(runtime) == 1


@pytest.mark.parametrize("name", ["since", "begun"])
def test_a_time_without_a_zone_is_refused_at_once(name):
    with pytest.raises(InvalidInputError, match="time zone"):
        replace(OWNER, **{name: datetime(2026, 3, 1)})  # noqa: DTZ001


# ---- several runs of one identity


def test_the_next_attempt_cancels_the_younger_of_two_that_a_dead_process_left(retab, caplog):
    client, runtime = retab()
    first, second = echo(client, identity=OWNER), echo(client, identity=OWNER)
    forget()

    assert echo(client, identity=OWNER, adopt=True).id == first.id
    assert statuses(client, runtime) == ["running", "cancelled"]
    assert f"Run {second.id} is another one of the identity of run {first.id}" in caplog.text


@pytest.mark.parametrize(("lag", "waits"), [(0.0, 0.0), (5.0, 7.0)])
def test_a_run_whose_create_was_cut_off_is_found_as_soon_as_the_list_shows_it(retab, lag, waits):
    client, runtime = retab(list_lag=lag)
    run = echo(client, identity=OWNER)
    forget()
    begun = datetime.fromtimestamp(runtime.clock(), UTC)

    assert [found.id for found in client.find_runs(replace(OWNER, begun=begun))] == [run.id]
    assert runtime.clock() - begun.timestamp() == pytest.approx(waits, abs=0.1)


def test_a_cancel_that_came_to_nothing_is_told(retab, caplog):
    client, runtime = retab(list_lag=40.0)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])

    def fails(request, response):
        if not request.path.endswith("/cancel"):
            return response
        body = json.loads(response.content)
        body["cancellation_status"], body["run"]["status"] = "cancellation_failed", "running"
        body["run"]["lifecycle"] = {"status": "running"}
        return replace(response, content=json.dumps(body).encode())

    alter(runtime, fails)
    echo(client, identity=OWNER)

    assert "Retab could not cancel it" in caplog.text


def test_a_run_that_a_user_cancels_while_its_create_is_sent_again_is_not_started_anew(retab):
    client, runtime = retab(idempotency="honoured", list_lag=1000.0)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])

    def cancels(request, response):
        if is_call(request, LIST):
            for run in runtime.service.state.runs.values():
                run.cancel_requested_at = run.cancelled_at = runtime.clock()
        return response

    alter(runtime, cancels)

    assert echo(client, identity=OWNER).status is RunStatus.CANCELLED
    assert created(runtime) == 1


# ---- what a process remembers of its own runs


def test_each_inputs_of_an_identity_are_remembered(retab):
    client, runtime = retab(list_lag=1000.0)
    owner = replace(OWNER, on_mismatch="create")

    runs = [echo(client, number, identity=owner, adopt=True).id for number in (1, 2, 1, 2)]

    assert runs[:2] == runs[2:]
    assert created(runtime) == 2


def test_a_run_that_was_found_after_a_loss_is_remembered(retab):
    client, runtime = retab()
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])
    run = echo(client, identity=OWNER)
    alter(
        runtime,
        lambda request, response: Response(200, b'{"data": []}') if is_call(request, LIST) else response,
    )

    assert echo(client, identity=OWNER, adopt=True).id == run.id


def test_a_server_that_keeps_no_tags_does_not_make_equal_inputs_others(retab):
    client, runtime = retab(metadata="dropped")
    run = echo(client, identity=OWNER, adopt=True)

    assert echo(client, identity=OWNER, adopt=True).id == run.id
    assert created(runtime) == 1


def test_what_was_used_last_is_forgotten_last(retab, monkeypatch):
    monkeypatch.setattr(process_runs, "_MOST_OWN", 3)
    client, runtime = retab(list_lag=1000.0)
    owners = [RunIdentity.of("owner", number) for number in range(5)]

    first = echo(client, identity=owners[0], adopt=True)
    for owner in owners[1:]:
        echo(client, identity=owner, adopt=True)
        client.cancel_run(first.id)
        first = echo(client, identity=owners[0], adopt=True)

    assert echo(client, identity=owners[0], adopt=True).id == first.id
    assert created(runtime) == 9


def test_runs_without_an_identity_make_nobody_forget_one_that_has_one(retab, monkeypatch):
    monkeypatch.setattr(process_runs, "_MOST_OWN", 3)
    client, runtime = retab(list_lag=1000.0)

    first = echo(client, identity=OWNER, adopt=True)
    for _ in range(5):
        echo(client)

    assert echo(client, identity=OWNER, adopt=True).id == first.id
    assert created(runtime) == 6


# ---- restarts


def test_a_restart_whose_documents_have_other_addresses_by_now_has_the_same_fingerprint():
    def restart(signature, version=None):
        document = FileReference(
            filename="a.pdf", url=f"https://storage.retab.com/org/a.pdf?signature={signature}"
        )
        new = NewRun.read("wf", documents={"start-node-1": document}, version=version)
        return replace(new, parent_run_id="run_1")

    assert restart(1).fingerprint() == restart(2).fingerprint()
    assert restart(1).fingerprint() != replace(restart(1), parent_run_id="run_2").fingerprint()
    assert restart(1).fingerprint() != restart(1, "draft").fingerprint()
    assert restart(1).fingerprint() != replace(restart(1), parent_run_id=None).fingerprint()
