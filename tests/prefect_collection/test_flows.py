import inspect

import pytest
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint

from prefect_collection import RetabCredentials, arun_workflow, create_run, flows, run_workflow
from retab_orchestration import ConfigurationError, InvalidInputError
from tests.prefect_collection.conftest import API_KEY


def test_both_colours_are_one_flow():
    assert (run_workflow.isasync, arun_workflow.isasync) == (False, True)
    assert inspect.signature(run_workflow.fn) == inspect.signature(arun_workflow.fn)
    assert run_workflow.fn.__doc__ == arun_workflow.fn.__doc__
    assert run_workflow.name != arun_workflow.name


@pytest.mark.parametrize("flow", [run_workflow, arun_workflow])
def test_the_form_of_a_deployment_describes_every_parameter(flow):
    properties = flow.parameters.properties

    assert properties.keys() == inspect.signature(flow.fn).parameters.keys()
    assert all(shown.get("description") for shown in properties.values())


def test_contents_are_refused_by_a_flow_with_other_options_as_well():
    changed = run_workflow.with_options(retries=2)

    with pytest.raises(InvalidInputError, match="Prefect stores"):
        changed.serialize_parameters({"documents": {"start-node-1": b"Invoice number: 1"}})


def test_what_prefect_stores_of_a_flow_shows_no_key():
    stored = run_workflow.serialize_parameters(
        {"workflow_id": "wf_1", "credentials": RetabCredentials(api_key=API_KEY)}
    )

    assert API_KEY not in str(stored)
    assert stored["workflow_id"] == "wf_1"


@pytest.mark.parametrize("given", [API_KEY, {"api_key": API_KEY}], ids=["string", "dict"])
@pytest.mark.parametrize(
    "keeps", [run_workflow.serialize_parameters, lambda named: create_run.delay(**named)]
)
def test_a_key_in_the_place_of_an_account_is_refused_before_prefect_stores_it(keeps, given):
    with pytest.raises((InvalidInputError, ConfigurationError), match=r"^credentials ") as caught:
        keeps({"workflow_id": "wf_1", "credentials": given})

    assert API_KEY not in str(caught.value)


@pytest.mark.parametrize(
    "task", [create_run, create_run.with_options(retries=2)], ids=["task", "with options"]
)
def test_contents_are_refused_before_prefect_stores_them_for_a_task_worker(task):
    with pytest.raises(InvalidInputError, match="Prefect stores"):
        task.delay("wf_1", documents={"start-node-1": b"Invoice number: 1"})


def test_a_reference_to_a_block_and_its_name_are_stored():
    for given in ("retab", {"$ref": {"block_document_slug": "retab-credentials/retab"}}, None):
        stored = run_workflow.serialize_parameters({"workflow_id": "wf_1", "credentials": given})

        assert stored["credentials"] == given


@pytest.mark.parametrize(
    "entrypoint", ["prefect_collection.flows:run_workflow", f"{flows.__file__}:arun_workflow"]
)
def test_a_deployment_finds_the_flow_by_its_entrypoint(entrypoint):
    found = load_flow_from_entrypoint(entrypoint)

    assert found.name in {run_workflow.name, arun_workflow.name}
    with pytest.raises(InvalidInputError):
        found.serialize_parameters({"documents": {"start-node-1": b"Invoice number: 1"}})


def test_options_keep_what_a_flow_is():
    changed = run_workflow.with_options(retries=2, name="mine")

    assert (type(changed), changed.retries, changed.name) == (type(run_workflow), 2, "mine")
    assert isinstance(changed, Flow)
