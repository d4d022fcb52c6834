import json
import re
from types import SimpleNamespace

import httpx
import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider.links import RetabRunLink
from airflow_provider.operators import RetabRunWorkflowOperator
from retab_orchestration import ConfigurationError
from tests.airflow_provider.refusals import refused
from tests.readme import block_with


@pytest.fixture
def operator():
    return RetabRunWorkflowOperator(
        task_id="run", workflow_id="wf_echo", json_inputs={"json-node-1": {"seconds": 600}}
    )


def test_worker_knows_the_link_when_the_task_has_deferred(connect, context, ti, operator):
    connect(extra={"dashboard_url": "https://retab.example/{workflow_id}/{run_id}"})
    with pytest.raises(TaskDeferred):
        operator.execute(context)

    link = RetabRunLink().get_link(operator, ti_key=None)

    assert link == ti.xcoms["run_url"] == f"https://retab.example/wf_echo/{ti.xcoms['run_id']}"


def test_there_is_no_link_without_a_run(connect, context, operator, monkeypatch):
    """There is no XCom then either."""
    monkeypatch.setattr("airflow_provider.links.XCom.get_value", lambda *, ti_key, key: None)
    connect(password="")
    with refused(ConfigurationError, match="password"):
        operator.execute(context)

    assert RetabRunLink().get_link(operator, ti_key=None) == ""


@pytest.mark.parametrize("has_seen_it", [True, False], ids=["worker", "webserver"])
def test_there_is_no_link_to_the_api_where_a_browser_has_no_key(
    connect, context, ti, operator, monkeypatch, has_seen_it
):
    monkeypatch.setattr("airflow_provider.links.XCom.get_value", lambda *, ti_key, key: ti.xcoms[key])
    with pytest.raises(TaskDeferred):
        operator.execute(context)

    assert httpx.get(ti.xcoms["run_url"]).status_code == 401
    asked = operator if has_seen_it else SimpleNamespace(task_id="run")
    assert RetabRunLink().get_link(asked, ti_key=None) == ""


def test_the_link_of_the_readme_s_connection_is_a_page_of_the_run(
    connect, emulator, context, ti, operator, monkeypatch
):
    [written] = re.findall(
        r"AIRFLOW_CONN_RETAB_DEFAULT='(.*?)'", block_with("RETAB_DEFAULT", "console"), re.DOTALL
    )
    given = json.loads(written.replace("http://127.0.0.1:8765", emulator.url))
    connect(extra=given["extra"])
    with pytest.raises(TaskDeferred):
        operator.execute(context)

    page = httpx.get(RetabRunLink().get_link(operator, ti_key=None))

    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert ti.xcoms["run_id"] in page.text


def test_operator_names_its_link(operator):
    assert [link.name for link in operator.operator_extra_links] == ["View run"]


def test_who_has_only_the_description_of_a_task_reads_the_xcom(monkeypatch):
    """As the webserver of Airflow 2.11 does."""

    class XCom:
        @staticmethod
        def get_value(*, ti_key, key):
            return {("of the task", "run_url"): "https://retab.example/run_1"}.get((ti_key, key))

    monkeypatch.setattr("airflow_provider.links.XCom", XCom)
    link = RetabRunLink()

    assert (
        link.get_link(SimpleNamespace(task_id="run"), ti_key="of the task") == "https://retab.example/run_1"
    )
    assert link.get_link(SimpleNamespace(task_id="run"), ti_key="of another") == ""
