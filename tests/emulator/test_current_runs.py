"""Runs on the current routes: lifecycle, timing, metadata, and as strict as today."""

import base64
from dataclasses import replace

import pytest

from retab_orchestration.emulator.workflows.built_in import BUILT_IN
from tests.emulator.conftest import START, VALUES, Caller

DATA = "data:text/plain;base64," + base64.b64encode(b"Vendor: Somebody").decode()


def outputs(call, run_id):
    workflow_id = call.get(f"/v1/workflows/runs/{run_id}")["workflow_id"]
    sources = {
        edge["source_block"] for edge in call.get("/v1/workflows/edges", workflow_id=workflow_id)["data"]
    }
    steps = call.get("/v1/workflows/steps", run_id=run_id)["data"]
    return {
        step["block_id"]: step["handle_outputs"]["output-json-0"]["data"]
        for step in steps
        if step["block_id"] not in sources
    }


def test_an_invoice_runs_and_its_outputs_are_those_of_the_sink(call, clock, invoice):
    created = call.start("wf_invoice", content=invoice, family="current", metadata={"tenant": "acme"})
    assert created["lifecycle"] == {"status": "running"}
    assert created["timing"]["completed_at"] is None
    assert created["metadata"] == {"tenant": "acme"}
    assert "final_outputs" not in created
    clock.tick(2)

    done = call.get(f"/v1/workflows/runs/{created['id']}")

    assert done["lifecycle"] == {"status": "completed"}
    assert done["timing"] == {
        "created_at": "2026-03-01T12:00:00.000Z",
        "started_at": "2026-03-01T12:00:00.000Z",
        "completed_at": "2026-03-01T12:00:01.500Z",
    }
    assert clock() == START + 2
    assert outputs(call, created["id"]) == {"end-node-1": VALUES}


def test_a_given_json_node_is_no_sink(call, clock, invoice):
    run = call.start("wf_invoice", content=invoice, json_input={"seconds": 1}, family="current")
    clock.tick(2)

    assert outputs(call, run["id"]).keys() == {"end-node-1"}


def test_echo_has_no_text_node_here(call, clock):
    run = call.start("wf_echo", json_input=[1, 2], family="current")
    clock.tick(1)

    blocks = call.get("/v1/workflows/blocks", workflow_id="wf_echo")["data"]

    assert [block["id"] for block in blocks] == ["json-node-1", "end-node-1"]
    assert outputs(call, run["id"])["end-node-1"] == {"json-node-1": [1, 2], "text-node-1": None}


def test_a_failure_names_its_step(call, clock):
    run = call.start("wf_fail", json_input={"message": "no luck"}, family="current")
    clock.tick(1)

    lifecycle = call.get(f"/v1/workflows/runs/{run['id']}")["lifecycle"]
    step = call.get("/v1/workflows/steps", run_id=run["id"], status="error")["data"][0]

    assert (lifecycle["status"], lifecycle["message"], lifecycle["category"]) == (
        "error",
        "no luck",
        "permanent",
    )
    assert lifecycle["failing_step_id"] == step["step_id"]
    assert step["lifecycle"]["message"] == "no luck"


def test_steps_are_filtered_and_paged(call, clock, invoice):
    run = call.start("wf_invoice", content=invoice, family="current")
    call.start("wf_echo", json_input={}, family="current")
    clock.tick(2)

    first = call.get("/v1/workflows/steps", run_id=run["id"], limit="2")
    rest = call.get("/v1/workflows/steps", run_id=run["id"], limit="2", after=first["list_metadata"]["after"])

    assert [step["block_id"] for step in first["data"] + rest["data"]] == [
        "start-node-1",
        "extract-node-1",
        "end-node-1",
    ]
    assert rest["list_metadata"] == {"before": rest["data"][0]["step_id"], "after": None}
    assert len(call.get("/v1/workflows/steps")["data"]) == 5
    assert len(call.get("/v1/workflows/steps", workflow_id="wf_echo")["data"]) == 2
    extracted = call.get("/v1/workflows/steps", block_type="extract", status="completed")["data"]
    assert call.get(f"/v1/workflows/steps/{extracted[0]['step_id']}") == extracted[0]
    assert call("GET", "/v1/workflows/steps/nowhere").status == 404
    assert call("GET", "/v1/workflows/steps", run_id="run_unknown").status == 404
    assert call("GET", "/v1/workflows/steps", limit="1001").status == 422


@pytest.mark.parametrize(
    ("document", "status"),
    [
        ({"filename": "a.txt", "url": DATA}, 202),
        ({"filename": "a.txt", "url": DATA, "mime_type": "text/plain"}, 202),
        ({"url": DATA}, 422),
        ({"filename": "a.txt", "url": "data:text/plain;base64,%%%"}, 422),
        ({"filename": "a.txt", "url": "data:text/plain;base64,"}, 422),
        ({"filename": "a.txt", "url": "https://example.com/a.txt"}, 422),
        ({"filename": "a.txt", "url": "https://storage.retab.com/org_1/file_1.txt"}, 404),
        ({"id": "file_1", "filename": "a.txt", "mime_type": "text/plain"}, 422),
        ({"filename": "a.txt", "content": "AAAA", "mime_type": "text/plain"}, 422),
    ],
)
@pytest.mark.parametrize("api", ["both", "current"])
def test_a_document_is_a_data_uri_or_a_stored_file(clock, api, document, status):
    body = {"workflow_id": "wf_invoice", "documents": {"start-node-1": document}}

    assert Caller(clock, api=api)("POST", "/v1/workflows/runs", body).status == status


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"version": "production"}, 202),
        ({"version": "draft"}, 202),
        ({"version": "ver_unknown"}, 404),
        ({"version": 3}, 422),
        ({"metadata": {"a": 1}}, 422),
        ({"metadata": "a"}, 422),
        ({"metadata": None}, 202),
        ({"workflow_id": None}, 422),
        ({"workflow_id": "wf_unknown"}, 404),
    ],
)
def test_the_other_fields_are_checked(call, more, status):
    assert call("POST", "/v1/workflows/runs", {"workflow_id": "wf_echo", **more}).status == status


def test_a_workflow_that_was_never_published_runs_as_draft_only(clock):
    draft = replace(BUILT_IN[0], id="wf_draft", published=False)
    call = Caller(clock, workflows=[draft])

    refused = call("POST", "/v1/workflows/runs", {"workflow_id": "wf_draft"})

    assert refused.status == 409
    assert refused.json()["detail"]["details"]["error"]["code"] == "production_required_but_unpublished"
    assert call("POST", "/v1/workflows/runs", {"workflow_id": "wf_draft", "version": "draft"}).status == 202


def test_a_restart_is_a_create_with_a_parent(call, clock, invoice):
    run = call.start("wf_invoice", content=invoice, family="current")
    file_id = run["inputs"]["documents"]["start-node-1"]["id"]
    link = call.get(f"/v1/files/{file_id}/download-link")
    again = {
        "documents": {"start-node-1": link["mime_data"]},
        "trigger_type": "restart",
        "parent_run_id": run["id"],
    }

    restarted = call.post("/v1/workflows/runs", {"workflow_id": "wf_invoice", **again}, status=202)
    clock.tick(2)

    assert restarted["trigger"] == {"type": "restart"}
    assert outputs(call, restarted["id"]) == {"end-node-1": VALUES}
