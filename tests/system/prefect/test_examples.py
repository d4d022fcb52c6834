"""The example flows as processes of their own, on the session's Prefect server."""

import json
from pathlib import Path

import pytest

from hosts.processes import wait_until
from tests.invoices import invoice_pdf
from tests.prefect_collection.conftest import API_KEY
from tests.readme import block_with

pytestmark = pytest.mark.system

EXAMPLES = Path(__file__).parents[3] / "example_flows"


@pytest.fixture
def account(emulator):
    return {"RETAB_API_KEY": API_KEY, "RETAB_API_BASE_URL": emulator.url}


@pytest.fixture
def invoices(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    for number in range(1, 6):
        (folder / f"{number}.pdf").write_bytes(invoice_pdf(number=f"INV-{number}", total=number * 10.5))
    return folder


def test_one_document_goes_through_and_a_value_is_used_downstream(host, emulator, account, invoice):
    answer = host.run(EXAMPLES / "run_workflow.py", str(invoice), env=account)

    assert json.loads(answer)["end-node-1"]["json_data"]["invoice_number"] == "INV-2024-001"
    assert emulator.stats()["runs_created"] == 1
    (flow_run,) = host.flow_runs("book-invoice")
    assert flow_run["state_type"] == "COMPLETED"
    assert API_KEY not in json.dumps(flow_run)
    assert "Booked invoice INV-2024-001 over 1234.56" in host.log(flow_run["id"])


def test_the_code_of_the_page_on_prefect_runs_from_top_to_bottom(host, emulator, account, invoice, tmp_path):
    page = (EXAMPLES.parent / "docs" / "prefect.md").read_text()
    program = tmp_path / "page.py"
    code = [block.partition("```")[0] for block in page.split("```python\n")[1:]]
    program.write_text(f"import os\nos.chdir({str(tmp_path)!r})\n" + "\n".join(code))

    printed = host.run(program, env=account).splitlines()

    assert len(code) == 7
    assert printed[0] == "1234.56"
    assert printed.pop(2) == "completed True ['run_id', 'sha256', 'size', 'status', 'uri']"
    assert all("INV-2024-001" in line for line in printed[1:])
    assert len(printed) == 4
    assert emulator.stats()["runs_created"] == 5


def test_many_documents_go_through_at_once_each_as_one_run(host, emulator, account, invoices):
    answer = host.run(
        EXAMPLES / "mapped_documents.py", *map(str, sorted(invoices.glob("*.pdf"))), env=account
    )

    assert json.loads(answer) == {"total": sum(number * 10.5 for number in range(1, 6))}
    assert emulator.stats()["runs_created"] == 5
    (flow_run,) = host.flow_runs("add-up-invoices")
    tasks = host.task_runs(flow_run["id"])
    assert len(tasks) == 15
    assert {task["state_type"] for task in tasks} == {"COMPLETED"}


def test_a_served_schedule_runs_and_leaves_nothing_for_the_next_time(host, emulator, account, invoices):
    serving = host.start_script(EXAMPLES / "scheduled.py", str(invoices), "5", env=account)

    wait_until(
        lambda: serving.check() or len(list(invoices.glob("done/*.json"))) == 5,
        timeout=120,
        what="the first scheduled run",
    )
    wait_until(lambda: len(_ended(host)) >= 2, timeout=120, what="the second scheduled run")
    serving.stop()

    assert emulator.stats()["runs_created"] == 5
    assert not list(invoices.glob("*.pdf"))
    assert {run["state_type"] for run in _ended(host)} == {"COMPLETED"}
    assert all(run["created_by"]["type"] == "DEPLOYMENT" or run["deployment_id"] for run in _ended(host))
    totals = [
        json.loads(path.read_text())["end-node-1"]["json_data"]["total_amount"]
        for path in sorted(invoices.glob("done/*.json"))
    ]
    assert totals == [number * 10.5 for number in range(1, 6)]


def _ended(host):
    return [
        run for run in host.flow_runs("read-inbox") if run["state_type"] in {"COMPLETED", "FAILED", "CRASHED"}
    ]


def test_the_flow_of_the_readme_uses_a_value_downstream(host, account, invoice, tmp_path):
    program = tmp_path / "readme.py"
    program.write_text(f"{block_with('from prefect import')}\ninvoices({str(invoice)!r})\n")

    assert "to pay: 1234.56" in host.run(program, env=account)
