"""Users' workflows in YAML."""

from pathlib import Path

import pytest

from retab_orchestration import emulator
from retab_orchestration.emulator.workflows.built_in import BUILT_IN
from tests.emulator.conftest import Caller


def example():
    return emulator.__doc__.partition("```yaml\n")[2].partition("```")[0]


def test_the_documentation_shows_the_same_example():
    page = Path(__file__).parents[2] / "docs" / "emulator.md"

    assert example() in page.read_text()


def test_the_documented_example_runs(read, clock):
    slow, order = read(example())
    assert (slow.id, slow.seconds, slow.nodes) == ("wf_slow_invoice", 30, BUILT_IN[0].nodes)
    call = Caller(clock, workflows=[slow, order])
    run = call.start("wf_order", content=b"Order number: 17\nTotal: 5")
    clock.tick(3)
    call.post(f"/v1/workflows/runs/{run['id']}/resume", {"node_id": "hil-node-1", "approved": True})
    clock.tick(3)

    done = call.get(f"/v1/workflows/runs/{run['id']}")

    outputs = {"end-node-1": {"label": "end-node-1", "json_data": {"order_number": "17", "total": 5.0}}}
    assert done["final_outputs"] == outputs
    assert call.post("/v1/workflows/wf_order/tests/runs")["total_tests"] == 1


def test_several_starts_feed_the_node_below_them(read, clock):
    (workflow,) = read(
        "workflows: [{id: wf_a, nodes: [{id: a, type: start_json}, {id: b, type: start_json}, {id: c, type: end}]}]"
    )
    call = Caller(clock, workflows=[workflow])
    run = call.post("/v1/workflows/wf_a/run", {"json_inputs": {"a": 1, "b": {"k": 2}}})
    clock.tick(2)

    assert call.get(f"/v1/workflows/runs/{run['id']}")["final_outputs"]["c"]["json_data"] == {
        "a": 1,
        "b": {"k": 2},
    }


def test_what_runs_of_ones_own_workflow_say_is_read_from_a_file(read, clock):
    (workflow,) = read(
        """
        workflows:
          - id: wf_a
            like: wf_echo
            pending_seconds: 1
            queued_seconds: 2
            trigger_type: schedule
            cancel_error: No signal
        """
    )
    call = Caller(clock, workflows=[workflow])
    run = call.start("wf_a")
    assert (run["status"], run["trigger_type"]) == ("pending", "schedule")

    refused = call.post(f"/v1/workflows/runs/{run['id']}/cancel")

    clock.tick(2)
    assert refused["cancellation_status"] == "cancellation_failed"
    assert refused["run"]["cancel_signal_error"] == "No signal"
    assert call.get(f"/v1/workflows/runs/{run['id']}")["status"] == "queued"


def test_a_document_can_be_an_output(read, clock):
    (workflow,) = read(
        "workflows: [{id: wf_a, nodes: [{id: start-node-1, type: start}, {id: c, type: end}]}]"
    )
    call = Caller(clock, workflows=[workflow])
    run = call.start("wf_a", content=b"text")
    clock.tick(2)

    output = call.get(f"/v1/workflows/runs/{run['id']}")["final_outputs"]["c"]

    assert (output["json_data"], output["document"]["filename"]) == (None, "invoice.pdf")


def test_a_graph_may_branch_and_one_branch_may_fail(read, clock):
    (workflow,) = read(
        """
        workflows:
          - id: wf_a
            seconds: 10
            nodes:
              - {id: json-node-1, type: start_json}
              - {id: short, type: functions}
              - {id: bad, type: functions, after: [json-node-1], error: {message: broken}}
              - {id: long, type: functions, after: [short]}
              - {id: end, type: end, after: [bad, long]}
        """
    )
    call = Caller(clock, workflows=[workflow])
    run = call.start("wf_a", json_input={})
    clock.tick(20)

    failed = call.get(f"/v1/workflows/runs/{run['id']}")

    assert (failed["status"], failed["error"]) == ("error", "broken")
    assert {step["node_id"]: step["status"] for step in failed["steps"]} == {
        "json-node-1": "completed",
        "short": "completed",
        "bad": "error",
        "long": "cancelled",
    }


def test_a_workflow_of_ones_own_takes_the_place_of_a_built_in_one(read, clock):
    (workflow,) = read("workflows: [{id: wf_invoice, like: wf_invoice, name: Mine, seconds: 3}]")

    assert Caller(clock, workflows=[workflow]).start("wf_invoice")["workflow_name"] == "Mine"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("workflows: [", "is not YAML"),
        ("", "has to begin with `workflows:`"),
        ("workflows: {}", "has to begin with `workflows:`"),
        ("workflows: [1]", "has to be a mapping"),
        ("workflows: [{}]", "id has to be a text"),
        ("workflows: [{id: a}]", "nodes has to be a list"),
        ("workflows: [{id: a, like: b}]", "like: 'b' is no workflow above it"),
        ("workflows: [{id: a, like: wf_echo, speed: 3}]", "unknown key speed"),
        ("workflows: [{id: a, like: wf_echo, seconds: -1}]", "seconds has to be a number"),
        ("workflows: [{id: a, like: wf_echo, on_reject: cry}]", "on_reject has to be"),
        ("workflows: [{id: a, like: wf_echo, on_reject: [error]}]", "on_reject has to be"),
        ("workflows: [{id: a, nodes: [{id: n, type: end, retries: -1}]}]", "retries has to be a number"),
        ("workflows: [{id: a, like: wf_echo, trigger_type: bell}]", "trigger_type has to be"),
        ("workflows: [{id: a, like: wf_echo, cancel_error: 5}]", "cancel_error has to be a text"),
        ("workflows: [{id: a, like: wf_echo, queued_seconds: late}]", "queued_seconds has to be a number"),
        ("workflows: [{id: a, nodes: [{id: n, type: magic}]}]", "type has to be one of"),
        ("workflows: [{id: a, nodes: [{id: n, type: end, after: [m]}]}]", "m is not above it"),
        ("workflows: [{id: a, nodes: [{id: n, type: end}, {id: n, type: end}]}]", "n is there twice"),
        ("workflows: [{id: a, like: wf_echo, tests: [{id: t, node: n}]}]", "no node n"),
        (
            "workflows: [{id: a, like: wf_echo, tests: [{id: t, node: end-node-1, verdict: odd}]}]",
            "verdict has to be",
        ),
    ],
)
def test_a_bad_file_is_refused_with_what_is_wrong_in_it(read, text, complaint):
    with pytest.raises(ValueError, match=r"workflows\.yaml") as refused:
        read(text)

    assert complaint in str(refused.value)
