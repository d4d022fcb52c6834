"""The example flows at DEBUG: neither the key nor a document is in anything that Prefect has written."""

from pathlib import Path

import pytest

from dev.hosts.processes import ProcessError
from tests.invoices import invoice_pdf
from tests.leaks import leaks_in, traces_of
from tests.system.prefect.programs import running
from tests.system.prefect.test_examples import EXAMPLES, script

pytestmark = pytest.mark.system

KEY = "rt_plain_to_see_91c3f0"
LOGGERS = "retab_orchestration,prefect_collection,httpx,httpcore"
ENV = {
    "RETAB_API_KEY": KEY,
    "PREFECT_LOGGING_LEVEL": "DEBUG",
    "PREFECT_LOGGING_ROOT_LEVEL": "DEBUG",
    "PREFECT_LOGGING_EXTRA_LOGGERS": LOGGERS,
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
}
FAILURES = ("http_401", "http_422", "garbage")


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    for number in range(1, 4):
        (folder / f"{number}.pdf").write_bytes(invoice_pdf(number=f"INV-{number}", vendor="Nobody else"))
    return sorted(folder.glob("*.pdf"))


def refused(kind, document):
    def program(host, emulator, env):
        emulator.post_faults([{"match": "POST /v1/workflows/*", "kind": kind, "times": 9}])
        with pytest.raises(ProcessError) as failed:
            host.run(EXAMPLES / "run_workflow.py", document, env=env)
        return str(failed.value)

    return program


def test_prefect_has_written_neither_the_key_nor_a_document(prefect_host, documents):
    contents = [path.read_bytes() for path in documents]
    first, *_ = names = [str(path) for path in documents]
    programs = {kind: refused(kind, first) for kind in FAILURES} | {
        "one": script(EXAMPLES / "run_workflow.py", first),
        "many": script(EXAMPLES / "mapped_documents.py", *names),
    }
    with running(prefect_host, programs, ENV) as ran:
        printed = [ran(name).printed for name in programs]

    assert KEY not in "".join(printed)
    leaks, files = leaks_in(Path(prefect_host.home), traces_of(KEY, contents))

    assert leaks == []
    # What was searched is what it should be: the database, results, and what the flows have logged at DEBUG.
    assert files > 10
    assert b"Created run" in b"".join(path.read_bytes() for path in prefect_host.home.glob("prefect.db*"))
    logs = b"".join(path.read_bytes() for path in prefect_host.home.rglob("log.txt"))
    assert b"DEBUG" in logs
    assert b"httpcore" in logs
