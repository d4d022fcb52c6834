"""The examples and the README's DAG need a connection, and nothing else that a user would have to create first."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.readme import block_with

EXAMPLES = sorted((Path(__file__).parents[2] / "example_dags").glob("*.py"))
FOR_2_11 = """
from airflow.decorators import dag, task
from airflow.models.param import Param
"""


def dags_of(path):
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # Airflow 2
        from airflow.models.dagbag import DagBag

    found = DagBag(dag_folder=str(path))
    assert found.import_errors == {}
    assert found.dags
    return found.dags


@pytest.mark.skipif(find_spec("airflow.sdk") is None, reason="the examples are for Airflow 3")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_in_the_pool_that_every_airflow_has(airflow_database, path):
    assert {task.pool for dag in dags_of(path).values() for task in dag.tasks} == {"default_pool"}


def test_the_dag_of_the_readme_is_not_paused_and_asks_for_its_document(airflow_database, tmp_path):
    first, rest = block_with("airflow.sdk").split("\n", 1)
    assert first.endswith("# Airflow 2.11: from airflow.decorators and airflow.models.param")
    (tmp_path / "invoices.py").write_text((first if find_spec("airflow.sdk") else FOR_2_11) + "\n" + rest)

    dag = dags_of(tmp_path / "invoices.py")["invoices"]

    assert dag.is_paused_upon_creation is False
    with pytest.raises(Exception, match=r"(?i)document|no value"):
        dag.params.validate()
    assert dag.params.get_param("document").resolve("/data/invoice.pdf") == "/data/invoice.pdf"
