"""The example flows as processes of their own, all at once, on the session's Prefect server."""

import json
from pathlib import Path

import pytest

from dev.hosts.processes import wait_until
from retab_orchestration import RetabClient
from tests.invoices import invoice_pdf
from tests.prefect_collection.conftest import API_KEY
from tests.readme import block_with
from tests.system.prefect.programs import running

pytestmark = pytest.mark.system

EXAMPLES = Path(__file__).parents[3] / "example_flows"
MANY = {f"many, keys {keys}": keys for keys in ("compared", "honoured", "ignored")}
# What the README's reader does on a page of Prefect.
SAVED = (
    "from prefect_collection import RetabCredentials\n"
    "RetabCredentials(api_key=os.environ['RETAB_API_KEY']).save('retab', overwrite=True)\n"
)
PAGE = EXAMPLES.parent / "docs" / "prefect.md"


def inbox(folder, invoices=5):
    folder.mkdir()
    for number in range(1, invoices + 1):
        (folder / f"{number}.pdf").write_bytes(invoice_pdf(number=f"INV-{number}", total=number * 10.5))
    return folder


def served(invoices):
    """Serve the schedule until its second run has ended."""

    def program(host, emulator, env):
        serving = host.start_script(EXAMPLES / "scheduled.py", str(invoices), "5", env=env)
        wait_until(
            lambda: serving.check() or len(list(invoices.glob("done/*.json"))) == 5,
            timeout=120,
            what="the first scheduled run",
        )
        wait_until(lambda: len(ended(host)) >= 2, timeout=120, what="the second scheduled run")
        serving.stop()
        return serving.output.read_text()

    return program


def reviewed(invoices, program):
    """Put an invoice through a workflow that asks a human about it; a run in review is polled once a minute."""

    def run(host, emulator, env):
        going = host.start_script(program, str(invoices), env=env)
        with RetabClient(API_KEY, emulator.url) as client:

            def decided():
                if list(invoices.glob("done/*.pdf")):
                    return True
                going.check()
                for asked in client.iter_runs(status="waiting_for_human"):
                    client.decide_review(asked.id, "hil-node-1", approved=True)
                return False

            wait_until(decided, timeout=120, what="the decided invoice")
        going.stop()
        return going.output.read_text()

    return run


def ended(host):
    return [
        run for run in host.flow_runs("read-inbox") if run["state_type"] in {"COMPLETED", "FAILED", "CRASHED"}
    ]


def script(path, *arguments):
    return lambda host, emulator, env: host.run(path, *arguments, env=env)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    (folder / "invoice.pdf").write_bytes(invoice_pdf())
    return folder


@pytest.fixture(scope="module")
def page(folder):
    """The code of the page on Prefect, from top to bottom."""
    return [block.partition("```")[0] for block in PAGE.read_text().split("```python\n")[1:]]


@pytest.fixture(scope="module")
def ran(prefect_host, folder, page):
    invoice = str(folder / "invoice.pdf")
    beside = f"import os\nos.chdir({str(folder)!r})\n"
    (folder / "page.py").write_text(beside + "\n".join(page))
    (folder / "readme.py").write_text(beside + SAVED + block_with("from prefect import"))
    many = sorted(map(str, inbox(folder / "many").glob("*.pdf")))
    (folder / "reviewed.py").write_text(
        f"import sys\nsys.path.insert(0, {str(EXAMPLES)!r})\n"
        "from scheduled import read_inbox\n"
        "read_inbox.with_options(name='read-asked')(sys.argv[1], 'wf_invoice_review')\n"
    )
    programs = {
        "reviewed": reviewed(inbox(folder / "asked", 1), folder / "reviewed.py"),
        "served": served(inbox(folder / "inbox")),
        "page": script(folder / "page.py"),
        "one": script(EXAMPLES / "run_workflow.py", invoice),
        **dict.fromkeys(MANY, script(EXAMPLES / "mapped_documents.py", *many)),
        "readme": script(folder / "readme.py"),
    }
    with running(prefect_host, programs, {"RETAB_API_KEY": API_KEY}, keys=MANY) as ran:
        yield ran


def test_one_document_goes_through_and_a_value_is_used_downstream(prefect_host, ran):
    outputs = json.loads(ran("one").printed)

    assert outputs["end-node-1"]["json_data"]["invoice_number"] == "INV-2024-001"
    assert ran("one").runs_created == 1
    (flow_run,) = prefect_host.flow_runs("book-invoice")
    assert flow_run["state_type"] == "COMPLETED"
    assert API_KEY not in json.dumps(flow_run)
    assert "Booked invoice INV-2024-001 over 1234.56" in prefect_host.log(flow_run["id"])


def test_the_code_of_the_page_on_prefect_runs_from_top_to_bottom(ran, page):
    printed = ran("page").printed.splitlines()

    assert len(page) == 8
    assert printed[0] == "1234.56"
    assert printed.pop(3) == (
        "completed True ['run_id', 'sha256', 'size', 'status', 'uri', 'waiting_for_node_ids']"
    )
    assert all("INV-2024-001" in line for line in printed[1:])
    assert len(printed) == 5
    assert ran("page").runs_created == 6


def test_what_a_human_is_asked_about_is_written_once_it_is_decided(ran, folder):
    assert ran("reviewed").runs_created == 1
    outputs = json.loads((folder / "asked" / "done" / "1.json").read_text())
    assert outputs["end-node-1"]["json_data"]["total_amount"] == 10.5


@pytest.mark.parametrize("many", MANY)
def test_many_documents_go_through_at_once_each_as_one_run(ran, many):
    assert json.loads(ran(many).printed) == {"total": sum(number * 10.5 for number in range(1, 6))}
    assert ran(many).runs_created == 5


def test_each_of_many_documents_has_three_tasks(prefect_host, ran):
    assert [ran(many).runs_created for many in MANY] == [5, 5, 5]
    for flow_run in prefect_host.flow_runs("add-up-invoices"):
        # Prefect hears of a task's end a moment after its flow's, the later the busier its server is.
        wait_until(
            lambda flow_run=flow_run: (
                {task["state_type"] for task in prefect_host.task_runs(flow_run["id"])} == {"COMPLETED"}
            ),
            timeout=60.0,
            what="the tasks to be completed",
        )
        assert len(prefect_host.task_runs(flow_run["id"])) == 15


def test_a_served_schedule_runs_and_leaves_nothing_for_the_next_time(prefect_host, ran, folder):
    assert ran("served").runs_created == 5

    assert not list(folder.glob("inbox/*.pdf"))
    # It is stopped after two, whatever the third is at.
    runs = ended(prefect_host)[:2]
    assert {run["state_type"] for run in runs} == {"COMPLETED"}
    assert all(run["created_by"]["type"] == "DEPLOYMENT" or run["deployment_id"] for run in runs)
    totals = [
        json.loads(path.read_text())["end-node-1"]["json_data"]["total_amount"]
        for path in sorted(folder.glob("inbox/done/*.json"))
    ]
    assert totals == [number * 10.5 for number in range(1, 6)]


def test_the_flow_of_the_readme_uses_a_value_downstream(ran):
    assert "to pay: 1234.56" in ran("readme").printed
