"""A DAG file that uses nothing but Airflow: what every DAG file costs."""

from airflow.sdk import Param, dag, task


@dag(schedule=None, params={"text": Param(type="string")})
def empty() -> None:
    """Do nothing."""

    @task
    def nothing() -> None:
        pass

    nothing()


empty()
