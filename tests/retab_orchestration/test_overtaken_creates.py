"""A create that is interrupted, overtaken or sent in other routes, and servers on which others start runs as well."""

from dataclasses import replace
from itertools import count

import pytest

from retab_orchestration import ApiConnectionError, CreateOutcomeUnknownError, RunIdentity
from retab_orchestration._operations import process_runs, tags
from retab_orchestration.documents import LARGE
from tests.retab_orchestration.conftest import make_client, ok

CREATE = "POST /v1/workflows/runs"
STEPS = "GET /v1/workflows/steps"
OWNER = RunIdentity.of("a task")


@pytest.fixture
def retab(connect):
    """A current server that ignores keys, on which somebody has started a run long ago."""

    def build(**traits):
        client, runtime = connect(
            server="both", api="current", auth="bearer", traits={"idempotency": "ignored", **traits}
        )
        echo(client, identity=None)
        runtime.clock.time += 3600
        return client, runtime

    return build


def echo(client, identity=OWNER, adopt=True):
    inputs = {"json-node-1": {"seconds": 600}}
    return client.create_run("wf_echo", json_inputs=inputs, identity=identity, adopt=adopt)


def forget_everything():
    """As in a process that has just started."""
    for memory in (process_runs._own, tags._known, tags._created):
        memory.clear()


def alive(runtime):
    """The runs that go on, but for the one of long ago."""
    return [run.id for run in list(runtime.service.state.runs.values())[1:] if run.cancelled_at is None]


class Interrupted(BaseException):
    pass


def interrupt(runtime, pauses):
    """Let one of the next pauses be interrupted, after so many."""
    sleep = runtime.sleep

    async def interrupted(seconds):
        nonlocal pauses
        if seconds and not pauses:
            runtime.sleep = sleep
            raise Interrupted
        pauses -= bool(seconds)
        await sleep(seconds)

    runtime.sleep = interrupted


@pytest.mark.parametrize("lag", [0.0, 20.0, 120.0])
@pytest.mark.parametrize("pauses", range(6))
def test_a_create_that_is_interrupted_anywhere_after_a_loss_is_one_run(retab, lag, pauses):
    client, runtime = retab(list_lag=lag)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_before"}])
    interrupt(runtime, pauses)

    with pytest.raises(Interrupted):
        echo(client)

    run = echo(client)
    assert alive(runtime) == [run.id]


def invoice(client):
    documents = {"start-node-1": ("large.txt", b"Invoice number: 1\n" + bytes(LARGE))}
    inputs = {"json-node-1": {"seconds": 600}}
    return client.create_run(
        "wf_invoice", documents=documents, json_inputs=inputs, identity=OWNER, adopt=True
    )


def overtake(runtime, method, create):
    """Let the same create come in before a request is acted on, as a signal's handler does; return what it makes."""
    send, made = runtime.send, []

    async def overtaken(request):
        if request.method == method:
            runtime.send = send
            made.append(create())
        return await send(request)

    runtime.send = overtaken
    return made


def test_a_run_that_an_interruption_starts_during_an_upload_is_taken_up(retab):
    client, runtime = retab()
    inner = overtake(runtime, "PUT", lambda: invoice(client))

    run = invoice(client)

    assert alive(runtime) == [run.id] == [inner[0].id]
    assert runtime.service.stats()["runs_created"] == 2


def test_of_a_create_and_one_that_interrupts_its_sending_the_older_run_is_kept(retab):
    client, runtime = retab()
    inner = overtake(runtime, "POST", lambda: echo(client))

    run = echo(client)

    assert alive(runtime) == [run.id] == [inner[0].id]
    assert runtime.service.stats()["runs_created"] == 3


@pytest.mark.parametrize("adopt", [False, True])
def test_a_create_in_doubt_is_not_sent_in_the_routes_of_the_other_family(connect, adopt):
    client, runtime = connect(server="both", traits={"idempotency": "ignored"})
    echo(client, identity=None)
    runtime.service.faults.post(
        [
            {"match": CREATE, "kind": "hold_before"},
            {"match": CREATE, "kind": "http_405", "nth": 2},
            {"match": STEPS, "kind": "http_404", "times": 2},
        ]
    )

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client, adopt=adopt)

    runtime.service.faults.release()
    assert len(alive(runtime)) == 1


def test_a_create_of_nobody_in_particular_is_not_sent_in_the_routes_of_the_other_family_either(connect):
    client, runtime = connect(server="both", traits={"idempotency": "ignored"})
    echo(client, identity=None, adopt=False)
    runtime.service.faults.post(
        [
            {"match": CREATE, "kind": "hold_before"},
            {"match": CREATE, "kind": "http_405", "nth": 2},
            {"match": STEPS, "kind": "http_404", "times": 2},
        ]
    )

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client, identity=None, adopt=False)

    runtime.service.faults.release()
    assert len(alive(runtime)) == 1
    assert process_runs._own == {}


def test_routes_that_change_twice_leave_open_what_became_of_a_create_in_between(connect):
    client, runtime = connect(server="both", traits={"idempotency": "ignored"})
    runtime.service.faults.post(
        [
            {"match": STEPS, "kind": "http_404", "times": 2},
            {"match": "POST /v1/workflows/wf_echo/run", "kind": "http_405"},
            {"match": CREATE, "kind": "hold_before"},
            {"match": CREATE, "kind": "http_405", "nth": 2},
            {"match": STEPS, "kind": "http_404", "nth": 4, "times": 2},
        ]
    )

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client)


def test_a_create_in_doubt_whose_search_finds_other_routes_stays_in_doubt(connect):
    client, runtime = connect(server="both", traits={"idempotency": "ignored"})
    echo(client, identity=None)
    runtime.service.faults.post(
        [
            {"match": CREATE, "kind": "reset_after"},
            {"match": "GET /v1/workflows/runs", "kind": "http_401", "nth": 2},
            {"match": STEPS, "kind": "http_404", "times": 2},
        ]
    )

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client)

    assert len(alive(runtime)) == 1


def test_of_two_runs_that_a_gateway_has_made_of_one_create_the_older_goes_on(retab):
    client, runtime = retab()
    send = runtime.send

    async def doubled(request):
        if request.method == "POST" and not request.path.endswith("/cancel"):
            runtime.send = send
            await send(request)
            runtime.clock.time += 1
            await send(request)
            raise ApiConnectionError("the gateway gave up")
        return await send(request)

    runtime.send = doubled
    run = echo(client)

    assert alive(runtime) == [run.id]
    assert len(runtime.service.state.runs) == 3


@pytest.mark.parametrize("metadata", ["kept", "unfiltered"])
def test_what_a_classic_client_has_started_says_nothing_of_tags(retab, colour, metadata):
    client, runtime = retab(metadata=metadata)
    run = echo(client)
    forget_everything()
    make_client(colour, runtime, api="classic", auth="bearer").create_run("wf_echo")
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_before"}])
    other = echo(client, RunIdentity.of("another task"))

    assert echo(client).id == run.id
    assert len(alive(runtime)) == 3
    assert other.id in alive(runtime)


def test_a_run_is_found_below_many_that_have_no_metadata(retab, colour):
    client, runtime = retab(metadata="unfiltered")
    run = echo(client)
    classic = make_client(colour, runtime, api="classic", auth="bearer")
    for _ in range(30):
        classic.create_run("wf_echo")
    forget_everything()

    assert echo(client).id == run.id


def test_a_list_in_its_own_order_is_read_on_past_old_runs_of_one_moment(retab):
    client, runtime = retab(metadata="unfiltered")
    echo(client, identity=None)
    echo(client, identity=None)
    runtime.clock.time += 3 * 24 * 3600
    send = runtime.send

    async def ascending(request):
        query = tuple((name, "asc" if name == "order" else value) for name, value in request.query)
        return await send(replace(request, query=query))

    runtime.send = ascending
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])

    run = echo(client)

    assert alive(runtime)[2:] == [run.id]


def test_steps_are_read_where_the_server_has_them_by_now(connect):
    client, runtime = connect(server="both")
    runtime.service.faults.post([{"match": STEPS, "kind": "http_404", "times": 2}])
    run = client.create_run("wf_echo", json_inputs={"json-node-1": 1})
    assert runtime.service.state.runs[run.id].shape.name == "classic"
    runtime.clock.time += 60
    runtime.service.faults.post(
        [{"match": "GET /v1/workflows/runs/*/steps", "kind": "http_404", "times": 99}]
    )

    assert [step.node_id for step in client.list_steps(run.id)] == ["json-node-1", "end-node-1"]


def test_a_list_without_end_of_runs_that_are_not_there_ends_a_search(retab):
    client, runtime = retab()
    send, pages = runtime.send, count(1)

    async def endless(request):
        if (request.method, request.path) != ("GET", "/v1/workflows/runs"):
            return await send(request)
        page = next(pages)
        assert page < 10
        rows = [{"id": f"run_{page}_{number}", "status": "running"} for number in range(20)]
        return ok({"data": rows, "list_metadata": {"after": str(page)}})

    runtime.send = endless
    with pytest.raises(CreateOutcomeUnknownError):
        echo(client)
