"""The provider on a real Airflow 3: api-server, scheduler, triggerer, dag-processor, LocalExecutor."""

import pytest

from dev.hosts.processes import wait_until

pytestmark = pytest.mark.system

NODE = "end-node-1"
TYPES = {"run_id": str, "status": str, "waiting_for_node_ids": list, "run_url": str}


def test_deferred_task_waits_in_the_triggerer_and_its_link_works(dag_runs, emulator, retab):
    reviews = dag_runs["reviews"]
    reviews.wait_for("wait_deferred", "deferred")
    wait_until(lambda: reviews.instance("wait_deferred")["triggerer_job"], timeout=60, what="the triggerer")

    waiting = reviews.instance("wait_deferred")
    run_id = reviews.xcom("wait_deferred", "run_id")

    assert waiting["trigger"]["classpath"] == "airflow_provider.triggers.RetabRunTrigger"
    assert reviews.link("wait_deferred") == f"{emulator.url}/runs/{run_id}"


def test_review_that_is_waited_for_ends_with_the_decision(dag_runs, retab):
    reviews = dag_runs["reviews"]
    run_id = reviews.xcom("wait_deferred", "run_id")
    retab.wait_for_run(run_id, timeout=60)
    assert reviews.tasks["wait_deferred"] == ["deferred"]

    retab.decide_review(run_id, "hil-node-1", approved=True)
    reviews.wait_for("wait_deferred", "success")

    assert reviews.xcom("wait_deferred")[NODE]["json_data"]["vendor_name"] == "Northwind Paper Works"
    assert reviews.xcom("wait_deferred", "status") == "completed"


def test_branch_example_reads_the_values_that_the_decision_changed(dag_runs, retab):
    branch = dag_runs["review_branch"]
    branch.wait_for("wait_for_decision", "deferred")
    assert branch.xcom("read_invoice") == {}
    assert branch.xcom("read_invoice", "waiting_for_node_ids") == ["hil-node-1"]

    changed = {"vendor_name": "Southwind", "total_amount": 7.5, "currency": "SEK"}
    retab.decide_review(
        branch.xcom("read_invoice", "run_id"), "hil-node-1", approved=True, modified_data=changed
    )

    assert branch.state == "success", (branch.tasks, branch.log("wait_for_decision"), branch.log("book"))
    assert branch.xcom("book") == "Southwind: 7.5 SEK"


def test_branch_example_goes_on_at_once_where_nobody_is_asked(dag_runs):
    branch = dag_runs["no_review"]

    assert branch.state == "success"
    assert branch.tasks["wait_for_decision"] == ["skipped"]
    assert branch.xcom("book") == "Northwind Paper Works: 1234.56 EUR"


@pytest.mark.parametrize("how", ["deferred", "here"])
@pytest.mark.parametrize(
    ("policy", "state"), [("return", "success"), ("fail", "failed"), ("skip", "skipped")]
)
def test_review_ends_the_task_as_told_to(dag_runs, policy, state, how):
    reviews = dag_runs["reviews"]
    assert reviews.state == "failed"  # as the task that was told to fail did

    xcoms = reviews.xcoms(f"{policy}_{how}")

    assert reviews.tasks[f"{policy}_{how}"] == [state]
    assert xcoms["status"] == "waiting_for_human"
    assert xcoms["waiting_for_node_ids"] == ["hil-node-1"]
    assert {key: type(value) for key, value in xcoms.items()} == TYPES
    if policy == "return":
        assert reviews.xcom(f"{policy}_{how}") == {}
    if policy == "fail":
        assert "decide_review" in reviews.failure(f"{policy}_{how}")


def test_example_uses_the_outputs_downstream(dag_runs):
    example = dag_runs["run_workflow"]

    assert example.state == "success"
    assert example.xcom("book") == "Northwind Paper Works: 1234.56 EUR"
    assert "Pausing task as DEFERRED" in example.log("read_invoice")
    assert f"Run {example.xcom('read_invoice', 'run_id')} is completed" in example.log("read_invoice")


def test_example_maps_over_documents(dag_runs):
    example = dag_runs["mapped_documents"]

    assert example.state == "success"
    assert example.tasks["read_invoice"] == ["success"] * 4
    assert example.xcom("add_up") == pytest.approx(2 * (1234.56 + 488.90))
    assert len({example.xcom("read_invoice", "run_id", index) for index in range(4)}) == 4


def test_example_waits_for_the_run_of_another_dag(dag_runs, airflow):
    start = dag_runs["start_run"]
    assert start.state == "success"
    [collect] = airflow.api.get("/dags/collect_run/dagRuns")["dag_runs"]

    state = airflow.api.wait_for_dag_run("collect_run", collect["dag_run_id"])

    assert state == "success"
    book = airflow.api.xcom("collect_run", collect["dag_run_id"], "book")
    assert book == "Northwind Paper Works: 1234.56 EUR"
    assert start.xcom("start") == {}


@pytest.mark.parametrize("way", ["poke", "reschedule", "deferred"])
def test_sensor_returns_the_outputs(dag_runs, way):
    sensors = dag_runs["sensors"]
    assert sensors.state == "failed"  # as the sensors that ran out of time did

    assert sensors.tasks[way] == ["success"]
    assert sensors.xcom(way)[NODE]["json_data"]["json-node-1"] == {"seconds": 12}
    assert sensors.xcoms(way)["run_id"] == sensors.xcom("start", "run_id")
    assert {key: type(value) for key, value in sensors.xcoms(way).items()} == TYPES


@pytest.mark.parametrize("way", ["poke", "reschedule", "deferred"])
def test_sensor_that_runs_out_of_time_fails(dag_runs, way):
    sensors = dag_runs["sensors"]
    assert sensors.state == "failed"

    assert sensors.tasks[f"{way}_late"] == ["failed"]
    assert "AirflowSensorTimeout" in sensors.failure(f"{way}_late")


def test_failed_run_fails_the_task_with_its_own_message(dag_runs):
    ends = dag_runs["ends"]
    assert ends.state == "failed"

    assert ends.tasks["fails"] == ["failed"]
    assert ends.xcom("fails", "status") == "error"
    assert "The scanner was on fire" in ends.failure("fails")


def test_run_that_takes_too_long_fails_the_task(dag_runs):
    ends = dag_runs["ends"]
    assert ends.state == "failed"

    assert ends.tasks["late"] == ["failed"]
    assert ends.xcom("late", "status") == "running"
    assert "WaitTimeoutError" in ends.failure("late")


def test_lost_create_is_sent_once_although_the_task_has_retries(dag_runs, emulator):
    ends = dag_runs["ends"]
    assert ends.state == "failed"

    assert ends.tasks["lost"] == ["failed"]
    assert ends.instance("lost")["try_number"] == 1
    assert emulator.stats()["requests"]["POST /v1/workflows/{workflow_id}/run"] == 1


def test_sixty_mapped_runs_of_0_to_12_seconds_all_succeed_without_a_retry(dag_runs):
    sixty = dag_runs["sixty"]

    assert sixty.state == "success"
    assert sixty.tasks["run"] == ["success"] * 60
    run_ids = {sixty.xcom("run", "run_id", index) for index in range(60)}
    numbers = [
        sixty.xcom("run", map_index=index)[NODE]["json_data"]["json-node-1"]["number"] for index in range(60)
    ]
    assert len(run_ids) == 60
    assert numbers == list(range(60))


def test_tasks_whose_triggers_share_their_looks_log_their_own_run_and_no_other(dag_runs):
    sixty = dag_runs["sixty"]
    assert sixty.state == "success"
    run_ids = {index: sixty.xcom("run", "run_id", index) for index in range(60)}
    logs = {index: sixty.log("run", map_index=index) for index in range(0, 60, 7)}

    for index, log in logs.items():
        told = {run_id for run_id in run_ids.values() if f"Run {run_id} is " in log}
        assert told == {run_ids[index]}
        assert f"Run {run_ids[index]} is completed" in log


def test_every_run_was_created_once(dag_runs, emulator):
    """7 for review, 4 for examples and one for the README, 4 mapped, 2 for sensors, 3 that end badly, 60 mapped."""
    for run in dag_runs.values():
        assert run.state in {"success", "failed"}

    assert emulator.stats()["runs_created"] == 7 + 5 + 4 + 2 + 3 + 60


def test_example_runs_with_airflow_dags_test(airflow, emulator, document, tmp_path):
    created = emulator.stats()["runs_created"]
    own = {
        # A database of its own: the session's triggerer would race the command for the task that it defers.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow.db'}",
        # At DEBUG, `airflow dags test` prints the secrets of every connection that it reads: "MaskSecret(value=...)".
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    }
    airflow.run("db", "migrate", env=own)

    conf = f'{{"document": "{document}"}}'
    printed = airflow.run("dags", "test", "run_workflow", "--conf", conf, env=own)

    assert "DagRun Finished" in printed
    assert "state=success" in printed
    assert emulator.stats()["runs_created"] == created + 1


def test_airflow_knows_the_provider(airflow):
    assert "retab" in airflow.run("providers", "hooks")


def test_dag_of_the_readme_uses_a_value_downstream(dag_runs):
    readme = dag_runs["readme"]

    assert readme.state == "success"
    assert "to pay: 1234.56" in readme.log("book")
