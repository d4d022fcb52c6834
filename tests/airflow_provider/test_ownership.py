"""One run per task, over retries and clears; with what Airflow keeps for a task, and without."""

import re
from datetime import UTC, datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider.operators import RetabRestartRunOperator, RetabRunWorkflowOperator
from retab_orchestration import (
    ApiConnectionError,
    CreateOutcomeUnknownError,
    InputsChangedError,
    RetabError,
    RunFailedError,
    ServerError,
)
from retab_orchestration._operations import process_runs
from tests.airflow_provider.refusals import refused
from tests.sweep.sockets import hurry


class Store:
    """What `context["task_state_store"]` is on Airflow 3.3: it outlives retries and clears."""

    def __init__(self):
        self.values = {}
        self.fails_at = None
        self.writes = 0

    def get(self, key, default=None):
        return self.values.get(key, default)

    def set(self, key, value, *, retention=None):
        self.writes += 1
        if self.writes == self.fails_at:
            raise Killed
        self.values[key] = value

    def delete(self, key):
        self.values.pop(key, None)


class Killed(BaseException):
    """The end of a worker."""


@pytest.fixture(params=["3.3's store", "no store"])
def store(request):
    return Store() if request.param == "3.3's store" else None


@pytest.fixture
def kept():
    return Store()


CLASSIC = {"api": "classic", "auth": "api-key"}
START = datetime(2026, 3, 4, 1, 30, tzinfo=timezone(timedelta(hours=2)))
LATER = START + timedelta(microseconds=1)


@pytest.fixture(autouse=True)
def faster(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture
def attempt(connect, new_ti):
    """Execute one attempt of a task until it ends or defers; return what it returned, and its task instance."""

    def run(
        store=None,
        *,
        try_number=1,
        max_tries=1,
        ti=None,
        operator=None,
        start=START,
        clear_number=0,
        **settings,
    ):
        process_runs._own.clear()  # each attempt is a process of its own
        task = operator or echo(**{"retries": 1, **settings})
        ti = ti or new_ti()
        ti.try_number, ti.max_tries = try_number, max_tries
        dag_run = SimpleNamespace(start_date=start, clear_number=clear_number)
        context = {"ti": ti, "dag_run": dag_run}
        if store is not None:
            context["task_state_store"] = store
        try:
            returned = task.execute(context)
        except TaskDeferred as deferred:
            returned = deferred
        return returned, ti.xcoms.get("run_id")

    return run


def echo(seconds=600, **settings):
    json_inputs = {"json-node-1": {"seconds": seconds}}
    return RetabRunWorkflowOperator(task_id="run", workflow_id="wf_echo", json_inputs=json_inputs, **settings)


def status(client, run_id):
    return client.get_run(run_id).status.value


def created(emulator):
    return emulator.stats()["runs_created"]


def test_first_attempt_looks_for_nothing(attempt, emulator, store):
    attempt(store)

    assert not [name for name in emulator.stats()["requests"] if name == "GET /v1/workflows/runs"]
    assert created(emulator) == 1


def test_retry_reattaches_to_a_run_that_goes_on(attempt, emulator, store):
    _, first = attempt(store)

    deferred, second = attempt(store, try_number=2)

    assert second == first
    assert deferred.kwargs["run_id"] == first
    assert deferred.kwargs["reattached"] is True
    assert created(emulator) == 1


def test_retry_returns_what_completed(attempt, emulator, store, settle):
    _, first = attempt(store, seconds=20)
    settle(first)

    outputs, second = attempt(store, try_number=2, seconds=20)

    assert second == first
    assert outputs["end-node-1"]["json_data"]["json-node-1"] == {"seconds": 20}
    assert created(emulator) == 1


def test_retry_reattaches_to_a_run_that_waits_for_a_human(attempt, emulator, store, invoice, settle):
    def review():
        documents = {"start-node-1": invoice}
        return RetabRunWorkflowOperator(
            task_id="run", workflow_id="wf_invoice_review", documents=documents, on_review="wait", retries=1
        )

    _, first = attempt(store, operator=review())
    settle(first)

    _, second = attempt(store, try_number=2, operator=review())

    assert second == first
    assert created(emulator) == 1


def test_retry_starts_anew_what_was_cancelled_and_only_once(attempt, emulator, client, store):
    _, first = attempt(store)
    client.cancel_run(first)

    _, second = attempt(store, try_number=2)
    deferred, third = attempt(store, try_number=3)

    assert second != first
    assert third == second
    assert deferred.kwargs["reattached"] is True
    assert created(emulator) == 2


def test_retry_on_classic_routes_knows_the_run_from_the_store(attempt, connect, emulator, kept):
    connect(extra=CLASSIC)
    _, first = attempt(kept)

    _, second = attempt(kept, try_number=2)

    assert second == first
    assert created(emulator) == 1


def test_retry_on_classic_routes_starts_anew_what_was_cancelled(attempt, connect, emulator, client, kept):
    connect(extra=CLASSIC)
    _, first = attempt(kept)
    client.cancel_run(first)

    _, second = attempt(kept, try_number=2)

    assert second != first
    assert created(emulator) == 2


@pytest.mark.parametrize("kind", ["reset_after", "http_503", "garbage"])
def test_lost_create_is_found_again(attempt, emulator, store, kind):
    emulator.post_faults([{"match": "POST /v1/workflows/runs", "kind": kind}])

    deferred, run_id = attempt(store)

    assert deferred.kwargs["run_id"] == run_id
    assert created(emulator) == 1


def test_worker_that_dies_before_it_stores_the_id_leaves_a_run_that_is_found(attempt, emulator, kept, new_ti):
    kept.fails_at = 2  # the intent is written, the id is not
    with pytest.raises(Killed):
        attempt(kept)

    _, run_id = attempt(kept, try_number=2)

    assert created(emulator) == 1
    assert kept.values["retab_run"]["run_id"] == run_id


def test_intent_counts_on_the_same_try_as_well(attempt, emulator, kept):
    kept.fails_at = 2
    with pytest.raises(Killed):
        attempt(kept)

    attempt(kept, try_number=1)

    assert created(emulator) == 1


def test_worker_that_dies_in_a_classic_create_is_not_followed_by_another(attempt, connect, emulator, kept):
    connect(extra=CLASSIC)
    kept.fails_at = 2
    with pytest.raises(Killed):
        attempt(kept)

    with refused(
        CreateOutcomeUnknownError, match=r"was cut off.*wf_echo.*list_runs.*clear the task"
    ) as failure:
        attempt(kept, try_number=2)

    assert failure.value.__cause__.since == kept.values["retab_run"]["since"]
    assert created(emulator) == 1


def restart_of(client):
    source = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 600}})
    client.cancel_run(source.id)
    return lambda: RetabRestartRunOperator(task_id="run", run_id=source.id, retries=1)


@pytest.fixture(params=["run", "restart"])
def starting(request, connect, client):
    """Return what builds an operator that starts a run on classic routes, and how many runs there are before."""
    connect(extra=CLASSIC)
    if request.param == "run":
        return lambda: echo(retries=1), 0
    return restart_of(client), 1


@pytest.mark.parametrize("becomes", ["running", "cancelled"])
def test_classic_retry_that_nothing_tells_of_an_attempt_before_it_starts_no_run(
    attempt, starting, emulator, client, becomes
):
    """What failed cannot be told from what was cut off."""
    build, before = starting
    _, first = attempt(operator=build())
    if becomes == "cancelled":
        client.cancel_run(first)

    with refused(CreateOutcomeUnknownError, match=r"may have been cut off.*clear the task"):
        attempt(try_number=2, operator=build())

    assert created(emulator) == before + 1
    assert status(client, first) == becomes


def test_such_a_retry_says_where_to_look(attempt, connect):
    connect(extra=CLASSIC)
    today = datetime.now(UTC).date().isoformat()
    look = rf"list_runs\(workflow_id='wf_echo', from_date='2026-03-03', to_date='{today}'\)"

    with refused(CreateOutcomeUnknownError, match=look) as failure:
        attempt(try_number=2)

    unknown = failure.value.__cause__
    assert unknown.workflow_id == "wf_echo"
    assert unknown.since == "2026-03-03T23:30:00+00:00"
    assert unknown.until.startswith(today)


def test_first_attempt_after_a_clear_starts_a_run_and_its_retry_none(attempt, starting, emulator):
    build, before = starting
    attempt(operator=build())

    attempt(try_number=2, max_tries=2, operator=build())
    with refused(CreateOutcomeUnknownError, match="may have been cut off"):
        attempt(try_number=3, max_tries=2, operator=build())

    assert created(emulator) == before + 2


@pytest.mark.parametrize("retries", [0, 1, 3, 9])
def test_changed_number_of_retries_makes_no_retry_the_first_attempt_after_a_clear(
    attempt, connect, emulator, retries
):
    connect(extra=CLASSIC)

    with refused(CreateOutcomeUnknownError, match="may have been cut off"):
        attempt(try_number=2, max_tries=3, retries=retries)

    assert created(emulator) == 0


def test_clearing_such_a_task_starts_a_run(attempt, connect, emulator, kept):
    connect(extra=CLASSIC)
    kept.fails_at = 2
    with pytest.raises(Killed):
        attempt(kept)

    attempt(kept, try_number=2, max_tries=2)

    assert created(emulator) == 2


def test_refused_classic_create_may_be_tried_again(attempt, connect, emulator, kept):
    connect(extra=CLASSIC)
    emulator.post_faults(
        [{"match": "POST /v1/workflows/*", "times": 9, "kind": "http_429", "retry_after": 600}]
    )
    with pytest.raises(Exception, match="429"):
        attempt(kept)
    emulator.post_faults([])

    attempt(kept, try_number=2)

    assert created(emulator) == 1


def test_store_that_fails_after_the_create_does_not_fail_the_task(attempt, emulator, kept, monkeypatch):
    taken = Store.set

    def full(self, key, value, **options):
        if "run_id" in value:
            raise RuntimeError("the api-server is gone")
        taken(self, key, value, **options)

    monkeypatch.setattr(Store, "set", full)
    _, first = attempt(kept)

    _, second = attempt(kept, try_number=2)

    assert second == first
    assert created(emulator) == 1


def test_changed_inputs_are_refused_and_the_run_is_kept(attempt, emulator, store):
    _, first = attempt(store)

    with refused(InputsChangedError, match=first):
        attempt(store, try_number=2, seconds=601, cancel_on_timeout=False)
    _, again = attempt(store, try_number=3)

    assert again == first
    assert created(emulator) == 1


@pytest.mark.parametrize(
    ("cancel", "becomes", "told"),
    [
        (True, "cancelled", "it was cancelled"),
        ("always", "cancelled", "it was cancelled"),
        (False, "running", "it goes on: wait for it with RetabRunSensor, or cancel it"),
    ],
)
def test_an_input_that_has_moved_is_named_and_the_run_from_before_is_ended_as_at_a_timeout(
    attempt, client, store, cancel, becomes, told
):
    _, first = attempt(store, seconds=66666)

    with refused(InputsChangedError, match=first) as failure:
        attempt(store, try_number=2, seconds=77777, cancel_on_timeout=cancel)

    message = str(failure.value)
    assert re.search(r"json_inputs has changed \(hash [0-9a-f]{8}, now [0-9a-f]{8}\)", message)
    assert not re.search(r"77777|66666|workflow_id|documents|version", message)
    assert message.endswith(told)
    assert status(client, first) == becomes


@pytest.mark.parametrize(("cancel", "becomes"), [(True, "waiting_for_human"), ("always", "cancelled")])
def test_a_run_that_waits_for_a_human_is_spared_although_an_input_has_moved(
    attempt, client, kept, settle, invoice, cancel, becomes
):
    def review(**settings):
        documents = {"start-node-1": str(invoice)}
        return RetabRunWorkflowOperator(
            task_id="run", workflow_id="wf_invoice_review", documents=documents, retries=1, **settings
        )

    _, first = attempt(kept, operator=review())
    settle(first)
    invoice.write_bytes(invoice.read_bytes() + b"%")

    with refused(InputsChangedError, match="documents has changed"):
        attempt(kept, try_number=2, operator=review(cancel_on_timeout=cancel))

    assert status(client, first) == becomes


def test_a_run_of_other_inputs_that_has_ended_is_left_alone(attempt, emulator, kept, settle):
    _, first = attempt(kept, seconds=1)
    settle(first)

    with refused(InputsChangedError, match="the inputs that it had$"):
        attempt(kept, try_number=2, seconds=2)

    assert not [name for name in emulator.stats()["requests"] if "cancel" in name]


@pytest.mark.parametrize(("memory", "becomes"), [("store", "cancelled"), ("none", "running")])
def test_an_attempt_that_may_have_been_given_up_cancels_no_run_of_other_inputs(
    attempt, client, monkeypatch, memory, becomes
):
    """Where Airflow keeps nothing, a slow attempt cannot know whether the run is that of its successor."""
    store = Store() if memory == "store" else None
    _, first = attempt(store)
    monkeypatch.setattr("airflow_provider._create_once.later_attempts.SLOW", 0.0)

    with refused(InputsChangedError, match=first):
        attempt(store, try_number=2, seconds=601)

    assert status(client, first) == becomes


def test_a_run_of_other_inputs_that_a_successor_has_started_is_left_to_it(attempt, client, monkeypatch):
    class Succeeded(Store):
        """Another attempt writes while this one starts its run."""

        def get(self, key, default=None):
            found = super().get(key, default)
            return {**found, "since": "2026-03-04T05:06:07+00:00"} if self.writes > 2 and found else found

    store = Succeeded()
    _, first = attempt(store)
    monkeypatch.setattr("airflow_provider._create_once.later_attempts.SLOW", 0.0)

    with refused(InputsChangedError, match=first):
        attempt(store, try_number=2, seconds=601)

    assert status(client, first) == "running"


def test_clear_cancels_the_old_run_and_starts_another(attempt, emulator, client, store):
    _, first = attempt(store)

    _, second = attempt(store, try_number=2, max_tries=2)
    _, third = attempt(store, try_number=3, max_tries=2)

    assert second != first
    assert third == second
    assert status(client, first) == "cancelled"
    assert status(client, second) == "running"
    assert created(emulator) == 2


def test_clear_runs_a_completed_task_again(attempt, emulator, client, store, settle):
    _, first = attempt(store, seconds=1)
    settle(first)

    _, second = attempt(store, try_number=2, max_tries=2, seconds=1)

    assert second != first
    assert status(client, first) == "completed"


def test_clear_cancels_on_classic_routes_what_the_store_knows(attempt, connect, client, kept):
    connect(extra=CLASSIC)
    _, first = attempt(kept)

    _, second = attempt(kept, try_number=2, max_tries=2)

    assert second != first
    assert status(client, first) == "cancelled"


def test_clear_may_reattach(attempt, emulator, store):
    _, first = attempt(store)

    deferred, second = attempt(store, try_number=2, max_tries=2, on_clear="reattach")
    _, third = attempt(store, try_number=3, max_tries=2, on_clear="reattach")

    assert third == second == first
    assert deferred.kwargs["reattached"] is True
    assert created(emulator) == 1


def test_clear_that_may_reattach_starts_anew_what_failed(attempt, emulator, client, store):
    _, first = attempt(store)
    client.cancel_run(first)

    _, second = attempt(store, try_number=2, max_tries=2, on_clear="reattach")

    assert second != first
    assert created(emulator) == 2


def test_clear_reattaches_to_the_newest_run_or_to_none(attempt, client, store, settle):
    _, first = attempt(store, seconds=1)
    settle(first)
    _, second = attempt(store, try_number=2, max_tries=2, seconds=1)
    settle(second)

    _, third = attempt(store, try_number=3, max_tries=3, seconds=1, on_clear="reattach")

    assert third == second != first


@pytest.mark.parametrize("kind", ["http_409", "http_404"])
def test_old_run_that_ends_while_it_is_cancelled_is_no_failure(attempt, emulator, store, kind):
    attempt(store)
    emulator.post_faults([{"match": "POST */cancel", "kind": kind}])

    attempt(store, try_number=2, max_tries=2)

    assert created(emulator) == 2


def test_old_run_that_cannot_be_cancelled_now_is_cancelled_by_the_retry(attempt, emulator, client, store):
    _, first = attempt(store)
    emulator.post_faults([{"match": "POST */cancel", "times": 4, "kind": "http_503"}])
    with pytest.raises(ServerError):
        attempt(store, try_number=2, max_tries=2)
    assert created(emulator) == 1

    attempt(store, try_number=3, max_tries=2)

    assert status(client, first) == "cancelled"
    assert created(emulator) == 2


def test_reattached_run_that_is_cancelled_late_is_started_anew_once(
    attempt, emulator, client, store, fire, new_ti
):
    """As by the trigger of the attempt before, whose call took its time."""
    attempt(store)
    ti = new_ti()
    deferred, run_id = attempt(store, try_number=2, ti=ti)
    client.cancel_run(run_id)
    [event] = fire(deferred.trigger)
    context = {"ti": ti, "dag_run": SimpleNamespace(start_date=START, clear_number=0)}
    context |= {"task_state_store": store} if store else {}

    with pytest.raises(TaskDeferred) as again:
        echo(retries=1).execute_complete(context, event=event, **deferred.kwargs)

    assert again.value.kwargs["run_id"] != run_id
    assert again.value.kwargs["reattached"] is False
    assert created(emulator) == 2

    client.cancel_run(again.value.kwargs["run_id"])
    [event] = fire(again.value.trigger)
    with pytest.raises(Exception, match="cancelled"):
        echo(retries=1).execute_complete(context, event=event, **again.value.kwargs)
    assert created(emulator) == 2


def test_values_are_the_same_here_deferred_and_reattached(attempt, store, new_ti, fire, settle):
    here, _ = attempt(store, seconds=10, deferrable=False)
    deferred, run_id = attempt(store, try_number=2, max_tries=2, seconds=10)
    ti = new_ti()
    ti.xcom_push("run_id", run_id)
    [event] = fire(deferred.trigger)
    later = echo(10).execute_complete({"ti": ti}, event=event, **deferred.kwargs)
    reattached, _ = attempt(store, try_number=3, max_tries=2, seconds=10)

    assert here == later == reattached


def test_two_environments_that_share_a_key_never_meet(attempt, connect, emulator):
    connect(extra={"namespace": "staging"})
    _, first = attempt()
    connect(extra={"namespace": "production"})

    _, second = attempt(try_number=2)
    _, third = attempt(try_number=2, max_tries=2)

    assert len({first, second, third}) == 3


def test_mapped_tasks_of_the_same_inputs_have_runs_of_their_own(attempt, emulator, new_ti):
    for index in range(2):
        ti = new_ti()
        ti.map_index = index
        attempt(ti=ti)

    assert created(emulator) == 2


def test_another_host_takes_up_what_was_stored(attempt, connect, emulator, kept):
    """Where nobody set a namespace, it is the host's own name; a retry may be on another host."""
    connect(extra={"namespace": "worker-1"})
    _, first = attempt(kept)
    connect(extra={"namespace": "worker-2"})

    _, second = attempt(kept, try_number=2)

    assert second == first


@pytest.mark.parametrize("extra", [{}, CLASSIC], ids=["current", "classic"])
def test_restart_is_owned_as_well(attempt, connect, client, emulator, kept, settle, extra):
    connect(extra=extra)
    source = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 1}})
    settle(source.id)
    again = {"task_id": "run", "run_id": source.id, "retries": 1}

    _, first = attempt(kept, operator=RetabRestartRunOperator(**again))
    _, second = attempt(kept, try_number=2, operator=RetabRestartRunOperator(**again))

    assert first == second != source.id
    assert created(emulator) == 2


def test_restart_whose_answers_were_lost_is_the_same_on_another_host(
    attempt, connect, client, emulator, kept
):
    build = restart_of(client)
    connect(extra={**CLASSIC, "namespace": "worker-1"})
    emulator.post_faults([{"match": "POST */restart", "times": 9, "kind": "reset_after"}])
    with pytest.raises(RetabError):
        attempt(kept, operator=build())
    emulator.post_faults([])
    connect(extra={**CLASSIC, "namespace": "worker-2"})

    attempt(kept, try_number=2, operator=build())

    assert created(emulator) == 2


def test_restart_that_is_cut_off_after_a_run_that_failed_is_taken_up(
    attempt, connect, client, emulator, kept
):
    build = restart_of(client)
    connect(extra=CLASSIC)
    _, first = attempt(kept, operator=build())
    client.cancel_run(first)
    kept.fails_at = kept.writes + 2  # the intent is written, the id is not
    with pytest.raises(Killed):
        attempt(kept, try_number=2, operator=build())

    _, second = attempt(kept, try_number=3, operator=build())

    assert status(client, second) == "running"
    assert created(emulator) == 3


def test_failed_run_that_may_pass_is_started_anew_by_the_retry(attempt, emulator, store):
    def fails():
        json_inputs = {"json-node-1": {"message": "The scanner was busy", "category": "transient"}}
        return RetabRunWorkflowOperator(
            task_id="run", workflow_id="wf_fail", json_inputs=json_inputs, deferrable=False, retries=1
        )

    for number in (1, 2):
        with pytest.raises(RunFailedError, match="busy"):
            attempt(store, try_number=number, operator=fails())

    assert created(emulator) == 2


def test_clear_of_a_task_of_a_finished_dag_run_starts_another(attempt, emulator, client, store):
    _, first = attempt(store)

    _, second = attempt(store, try_number=2, max_tries=2, start=LATER, clear_number=1)
    _, third = attempt(store, try_number=3, max_tries=2, start=LATER, clear_number=1)

    assert third == second != first
    assert status(client, first) == "cancelled"
    assert created(emulator) == 2


def test_clear_of_another_task_lets_a_retry_find_its_run(attempt, emulator, store):
    _, first = attempt(store)

    _, second = attempt(store, try_number=2, clear_number=1)

    assert second == first
    assert created(emulator) == 1


def test_clear_of_a_finished_dag_run_may_reattach(attempt, emulator, store, settle):
    _, first = attempt(store, seconds=1)
    settle(first)
    again = {"max_tries": 2, "start": LATER, "clear_number": 1, "seconds": 1, "on_clear": "reattach"}

    _, second = attempt(store, try_number=2, **again)
    _, third = attempt(store, try_number=3, **again)

    assert third == second == first
    assert created(emulator) == 1


def test_dag_run_that_is_made_again_with_the_same_id_has_runs_of_its_own(
    attempt, emulator, new_store, settle
):
    _, first = attempt(new_store(), seconds=1)
    settle(first)
    store = new_store()  # Airflow forgets with the DAG run

    _, second = attempt(store, start=LATER, seconds=1)
    _, third = attempt(store, start=LATER, seconds=1, try_number=2)

    assert third == second != first
    assert created(emulator) == 2


def test_retry_in_such_a_dag_run_does_not_find_what_the_deleted_one_started(
    attempt, emulator, new_store, settle
):
    """As after a first attempt that failed before it came to start a run."""
    _, first = attempt(new_store(), seconds=1)
    settle(first)

    _, second = attempt(new_store(), start=LATER, try_number=2, seconds=1)

    assert second != first
    assert created(emulator) == 2


def test_reattaching_in_such_a_dag_run_does_not_find_what_the_deleted_one_started(attempt, emulator, settle):
    _, first = attempt(Store(), seconds=1)
    settle(first)

    _, second = attempt(Store(), start=LATER, try_number=2, max_tries=2, seconds=1, on_clear="reattach")

    assert second != first
    assert created(emulator) == 2


def test_memory_that_outlives_its_dag_run_is_not_believed(attempt, emulator, kept, settle):
    _, first = attempt(kept, seconds=1)
    settle(first)

    _, second = attempt(kept, start=LATER, seconds=1)

    assert second != first
    assert created(emulator) == 2


@pytest.fixture(params=["3.3's store", "no store"])
def new_store(request):
    return Store if request.param == "3.3's store" else lambda: None


def test_fewer_retries_do_not_hide_a_clear(attempt, emulator, kept, settle):
    _, first = attempt(kept, seconds=1)
    settle(first)

    _, second = attempt(kept, try_number=2, max_tries=1, retries=0, clear_number=1, seconds=1)
    _, third = attempt(kept, try_number=3, max_tries=1, retries=0, clear_number=1, seconds=1)

    assert third == second != first
    assert created(emulator) == 2


@pytest.mark.parametrize(
    "changed", [{"retries": 0}, {"clear_number": 1}], ids=["fewer retries", "another task was cleared"]
)
def test_what_may_be_a_retry_cancels_nothing(attempt, emulator, client, kept, changed):
    _, first = attempt(kept)

    _, second = attempt(kept, try_number=2, **changed)

    assert second == first
    assert status(client, first) == "running"
    assert created(emulator) == 1


def test_entry_of_an_older_version_of_ours_is_read(attempt, emulator, kept):
    _, first = attempt(kept)
    entry = kept.values["retab_run"]
    kept.values["retab_run"] = {
        name: entry[name] for name in ("identity", "family", "generation", "since", "run_id")
    }

    _, second = attempt(kept, try_number=2, retries=0, clear_number=1)

    assert second == first
    assert created(emulator) == 1


@pytest.fixture
def on_worker(monkeypatch):
    """Name the machine."""
    return lambda name: monkeypatch.setattr("socket.gethostname", lambda: name)


def test_retry_on_a_worker_of_another_name_finds_the_run(attempt, emulator, on_worker):
    on_worker("worker-1")
    _, first = attempt()
    on_worker("worker-2")

    _, second = attempt(try_number=2)

    assert second == first
    assert created(emulator) == 1


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if "`namespace`" in record.getMessage()]


def test_clear_on_a_worker_of_another_name_says_which_setting_is_missing(
    attempt, emulator, connect, on_worker, caplog
):
    on_worker("worker-1")
    attempt()
    on_worker("worker-2")

    attempt(try_number=2, max_tries=2)

    [warning] = warnings_of(caplog)
    assert "connection" in warning
    assert created(emulator) == 2


def test_start_that_is_not_told_leaves_the_machine_s_name_and_says_so(attempt, caplog):
    attempt(start=None)

    assert len(warnings_of(caplog)) == 1


@pytest.mark.parametrize(
    ("extra", "tries"),
    [
        ({"namespace": "production"}, {"try_number": 2, "max_tries": 2}),
        ({}, {"try_number": 1}),
        (CLASSIC, {"try_number": 2, "max_tries": 2}),
    ],
    ids=["namespace", "first try", "classic routes"],
)
def test_nobody_is_warned_without_need(attempt, connect, caplog, extra, tries):
    connect(extra=extra)

    attempt(**tries)

    assert warnings_of(caplog) == []


def test_restart_none_of_whose_answers_came_is_retried_under_the_same_command(
    attempt, connect, client, emulator, kept
):
    build = restart_of(client)
    connect(extra=CLASSIC)
    emulator.post_faults([{"match": "POST */restart", "times": 9, "kind": "reset_after"}])
    with pytest.raises(ApiConnectionError):  # an AirflowFailException would end the retries
        attempt(kept, operator=build())
    emulator.post_faults([])

    attempt(kept, try_number=2, operator=build())

    assert created(emulator) == 2


def test_a_store_that_forgets_nothing_hides_no_refusal(attempt, emulator, kept, caplog):
    """What the user has to hear is why Retab refused the run."""

    def fail(key):
        raise ConnectionError("no answer from the API server")

    kept.delete = fail
    emulator.post_faults([{"match": "POST /v1/workflows/runs", "kind": "http_422"}])

    with refused(RetabError, match="422"):
        attempt(kept)

    assert "Airflow still keeps" in caplog.text


def test_a_task_that_is_cleared_on_classic_routes_where_nothing_is_kept_starts_a_run(
    attempt, connect, emulator, new_ti
):
    connect(extra=CLASSIC)
    attempt()
    ti = new_ti()
    ti.start_date = datetime.now(UTC)

    attempt(try_number=2, max_tries=2, ti=ti)

    assert created(emulator) == 2
