"""What a run has cost: only where the server says it, and never at the cost of the call."""

import math
from pathlib import Path

import pytest

from retab_orchestration import InvalidInputError, PollPolicy, RetabClient, RetryPolicy, Usage, WorkflowRun
from retab_orchestration.emulator import Emulator
from retab_orchestration.emulator.generations import GENERATIONS, span
from retab_orchestration.models import Step, usage_from_primitives, usage_from_steps

INVOICE = Path(__file__).parents[1] / "samples" / "documents" / "invoice.pdf"
SOON = PollPolicy(first=0.02, shortest=0.02)
NOTHING = Usage()


def step(**more):
    return Step.model_validate({"node_id": "n", "status": "completed", **more})


@pytest.mark.parametrize(
    ("cost", "steps", "usage"),
    [
        ({}, [], NOTHING),
        ({"total": 0.5}, [], Usage(cost=0.5)),
        ({"total": 0}, [], Usage(cost=0.0)),
        ({"total": "0.5"}, [step()], NOTHING),
        ({}, [step(tokens={"total_tokens": 5}), step(tokens={"total": 2})], Usage(tokens=7)),
        ({}, [step(tokens={"input_tokens": 5, "output_tokens": 2})], Usage(tokens=7)),
        ({}, [step(tokens={"total": 1e308})] * 2, NOTHING),
        ({"total": math.inf}, [], NOTHING),
        ({}, [step(model="a"), step(model="b"), step(model="a"), step()], Usage(model="a, b")),
    ],
)
def test_a_run_and_its_steps_say_it(cost, steps, usage):
    assert usage_from_steps(cost, steps) == usage


@pytest.mark.parametrize(
    ("rows", "usage"),
    [
        ([], NOTHING),
        ([{}], NOTHING),
        (
            [{"credits": 1.5, "page_count": 2}, {"credits": 1, "model": "a"}],
            Usage(credits=2.5, pages=2, model="a"),
        ),
        ([{"credits": True, "page_count": "2"}], NOTHING),
        ([{"tokens": 1e308, "page_count": 1e308, "credits": 1}] * 2, Usage(credits=2.0)),
        ([{"tokens": math.inf, "page_count": math.nan, "cost": math.inf, "credits": 1}], Usage(credits=1.0)),
        ([{"tokens": 5, "cost": 0.25}, {"total_tokens": 2}], Usage(tokens=7, cost=0.25)),
    ],
)
def test_the_operations_of_a_run_say_it(rows, usage):
    assert usage_from_primitives(rows) == usage


@pytest.mark.parametrize("api", GENERATIONS)
def test_it_is_read_where_it_is_asked_for(api):
    with Emulator(api=api, speed=100) as emulator, RetabClient("key-1", emulator.url) as client:
        run = client.create_run("wf_invoice", documents={"start-node-1": INVOICE})

        done = client.wait_for_run(run.id, poll=SOON, usage=True)

        assert client.get_run(run.id).usage is None
        assert client.get_run(run.id, usage=True).usage == done.usage
        assert done.usage.model == "retab-emulator-1"
        if api in span("g3a", "g3c"):
            assert (done.usage.credits, done.usage.pages) == (1.0, 1)
            assert (done.usage.cost, done.usage.tokens) == (None, None)
        else:
            assert (done.usage.credits, done.usage.pages) == (None, None)
            assert (done.usage.cost, done.usage.tokens) == (
                (0.01, 520) if api in span("g1a", "g1b") else (None, None)
            )


def test_its_failure_is_none_of_the_call():
    retry = RetryPolicy(attempts=1)
    with (
        Emulator(api="current", speed=100) as emulator,
        RetabClient("key-1", emulator.url, retry=retry) as client,
    ):
        run = client.create_run("wf_invoice", documents={"start-node-1": INVOICE})
        emulator.post_faults([{"match": "GET /v1/usage/*", "kind": "http_500", "times": 9}])

        done = client.wait_for_run(run.id, poll=SOON, usage=True)

        assert done.usage is None
        assert done.outputs["end-node-1"]


def test_what_is_no_flag_is_refused():
    with RetabClient("key-1", "http://127.0.0.1:1") as client:
        with pytest.raises(InvalidInputError, match="usage"):
            client.get_run("run_1", usage="yes")
        with pytest.raises(InvalidInputError, match="usage"):
            client.wait_for_run("run_1", usage="yes")


@pytest.mark.parametrize("said", ["much", 7, [], {"credits": "many", "pages": [1]}])
def test_what_a_server_says_there_makes_no_run_unreadable(said):
    run = WorkflowRun.model_validate({"id": "run_1", "status": "completed", "usage": said})

    assert run.usage in {None, NOTHING}


def test_it_survives_a_dump():
    usage = Usage(cost=1.0, model="a")
    run = WorkflowRun.model_validate({"id": "run_1", "status": "completed"}).model_copy(
        update={"usage": usage}
    )

    assert WorkflowRun.model_validate(run.model_dump()).usage == usage
