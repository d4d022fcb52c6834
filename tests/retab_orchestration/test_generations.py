"""The client with servers of every generation: what it finds out by itself, and each operation where there is one."""

from pathlib import Path

import pytest

from retab_orchestration import (
    InvalidInputError,
    NotFoundError,
    PollPolicy,
    RetabClient,
    ReviewConflictError,
    RunFailedError,
    RunStatus,
    StepStatus,
    UnsupportedRouteError,
)
from retab_orchestration.emulator import Emulator
from retab_orchestration.emulator.generations import GENERATIONS, span

INVOICE = Path(__file__).parents[1] / "samples" / "documents" / "invoice.pdf"
OLD, NEW = span("g1a", "g2c"), span("g3a", "g3c")
VENDOR = "Northwind Paper Works"
SOON = PollPolicy(first=0.02, shortest=0.02)


@pytest.fixture(
    scope="module",
    params=[(api, how) for api in GENERATIONS for how in ("unknown", "workflow")],
    ids="-".join,
)
def server(request):
    api, absent_routes = request.param
    with Emulator(api=api, speed=100.0, absent_routes=absent_routes) as emulator:
        yield api, absent_routes, emulator


@pytest.fixture
def api(server):
    return server[0]


@pytest.fixture
def client(server):
    with RetabClient("rt_test_key", server[-1].url) as client:
        yield client


def test_routes_and_header_are_found_by_reading(server):
    api, absent_routes, emulator = server
    emulator.reset()

    with RetabClient("rt_test_key", emulator.url) as client:
        client.list_runs()

    requests = emulator.stats()["requests"]
    taken_for_id = api in OLD and absent_routes == "workflow"
    probe = "GET /v1/workflows/{workflow_id}" if taken_for_id else "GET /v1/workflows/steps"
    assert {request.split()[0] for request in requests} == {"GET"}
    assert 1 <= requests[probe] <= 4


def finished(client, workflow_id="wf_invoice", **inputs):
    run = client.create_run(workflow_id, **inputs)
    return client.wait_for_run(run.id, poll=SOON)


def test_a_run_is_created_waited_for_and_its_outputs_read(client):
    run = finished(client, documents={"start-node-1": INVOICE})

    assert run.status is RunStatus.COMPLETED
    assert run.outputs["end-node-1"]["vendor_name"] == VENDOR


def test_runs_and_steps_are_listed(client):
    run = finished(client, documents={"start-node-1": INVOICE})

    assert run.id in [row.id for row in client.iter_runs(workflow_id="wf_invoice", status="completed")]
    assert [step.node_id for step in client.list_steps(run.id)] == [
        "start-node-1",
        "extract-node-1",
        "end-node-1",
    ]


def test_a_failed_run_and_its_step_say_why(client):
    why = {"message": "No toner", "stage": "output_storage", "category": "quota"}
    run = finished(client, "wf_fail", json_inputs={"json-node-1": why})

    [failed] = [step for step in client.list_steps(run.id) if step.status is StepStatus.ERROR]
    assert (run.error.message, run.error.stage, run.error.category) == tuple(why.values())
    assert (failed.error, failed.error_stage, failed.error_category) == tuple(why.values())
    assert failed.error_details["message"] == "No toner"


def test_a_run_is_cancelled(client):
    run = client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 600}})

    assert client.cancel_run(run.id).cancellation.status == "cancelled"
    assert client.get_run(run.id).status is RunStatus.CANCELLED


def test_a_run_is_restarted(client):
    run = finished(client, "wf_echo", json_inputs={"json-node-1": {"a": 1}})

    again = client.restart_run(run.id)

    assert again.id != run.id
    assert client.wait_for_run(again.id, poll=SOON).outputs == run.outputs


@pytest.mark.parametrize("modified", [None, {"vendor_name": "Somebody else"}])
def test_a_review_is_approved(client, modified):
    run = finished(client, "wf_invoice_review", documents={"start-node-1": INVOICE})
    assert run.waiting_for_node_ids == ("hil-node-1",)

    decision = client.decide_review(run.id, "hil-node-1", approved=True, modified_data=modified)

    assert decision.outcome == "accepted"
    done = client.wait_for_run(run.id, poll=SOON, on_review="wait")
    assert done.outputs["end-node-1"]["vendor_name"] == (modified or {"vendor_name": VENDOR})["vendor_name"]


def test_an_approval_with_other_values_than_stand_is_no_success(client):
    run = finished(client, "wf_invoice_review", documents={"start-node-1": INVOICE})
    client.decide_review(run.id, "hil-node-1", approved=True)

    with pytest.raises(ReviewConflictError):
        client.decide_review(run.id, "hil-node-1", approved=True, modified_data={"vendor_name": "Other"})


def test_a_review_is_rejected(client):
    run = finished(client, "wf_invoice_review", documents={"start-node-1": INVOICE})
    assert run.waiting_for_node_ids == ("hil-node-1",)

    client.decide_review(run.id, "hil-node-1", approved=False, reason="unreadable")

    assert client.wait_for_run(run.id, poll=SOON, on_review="wait").status is RunStatus.CANCELLED


def test_a_rejection_may_fail_the_run(client, api):
    run = finished(client, "wf_invoice_review_error", documents={"start-node-1": INVOICE})
    assert run.waiting_for_node_ids == ("hil-node-1",)

    client.decide_review(run.id, "hil-node-1", approved=False, reason="unreadable")

    done = client.wait_for_run(run.id, poll=SOON, on_review="wait")
    # Routes up to `hil-decisions` have no room for a reason.
    message = "Human Review was rejected" + ("" if api in span("g1a", "g2b") else ": unreadable")
    assert (done.status, done.error.message, done.error.stage) == (RunStatus.ERROR, message, "execution")
    assert done.error.category == "permanent"
    assert done.error.failing_step_id.endswith("hil-node-1")
    with pytest.raises(RunFailedError, match=message):
        done.raise_for_status()


def test_tests_are_run_where_the_server_has_test_runs(client, api):
    if api in span("g1a", "g2b"):
        with pytest.raises(UnsupportedRouteError, match=r"since release 0\.0\.142"):
            client.create_test_run("wf_invoice")
        return
    test_run = client.create_test_run("wf_invoice")

    done = client.wait_for_test_run(test_run.id, poll=SOON)

    assert done.passed
    assert len(client.list_test_results(test_run.id)) == done.total_tests == 2


def test_test_runs_are_listed_and_cancelled_where_the_server_has_them(client, api):
    if api in span("g1a", "g2b"):
        with pytest.raises(UnsupportedRouteError, match=r"since release 0\.0\.142"):
            client.list_test_runs("wf_invoice_review")
        with pytest.raises(UnsupportedRouteError, match=r"since release 0\.0\.142"):
            client.cancel_test_run("wftestrun_1")
        return
    test_run = client.create_test_run("wf_invoice_review")

    assert client.list_test_runs("wf_invoice_review")[0].id == test_run.id
    cancelled = client.cancel_test_run(test_run.id)
    assert cancelled.id == test_run.id
    assert client.wait_for_test_run(test_run.id, poll=SOON).is_terminal
    assert client.cancel_test_run(test_run.id).is_terminal
    with pytest.raises(NotFoundError):
        client.cancel_test_run("wftestrun_none")


def test_a_consensus_is_sent_where_the_server_knows_it(client, api):
    if api == "g2c":
        assert client.create_test_run("wf_invoice", n_consensus=3).id
    elif api in NEW:
        with pytest.raises(InvalidInputError, match="n_consensus"):
            client.create_test_run("wf_invoice", n_consensus=3)
