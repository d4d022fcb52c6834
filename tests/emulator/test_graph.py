"""Workflows, blocks and edges."""

from retab_orchestration.emulator.workflows.built_in import BUILT_IN


def test_the_built_in_workflows_are_listed(call):
    listed = call.get("/v1/workflows", limit="100")["data"]

    assert [workflow["id"] for workflow in listed] == [
        "wf_invoice",
        "wf_invoice_review",
        "wf_invoice_review_error",
        "wf_split",
        "wf_edit",
        "wf_echo",
        "wf_fail",
        "wf_queued",
        "wf_by_email",
        "wf_by_hand",
        "wf_uncancellable",
        "wf_for_each",
        "wf_for_each_review",
        "wf_while",
        "wf_nested_loops",
    ]
    assert call.get("/v1/workflows/wf_echo") == listed[5]
    assert call("GET", "/v1/workflows/wf_unknown").status == 404


def test_the_graph_is_the_same_on_both_ages_but_for_its_types(call):
    classic = call.get("/v1/workflows/wf_invoice_review/blocks")
    current = call.get("/v1/workflows/blocks", workflow_id="wf_invoice_review")["data"]

    assert [block["id"] for block in classic] == [block["id"] for block in current]
    assert [block["type"] for block in classic] == ["start", "start_json", "extract", "hil", "end"]
    assert [block["type"] for block in current] == [
        "start_document",
        "start_json",
        "extract",
        "extract",
        "function",
    ]
    edges = call.get("/v1/workflows/wf_invoice_review/edges")
    owned = [
        {**edge, "organization_id": "org_emulator"}
        for edge in call.get("/v1/workflows/edges", workflow_id="wf_invoice_review")["data"]
    ]
    assert owned == edges
    entities = call.get("/v1/workflows/wf_invoice_review/entities")
    assert (entities["blocks"], entities["edges"]) == (classic, edges)


def test_edges_are_filtered_and_paged(call):
    edges = "/v1/workflows/edges"

    assert len(call.get(edges, workflow_id="wf_invoice", target_block="extract-node-1")["data"]) == 2
    (last,) = call.get(edges, workflow_id="wf_invoice", source_block="extract-node-1")["data"]
    assert last["target_block"] == "end-node-1"
    assert call.get(edges, workflow_id="wf_invoice", limit="1")["list_metadata"]["after"]
    assert call("GET", edges).status == 422
    assert call("GET", edges, workflow_id="wf_unknown").status == 404


def test_the_shares_of_a_run_add_up_along_the_longest_path():
    for workflow in BUILT_IN:
        reach = {}
        for node in workflow.nodes:
            reach[node.id] = (
                max((reach[source] for source in node.after), default=0.0) + workflow.shares[node.id]
            )
        assert abs(max(reach.values()) - 1) < 1e-9, workflow.id
