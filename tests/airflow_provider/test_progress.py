"""Large documents in Airflow: uploaded, and a line in the task log for each tenth of one."""

import logging

import pytest

from airflow_provider._documents import ProgressLog
from airflow_provider.operators import RetabRunWorkflowOperator
from retab_orchestration import DocumentProgress
from tests.invoices import invoice_pdf, large_invoice

MIB = 1024 * 1024


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records if "MB" in record.getMessage()]


def operator(path, **options):
    return RetabRunWorkflowOperator(
        task_id="run",
        workflow_id="wf_invoice",
        documents={"start-node-1": str(path)},
        deferrable=False,
        poll_interval=0.05,
        **options,
    )


def test_a_large_document_is_uploaded_and_its_progress_logged(connect, emulator, context, tmp_path, lines):
    path = tmp_path / "large.pdf"
    path.write_bytes(large_invoice(10 * MIB))

    outputs = operator(path).execute(context)

    assert outputs["end-node-1"]["json_data"]["invoice_number"] == "INV-2024-001"
    requests = emulator.stats()["requests"]
    assert requests["POST /v1/files/upload"] == requests["POST /v1/files/upload/{file_id}/complete"] == 1
    assert lines()[-1] == "Sent 100 % of large.pdf, which has 10.5 MB"
    assert 5 <= len(lines()) <= 10


def test_a_small_document_is_not_worth_a_line(connect, emulator, context, tmp_path, lines):
    path = tmp_path / "small.pdf"
    path.write_bytes(invoice_pdf())

    operator(path).execute(context)

    assert lines() == []


def test_a_document_that_is_sent_again_says_so(caplog):
    caplog.set_level(logging.INFO)
    log = ProgressLog()

    for sent in (0, 4, 5, 50, 55, 10, 100):
        log(DocumentProgress("node", "a.pdf", sent * 1_000_000, 100_000_000))

    assert [record.getMessage() for record in caplog.records] == [
        "Sent 50 % of a.pdf, which has 100.0 MB",
        "Sending a.pdf again",
        "Sent 10 % of a.pdf, which has 100.0 MB",
        "Sent 100 % of a.pdf, which has 100.0 MB",
    ]
