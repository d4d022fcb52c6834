import pytest

from airflow_provider.operators import RetabCancelRunOperator, RetabRestartRunOperator


@pytest.fixture
def start(client):
    def create(seconds):
        return client.create_run("wf_echo", json_inputs={"json-node-1": {"seconds": seconds}}).id

    return create


CLASSIC = {"api": "classic", "auth": "api-key"}


@pytest.fixture(params=[{}, CLASSIC], ids=["current", "classic"])
def routes(request, connect):
    connect(extra=request.param)


def cancel(run_id):
    return RetabCancelRunOperator(task_id="run", run_id=run_id)


def restart(run_id, **settings):
    return RetabRestartRunOperator(task_id="run", run_id=run_id, **settings)


def test_run_is_cancelled(routes, start, context, ti, client, emulator):
    run_id = start(600)

    returned = cancel(run_id).execute(context)

    assert returned == {"run_id": run_id, "status": "cancelled", "cancellation": "cancelled"}
    assert ti.xcoms == {
        "run_id": run_id,
        "status": "cancelled",
        "waiting_for_node_ids": [],
        "run_url": f"{emulator.url}/v1/workflows/runs/{run_id}",
    }
    assert client.get_run(run_id).status.value == "cancelled"


def test_cancelling_what_has_ended_is_a_success(connect, start, settle, context):
    run_id = start(0)
    settle(run_id)

    assert cancel(run_id).execute(context)["status"] == "completed"


@pytest.mark.parametrize("deferrable", [True, False], ids=["deferrable", "on the worker"])
def test_restart_runs_the_same_inputs_again(
    routes, client, invoice, settle, execute, ti, emulator, deferrable
):
    source = client.create_run("wf_invoice", documents={"start-node-1": invoice})
    settle(source.id)

    outputs = execute(restart(source.id, deferrable=deferrable))

    assert outputs["end-node-1"]["json_data"]["vendor_name"] == "Northwind"
    assert ti.xcoms["run_id"] != source.id
    assert ti.xcoms["status"] == "completed"
    assert emulator.stats()["runs_created"] == 2
