"""The oldest Prefect that is promised, with its server: a document is read, and what interrupts a wait is noticed."""

import pytest
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow

from prefect_collection import run_workflow
from prefect_collection._interruptions import READ_INTERVAL
from retab_orchestration import RetabClient
from tests.system.prefect import interrupted

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("prefect_api")]


def read_a_document(invoice):
    deployment = run_workflow.to_deployment("floor").apply()
    given = {"workflow_id": "wf_invoice", "documents": {"start-node-1": str(invoice)}}
    with get_client(sync_client=True) as prefect:
        flow_run = prefect.create_flow_run_from_deployment(deployment, parameters=given)
        outputs = run_flow(run_workflow, flow_run=flow_run, parameters=given)
        assert prefect.read_flow_run(flow_run.id).state.is_completed()
    return outputs["end-node-1"]["json_data"]


def test_a_document_is_read_while_other_flow_runs_are_suspended_and_stopped(emulator, invoice):
    with RetabClient() as client:
        suspended, stopped = (
            client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": 6000, "number": number}}).id
            for number in range(2)
        )
        found = {}

        def meanwhile():
            found["stopped after"] = interrupted.seconds_to_stop(emulator, [stopped])
            found["outputs"] = read_a_document(invoice)

        # It takes ten seconds, because nothing but reading the state tells of it.
        seconds = interrupted.seconds_to_notice(
            interrupted.waits_directly, emulator, [suspended], meanwhile=meanwhile
        )

        assert found["outputs"]["invoice_number"]
        assert found["stopped after"] < 8
        assert seconds < READ_INTERVAL + 8
        assert [client.get_run(run_id).status_name for run_id in (suspended, stopped)] == ["running"] * 2
        assert emulator.stats()["runs_created"] == 3
