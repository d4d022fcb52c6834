import inspect
import json
import logging
import pickle

import pytest
from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed
from pydantic import SecretStr

import prefect_collection
from prefect_collection import RetabCredentials, create_run, create_test_run
from retab_orchestration import (
    ApiConnectionError,
    ApiTimeoutError,
    ConfigurationError,
    CreateOutcomeUnknownError,
    InvalidInputError,
    NotFoundError,
    RateLimitedError,
    ReviewRequiredError,
    RunCancelledError,
    RunFailedError,
    ServerError,
    UnreadableAnswerError,
    WaitTimeoutError,
)
from tests.prefect_collection.conftest import API_KEY

TASKS = {name: task for name, task in vars(prefect_collection).items() if isinstance(task, Task)}
CREATES = {"create_run", "create_test_run", "restart_run"}
READS = {"get_run", "list_runs", "list_steps", "wait_for_run", "cancel_run", "decide_review"}
BLOCKING = CREATES | READS


def test_every_operation_is_there_in_both_colours():
    assert set(TASKS) == BLOCKING | {f"a{name}" for name in BLOCKING}


@pytest.mark.parametrize("name", sorted(BLOCKING))
def test_both_colours_are_one_task(name):
    blocking, awaiting = TASKS[name], TASKS[f"a{name}"]

    assert (blocking.isasync, awaiting.isasync) == (False, True)
    assert inspect.signature(blocking.fn) == inspect.signature(awaiting.fn)
    assert blocking.fn.__doc__ == awaiting.fn.__doc__
    assert blocking.description == awaiting.description
    for setting in ("persist_result", "cache_policy", "retry_condition_fn", "retries", "cache_expiration"):
        assert getattr(blocking, setting) == getattr(awaiting, setting), setting


@pytest.mark.parametrize("name", sorted(BLOCKING))
def test_a_task_says_what_it_takes_and_does_so_by_keyword(name):
    parameters = inspect.signature(TASKS[name].fn).parameters

    assert "Args:" in TASKS[name].fn.__doc__
    assert all(f"{parameter}:" in TASKS[name].fn.__doc__ for parameter in parameters)
    assert parameters["credentials"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", sorted(CREATES))
def test_a_create_stores_its_run_and_is_not_in_prefects_cache_which_knows_documents_by_their_paths(name):
    assert TASKS[name].persist_result is True
    assert TASKS[name].cache_policy == NO_CACHE


@pytest.mark.parametrize("name", sorted(READS))
def test_what_only_looks_is_never_stored(name):
    assert TASKS[name].persist_result is False
    assert TASKS[name].cache_policy == NO_CACHE


RETRIED = [
    (ApiConnectionError("refused", sent=False), True),
    (ApiTimeoutError("no connection", sent=False), True),
    (RateLimitedError("slow down", status=429), True),
    (ServerError("broken", status=500), True),
    (UnreadableAnswerError("html"), True),
    (WaitTimeoutError("still running"), True),
    (TimeoutError("a task's own timeout"), True),
    (ReviewRequiredError("waits"), True),
    (NotFoundError("unknown", status=404), False),
    (CreateOutcomeUnknownError("lost"), False),
    (InvalidInputError("wrong"), False),
    (ConfigurationError("no key"), False),
    (RunFailedError("failed"), False),
    (RunCancelledError("cancelled"), False),
]


@pytest.mark.parametrize(("error", "retried"), RETRIED, ids=lambda given: type(given).__name__)
def test_retries_that_a_user_sets_are_spent_only_where_they_may_help(error, retried):
    for name, task in TASKS.items():
        # Prefect takes a condition that is no plain function for a no.
        assert inspect.isfunction(task.retry_condition_fn)
        assert task.retry_condition_fn(task, None, Failed(data=error)) is retried, name


@pytest.mark.parametrize("task", [create_run, create_test_run])
def test_options_that_a_user_sets_keep_the_create_safe(task):
    changed = task.with_options(retries=3, tags=["retab"], name="mine")

    assert changed.persist_result is True
    assert changed.cache_policy == task.cache_policy
    assert changed.retry_condition_fn is task.retry_condition_fn


def test_a_run_is_created_waited_for_and_read(call, emulator, invoice):
    run_id = call("create_run", "wf_invoice", documents={"start-node-1": str(invoice)})
    run = call("wait_for_run", run_id, poll_interval_seconds=0.5)

    assert run.id == run_id
    assert run.outputs["end-node-1"]["vendor_name"] == "Acme Corp"
    assert call("get_run", run_id).final_outputs == run.final_outputs
    assert call("get_run", run_id, output_nodes=["extract-node-1"]).outputs.keys() == {"extract-node-1"}
    assert {step.node_id for step in call("list_steps", run_id)} >= {"extract-node-1"}
    assert [found.id for found in call("list_runs", workflow_id="wf_invoice", status="completed").data] == [
        run_id
    ]
    assert emulator.stats()["runs_created"] == 1


def test_a_review_ends_the_wait_and_a_decision_lets_the_run_go_on(call, emulator, invoice):
    run_id = call("create_run", "wf_invoice_review", documents={"start-node-1": invoice})
    waiting = call("wait_for_run", run_id, poll_interval_seconds=0.5)
    receipt = call("decide_review", run_id, "hil-node-1", approved=True, modified_data={"total_amount": 7})
    done = call("wait_for_run", run_id, poll_interval_seconds=0.5)

    assert waiting.is_waiting
    assert waiting.waiting_for_node_ids == ("hil-node-1",)
    assert waiting.final_outputs == {}
    assert receipt.outcome == "accepted"
    assert done.outputs["end-node-1"]["total_amount"] == 7


def test_a_review_is_one_warning_that_says_what_to_do(call, emulator, invoice, caplog):
    caplog.set_level("INFO", "retab")
    run_id = call("create_run", "wf_invoice_review", documents={"start-node-1": invoice})

    call("wait_for_run", run_id, poll_interval_seconds=0.5)

    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        f"Run {run_id} is waiting_for_human at hil-node-1: decide it in Retab, or with the task decide_review"
    ]
    assert "awaiting_review" not in caplog.text


def test_a_review_may_also_be_a_failure(call, emulator, invoice):
    run_id = call("create_run", "wf_invoice_review", documents={"start-node-1": invoice})

    with pytest.raises(ReviewRequiredError, match="waits for a human at hil-node-1") as error:
        call("wait_for_run", run_id, on_review="fail")
    assert error.value.run.id == run_id


def test_a_failed_run_raises_its_own_message(call, emulator):
    run_id = call("create_run", "wf_fail", json_inputs={"json-node-1": {"message": "no toner"}})

    with pytest.raises(RunFailedError, match="no toner"):
        call("wait_for_run", run_id)


def test_a_run_can_be_cancelled(call, emulator):
    run_id = call("create_run", "wf_echo", json_inputs={"json-node-1": {"seconds": 60_000}})

    assert call("cancel_run", run_id).cancellation.status == "cancelled"
    with pytest.raises(RunCancelledError):
        call("wait_for_run", run_id)


def test_saved_tests_can_be_run(call, emulator):
    from retab_orchestration import RetabClient

    test_run_id = call("create_test_run", "wf_invoice")

    with RetabClient() as client:
        assert client.wait_for_test_run(test_run_id, timeout=30).passed is True


def test_a_wait_logs_changes_of_state_and_nothing_else(call, emulator, invoice, caplog):
    caplog.set_level(logging.INFO)
    logging.getLogger("prefect").propagate = True
    run_id = call("create_run", "wf_invoice_review", documents={"start-node-1": invoice})

    call("wait_for_run", run_id, poll_interval_seconds=0.01)

    said = [record.getMessage() for record in caplog.records]
    assert said[0] == f"Created run {run_id}"
    assert said[-1].startswith(f"Run {run_id} is waiting_for_human at hil-node-1: decide it")
    assert len(said) == len(set(said)) <= 5
    assert not any(API_KEY in line or "HTTP" in line for line in said)


def test_nothing_that_a_task_returns_carries_the_engines_state_when_it_is_stored(call, emulator, invoice):
    run_id = call("create_run", "wf_invoice", documents={"start-node-1": invoice})

    run = call("wait_for_run", run_id, poll_interval_seconds=0.5)

    assert run.raw
    assert "raw" not in json.loads(run.model_dump_json())
    assert pickle.loads(pickle.dumps(run)).raw == {}  # noqa: S301


def test_a_create_whose_answer_is_lost_is_one_run(call, emulator, invoice):
    emulator.post_faults([{"match": "POST /v1/workflows/*", "kind": "reset_after"}])

    assert call("create_run", "wf_invoice", documents={"start-node-1": invoice})

    assert emulator.stats()["runs_created"] == 1


def test_a_create_whose_answer_is_lost_on_classic_routes_is_sent_once(call, emulator, invoice):
    emulator.post_faults([{"match": "POST /v1/workflows/*", "kind": "reset_after"}])
    classic = RetabCredentials(api_key=SecretStr("k"), base_url=emulator.url, api="classic")

    with pytest.raises(CreateOutcomeUnknownError, match="list_runs"):
        call("create_run", "wf_invoice", documents={"start-node-1": invoice}, credentials=classic)

    assert emulator.stats()["requests"]["POST /v1/workflows/{workflow_id}/run"] == 1
