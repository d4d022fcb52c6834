"""A review that is decided and resumes nothing: a wait that goes on through reviews finds out, for few requests."""

import json
from itertools import pairwise, product

import pytest

from retab_orchestration import PollPolicy, ReviewNotResumedError, RunStatus
from retab_orchestration._polling.resuming import Resuming
from retab_orchestration.emulator import Request
from tests.invoices import invoice_pdf

LIST = "GET /v1/workflows/reviews"
POLICY = PollPolicy(resume_timeout=600.0, review_interval=60.0)


@pytest.fixture
def waiting(connect):
    client, runtime = connect(server="current", api="current", auth="bearer")
    run = client.create_run("wf_invoice_review", documents={"start-node-1": ("a.pdf", invoice_pdf())})
    client.wait_for_run(run.id)
    runtime.sent.clear()
    runtime.sent_at.clear()
    return client, runtime, run.id


def mark_read(runtime):
    return [at for at, name in zip(runtime.sent_at, runtime.requests, strict=True) if name == LIST]


def test_a_wait_ends_when_a_decision_has_resumed_nothing_for_ten_minutes(waiting):
    client, runtime, run_id = waiting
    runtime.service.faults.post([{"match": "POST */approve", "kind": "no_resume"}])
    client.decide_review(run_id, "hil-node-1", approved=True)
    runtime.sent.clear()
    runtime.sent_at.clear()
    began = runtime.now()

    with pytest.raises(ReviewNotResumedError, match="decided") as stuck:
        client.wait_for_run(run_id, on_review="wait")

    assert (stuck.value.run_id, stuck.value.retryable) == (run_id, False)
    moments = [at - began for at in mark_read(runtime)]
    assert 600 <= moments[0] < 700
    assert moments[-1] - moments[0] >= 600
    assert all(after - before >= 60 for before, after in pairwise(moments))


def test_a_person_who_takes_an_hour_costs_six_requests_more(waiting):
    client, runtime, run_id = waiting
    decided_at, send = runtime.now() + 3600, runtime.send
    decided = []

    async def decided_meanwhile(request):
        if runtime.now() >= decided_at and not decided:
            decided.append(_approve(runtime, run_id))
        return await send(request)

    runtime.send = decided_meanwhile

    run = client.wait_for_run(run_id, on_review="wait")

    assert (run.status, len(decided)) == (RunStatus.COMPLETED, 1)
    assert len(mark_read(runtime)) <= 6


def _approve(runtime, run_id):
    service = runtime.service
    headers = {"authorization": "Bearer key-1"}

    def call(method, path, query=(), body=b""):
        return json.loads(service.handle(Request(method, path, list(query), headers, body)).body)

    review = call("GET", "/v1/workflows/reviews", [("run_id", run_id)])["data"][0]["id"]
    version = call("GET", "/v1/workflows/reviews/versions", [("review_id", review)])["data"][0]["id"]
    call("POST", f"/v1/workflows/reviews/{review}/approve", body=f'{{"version_id": "{version}"}}'.encode())


# ---- the decision


@pytest.mark.parametrize(
    ("decided", "same_nodes", "passed"), list(product((True, False), (True, False), (599.0, 600.0)))
)
def test_what_follows_an_answer(decided, same_nodes, passed):
    resuming = Resuming(POLICY, 0.0)
    assert not resuming.is_due(599.0)
    assert resuming.is_due(600.0)
    resuming.mark_read(600.0)
    assert resuming.learned(["a"], 600.0, are_decided=True) is False

    nodes = ["a"] if same_nodes else ["b"]
    stuck = resuming.learned(nodes, 600.0 + passed, are_decided=decided)

    assert stuck is (decided and same_nodes and passed >= 600.0)


def test_how_often_it_is_asked():
    resuming = Resuming(POLICY, 0.0)
    resuming.mark_read(600.0)
    assert (resuming.is_due(1199.0), resuming.is_due(1200.0)) == (False, True)
    resuming.mark_read(1200.0)
    resuming.learned(["a"], 1200.0, are_decided=True)
    assert (resuming.is_due(1259.0), resuming.is_due(1260.0)) == (False, True)
    resuming.mark_read(1260.0)
    assert (resuming.is_due(1319.0), resuming.is_due(1320.0)) == (False, True)
