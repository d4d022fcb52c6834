"""One intended run is one run, whatever is lost on the way."""

import json

import pytest

from retab_orchestration import (
    ApiConnectionError,
    CreateOutcomeUnknownError,
    InputsChangedError,
    RunIdentity,
    RunStatus,
)
from retab_orchestration.identity import FAMILY, FINGERPRINT, IDENTITY, RESERVED_PREFIX
from tests.retab_orchestration.conftest import ok, refused

CREATE = "POST /v1/workflows/runs"
TASK = ("prod", "my_dag", "manual__1", "read", -1)
IDENTITY_1 = RunIdentity.of(*TASK)
LOST = ["reset_before", "reset_after", "timeout_after", "http_500", "http_408", "garbage"]


@pytest.fixture
def retab(connect):
    """A client on current routes whose server does not honour Idempotency-Key, as the real one may not."""
    client, runtime = connect(server="current", api="current", auth="bearer", idempotency=False)
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


def test_answers_that_are_lost_every_time_end_with_the_outcome_unknown(retab):
    client, runtime = retab
    runtime.service.faults.post([{"match": CREATE, "kind": "reset_before", "times": 99}])

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client)

    assert (created(runtime), creates(runtime)) == (0, 3)


def test_a_list_that_lags_is_looked_at_more_than_once(script):
    run = {"id": "run_1", "status": "running"}
    nothing = ok({"data": []})
    client, runtime = script(
        ApiConnectionError("reset"), nothing, nothing, ok({"data": []}), ok(run), nothing, api="current"
    )

    assert echo(client).id == "run_1"
    assert runtime.slept == [0.0, 1.0, 3.0]


def test_a_second_run_that_the_list_does_not_show_yet_is_cancelled_all_the_same(script):
    first = {"id": "run_1", "status": "running", "metadata": {IDENTITY: IDENTITY_1.key}}
    cancelled = {"run": {"id": "run_2", "status": "cancelled"}, "cancellation_status": "cancelled"}
    nothing = ok({"data": []})
    client, runtime = script(
        ApiConnectionError("reset"),
        nothing,
        nothing,
        nothing,
        ok({"id": "run_2", "status": "running"}),
        ok({"data": [first]}),
        ok(cancelled),
        api="current",
    )

    run = client.create_run("wf_echo", json_inputs={"json-node-1": {}}, identity=IDENTITY_1)

    assert run.id == "run_1"
    assert [each for each in runtime.requests if "cancel" in each] == ["POST /v1/workflows/runs/run_2/cancel"]


def test_a_server_that_lists_without_regard_to_metadata_is_not_sent_to_again(script):
    others = ok({"data": [{"id": "run_9", "status": "running", "metadata": None}]})
    client, runtime = script(ApiConnectionError("reset"), others, api="current")

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client)

    assert creates(runtime) == 1


def test_a_run_that_cannot_be_looked_for_is_not_created_again(script):
    client, runtime = script(ApiConnectionError("reset"), refused(403), api="current")

    with pytest.raises(CreateOutcomeUnknownError):
        echo(client)

    assert creates(runtime) == 1


def test_a_create_that_took_effect_late_leaves_one_run(script):
    def row(identity, run_id):
        return {"id": run_id, "status": "running", "metadata": {IDENTITY: identity}}

    def listed(*ids):
        return ok({"data": [row(IDENTITY_1.key, run_id) for run_id in ids]})

    cancelled = ok({"run": {"id": "run_2", "status": "cancelled"}, "cancellation_status": "cancelled"})
    client, runtime = script(
        ApiConnectionError("reset"),
        *[listed()] * 3,
        ok({"id": "run_2", "status": "running"}),
        listed("run_1", "run_2"),
        cancelled,
        api="current",
    )

    assert echo(client, identity=IDENTITY_1).id == "run_1"
    assert runtime.requests[-1] == "POST /v1/workflows/runs/run_2/cancel"


def test_a_run_that_could_not_be_compared_with_others_is_kept(script):
    client, _ = script(
        ApiConnectionError("reset"),
        *[ok({"data": []})] * 3,
        ok({"id": "run_2", "status": "running"}),
        refused(403),
        api="current",
    )

    assert echo(client).id == "run_2"


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
    keys = [
        request.headers["Idempotency-Key"]
        for request in runtime.sent
        if request.body and "cancel" not in request.path
    ]
    assert keys == [f"{IDENTITY_1.key}-0", f"{IDENTITY_1.key}-1"]
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


def test_a_server_without_metadata_has_nothing_to_adopt(script):
    others = ok({"data": [{"id": "run_9", "status": "running"}]})
    client, _ = script(others, ok({"id": "run_1", "status": "running"}), api="current")

    assert echo(client, identity=IDENTITY_1, adopt=True).id == "run_1"


def test_classic_routes_have_nothing_to_adopt(connect):
    client, runtime = connect(server="classic", api="classic", auth="bearer")

    echo(client, identity=IDENTITY_1, adopt=True)

    assert runtime.requests == ["POST /v1/workflows/wf_echo/run"]
    assert client.find_runs(IDENTITY_1) == []


def test_runs_are_found_by_identity_and_by_family(retab):
    client, _ = retab
    first = echo(client, identity=IDENTITY_1)
    second = echo(client, identity=RunIdentity.of(*TASK, generation=1))

    assert [run.id for run in client.find_runs(IDENTITY_1)] == [first.id]
    assert [run.id for run in client.find_runs(IDENTITY_1, any_generation=True)] == [first.id, second.id]


def test_where_metadata_is_ignored_nothing_is_found(script):
    client, _ = script(ok({"data": [{"id": "run_9", "status": "running"}]}), api="current")

    assert client.find_runs(IDENTITY_1) == []


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
    client, runtime = connect(server=family, api=family, auth="bearer", idempotency=False)
    first = client.wait_for_run(echo(client).id)
    runtime.service.faults.post([{"match": "POST /v1/workflows/*", "kind": kind}])

    second = client.restart_run(first.id)

    assert second.id != first.id
    assert created(runtime) == 2


def test_a_document_is_looked_at_off_the_loop(retab):
    client, runtime = retab

    client.create_run("wf_invoice", documents={"start-node-1": ("a.pdf", b"%PDF")})

    assert runtime.off_loop_calls == 1


def test_a_restart_of_the_same_identity_is_one_run(connect, family):
    client, runtime = connect(server=family, api=family, auth="bearer", idempotency=False)
    first = client.wait_for_run(echo(client).id)

    again = [client.restart_run(first.id, identity=IDENTITY_1, adopt=True).id for _ in range(2)]

    assert again[0] == again[1] != first.id
    assert created(runtime) == 2


def test_it_can_be_told_whether_runs_can_be_found(connect, family):
    client, _ = connect(server=family, api=family, auth="bearer")

    assert client.can_find_runs() is (family == "current")
