import asyncio
import time
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Cancelled, Cancelling, Crashed, Failed

import prefect_collection
from prefect_collection import (
    RetabCredentials,
    arun_workflow,
    cancel_retab_runs,
    cancellation_automation,
    run_workflow,
)
from prefect_collection._cancels import cancel_runs, cancel_test_runs
from prefect_collection._identity import is_stopped
from prefect_collection._prefect_server import retrying_at_once
from prefect_collection._state import Begun, Record, runs_in
from prefect_collection.credentials import namespace_of
from retab_orchestration import AsyncRetabClient, RetabClient, WaitTimeoutError
from retab_orchestration.emulator import Emulator

LONG = {"json-node-1": {"seconds": 60_000}}


@pytest.mark.parametrize("flow", [run_workflow, arun_workflow, run_workflow.with_options(retries=2)])
def test_every_flow_has_the_hook(flow):
    assert flow.on_cancellation_hooks == [cancel_retab_runs]
    assert flow.on_failure_hooks == [cancel_retab_runs]
    assert flow.on_crashed_hooks == []


@pytest.mark.parametrize("flow", [run_workflow, arun_workflow])
def test_hooks_of_ones_own_are_run_beside_the_one_that_cancels(flow):
    def own(flow, flow_run, state):
        """Tell somebody."""

    changed = flow.with_options(on_cancellation=[own], on_failure=[own, cancel_retab_runs])
    again = changed.with_options(on_failure=[own], retries=1)

    assert changed.on_cancellation_hooks == again.on_cancellation_hooks == [cancel_retab_runs, own]
    assert changed.on_failure_hooks == again.on_failure_hooks == [cancel_retab_runs, own]


LIMIT = "Flow run exceeded timeout of"
STOPPED = {
    "cancelling": (Cancelling(), True),
    "cancelled": (Cancelled(), True),
    "took longer than it may": (Failed(name="TimedOut", message=f"{LIMIT} 3.0 second(s)"), True),
    "a flow in it did": (Failed(name="TimedOut", message=f"{LIMIT} None second(s)"), False),
    "a socket did": (
        Failed(name="TimedOut", message="Flow run failed due to timeout: TimeoutError()"),
        False,
    ),
    "failed": (Failed(message=f"{LIMIT} 3.0 second(s), says somebody"), False),
    "crashed": (Crashed(), False),
    "unknown": (None, False),
}


@pytest.mark.parametrize(("state", "stopped"), STOPPED.values(), ids=STOPPED)
def test_a_flow_run_is_stopped_that_was_cancelled_or_took_longer_than_it_may(state, stopped):
    assert is_stopped(state) is stopped


def test_a_wait_that_takes_too_long_cancels_its_run(call, emulator):
    run_id = call("create_run", "wf_echo", json_inputs=LONG)

    with pytest.raises(WaitTimeoutError, match=rf"{run_id} was still running .* was cancelled") as error:
        call("wait_for_run", run_id, timeout_seconds=0.3)

    assert error.value.run.id == run_id
    assert call("get_run", run_id).status_name == "cancelled"


def test_a_wait_may_leave_its_run_alone(call, emulator):
    run_id = call("create_run", "wf_echo", json_inputs=LONG)

    with pytest.raises(WaitTimeoutError, match="it goes on"):
        call("wait_for_run", run_id, timeout_seconds=0.3, cancel_on_timeout=False)

    assert call("get_run", run_id).status_name == "running"


def test_a_cancel_that_is_refused_says_so(call, emulator):
    run_id = call("create_run", "wf_echo", json_inputs=LONG)
    emulator.post_faults([{"match": "POST */cancel", "kind": "http_403"}])

    with pytest.raises(WaitTimeoutError, match=r"it goes on.*could not be cancelled.*403"):
        call("wait_for_run", run_id, timeout_seconds=0.3)


def test_a_cancel_that_retab_refuses_is_none(call, emulator):
    run_id = call("create_run", "wf_uncancellable", json_inputs=LONG)

    with pytest.raises(WaitTimeoutError, match=r"it goes on.*could not be cancelled: Retab refused") as error:
        call("wait_for_run", run_id, timeout_seconds=0.3)

    assert error.value.run.id == run_id
    assert call("get_run", run_id).status_name == "running"


@pytest.mark.parametrize("workflow_id", ["wf_echo", "wf_uncancellable"])
def test_a_run_that_retab_refuses_to_cancel_is_a_problem_of_the_cleanup(emulator, workflow_id):
    problems = []

    async def clean_up():
        async with AsyncRetabClient() as client:
            run = await client.create_run(workflow_id, json_inputs=LONG)
            return run.id, await cancel_runs(client, {run.id}, problems)

    run_id, cancelled = asyncio.run(clean_up())

    if workflow_id == "wf_echo":
        assert (cancelled, problems) == ([run_id], [])
    else:
        [problem] = problems
        assert cancelled == []
        assert problem.text == f"{run_id}: Retab refused"


def test_a_test_run_is_cancelled_as_a_run_is_and_one_that_has_ended_is_left():
    problems = []

    async def clean_up(url):
        async with AsyncRetabClient("any-key", base_url=url) as client:
            begun = await client.create_test_run("wf_invoice")
            given = {begun.id, "wftestrun_none"}
            cancelled = [await cancel_test_runs(client, given, problems) for _ in range(2)]
            return begun.id, cancelled, await client.get_test_run(begun.id)

    with Emulator(speed=0.01) as slow:
        begun, cancelled, now = asyncio.run(clean_up(slow.url))

    assert cancelled == [[begun], []]
    assert now.status_name == "cancelled"
    assert [problem.text[:14] for problem in problems] == ["wftestrun_none"] * 2


def test_a_run_that_ends_while_it_is_being_cancelled_is_a_success(call, emulator):
    run_id = call("create_run", "wf_echo", json_inputs={"json-node-1": {"seconds": 10}})
    emulator.post_faults([{"match": "POST */cancel", "kind": "slow", "seconds": 1}])

    assert call("wait_for_run", run_id, timeout_seconds=0.1).status_name == "completed"


def test_the_time_that_a_human_takes_does_not_count(call, emulator, invoice):
    run_id = call("create_run", "wf_invoice_review", documents={"start-node-1": invoice})

    assert call("wait_for_run", run_id, timeout_seconds=30, poll_interval_seconds=0.5).is_waiting


def test_an_automation_is_for_the_deployments_that_were_named():
    watched, cleanup = uuid4(), uuid4()

    automation = cancellation_automation(deployments=[watched], cleanup=str(cleanup))

    assert automation.trigger.expect == {"prefect.flow-run.Cancelled"}
    assert str(watched) in automation.trigger.match_related.model_dump_json()
    assert automation.actions[0].deployment_id == cleanup


def test_the_runs_of_a_flow_run_are_told_from_its_labels():
    labels = {
        "prefect.flow.id": "1",
        "retab.run.a": "run_1",
        "retab.run.b": "run_2",
        "retab.account.b": "other",
        "retab.run.c": "creating since 2026-01-01T00:00:00+00:00",
        "retab.account.c": "third",
        "retab.owner.c": "outermost",
        "retab.run.e": "creating since yesterday",
        "retab.run.d": "",
        "retab.test-run.e": "wftestrun_1",
    }

    found = {account: (started.run_ids, started.begun) for account, started in runs_in(labels, {}).items()}
    begun = Begun("outermost", "c", datetime(2026, 1, 1, tzinfo=UTC))
    assert found == {None: ({"run_1"}, []), "other": ({"run_2"}, []), "third": (set(), [begun])}
    assert runs_in(labels, {})[None].test_run_ids == {"wftestrun_1"}


@pytest.mark.parametrize("text", [None, "", 5, True])
def test_a_label_that_says_nothing_is_no_record(text):
    assert Record.read(text) == Record()


def test_a_busy_prefect_is_asked_again_at_once_and_only_then_after_a_while(monkeypatch):
    answers, slept = iter([503, 503, 503, 204]), []
    monkeypatch.setattr(time, "sleep", slept.append)

    def answer(request):
        return httpx.Response(next(answers) if request.method == "PATCH" else 404, json={})

    settings = {**retrying_at_once(), "transport": httpx.MockTransport(answer)}
    with (
        temporary_settings({PREFECT_API_URL: "http://prefect.test/api"}),
        get_client(sync_client=True, httpx_settings=settings) as client,
    ):
        client.update_flow_run_labels(uuid4(), {"retab.run.a": "run_1"})

    assert slept[:2] == [0, 0]
    assert slept[2] > 1
    assert len(slept) == 3


def test_a_namespace_is_the_blocks_or_the_address_of_prefects_api():
    account = {"api_key": "k", "base_url": "http://127.0.0.1:1"}
    with temporary_settings({PREFECT_API_URL: "http://prefect.example/api"}):
        assert namespace_of(None) == "http://prefect.example/api"
        assert namespace_of(RetabCredentials(**account)) == "http://prefect.example/api"
        assert namespace_of(RetabCredentials(**account, namespace="staging")) == "staging"


def test_outside_of_prefect_each_call_is_a_run_of_its_own(call, emulator):
    first, second = (call("create_run", "wf_echo") for _ in range(2))

    assert first != second
    with RetabClient() as client:
        marks = {client.get_run(run).metadata["retab-orchestration.identity"] for run in (first, second)}
    assert len(marks) == 2


def test_everything_is_there_by_its_name():
    assert {"cancel_retab_runs", "cancel_runs_of_flow_run", "cancellation_automation"} <= set(
        prefect_collection.__all__
    )
