"""The example flows at DEBUG: neither the key nor a document is in anything that Prefect has written."""

from pathlib import Path

import pytest

from hosts.processes import ProcessError
from tests.invoices import invoice_pdf
from tests.leaks import leaks_in, traces_of
from tests.system.prefect.test_examples import EXAMPLES

pytestmark = pytest.mark.system

KEY = "rt_plain_to_see_91c3f0"
LOGGERS = "retab_orchestration,prefect_collection,httpx,httpcore"


@pytest.fixture
def account(emulator):
    return {
        "RETAB_API_KEY": KEY,
        "RETAB_API_BASE_URL": emulator.url,
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
        "PREFECT_LOGGING_EXTRA_LOGGERS": LOGGERS,
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
    }


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    for number in range(1, 4):
        (folder / f"{number}.pdf").write_bytes(invoice_pdf(number=f"INV-{number}", vendor="Nobody else"))
    return sorted(folder.glob("*.pdf"))


def test_prefect_has_written_neither_the_key_nor_a_document(host, emulator, account, documents):
    contents = [path.read_bytes() for path in documents]
    host.run(EXAMPLES / "run_workflow.py", str(documents[0]), env=account)
    host.run(EXAMPLES / "mapped_documents.py", *map(str, documents), env=account)
    for kind in ("http_401", "http_422", "garbage"):
        emulator.post_faults([{"match": "POST /v1/workflows/*", "kind": kind, "times": 9}])
        with pytest.raises(ProcessError) as failed:
            host.run(EXAMPLES / "run_workflow.py", str(documents[0]), env=account)
        assert KEY not in str(failed.value)

    leaks, files = leaks_in(Path(host.home), traces_of(KEY, contents))

    assert leaks == []
    # What was searched is what it should be: the database, results, and what the flows have logged at DEBUG.
    assert files > 10
    assert b"Created run" in b"".join(path.read_bytes() for path in host.home.glob("prefect.db*"))
    logs = b"".join(path.read_bytes() for path in host.home.rglob("log.txt"))
    assert b"DEBUG" in logs
    assert b"httpcore" in logs
