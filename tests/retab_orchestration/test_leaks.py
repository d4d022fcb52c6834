"""The search that proves the hosts clean finds what it looks for."""

import base64
import json
import sqlite3

import pytest

from tests.invoices import invoice_pdf
from tests.leaks import leaks_in, traces_of

KEY = "rt_test_5d1e77"
PDF = invoice_pdf()


@pytest.mark.parametrize(
    "written",
    [
        f"Authorization: Bearer {KEY}".encode(),
        base64.b64encode(KEY.encode()),
        PDF,
        b"x" * 100 + PDF[100:400],
        base64.b64encode(PDF),
        repr(PDF).encode(),
        json.dumps({"content": base64.b64encode(PDF).decode()}).encode(),
        json.dumps(PDF.decode("latin-1")).encode(),
    ],
)
def test_a_leak_is_found_in_a_file_and_in_a_database(tmp_path, written):
    (tmp_path / "task.log").write_bytes(written)
    with sqlite3.connect(tmp_path / "host.db") as database:
        database.execute("CREATE TABLE kept (value BLOB)")
        database.execute("INSERT INTO kept VALUES (?)", (written,))
    database.close()

    leaks, files = leaks_in(tmp_path, traces_of(KEY, [PDF]))

    assert files == 2
    assert {leak.partition(":")[0] for leak in leaks} == {"task.log", "host.db"}


def test_what_a_run_is_known_by_is_no_leak(tmp_path):
    known = {"document": "/inbox/invoice.pdf", "vendor_name": "Acme Corp", "total_amount": 1234.56}
    (tmp_path / "task.log").write_text(json.dumps(known))

    assert leaks_in(tmp_path, traces_of(KEY, [PDF])) == ([], 1)
