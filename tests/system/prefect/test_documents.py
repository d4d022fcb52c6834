"""Large documents inside Prefect's own engine: uploaded, with an artifact that shows how far they are."""

import asyncio
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterName,
)

from prefect_collection import arun_workflow, run_workflow
from tests.invoices import invoice_pdf, large_invoice

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("prefect_api")]

MIB = 1024 * 1024


@pytest.fixture(params=[run_workflow, arun_workflow], ids=["blocking", "async"])
def run(request):
    """Run the ready flow on a document, and return its outputs and the artifacts of its run."""

    def call(document):
        name = f"run-{uuid4()}"
        flow = request.param.with_options(flow_run_name=name)
        outputs = flow("wf_invoice", documents={"start-node-1": str(document)}, poll_interval_seconds=0.1)
        outputs = asyncio.run(outputs) if request.param.isasync else outputs
        with get_client(sync_client=True) as client:
            [seen] = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
            made = client.read_artifacts(
                artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[seen.id]))
            )
        return outputs, made

    return call


def test_a_large_document_is_uploaded_and_its_progress_shown(run, emulator, tmp_path):
    document = tmp_path / "large.pdf"
    document.write_bytes(large_invoice(6 * MIB))

    outputs, [artifact] = run(document)

    assert outputs["end-node-1"]["json_data"]["invoice_number"] == "INV-2024-001"
    assert (artifact.type, artifact.data) == ("progress", 100.0)
    assert artifact.description == "Sending large.pdf (6.3 MB) to Retab"
    requests = emulator.stats()["requests"]
    assert requests["POST /v1/files/upload"] == requests["POST /v1/files/upload/{file_id}/complete"] == 1


def test_a_small_document_has_no_artifact(run, emulator, tmp_path):
    document = tmp_path / "small.pdf"
    document.write_bytes(invoice_pdf())

    outputs, artifacts = run(document)

    assert outputs["end-node-1"]["json_data"]["invoice_number"] == "INV-2024-001"
    assert artifacts == []
    assert "POST /v1/files/upload" not in emulator.stats()["requests"]
