"""After every DAG has run at DEBUG: neither the key nor a document is in anything that Airflow has written."""

import json

import pytest

from tests.leaks import leaks_in, traces_of
from tests.real_airflow import KEY
from tests.system.airflow.conftest import DOCUMENTS

pytestmark = pytest.mark.system


def test_airflow_has_written_neither_the_key_nor_a_document(dag_runs, airflow, real_airflow):
    for run in dag_runs.values():
        assert run.state in {"success", "failed"}
    documents = [path.read_bytes() for path in sorted(DOCUMENTS.glob("*.pdf"))]

    database = airflow.home / ("database.dump" if real_airflow.url else "airflow.db")
    real_airflow.dump(airflow.home / "database.dump")

    leaks, files = leaks_in(airflow.home, traces_of(KEY, documents))

    assert leaks == []
    # What was searched is what it should be: the database, and task logs at DEBUG.
    assert files > 60
    assert database.stat().st_size > 100_000
    assert b"RetabRunWorkflowOperator" in database.read_bytes()
    logs = b"".join(path.read_bytes() for path in (airflow.home / "logs").rglob("*.log"))
    assert b'"level":"debug"' in logs.replace(b" ", b"")


def test_rendered_templates_name_documents_and_hold_none(dag_runs, document):
    rendered = dag_runs["run_workflow"].instance("read_invoice")["rendered_fields"]

    assert document in json.dumps(rendered)
    assert KEY not in json.dumps(rendered)
