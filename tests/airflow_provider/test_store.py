"""What a task remembers: in Airflow 3.3's store, in Airflow 2's audit log, else nowhere."""

from importlib.metadata import version
from types import SimpleNamespace
from uuid import uuid4

import pytest

from airflow_provider._state.store import state_store_of
from airflow_provider.operators import RetabRunWorkflowOperator

IS_AIRFLOW_2 = version("apache-airflow").startswith("2.")
KEY = "retab_run"


def test_store_is_airflow_s_where_it_has_one(context):
    store = object()

    assert state_store_of({**context, "task_state_store": store}) is store


def test_worker_without_store_and_database_remembers_nothing(context):
    assert state_store_of(context) is None


if not IS_AIRFLOW_2:

    def test_airflow_3_keeps_what_it_is_given_for_as_long_as_the_dag_run(connect, context, ti, monkeypatch):
        """And not for `[state_store] default_retention_days`: a run may wait for a human for longer."""
        from airflow.sdk.execution_time import context as airflow_context
        from airflow.sdk.execution_time import task_runner
        from airflow.sdk.execution_time.comms import SetTaskStateStore

        sent = []
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=sent.append), raising=False)
        store = airflow_context.TaskStateStoreAccessor(uuid4(), scope=None)
        task = RetabRunWorkflowOperator(
            task_id="run", workflow_id="wf_echo", json_inputs={}, wait_for_completion=False
        )

        task.execute({**context, "task_state_store": store})

        told = [message for message in sent if isinstance(message, SetTaskStateStore)]
        assert told[-1].value["run_id"] == ti.xcoms["run_id"]
        assert {message.expires_at for message in told} == {None}


if IS_AIRFLOW_2:

    @pytest.fixture
    def memory(airflow_database, new_ti):
        """Build the memory of a task instance."""

        def build(dag_run=1, **changes):
            ti = new_ti()
            ti.current_state = lambda: "running"
            vars(ti).update(changes)
            return state_store_of({"ti": ti, "dag_run": SimpleNamespace(id=dag_run)})

        yield build
        forget()

    def forget():
        from airflow.models.log import Log
        from airflow.utils.session import create_session

        with create_session() as session:
            session.query(Log).filter_by(event=KEY).delete()

    def test_next_attempt_knows_what_was_kept_last(memory):
        memory().set(KEY, {"run_id": None})
        memory().set(KEY, {"run_id": "run_1"})

        assert memory(try_number=2).get(KEY) == {"run_id": "run_1"}

    def test_what_is_deleted_is_gone(memory):
        memory().set(KEY, {"run_id": "run_1"})

        memory().delete(KEY)

        assert memory().get(KEY) is None

    @pytest.mark.parametrize(
        "other",
        [
            {"map_index": 3},
            {"task_id": "other"},
            {"run_id": "other"},
            {"dag_id": "other"},
            {"dag_run": 2},  # of the same name, after the first was deleted
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_nobody_else_knows_it(memory, other):
        memory().set(KEY, {"run_id": "run_1"})

        assert memory(**other).get(KEY) is None
