"""Runs on the classic routes: what the seeds show."""

import base64

import pytest

from tests.emulator.conftest import VALUES

RUN_KEYS_OF_THE_SEEDS = {
    "id", "workflow_id", "workflow_name", "organization_id", "status", "started_at", "completed_at", "duration_ms",
    "steps", "input_documents", "final_outputs", "error", "created_at", "updated_at", "waiting_for_node_ids",
}  # fmt: skip


def test_an_invoice_runs_through_its_nodes(call, clock, invoice):
    created = call.start("wf_invoice", content=invoice)
    assert created["status"] == "running"
    assert created["final_outputs"] is None
    assert created.keys() >= RUN_KEYS_OF_THE_SEEDS
    assert [step["node_id"] for step in created["steps"]] == ["start-node-1"]

    clock.tick(0.5)
    steps = call.get(f"/v1/workflows/runs/{created['id']}")["steps"]
    assert [(step["node_id"], step["status"]) for step in steps] == [
        ("start-node-1", "completed"),
        ("extract-node-1", "running"),
    ]
    assert "completed_at" not in steps[1]

    clock.tick(1)
    done = call.get(f"/v1/workflows/runs/{created['id']}")
    assert done["status"] == "completed"
    assert done["duration_ms"] == 1500
    assert done["final_outputs"] == {"end-node-1": {"label": "Output", "json_data": VALUES}}
    assert done["steps"][1]["output"] == VALUES


def test_document_references_carry_both_ids(call, invoice):
    reference = call.start("wf_invoice", content=invoice)["input_documents"]["start-node-1"]

    assert reference["file_id"] == reference["id"]
    assert reference["filename"] == "invoice.pdf"
    assert reference["mime_type"] == "application/pdf"


def test_what_is_not_in_the_document_is_null(call, clock):
    run = call.start("wf_invoice", content=b"Vendor: Somebody\n")
    clock.tick(2)

    data = call.get(f"/v1/workflows/runs/{run['id']}")["final_outputs"]["end-node-1"]["json_data"]

    assert data == {**dict.fromkeys(VALUES), "vendor_name": "Somebody"}


def test_a_start_node_that_is_not_given_is_null(call, clock):
    run = call.start("wf_invoice")
    clock.tick(2)

    done = call.get(f"/v1/workflows/runs/{run['id']}")

    assert [step["node_id"] for step in done["steps"]] == ["extract-node-1", "end-node-1"]
    assert done["final_outputs"]["end-node-1"]["json_data"] == dict.fromkeys(VALUES)


def test_echo_gives_back_json_and_text_after_the_seconds_it_was_told(call, clock):
    body = {"json_inputs": {"json-node-1": {"seconds": 7}}, "text_inputs": {"text-node-1": "hello"}}
    run = call.post("/v1/workflows/wf_echo/run", body)
    clock.tick(6.9)
    assert call.get(f"/v1/workflows/runs/{run['id']}")["status"] == "running"
    clock.tick(0.2)

    done = call.get(f"/v1/workflows/runs/{run['id']}")

    assert done["final_outputs"]["end-node-1"]["json_data"] == {
        "json-node-1": {"seconds": 7},
        "text-node-1": "hello",
    }
    assert done["input_text_data"] == {"text-node-1": "hello"}


def test_zero_seconds_are_over_at_once(call):
    run = call.start("wf_echo", json_input={"seconds": 0})

    assert run["status"] == "completed"


@pytest.mark.parametrize("seconds", ["long", None, True, float("inf")])
def test_seconds_that_are_no_number_leave_the_usual_duration(call, clock, seconds):
    run = call.start("wf_echo", json_input={"seconds": seconds})
    clock.tick(0.6)

    assert call.get(f"/v1/workflows/runs/{run['id']}")["duration_ms"] == 500


def test_an_invoice_can_be_made_to_last(call, clock, invoice):
    run = call.start("wf_invoice", content=invoice, json_input={"seconds": 60})
    clock.tick(59)
    assert call.get(f"/v1/workflows/runs/{run['id']}")["status"] == "running"
    clock.tick(1.1)

    assert call.get(f"/v1/workflows/runs/{run['id']}")["status"] == "completed"


def test_a_failure_says_what_it_was_told_to_say(call, clock):
    run = call.start("wf_fail", json_input={"message": "no luck", "category": "quota"})
    clock.tick(1)

    failed = call.get(f"/v1/workflows/runs/{run['id']}")
    step = call.get(f"/v1/workflows/runs/{run['id']}/steps")[-1]

    assert (failed["status"], failed["error"], failed["error_stage"]) == ("error", "no luck", "execution")
    assert failed["error_details"]["node_id"] == "fail-node-1"
    assert (step["error"], step["error_category"]) == ("no luck", "quota")
    assert failed["final_outputs"] is None


def test_a_broken_pdf_fails_the_run(call, clock):
    run = call.start("wf_invoice", content=b"%PDF-1.7 and then nothing of the kind")
    clock.tick(2)

    failed = call.get(f"/v1/workflows/runs/{run['id']}")

    # No stage of a run is called as that of its step.
    assert (failed["status"], failed["error_stage"]) == ("error", "input_collection")
    assert call.get(f"/v1/workflows/runs/{run['id']}/steps")[-1]["error_stage"] == "document_fetch"
    assert "invoice.pdf" in failed["error"]


def test_steps_are_a_bare_array_of_full_steps(call, clock, invoice):
    run = call.start("wf_invoice", content=invoice)
    clock.tick(2)

    steps = call.get(f"/v1/workflows/runs/{run['id']}/steps")

    assert [step["step_id"] for step in steps] == ["start-node-1", "extract-node-1", "end-node-1"]
    assert steps[1]["handle_outputs"] == {"output-json-0": {"type": "json", "data": VALUES}}
    assert steps[1]["handle_inputs"]["input-file-0"]["document"]["filename"] == "invoice.pdf"
    assert call.get(f"/v1/workflows/runs/{run['id']}/steps/extract-node-1") == steps[1]
    batch = call.post(f"/v1/workflows/runs/{run['id']}/steps/batch", {"node_ids": ["end-node-1", "nowhere"]})
    assert batch == {"outputs": {"end-node-1": steps[2]}}
    assert call("GET", f"/v1/workflows/runs/{run['id']}/steps/nowhere").status == 404
    assert call("POST", f"/v1/workflows/runs/{run['id']}/steps/batch", {}).status == 422


def test_a_stored_file_can_be_used_again(call, clock, invoice):
    first = call.start("wf_invoice", content=invoice)
    reference = {
        "id": first["input_documents"]["start-node-1"]["id"],
        "filename": "a.pdf",
        "mime_type": "x/y",
    }
    again = call.post("/v1/workflows/wf_invoice/run", {"documents": {"start-node-1": reference}})
    clock.tick(2)

    done = call.get(f"/v1/workflows/runs/{again['id']}")

    assert done["final_outputs"]["end-node-1"]["json_data"] == VALUES
    unknown = {"documents": {"start-node-1": {**reference, "id": "file_unknown"}}}
    assert call("POST", "/v1/workflows/wf_invoice/run", unknown).status == 404


GOOD = {"filename": "a.txt", "mime_type": "text/plain", "content": base64.b64encode(b"text").decode()}


def without(name, **instead):
    return {**{key: value for key, value in GOOD.items() if key != name}, **instead}


@pytest.mark.parametrize(
    ("name", "inputs", "loc"),
    [
        ("documents", {"start-node-9": GOOD}, ["start-node-9"]),
        ("documents", {"json-node-1": GOOD}, ["json-node-1"]),
        ("documents", [], []),
        ("documents", {"start-node-1": "text"}, ["start-node-1"]),
        ("documents", {"start-node-1": without("filename")}, ["start-node-1", "filename"]),
        ("documents", {"start-node-1": without("mime_type")}, ["start-node-1", "mime_type"]),
        ("documents", {"start-node-1": without("content")}, ["start-node-1", "content"]),
        ("documents", {"start-node-1": {**GOOD, "content": ""}}, ["start-node-1", "content"]),
        (
            "documents",
            {"start-node-1": {**GOOD, "content": "data:a/b;base64,AA=="}},
            ["start-node-1", "content"],
        ),
        ("documents", {"start-node-1": without("content", url="data:,a")}, ["start-node-1", "content"]),
        ("json_inputs", {"nowhere": 1}, ["nowhere"]),
        ("text_inputs", {"text-node-1": "of another workflow"}, ["text-node-1"]),
    ],
)
def test_a_bad_body_is_refused_where_it_is_bad_and_starts_nothing(call, name, inputs, loc):
    refused = call("POST", "/v1/workflows/wf_invoice/run", {name: inputs})

    assert refused.status == 422
    assert refused.json()["detail"][0]["loc"] == ["body", name, *loc]
    assert call.get("/_emulator/stats")["runs_created"] == 0


def test_text_has_to_be_text(call):
    assert call("POST", "/v1/workflows/wf_echo/run", {"text_inputs": {"text-node-1": 1}}).status == 422


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b"\xff"])
def test_a_body_that_is_no_object_is_refused(call, body):
    assert call("POST", "/v1/workflows/wf_echo/run", body).status == 422


def test_an_empty_body_is_an_empty_object(call):
    assert call("POST", "/v1/workflows/wf_echo/run").status == 200


def test_a_restart_runs_the_same_inputs_again(call, clock, invoice):
    run = call.start("wf_invoice", content=invoice)
    path = f"/v1/workflows/runs/{run['id']}/restart"
    assert call("POST", path).status == 409
    clock.tick(2)

    again = call.post(path, {"command_id": "cmd_1"})

    assert again["id"] != run["id"]
    assert again["trigger_type"] == "restart"
    assert call.post(path, {"command_id": "cmd_1"})["id"] == again["id"]
    assert call.post(path, {"command_id": "cmd_2"})["id"] != again["id"]
    clock.tick(2)
    assert call.get(f"/v1/workflows/runs/{again['id']}")["final_outputs"]["end-node-1"]["json_data"] == VALUES
