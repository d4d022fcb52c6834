"""Part 2, before the triggerer: Airflow's database with one DAG run whose mapped tasks have begun to wait."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dev.benchmarks.work.triggers import SIDES, WEEK

DAG = """
from airflow.sdk import DAG, BaseOperator


class Waits(BaseOperator):
    def __init__(self, number, **kwargs):
        super().__init__(**kwargs)


with DAG("waits", schedule=None):
    Waits.partial(task_id="wait").expand(number=list(range({count})))
"""
PLAIN_DBT = "dev.benchmarks.work.dbt_over_http.DbtCloudRunJobTrigger"


def create(dags: Path, count: int, url: str) -> None:
    """Create the database that the settings name, with the connections, a DAG and a run of it, as Airflow writes them.

    Args:
        dags: The DAGs folder.
        count: How many mapped tasks.
        url: The server of the connections.
    """
    from airflow.utils.db import initdb

    dags.mkdir(parents=True, exist_ok=True)
    (dags / "waits.py").write_text(DAG.format(count=count))
    initdb()
    _connect(url)
    _read_dags()
    _begin_run()


def defer(side: str, first: int, count: int, interval: float) -> None:
    """Do with every task what the Execution API does when a worker reports that it has deferred.

    Args:
        side: Whose trigger each waits on.
        first: The number of the first run.
        count: How many tasks there are.
        interval: Seconds between two looks.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session
    from sqlalchemy import select

    # Not where the triggers are measured: what is imported here is no part of the triggerer.
    make = _nothing if side == "nothing" else SIDES[side]()
    now = datetime.now(UTC)
    with create_session() as session:
        tasks = session.scalars(select(TaskInstance).order_by(TaskInstance.map_index)).all()
        if len(tasks) != count:
            raise RuntimeError(f"the DAG run has {len(tasks)} tasks instead of {count}")
        for place, task in enumerate(tasks):
            classpath, kwargs = make(first + place, interval).serialize()
            trigger = Trigger(PLAIN_DBT if side == "dbt" else classpath, kwargs)
            session.add(trigger)
            session.flush()
            task.state, task.start_date, task.try_number = "deferred", now, 1
            task.trigger_id, task.next_method = trigger.id, "execute_complete"
            task.next_kwargs = {"run_id": f"run_{first + place}"}


def taken() -> int:
    """Return how many triggers a triggerer has taken."""
    from airflow.models.trigger import Trigger

    return _count(Trigger.id, Trigger.triggerer_id.is_not(None))


def resumed() -> int:
    """Return how many tasks are to be resumed with an event that says that the run ended well."""
    import json

    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import select

    from dev.benchmarks.work.triggers import GOOD

    with create_session() as session:
        found = session.scalars(select(TaskInstance.next_kwargs).where(TaskInstance.state == "scheduled"))
        return sum(any(f'"{word}"' in json.dumps(each) for word in GOOD) for each in found)


def is_up() -> bool:
    """Whether a triggerer has signed in."""
    from airflow.jobs.job import Job

    return _count(Job.id, Job.job_type == "TriggererJob", Job.state == "running") > 0


def _count(column: Any, *conditions: Any) -> int:
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    with create_session() as session:
        return session.scalar(select(func.count(column)).where(*conditions)) or 0


def _nothing(_: int, __: float) -> Any:
    """Return a trigger of Airflow's own that only sleeps, for what as many cost whatever they do."""
    from airflow.providers.standard.triggers.temporal import DateTimeTrigger

    return DateTimeTrigger(moment=datetime.fromtimestamp(time.time() + WEEK, UTC))


def _connect(url: str) -> None:
    from airflow.models.connection import Connection
    from airflow.utils.session import create_session

    connections = {
        "bench_retab": {"conn_type": "retab", "host": url},
        "bench_dbt": {"conn_type": "dbt_cloud", "login": "1", "host": urlsplit(url).netloc},
    }
    with create_session() as session:
        for name, described in connections.items():
            session.add(Connection(conn_id=name, password="rt_test_bench", **described))  # noqa: S106


def _read_dags() -> None:
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db

    manager = DagBundlesManager()
    manager.sync_bundles_to_db()
    for bundle in manager.get_all_dag_bundles():
        bundle.initialize()
        dags = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
        sync_bag_to_db(dags, bundle.name, bundle_version=None)


def _begin_run() -> None:
    from airflow.models.dagbag import DBDagBag
    from airflow.utils.session import create_session
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    with create_session() as session:
        dag = DBDagBag().get_latest_version_of_dag("waits", session=session)
        dag.create_dagrun(
            run_id="waits",
            run_after=datetime.now(UTC) - timedelta(seconds=1),
            run_type=DagRunType.MANUAL,
            triggered_by=DagRunTriggeredByType.CLI,
            state=DagRunState.RUNNING,
            session=session,
        )
