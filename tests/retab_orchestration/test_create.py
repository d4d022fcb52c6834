"""One intended run is one run, whatever is lost on the way."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from retab_orchestration import (
    ApiConnectionError,
    ConflictError,
    CreateOutcomeUnknownError,
    InputsChangedError,
    InvalidInputError,
    RetryPolicy,
    RunIdentity,
    RunStatus,
)
from retab_orchestration._operations import process_runs
from retab_orchestration._operations.create_errors import changes
from retab_orchestration._operations.tags import MOST_ROWS
from retab_orchestration.emulator.generations import CURRENT
from retab_orchestration.emulator.runs.engine import Run
from retab_orchestration.identity import (
    FAMILY,
    FINGERPRINT,
    IDENTITY,
    NOTE,
    RESERVED_PREFIX,
    digest_of,
    digests_of,
)
from tests.retab_orchestration.conftest import ok, refused

CREATE = "POST /v1/workflows/runs"
TASK = ("prod", "my_dag", "manual__1", "read", -1)
IDENTITY_1 = RunIdentity.of(*TASK)
LOST = ["reset_before", "reset_after", "timeout_after", "http_500", "http_408", "garbage"]


@pytest.fixture
def retab(connect):
    """A client on current routes whose server does not honour Idempotency-Key, as the real one may not."""
    client, runtime = connect(server="current", api="current", auth="bearer", idempotency="ignored")
    return client, runtime


def echo(client, number=1, **options):
    return client.create_run("wf_echo", json_inputs={"json-node-1": {"n": number, "seconds": 60}}, **options)


def created(runtime):
    return runtime.service.stats()["runs_created"]


def creates(runtime):
    return runtime.requests.count(CREATE)


# ---- identity


def test_an_identity_is_the_same_for_the_same_owner_and_another_for_any_other():
    assert RunIdentity.of(*TASK) == RunIdentity.of(*TASK)
    others = [
        RunIdentity.of("staging", *TASK[1:]),
        RunIdentity.of(*TASK[:-1], 0),
        RunIdentity.of(*TASK, generation=1),
        RunIdentity.of("prod", "my_dag", "manual__1", "read-1"),
        RunIdentity.of("prod", "my_dagmanual__1", "read", -1),
    ]
    assert len({IDENTITY_1.key, *(other.key for other in others)}) == 6


def test_generations_are_of_one_family():
    assert RunIdentity.of(*TASK, generation=1).family == IDENTITY_1.family != IDENTITY_1.key


def test_names_of_the_host_do_not_reach_retab(retab):
    client, runtime = retab
    echo(client, identity=IDENTITY_1)

    body = b"".join(runtime.sent[-1].body.chunks())

    assert b"my_dag" not in body
    assert json.loads(body)["metadata"][IDENTITY] == IDENTITY_1.key


def test_every_run_is_marked_as_ours(retab):
    client, _ = retab

    metadata = echo(client, metadata={"batch": "b"}).metadata

    assert metadata[RESERVED_PREFIX] == "1"
    assert len(metadata[IDENTITY]) == len(metadata[FAMILY]) == len(metadata[FINGERPRINT]) == 64
    assert metadata["batch"] == "b"


def test_two_calls_without_an_identity_are_two_runs(retab):
    client, runtime = retab

    assert echo(client).id != echo(client).id
    assert created(runtime) == 2


# ---- fingerprint


def fingerprint(client, **given):
    return client.create_run("wf_invoice", **given).metadata[FINGERPRINT]


def test_a_fingerprint_stands_for_what_goes_in(retab):
    client, _ = retab
    pdf = {"documents": {"start-node-1": ("a.pdf", b"%PDF-1")}}

    same = fingerprint(client, **pdf)

    assert fingerprint(client, **pdf, metadata={"other": "tag"}) == same
    assert fingerprint(client, documents={"start-node-1": ("a.pdf", b"%PDF-2")}) != same
    assert fingerprint(client, documents={"start-node-1": ("b.pdf", b"%PDF-1")}) != same
    assert fingerprint(client, **pdf, version="draft") != same
    assert fingerprint(client) != same


# ---- a lost answer


@pytest.mark.parametrize("kind", LOST)
def test_a_lost_answer_is_looked_for_before_the_create_is_sent_again(retab, kind):
    client, runtime = retab
    runtime.service.faults.post([{"match": CREATE, "kind": kind}])

    run = echo(client)

    assert run.status is RunStatus.RUNNING
    assert created(runtime) == 1
    assert creates(runtime) == (1 if kind in {"reset_after", "timeout_after"} else 2)


def test_answers_that_are_lost_every_time_end_with_the_last_error_for_nothing_was_created(retab):
    client, runtime = retab
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_before", "times": 99}])

    with pytest.raises(ApiConnectionError) as lost:
        echo(client, identity=IDENTITY_1)

    assert lost.value.retryable
    assert (created(runtime), creates(runtime)) == (0, 3)


def test_answers_that_are_lost_every_time_leave_open_what_a_call_did_that_nobody_makes_again(retab):
    client, runtime = retab
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_before", "times": 99}])

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client)

    assert (created(runtime), creates(runtime)) == (0, 3)


def lagging(connect, seconds, **traits):
    return connect(
        server="current",
        api="current",
        auth="bearer",
        traits={"idempotency": "ignored", "list_lag": seconds, **traits},
    )


@pytest.mark.parametrize("seconds", [1.0, 4.0, 10.0, 29.0])
def test_a_list_that_lags_is_read_for_as_long_as_a_run_may_be_missing_in_it(connect, seconds):
    client, runtime = lagging(connect, seconds)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])

    run = echo(client)

    assert (created(runtime), creates(runtime)) == (1, 1)
    assert run.id in runtime.service.state.runs


def test_for_how_long_a_run_is_looked_for_is_a_setting(connect):
    client, runtime = lagging(connect, 50.0)
    client._session.retry = RetryPolicy(find_for=60.0)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])

    echo(client)

    assert (created(runtime), creates(runtime)) == (1, 1)


def test_of_two_runs_that_a_create_started_the_younger_is_cancelled(connect):
    client, runtime = lagging(connect, 40.0)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])

    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 600}}, identity=IDENTITY_1)

    first, second = runtime.service.state.runs
    assert run.id == first
    assert client.get_run(second).status is RunStatus.CANCELLED
    assert client.get_run(first).status is RunStatus.RUNNING


@pytest.mark.parametrize("idempotency", ["compared", "honoured"])
def test_a_server_that_honours_keys_has_one_run_however_far_its_list_lags(connect, idempotency):
    client, runtime = lagging(connect, 1000.0, idempotency=idempotency)
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_after"}])

    run = echo(client)

    assert created(runtime) == 1
    assert client.get_run(run.id).status is not RunStatus.CANCELLED


@pytest.mark.parametrize("kind", LOST)
def test_a_server_that_keeps_no_tags_is_not_sent_to_again(connect, kind):
    client, runtime = lagging(connect, 0.0, metadata="dropped")
    echo(client)
    runtime.service.faults.post([{"match": CREATE, "kind": kind}])

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client, 2)

    assert creates(runtime) == 2


@pytest.mark.parametrize("kind", LOST)
def test_a_server_that_does_not_filter_by_tags_is_searched_row_by_row(connect, kind):
    client, runtime = lagging(connect, 0.0, metadata="unfiltered")
    for _ in range(3):
        echo(client)
    runtime.service.faults.post([{"match": CREATE, "kind": kind}])

    run = echo(client, 2, identity=IDENTITY_1)

    assert created(runtime) == 4
    assert echo(client, 2, identity=IDENTITY_1, adopt=True).id == run.id


def test_a_run_that_is_not_among_the_rows_that_are_read_is_not_created_again(connect):
    client, runtime = lagging(connect, 0.0, metadata="unfiltered")
    for number in range(MOST_ROWS + 1):
        runtime.service.state.add_run(stranger(runtime, number))

    with pytest.raises(CreateOutcomeUnknownError, match="not among the newest"):
        echo(client, identity=IDENTITY_1, adopt=True)

    assert creates(runtime) == 0
    since = datetime.fromtimestamp(runtime.clock(), UTC) + timedelta(days=2)
    fresh = RunIdentity.of(*TASK, since=since)
    assert echo(client, identity=fresh, adopt=True).id


def stranger(runtime, number):
    state = runtime.service.state
    made = Run(f"run_{number}", state.workflows["wf_echo"], CURRENT, runtime.clock(), 1.0)
    return replace(made, metadata={})


def test_a_run_that_cannot_be_looked_for_is_not_created_again(retab):
    client, runtime = retab
    runtime.service.faults.post(
        [
            {"match": CREATE, "kind": "reset_after"},
            {"match": "GET /v1/workflows/runs*", "kind": "http_403", "times": 99},
        ]
    )

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client)

    assert creates(runtime) == 1


def test_a_look_that_fails_once_does_not_give_the_run_up(connect):
    client, runtime = lagging(connect, 5.0)
    runtime.service.faults.post(
        [
            {"match": CREATE, "kind": "reset_after"},
            {"match": "GET /v1/workflows/runs*", "kind": "http_403"},
        ]
    )

    assert echo(client).id in runtime.service.state.runs
    assert (created(runtime), creates(runtime)) == (1, 1)


def test_a_run_that_could_not_be_compared_with_others_is_kept(retab):
    client, runtime = retab
    echo(client)  # of two runs two lists tell what becomes of tags, and six tell that there is no second one
    runtime.service.faults.post(
        [
            {"match": CREATE, "kind": "reset_before"},
            {"match": "GET /v1/workflows/runs*", "kind": "http_403", "nth": 9, "times": 99},
        ]
    )

    assert echo(client).status is RunStatus.RUNNING
    assert created(runtime) == 2


def test_an_answer_without_metadata_proves_nothing(script):
    marked = {"id": "run_1", "status": "running", "metadata": {IDENTITY: "0" * 64}}
    client, runtime = script(
        ok({"id": "run_1", "status": "running"}), ok(marked), ok({"data": []}), api="current"
    )
    echo(client)

    assert client.can_find_runs() is True
    assert runtime.requests[1:] == ["GET /v1/workflows/runs/run_1", "GET /v1/workflows/runs"]


def test_what_a_server_does_with_tags_is_asked_until_there_is_a_run_to_tell_by(connect):
    client, runtime = lagging(connect, 0.0, metadata="dropped")

    assert client.can_find_runs() is True
    client.create_run("wf_echo")
    assert client.can_find_runs() is False
    sent = len(runtime.sent)
    assert client.can_find_runs() is False
    assert len(runtime.sent) == sent


# ---- a key that came before


def test_two_inputs_of_one_owner_are_two_runs_where_keys_are_honoured(connect):
    for idempotency in ("compared", "honoured"):
        client, runtime = lagging(connect, 0.0, idempotency=idempotency)
        owner = RunIdentity.of("flow-run-1", "create_run", on_mismatch="create")

        assert len({echo(client, number, identity=owner).id for number in (1, 2)}) == 2
        assert created(runtime) == 2


def test_tags_of_ones_own_do_not_change_the_key(connect):
    client, runtime = lagging(connect, 0.0, idempotency="honoured")

    first, second = (
        echo(client, identity=IDENTITY_1, metadata={"try_number": number}) for number in ("1", "2")
    )

    assert first.id == second.id
    assert created(runtime) == 1


def test_a_key_that_is_refused_for_another_request_leads_to_its_run(connect):
    client, runtime = lagging(connect, 10.0, idempotency="compared")

    first, second = (
        echo(client, identity=IDENTITY_1, metadata={"try_number": number}) for number in ("1", "2")
    )

    assert first.id == second.id
    assert created(runtime) == 1


def test_a_conflict_that_the_api_documents_is_raised_at_once(script):
    unpublished = refused(409, {"detail": {"code": "production_required_but_unpublished", "message": "no"}})
    client, runtime = script(unpublished, api="current")

    with pytest.raises(ConflictError):
        echo(client)

    assert runtime.requests == [CREATE]


@pytest.mark.parametrize(
    "answer", [{"id": "run_1", "status": None}, {"id": "run_1"}, {"id": "run_1", "status": 7, "steps": "x"}]
)
def test_an_id_is_never_thrown_away(script, answer):
    client, runtime = script(ok(answer), api="current")

    run = echo(client)

    assert (run.id, run.status) == ("run_1", RunStatus.PENDING)
    assert creates(runtime) == 1


# ---- adopting


def test_the_same_task_tried_again_has_the_same_run(retab):
    client, runtime = retab
    first = echo(client, identity=IDENTITY_1, adopt=True)

    assert echo(client, identity=IDENTITY_1, adopt=True).id == first.id

    client.wait_for_run(first.id)
    again = echo(client, identity=IDENTITY_1, adopt=True)
    assert (again.id, again.status) == (first.id, RunStatus.COMPLETED)
    assert created(runtime) == 1


def test_without_adopting_nobody_looks(retab):
    client, runtime = retab
    echo(client, identity=IDENTITY_1)

    assert runtime.requests == [CREATE]


def test_a_run_that_ended_badly_is_run_again_under_another_key(retab):
    client, runtime = retab
    first = echo(client, identity=IDENTITY_1, adopt=True)
    client.cancel_run(first.id)

    second = echo(client, identity=IDENTITY_1, adopt=True)

    assert second.id != first.id
    keys = {
        request.headers["Idempotency-Key"]
        for request in runtime.sent
        if request.body and "cancel" not in request.path
    }
    assert len(keys) == 2
    assert echo(client, identity=IDENTITY_1, adopt=True).id == second.id


@pytest.mark.parametrize("kind", LOST)
def test_a_lost_answer_after_a_run_that_ended_badly_is_not_taken_for_it(retab, kind):
    client, runtime = retab
    first = echo(client, identity=IDENTITY_1, adopt=True)
    client.cancel_run(first.id)
    runtime.service.faults.post([{"match": CREATE, "kind": kind}])

    second = echo(client, identity=IDENTITY_1, adopt=True)

    assert second.id != first.id
    assert created(runtime) == 2


def test_other_inputs_under_the_same_identity_are_a_mistake(retab):
    client, runtime = retab
    first = echo(client, 1, identity=IDENTITY_1, adopt=True)

    with pytest.raises(InputsChangedError, match=r"clear the task") as changed:
        echo(client, 2, identity=IDENTITY_1, adopt=True)

    assert changed.value.run_id == first.id
    assert created(runtime) == 1


CHANGED = {
    "json_inputs": {"json_inputs": {"json-node-1": {"n": 123456}}},
    "version": {"version": "draft"},
    "documents": {"documents": {"start-node-1": ("a.pdf", b"%PDF-123456")}},
}


@pytest.mark.parametrize("name", CHANGED)
def test_an_argument_that_has_changed_is_named_by_its_hashes(retab, name):
    client, _ = retab
    inputs = {"json_inputs": {"json-node-1": {"n": 654321}}, "identity": IDENTITY_1, "adopt": True}
    client.create_run("wf_invoice_review", **inputs)

    with pytest.raises(InputsChangedError) as changed:
        client.create_run("wf_invoice_review", **inputs | CHANGED[name])

    told = str(changed.value)
    assert re.findall(r"(\w+) has changed \(hash [0-9a-f]{8}, now [0-9a-f]{8}\)", told) == [name]
    assert not re.search("123456|654321|draft|a.pdf", told)


HASHES = {"workflow_id": "0a", "version": "0b", "documents": "0c"}
TOLD = {
    # the tag of the run -> what has changed
    "0a-0b-0c": [],
    "0a-0b-ff": ["documents has changed (hash ff, now 0c)"],
    "ff-0b-ee": ["workflow_id has changed (hash ff, now 0a)", "documents has changed (hash ee, now 0c)"],
    "0a-0b": [],  # of a restart
    "": [],  # of an earlier version, or of a server that drops tags
    "0a-0b-what a server makes of it": [],
}


@pytest.mark.parametrize("tag", TOLD)
def test_what_is_said_to_have_changed(tag):
    assert changes(tag, HASHES) == TOLD[tag]


def test_hashes_of_arguments_go_with_their_fingerprint():
    parts = {"one": {"b": [1, None], 2: "x"}, "two": "y", "three": None}

    fingerprint, short = digests_of(parts)

    assert fingerprint == digest_of(*parts.values())
    assert [*short] == [*parts]
    assert digests_of({**parts, "two": "z"})[1] == {**short, "two": digests_of({"two": "z"})[1]["two"]}


def test_other_inputs_are_another_run_where_the_owner_may_have_several(retab):
    client, runtime = retab
    owner = RunIdentity.of("flow-run-1", "create_run", on_mismatch="create")
    first, second = (echo(client, number, identity=owner, adopt=True) for number in (1, 2))

    assert first.id != second.id
    assert echo(client, 1, identity=owner, adopt=True).id == first.id
    assert echo(client, 2, identity=owner, adopt=True).id == second.id
    assert created(runtime) == 2


@pytest.mark.parametrize("kind", LOST)
def test_a_lost_answer_is_not_taken_for_another_run_of_the_same_owner(retab, kind):
    client, runtime = retab
    owner = RunIdentity.of("flow-run-1", on_mismatch="create")
    first = echo(client, 1, identity=owner)
    runtime.service.faults.post([{"match": CREATE, "kind": kind}])

    assert echo(client, 2, identity=owner).id != first.id
    assert created(runtime) == 2


def test_a_server_without_metadata_has_nothing_to_adopt(connect):
    client, runtime = lagging(connect, 0.0, metadata="dropped")
    echo(client)

    run = echo(client, identity=IDENTITY_1, adopt=True)
    assert [found.id for found in client.find_runs(IDENTITY_1)] == [
        run.id
    ]  # known to the process that made it
    process_runs._own.clear()
    assert client.find_runs(IDENTITY_1) == []
    assert created(runtime) == 2


def test_classic_routes_have_nothing_to_adopt_but_what_this_process_made(connect):
    client, runtime = connect(server="classic", api="classic", auth="bearer")

    run = echo(client, identity=IDENTITY_1, adopt=True)

    assert runtime.requests == ["POST /v1/workflows/wf_echo/run"]
    assert [found.id for found in client.find_runs(IDENTITY_1)] == [run.id]
    process_runs._own.clear()
    assert client.find_runs(IDENTITY_1) == []


def test_runs_are_found_by_identity_and_by_family(retab):
    client, _ = retab
    first = echo(client, identity=IDENTITY_1)
    second = echo(client, identity=RunIdentity.of(*TASK, generation=1))

    assert [run.id for run in client.find_runs(IDENTITY_1)] == [first.id]
    assert [run.id for run in client.find_runs(IDENTITY_1, any_generation=True)] == [first.id, second.id]


def test_where_the_list_does_not_filter_runs_are_found_by_their_rows(connect):
    client, _ = lagging(connect, 0.0, metadata="unfiltered")
    echo(client)
    run = echo(client, identity=IDENTITY_1)

    assert [each.id for each in client.find_runs(IDENTITY_1)] == [run.id]


# ---- restarting


def test_a_restart_is_a_new_run_of_the_same_inputs(connect, family):
    client, runtime = connect(server=family)
    first = client.create_run("wf_invoice", documents={"start-node-1": ("a.pdf", b"%PDF-1.4 Vendor: X")})
    first = client.wait_for_run(first.id)

    second = client.restart_run(first.id)

    assert second.id != first.id
    assert client.wait_for_run(second.id).outputs == first.outputs
    assert client.get_run(second.id).trigger.type.value == "restart"
    assert created(runtime) == 2


def test_a_restart_on_current_routes_keeps_the_callers_tags_and_gets_marks_of_its_own(retab):
    client, _ = retab
    first = echo(client, metadata={"batch": "b1"}, identity=IDENTITY_1)

    second = client.restart_run(first.id)

    assert second.metadata["batch"] == "b1"
    assert second.metadata[IDENTITY] != first.metadata[IDENTITY]


@pytest.mark.parametrize("kind", LOST)
def test_a_restart_whose_answer_is_lost_is_one_run(connect, family, kind):
    client, runtime = connect(server=family, api=family, auth="bearer", idempotency="ignored")
    first = client.wait_for_run(echo(client).id)
    runtime.service.faults.post([{"match": "POST /v1/workflows/*", "kind": kind}])

    second = client.restart_run(first.id)

    assert second.id != first.id
    assert created(runtime) == 2


def test_a_document_is_looked_at_off_the_loop(retab):
    client, runtime = retab

    client.create_run("wf_invoice", documents={"start-node-1": ("a.pdf", b"%PDF")})

    assert runtime.off_loop_calls == 2  # when it is found, and when it is read


def test_a_restart_of_the_same_identity_is_one_run(connect, family):
    client, runtime = connect(server=family, api=family, auth="bearer", idempotency="ignored")
    first = client.wait_for_run(echo(client).id)

    again = [client.restart_run(first.id, identity=IDENTITY_1, adopt=True).id for _ in range(2)]

    assert again[0] == again[1] != first.id
    assert created(runtime) == 2


def test_restarts_of_several_runs_are_not_one_run_of_an_identity(connect, family):
    client, runtime = connect(server=family, api=family, auth="bearer", idempotency="ignored")
    first, second = (client.wait_for_run(echo(client).id) for _ in range(2))
    again = client.restart_run(first.id, identity=IDENTITY_1, adopt=True)

    with pytest.raises(InputsChangedError, match=again.id):
        client.restart_run(second.id, identity=IDENTITY_1, adopt=True)
    assert created(runtime) == 3

    client.cancel_run(again.id)
    client.restart_run(second.id, identity=IDENTITY_1, adopt=True)
    assert created(runtime) == 4


@pytest.mark.parametrize(("metadata", "filters"), [("kept", True), ("unfiltered", False), ("dropped", False)])
def test_it_can_be_told_whether_the_list_filters_by_tags(connect, family, metadata, filters):
    client, _ = connect(server=family, api=family, auth="bearer", traits={"metadata": metadata})
    echo(client)

    assert client.can_filter_runs() is (filters and family == "current")


def test_what_an_owner_notes_with_its_run_is_found_with_it_and_is_no_part_of_what_is_meant(connect):
    client, runtime = connect(server="current", api="current", auth="bearer")
    noted = replace(IDENTITY_1, note="one")
    run = echo(client, identity=noted)

    assert [each.metadata[NOTE] for each in client.find_runs(IDENTITY_1, any_generation=True)] == ["one"]
    assert echo(client, identity=replace(IDENTITY_1, note="other"), adopt=True).id == run.id
    assert created(runtime) == 1


def test_a_note_is_text():
    with pytest.raises(InvalidInputError, match="note must be a string of"):
        RunIdentity.of("a", note=5)


def test_it_can_be_told_whether_runs_can_be_found(connect, family):
    client, _ = connect(server=family, api=family, auth="bearer")

    assert client.can_find_runs() is (family == "current")
