"""What runs and steps say besides their state: costs, traces, triggers, datasets, errors, and what the engine keeps."""

from dataclasses import replace

import pytest

from retab_orchestration.emulator import Node, Workflow
from retab_orchestration.emulator.generations import span
from retab_orchestration.emulator.state import Publication
from retab_orchestration.emulator.workflows.built_in import BUILT_IN
from tests.emulator.conftest import Server, pages, status_of

FLAT = span("g1a", "g1b")
REVIEWED = next(workflow for workflow in BUILT_IN if workflow.id == "wf_invoice_review")
MONEY = {"total": 0.02, "input_cost": 0.016, "output_cost": 0.004}
ENGINE = {
    "dag_snapshot",
    "executed_node_ids",
    "parallel_completion_counters",
    "resume_queue",
    "active_resume",
    "hil_signal_states",
}


def test_a_run_and_its_steps_say_what_they_cost_where_the_server_told(server, clock):
    run = server.run("wf_invoice", content=pages(2))
    clock.tick(60)
    done, (start, extract, _end) = server.read(run), server.listed(run)

    if server.api in FLAT:
        assert done["cost_summary"] == extract["cost"] == MONEY
        assert extract["tokens"] == {"input_tokens": 1000, "output_tokens": 40, "total_tokens": 1040}
        assert start["cost"] is start["tokens"] is None
    else:
        assert not {"cost_summary", "trace_spans"} & set(done)
        assert not {"cost", "tokens", "trace_spans"} & set(extract)
    assert (extract["model"], start["model"]) == ("retab-emulator-1", None)


def test_a_trace_has_the_steps_of_a_run_and_in_a_loop_those_of_its_passes(clock):
    server = Server(clock, "g1a")
    run = server.run("wf_while", json_input={"passes": 2})
    assert server.run("wf_queued")["trace_spans"] is None
    clock.tick(60)

    [whole] = server.read(run)["trace_spans"]

    assert (whole["name"], whole["duration_ms"]) == ("Again and Again", 1500)
    inner = ["Repeat: start of a pass", "Step", "Repeat: end of a pass"]
    assert [part["name"] for part in whole["children"]] == ["JSON Input", "Repeat", "Output"]
    assert [part["name"] for part in whole["children"][1]["children"]] == inner * 2


def test_a_step_that_worked_on_a_document_has_a_trace(clock):
    server = Server(clock, "g1b")
    run = server.run("wf_invoice", content=pages(1))
    clock.tick(60)

    start, extract, _ = server.listed(run)

    [whole] = extract["trace_spans"]
    assert (whole["name"], [part["name"] for part in whole["children"]]) == ("extract", ["read", "model"])
    assert whole["completed_at"] == whole["children"][1]["completed_at"] == extract["completed_at"]
    assert start["trace_spans"] is None


@pytest.mark.parametrize(
    ("workflow_id", "kind", "facts"),
    [
        ("wf_by_email", "email", {"sender": "invoices@example.com", "subject": "Invoice"}),
        ("wf_by_hand", "manual", {"user_id": "user_emulator"}),
        ("wf_echo", "api", {"api_key_id": None}),
    ],
)
def test_a_run_says_what_started_it(server, workflow_id, kind, facts):
    run = server.run(workflow_id)

    if server.api in FLAT:
        assert (run["trigger_type"], run["trigger_email"]) == (kind, facts.get("sender"))
    elif server.api in span("g3b", "g3c"):
        assert run["trigger"] == {"type": kind}
    else:
        assert run["trigger"] == {"type": kind, **facts}
    [row] = server.get("/v1/workflows/runs", trigger_type=kind)["data"]
    assert row["id"] == run["id"]


def test_a_run_that_was_started_by_hand_belongs_to_a_dataset(server):
    by_hand, by_key = server.run("wf_by_hand"), server.run("wf_echo")

    known = (by_hand.get("dataset_id", "no key"), by_key.get("dataset_id", "no key"))
    assert known == (("dataset_emulator", None) if server.api == "g1a" else ("no key", "no key"))


def test_an_error_has_details(server, clock):
    asked = {"message": "No toner", "error_code": "E17", "stack_trace": "line 1", "context": {"tray": 2}}
    runs = [
        server.run("wf_fail", json_input=asked),
        server.run("wf_fail"),
        server.run("wf_edit", content=b"no PDF"),
    ]
    clock.tick(60)

    told = []
    for run in runs:
        read, failed = server.read(run), server.listed(run)[-1]
        if server.api in FLAT:
            assert read["error_details"] == failed["error_details"]
            told.append(read["error_details"])
        else:
            ended = failed["terminal" if server.api == "g2a" else "lifecycle"]
            assert read["lifecycle"]["details"] == ended["details"]
            told.append(ended["details"])

    word = "node" if server.api == "g1a" else "block"
    assert told[0] == {**asked, f"{word}_id": "fail-node-1", f"{word}_name": "Fail"}
    assert (told[1]["error_code"], told[1]["context"]) == ("asked_to_fail", {"tried": 3})
    assert told[2]["error_code"] == "unreadable_document"


def test_a_step_says_how_many_times_it_was_tried_again(server, clock):
    run = server.run("wf_fail", json_input={"seconds": 60})
    clock.tick(30)
    tried = [server.listed(run)[-1]["retry_count"]]
    clock.tick(60)
    tried.append(server.listed(run)[-1]["retry_count"])

    assert tried == [0, 2]
    assert server.listed(run)[0]["retry_count"] == 0


@pytest.mark.parametrize("said", [5, [], "text", {"message": 5, "context": "none", "error_code": []}])
def test_what_is_no_detail_of_an_error_is_left_out(clock, said):
    server = Server(clock, "g1a")
    run = server.run("wf_fail", json_input=said)
    clock.tick(60)

    assert server.read(run)["error_details"]["error_code"] == "asked_to_fail"


def test_nodes_after_a_rejection_that_completes_the_run_are_skipped(server, clock):
    lenient = replace(REVIEWED, id="wf_lenient", on_reject="completed")
    server.service.state.workflows["wf_lenient"] = lenient
    server.service.state.publications["wf_lenient"] = [Publication(lenient)]
    run = server.run("wf_lenient", content=pages(1))
    clock.tick(60)
    gate = server.service.state.runs[run["id"]]
    reject(server, gate)

    steps = {step["step_id"].removeprefix(f"{run['id']}_"): step for step in server.listed(run)}

    assert status_of(server.read(run), server.api) == "completed"
    assert status_of(steps["end-node-1"], server.api) == "skipped"
    assert status_of(steps["hil-node-1"], server.api) == "cancelled"
    if server.api not in FLAT:
        ended = steps["end-node-1"]["terminal" if server.api == "g2a" else "lifecycle"]
        assert ended["reason"] == "The run ended before"


def reject(server, run):
    form = b"node_id=hil-node-1&verdict=reject&reason=no"
    assert server("POST", f"/runs/{run.id}", form).status == 303


def test_an_engine_may_refuse_a_cancellation(server, clock):
    run = server.run("wf_uncancellable")

    answer = server.post(f"/v1/workflows/runs/{run['id']}/cancel")

    assert answer["cancellation_status"] == "cancellation_failed"
    assert status_of(answer["run"], server.api) == "running"
    if server.api in FLAT:
        why = "The engine took no signal"
        for key in ("cancel_signal_error", "cancel_native_error", "cancel_confirmation_error"):
            assert (run[key], answer["run"][key]) == (None, why)
        assert answer["run"]["cancel_signal_failed_at"] == answer["run"]["cancel_requested_at"] is not None
        assert answer["run"]["cancel_confirmation_pending"] is False
    clock.tick(60)
    assert status_of(server.read(run), server.api) == "completed"


def test_a_run_says_how_far_it_is_with_going_on_after_reviews(clock):
    gates = tuple(Node(f"hil-node-{n}", "hil", f"Review {n}", ("json-node-1",)) for n in (1, 2))
    workflow = Workflow(
        "wf_two",
        "Two Reviews",
        (
            Node("json-node-1", "start_json", "Input"),
            *gates,
            Node("end-node-1", "end", "Output", ("hil-node-1", "hil-node-2")),
        ),
    )
    server = Server(clock, "g1a", workflows=[workflow])
    run = server.run("wf_two", json_input={"a": 1})
    told = [run["run_resume_status"]]
    clock.tick(60)
    pending = server.read(run)
    told.append(pending["run_resume_status"])
    for node_id in ("hil-node-1", "hil-node-2"):
        body = {"node_id": node_id, "approved": True}
        server.post(f"/v1/workflows/runs/{run['id']}/resume", body)
        told.append(server.read(run)["run_resume_status"])
    clock.tick(60)
    told.append(server.read(run)["run_resume_status"])

    assert told == ["idle", "waiting_for_human", "partially_resumed", "resuming", "fully_resumed"]
    given = pending["pending_node_outputs"]["json-node-1"]["output-json-0"]["data"]
    assert given == {"a": 1}
    assert server.read(run)["pending_node_outputs"] is None


def test_the_oldest_servers_show_what_their_engine_keeps(server, clock):
    run = server.run("wf_echo", json_input={})
    clock.tick(60)
    done = server.read(run)

    assert {key for key in done if key in ENGINE} == (ENGINE if server.api == "g1a" else set())
    if server.api == "g1a":
        assert done["executed_node_ids"] == ["json-node-1", "end-node-1"]
    assert ("input_text_data" in done) is (server.api == "g1a")


def test_a_split_gives_each_part_through_a_handle_of_its_own(server, clock):
    run = server.run("wf_split", content=pages(3))
    clock.tick(60)
    split = server.listed(run)[1]

    handles = split["handle_outputs"]
    assert {name: payload["type"] for name, payload in handles.items()} == {
        "output-file-Invoice": "file",
        "output-file-Attachments": "file",
    }
    names = {name: payload["document"]["filename"] for name, payload in handles.items()}
    assert names["output-file-Attachments"] == "invoice Attachments.pdf"
    parts = {name.removeprefix("output-file-"): payload["document"] for name, payload in handles.items()}
    assert split.get("split_documents", "no key") == (parts if server.api == "g1a" else "no key")
